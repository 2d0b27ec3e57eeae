"""Mutation run: remove each guard of the scripts, and print the test that notices.

By hand, since it takes a while: ``python -m tools.guards [SCRIPT…]``. In a copy of the
project each part of each condition is once true and once false, each write is once left out, and
each bound is once turned round. Exit code 1 where no test notices one of them.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPTS = Path("app/store/scripts")
FIRST = (
    {"report_probe": "store/test_gate.py", "relay_stats": "operate/test_looking.py"}
    | dict.fromkeys(("relay", "changes", "transitions"), "store/test_settle.py")
    | dict.fromkeys(("chats_of_user", "event_of_chat"), "store/test_lookups.py")
    | dict.fromkeys(("event_history", "records"), "operate/test_looking.py")
    | dict.fromkeys(("resolve", "redrive", "cancel", "pause"), "operate/test_decisions.py")
)
# They are about connections, and take half a minute each.
WITHOUT_SCRIPTS = ("client_patched", "connector", "notices")

CONDITION = re.compile(
    r"\b(?:if|elseif) (?P<branch>.+?) then\b"
    r"|(?:\breturn|\blocal is_\w+ =|^ +and) (?P<test>[^{]*(?:==|~=|<|>)[^}]*)$"
)
PART = re.compile(r"(?:(?! and | or ).)+")
WRITING = "ZADD|ZREM|ZREMRANGEBY[A-Z]+|SET|DEL|HSET|HDEL|LPUSH|LTRIM|PEXPIRE|PUBLISH"
STEP = (
    "begin_writing|confirm|ring_bell|notify|update|clamp|end_lost_calls|feed_back|feed"
    "|leave_other_sets|index_chat|follow_clock|note_worker|note_failure|end_lease"
)
WRITE = re.compile(
    rf"(?:^|\bthen\b|\bdo\b) *(?P<write>(?:redis\.call\('(?:{WRITING})'|(?:{STEP})\().*\))"
)
BOUND = re.compile(r"math\.(?P<bound>min|max)\(")


def mutants(text: str) -> Iterator[tuple[str, str]]:
    """Yield each mutant: its line and change, and the mutated script."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        for start, end, put in _changes(line.split("--")[0].rstrip()):
            changed = line[:start] + put + line[end:]
            shown = f"{number + 1}: `{line[start:end]}` → {put or 'left out'}"
            yield shown, "\n".join([*lines[:number], changed, *lines[number + 1 :], ""])


def _changes(code: str) -> Iterator[tuple[int, int, str]]:
    for condition in CONDITION.finditer(code):
        group = "branch" if condition["branch"] else "test"
        for part in PART.finditer(condition[group]):
            start, end = (condition.start(group) + at for at in _own(part))
            yield from ((start, end, put) for put in ("true", "false"))
    for write in WRITE.finditer(code):
        yield *write.span("write"), ""
    for bound in BOUND.finditer(code):
        yield *bound.span("bound"), "max" if bound["bound"] == "min" else "min"


def _own(part: re.Match[str]) -> tuple[int, int]:
    """Return the span of a condition without surrounding words and parentheses."""
    start, end = part.span()
    text = part[0]
    start += len(text) - len(text := re.sub(r"^ *(?:(?:and|or|not) )*", "", text))
    while text.startswith("(") and text.count("(") > text.count(")"):
        start, text = start + 1, text[1:]
    while text.endswith(")") and text.count(")") > text.count("("):
        end, text = end - 1, text[:-1]
    return start, end


def red_test(project: Path, script: str) -> str:
    """The first test that fails in ``project``, likely ones first; none: an empty string."""
    likely = (FIRST.get(script, f"store/test_{script}.py"), "store/test_gate.py")
    ignored = [f"--ignore=tests/store/test_{name}.py" for name in WITHOUT_SCRIPTS]
    for tests in (*([f"tests/{name}"] for name in likely), ["tests/store", "tests/operate"]):
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", *ignored, *tests]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        if found := re.search(r"^(?:FAILED|ERROR) \S+/(\S+)", done.stdout, re.MULTILINE):
            return found[1]
    return ""


def main(scripts: list[str]) -> int:
    """Try them all, and print what noticed each."""
    survivors = 0
    with tempfile.TemporaryDirectory() as directory:
        project = Path(directory)
        shutil.copy(ROOT / "pyproject.toml", project)
        for part in ("app", "config", "tests", "tools"):
            shutil.copytree(ROOT / part, project / part)
        if red := red_test(project, "accept"):
            sys.exit(f"{red} is red before anything is taken out")
        for script in scripts or sorted(path.stem for path in (ROOT / SCRIPTS).glob("*.lua")):
            path = project / SCRIPTS / f"{script}.lua"
            original = path.read_text()
            for shown, text in mutants(original):
                path.write_text(text)
                noticed = red_test(project, script)
                survivors += not noticed
                sys.stdout.write(f"{script}.lua {shown} · {noticed or 'NOTHING NOTICED'}\n")
            path.write_text(original)
    return min(survivors, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
