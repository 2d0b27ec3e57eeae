"""Libraries are used as their manuals say, and total deadlines stand at named seams alone.

Read from the sources; nothing is imported for it.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
Sources = dict[str, str]

# Modules that look into a library, each with its reason. Each has its test and its decision.
PRIVATE_ACCESS: dict[str, str] = {}
# Modules that set a total deadline with gevent's Timeout, each with what it bounds.
TIMEOUT_SEAMS: dict[str, str] = {
    "app.store.client": "one command to Redis, from the queue for a connection to the last reply",
    "app.channel.client": "one request to Channel.io, from the name look-up to the last byte",
}

SILENCED = re.compile(r"#\s*noqa:[^#]*\bSLF001\b")
TIMEOUT_CALL = re.compile(r"(gevent\.)?(timeout\.)?(Timeout(\.start_new)?|with_timeout)")
GEVENT = {"gevent", "gevent.timeout"}


@pytest.fixture(scope="module")
def sources() -> Sources:
    """The text of every module of ours, by its name."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(
            ".__init__"
        ): path.read_text()
        for directory in ("app", "config")
        for path in sorted((ROOT / directory).rglob("*.py"))
    }


def is_private(name: str) -> bool:
    """Return whether a name is its owner's business: one underscore, but not ``__future__``."""
    return name.startswith("_") and not name.endswith("__")


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Every module part, and every name, that is imported anywhere in ``tree``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            yield from module.split(".")
            for alias in node.names:
                yield from alias.name.split(".")


def private_attributes(tree: ast.AST) -> set[str]:
    """The private attributes that are read or called anywhere in ``tree``."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Load)
        and is_private(node.attr)
    }


def private_definitions(tree: ast.AST) -> Iterator[str]:
    """The private names that ``tree`` makes: assigned, declared, or defined."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name, ctx=ast.Store()) | ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name


def calls_timeout(tree: ast.AST) -> bool:
    """Return whether a gevent Timeout is started anywhere in ``tree``."""
    from_gevent = any(
        node.module in GEVENT
        if isinstance(node, ast.ImportFrom)
        else any(alias.name in GEVENT for alias in node.names)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    )
    return from_gevent and any(
        TIMEOUT_CALL.fullmatch(ast.unparse(node.func))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    )


def test_no_private_name_is_imported(sources: Sources) -> None:
    """A release may rename a private name without notice."""
    assert [] == [
        (module, name)
        for module, text in sources.items()
        for name in imported_names(ast.parse(text))
        if is_private(name)
    ]


def test_no_private_attribute_is_inherited(sources: Sources) -> None:
    """A private attribute that is used is made in a module of ours, and not in a library."""
    trees = {module: ast.parse(text) for module, text in sources.items()}
    ours = {name for tree in trees.values() for name in private_definitions(tree)}

    assert [] == [
        (module, name)
        for module, tree in trees.items()
        if module not in PRIVATE_ACCESS
        for name in sorted(private_attributes(tree) - ours)
    ]


def test_private_access_is_silenced_only_where_it_is_listed(sources: Sources) -> None:
    """Each library has its reason, test and decision; the list has no other."""
    assert set(PRIVATE_ACCESS) == {
        module for module, text in sources.items() if SILENCED.search(text)
    }


def test_a_timeout_is_set_only_at_a_seam(sources: Sources) -> None:
    """One that fires elsewhere leaves a connection, or a lock, in the midst of something."""
    callers = {module for module, text in sources.items() if calls_timeout(ast.parse(text))}

    assert set() == callers - set(TIMEOUT_SEAMS)


@pytest.mark.parametrize(
    ("text", "is_call"),
    [
        ("from gevent import Timeout\nwith Timeout(1): pass", True),
        ("from gevent.timeout import Timeout\nTimeout.start_new(1)", True),
        ("import gevent\ngevent.with_timeout(1, print)", True),
        ("from gevent import Timeout\ntry: pass\nexcept Timeout: pass", False),
        ("from requests.exceptions import Timeout\nraise Timeout(1)", False),
    ],
)
def test_a_timeout_is_recognised(text: str, is_call: bool) -> None:  # noqa: FBT001 - pytest's
    """However gevent's is imported; other libraries' exceptions of that name are none."""
    assert is_call == calls_timeout(ast.parse(text))
