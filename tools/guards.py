"""Mutation run over the Lua scripts: remove each guard, and print the test that notices.

In a copy of the project each part of each condition is once true and once false, each write is
once left out, and each bound is once reversed. ``make guards`` tries a sample;
``make guards ARGS=--all`` tries every mutant, which takes hours; names of scripts limit either.
Exit code 1 if no test notices a mutant, 2 if a file or a call that is looked for does not exist.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

ROOT = Path(__file__).parents[1]
SCRIPTS = Path("app/store/lua")
PARTS = ("app", "config", "docs", "tests", "tools")
SAMPLE = 20
# The tests that are likely to notice, by script; otherwise those that are named after it.
FIRST = (
    {"report_probe": "store/test_gate.py", "relay_stats": "operate/test_looking.py"}
    | dict.fromkeys(("relay", "changes", "transitions"), "store/test_settle.py")
    | {"tasks": "store/test_tasks.py"}
    | dict.fromkeys(("chats_of_user", "event_of_chat"), "store/test_lookups.py")
    | dict.fromkeys(("event_history", "records", "list_events"), "operate/test_looking.py")
    | dict.fromkeys(("resolve", "redrive"), "operate/test_decisions.py")
    | dict.fromkeys(("cancel", "pause"), "operate/test_holding_back.py")
    | dict.fromkeys(("forget", "opened_ids"), "operate/test_forgetting.py")
)
# They are about connections, take half a minute each, and come last.
WITHOUT_SCRIPTS = ("client_patched", "connector", "notices")

CONDITION = re.compile(
    r"\b(?:if|elseif) (?P<branch>.+?) then\b"
    r"|(?:\breturn|\blocal is_\w+ =|^ +and) (?P<test>[^{]*(?:==|~=|<|>)[^}]*)$"
)
PART = re.compile(r"(?:(?! and | or ).)+")
# Redis' commands that write, and functions of the scripts without which something is not written.
COMMANDS = (
    *("ZADD", "ZREM", "ZREMRANGEBYSCORE", "ZREMRANGEBYRANK", "SET", "DEL", "HSET", "HDEL"),
    *("HINCRBY", "LPUSH", "PEXPIRE", "PERSIST", "PUBLISH"),
)
STEPS = (
    *("begin_writing", "confirm", "ring_bell", "notify", "update", "end_lost_calls", "feed_back"),
    *(
        "leave_sets_but",
        "tidy_up",
        "end_text",
        "end_chat",
        "end_key",
        "remove_unneeded",
        "index_under",
        "index_chat",
        "follow_clock",
    ),
    *("note_worker", "note_failure", "end_lease", "schedule", "go_on", "fail", "fail_task"),
    *("skip_tasks", "transition", "end_unknown", "leave_unanswered", "lose_task", "open", "clamp"),
    *("expire", "pass_over", "slow_down", "trip_breaker", "use_kept_user", "charge_requests"),
)
CALL = rf"redis\.p?call\('(?P<command>{'|'.join(COMMANDS)})'|(?P<step>{'|'.join(STEPS)})\("
WRITE = re.compile(rf"(?:^|\bthen\b|\bdo\b) *(?P<write>(?:{CALL}).*\))", re.MULTILINE)
BOUND = re.compile(r"math\.(?P<bound>min|max)\(")


class MissingError(Exception):
    """Something that the run looks for does not exist: it would try less than it seems to."""


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


def check_names(root: Path, scripts: Sequence[str]) -> None:
    """Raise ``MissingError`` for a script, test file, command or step that does not exist."""
    texts = {path.stem: path.read_text() for path in (root / SCRIPTS).glob("*.lua")}
    whole = "\n".join(texts.values())
    for name in (*FIRST, *scripts):
        if name not in texts:
            raise MissingError(f"{SCRIPTS}/{name}.lua does not exist")
    files = [*FIRST.values(), *(f"store/test_{name}.py" for name in WITHOUT_SCRIPTS)]
    for name in files:
        if not (root / "tests" / name).is_file():
            raise MissingError(f"tests/{name} does not exist")
    found = list(WRITE.finditer(whole))
    for command in {*COMMANDS} - {match["command"] for match in found}:
        raise MissingError(f"no script calls {command}")
    for step in {*STEPS} - {match["step"] for match in found}:
        raise MissingError(f"no script calls {step}()")


def red_test(project: Path, script: str) -> str:
    """Return the first test that fails in ``project``, likely ones first; "" if none does."""
    likely = (FIRST.get(script, f"store/test_{script}.py"), "store/test_gate.py")
    names = [name for name in dict.fromkeys(likely) if (project / "tests" / name).exists()]
    ignored = [f"--ignore=tests/store/test_{name}.py" for name in WITHOUT_SCRIPTS]
    last = [f"tests/store/test_{name}.py" for name in WITHOUT_SCRIPTS]
    stages = (
        *([f"tests/{name}"] for name in names),
        [*ignored, "tests/store", "tests/operate"],
        last,
    )
    for paths in stages:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", *paths]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        if found := re.search(r"^(?:FAILED|ERROR) \S+/(\S+)", done.stdout, re.MULTILINE):
            return found[1]
    return ""


def run(scripts: Sequence[str], *, sample: int | None, seed: int) -> int:
    """Try the mutants, print what noticed each, and return the number of survivors."""
    check_names(ROOT, scripts)
    names = scripts or sorted(path.stem for path in (ROOT / SCRIPTS).glob("*.lua"))
    chosen = [
        (name, *mutant)
        for name in names
        for mutant in mutants((ROOT / SCRIPTS / f"{name}.lua").read_text())
    ]
    if sample is not None and sample < len(chosen):
        chosen = Random(seed).sample(chosen, sample)  # noqa: S311 - no secret
    survivors = 0
    with tempfile.TemporaryDirectory() as directory:
        project = Path(directory)
        for file in ("pyproject.toml", "README.md", "Makefile"):
            shutil.copy(ROOT / file, project)
        for part in PARTS:
            shutil.copytree(ROOT / part, project / part)
        if red := red_test(project, "accept"):
            raise MissingError(f"{red} is red before anything is changed")
        for name, shown, text in chosen:
            path = project / SCRIPTS / f"{name}.lua"
            original = path.read_text()
            path.write_text(text)
            noticed = red_test(project, name)
            path.write_text(original)
            survivors += not noticed
            _print(f"{name}.lua {shown} · {noticed or 'NOTHING NOTICED'}")
    _print(f"{len(chosen) - survivors} of {len(chosen)} mutants noticed, seed {seed}")
    return survivors


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> int:
    """Run from the command line, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.guards", description=__doc__)
    parser.add_argument("scripts", nargs="*", help="names of scripts, without .lua; default: all")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="mutants to try (%(default)s)")
    parser.add_argument("--all", action="store_true", help="try every mutant")
    parser.add_argument("--seed", type=int, default=Random().randrange(10**6))  # noqa: S311
    options = parser.parse_args(arguments)
    sample = None if options.all else options.sample
    try:
        return min(run(options.scripts, sample=sample, seed=options.seed), 1)
    except MissingError as error:
        _print(str(error))
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
