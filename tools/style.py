"""Check docstring openers, banned words and duplicated class names; print the code's figures.

``python -m tools.style`` exits 1 where a rule is broken, and names each place. With ``--figures``
it prints the table of sizes and counts, and exits 0.
"""

import argparse
import ast
import re
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROSE = {".py", ".lua", ".md", ".yaml", ".yml", ".html", ".toml", ".mjs"}
SOURCES = ("app", "config", "tools")
# They quote what other projects print, or the words that are looked for.
EXEMPT = {"tools/style.py", "tests/test_style.py"}

OPENER = re.compile(r"\W*(What|Who|How|Where|Whether)\b")
BANNED = re.compile(
    r"(?<!\.)(?<!://)\b(told|tells?|whoever|nobody|somebody|everybody|anybody|surely|heard|hears?|knew)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule: the file, its line, and the word, docstring or name."""

    path: str
    line: int
    text: str


def tracked_files(root: Path) -> list[str]:
    """List the repository's files, new ones included; paths are relative to ``root``."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return sorted(name for name in done.stdout.splitlines() if (root / name).is_file())


def find_openers(path: str, tree: ast.Module) -> Iterator[Finding]:
    """Find docstrings that begin with a relative word."""
    for node, text in _docstrings(tree):
        if OPENER.match(text):
            yield Finding(path, getattr(node, "lineno", 1), text.splitlines()[0])


def find_banned(path: str, text: str) -> Iterator[Finding]:
    """Find banned words, in code, comments, docstrings and documents."""
    for number, line in enumerate(text.splitlines(), 1):
        yield from (Finding(path, number, word) for word in BANNED.findall(line))


def find_duplicates(trees: dict[str, ast.Module]) -> Iterator[Finding]:
    """Find class names that more than one file defines."""
    places = defaultdict(list)
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append((path, node.lineno))
    for name, found in places.items():
        if len({path for path, _ in found}) > 1:
            yield from (Finding(path, line, name) for path, line in found)


def read_trees(root: Path, files: Sequence[str]) -> dict[str, ast.Module]:
    """Parse the Python files, by path."""
    return {name: ast.parse((root / name).read_text()) for name in files if name.endswith(".py")}


def find_all(root: Path) -> dict[str, list[Finding]]:
    """Find what breaks each of the rules."""
    files = tracked_files(root)
    trees = read_trees(root, files)
    prose = [name for name in files if Path(name).suffix in PROSE and name not in EXEMPT]
    return {
        "docstring opens with a relative word": [
            finding for name in trees for finding in find_openers(name, trees[name])
        ],
        "banned word": [
            finding for name in prose for finding in find_banned(name, (root / name).read_text())
        ],
        "class name that another file has too": list(find_duplicates(trees)),
    }


def figures(root: Path) -> Iterator[tuple[str, str]]:
    """Measure sizes and counts, each with its name."""
    files = tracked_files(root)
    trees = read_trees(root, files)
    sources = [name for name in trees if name.startswith(tuple(f"{part}/" for part in SOURCES))]
    tests = [name for name in trees if name.startswith("tests/")]
    lengths = sorted(
        node.end_lineno - node.lineno + 1
        for name in sources
        for node in ast.walk(trees[name])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    )
    docstrings = sum(len(list(_docstrings(tree))) for tree in trees.values())
    found = find_all(root)
    relative, banned, duplicated = found.values()
    for part in (*SOURCES, "tests"):
        names = [name for name in trees if name.startswith(f"{part}/")]
        yield f"raw lines of Python, {part}", f"{_lines(root, names):,}"
    yield "raw lines of Lua", f"{_lines(root, [n for n in files if n.endswith('.lua')]):,}"
    yield "raw test lines ÷ source lines", f"{_lines(root, tests) / _lines(root, sources):.2f}"
    ninth = lengths[len(lengths) * 9 // 10]
    yield (
        "functions: median / 90 % / longest",
        (f"{statistics.median_low(lengths)} / {ninth} / {lengths[-1]}"),
    )
    share = len(relative) / docstrings
    yield (
        "docstrings that open with a relative word",
        f"{len(relative)} of {docstrings} ({share:.1%})",
    )
    yield "banned words", str(len(banned))
    yield "duplicated class names", str(len({finding.text for finding in duplicated}))


def _docstrings(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield node, text


def _lines(root: Path, names: Sequence[str]) -> int:
    return sum(len((root / name).read_text().splitlines()) for name in names)


def main(arguments: Sequence[str]) -> int:
    """Print what breaks a rule, or the figures. Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.style", description=__doc__)
    parser.add_argument("--figures", action="store_true", help="print sizes and counts instead")
    if parser.parse_args(arguments).figures:
        rows = "".join(f"{name:44} {value}\n" for name, value in figures(ROOT))
        sys.stdout.write(rows)
        return 0
    found = find_all(ROOT)
    for rule, findings in found.items():
        for finding in findings:
            sys.stdout.write(f"{finding.path}:{finding.line}: {rule}: {finding.text}\n")
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
