"""Tests of the imports between parts, and of libraries; nothing is imported to read them."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
Trees = dict[str, ast.Module]

# These modules put the parts together, and may import all of them.
SEE_ALL = {
    *("app.bootstrap.redis", "app.bootstrap.web", "app.bootstrap.worker", "app.bootstrap.operate"),
    *("app.bootstrap.start", "app.bootstrap.tracing"),
    *("app.wsgi", "app.worker.__main__", "app.operate.__main__"),
}

# The other parts that a part may import; a part without an entry imports none.
KNOWS = {
    "app.web": {"app.store", "app.telemetry", "app.chats"},
    "app.worker": {"app.store", "app.channel", "app.telemetry", "app.chats"},
    "app.operate": {"app.store", "app.telemetry", "app.chats"},
    "app.telemetry": {"app.chats"},
    "app.channel": {"app.chats", "config.proxy_url"},
    "app.store": {"app.chats", "config.redis_url"},
    "app.healthcheck": {"config.environment"},
}

# The parts that may import a library.
HOMES: dict[str, set[str]] = {
    "flask": {"app.web", "app.bootstrap", "app.operate"},
    "flask_wtf": {"app.operate"},
    "werkzeug": {"app.web", "app.operate"},
    "gunicorn": {"app.web"},
    "requests": {"app.channel"},
    "urllib3": {"app.channel"},
    "redis": {"app.store"},
    "opentelemetry": {"app.telemetry"},
    "tests": set(),
    "tools": set(),
}

# Libraries of the business, and modules of the standard library that do I/O, which it lacks.
VALIDATION = {"pydantic", "pydantic_core"}
IO = {
    *("asyncio", "http", "io", "logging", "multiprocessing", "os", "pathlib", "select", "shutil"),
    *("signal", "socket", "ssl", "subprocess", "tempfile", "threading", "time", "urllib"),
}

# Objects that hold connections, or use an object that does.
CLIENTS = {
    *("Redis", "from_url", "connect", "connect_blocking", "Session", "PoolManager"),
    *("EventStore", "GrantStore", "ChannelClient", "Flask", "create_app"),
}


def _module_of(path: Path) -> str:
    """Return the name by which a file is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.fixture(scope="module")
def trees() -> Trees:
    """The syntax tree of every module of `app` and `config`, by module name."""
    return {
        _module_of(path): ast.parse(path.read_text())
        for directory in ("app", "config")
        for path in sorted((ROOT / directory).rglob("*.py"))
    }


def part_of(module: str) -> str:
    """Return the part, or the library, that has the module."""
    names = module.split(".")
    return ".".join(names[: 2 if names[0] == "app" else 1])


def find_imports(tree: ast.AST) -> Iterator[str]:
    """Find the modules that are imported anywhere in ``tree``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import; write the whole name"
            # `from app import web` imports the part and not the package
            whole = [f"app.{alias.name}" for alias in node.names]
            yield from whole if node.module == "app" else [str(node.module)]


def find_calls(statement: ast.stmt) -> set[str]:
    """Find the last names of called functions: ``from_url`` of ``Redis.from_url(…)``."""
    calls = (node.func for node in ast.walk(statement) if isinstance(node, ast.Call))
    return {ast.unparse(function).rpartition(".")[2] for function in calls}


def test_imports_follow_the_arrows(trees: Trees) -> None:
    """Imports point inward, and never between web, worker and operate, or store and channel."""
    arrows = [
        (module, name)
        for module, tree in trees.items()
        for name in find_imports(tree)
        if name.partition(".")[0] in {"app", "config"} and module not in SEE_ALL
    ]

    assert ("app.store.events", "app.chats.event") in arrows
    assert ("app.operate.context", "app.store.operations") in arrows
    assert not [
        (module, name)
        for module, name in arrows
        if not {name, part_of(name)} & {part_of(module), *KNOWS.get(part_of(module), ())}
    ]


def test_a_library_is_imported_by_its_parts_only(trees: Trees) -> None:
    """HTTP in, HTTP out and Redis have one part each; no part imports tools or tests."""
    arrows = {
        (part_of(module), name.partition(".")[0])
        for module, tree in trees.items()
        for name in find_imports(tree)
    }

    assert {("app.web", "flask"), ("app.channel", "requests"), ("app.store", "redis")} <= arrows
    assert not [(part, name) for part, name in arrows if part not in HOMES.get(name, {part})]


def test_the_command_line_imports_no_pages(trees: Trees) -> None:
    """Commands and pages share functions, which import neither click nor Flask."""
    shared = {f"app.operate.{name}" for name in ("actions", "filters", "selection", "words")}
    for module, tree in trees.items():
        names = {name.partition(".")[0] for name in find_imports(tree)}
        if module.startswith("app.operate.pages"):
            assert "click" not in names
        elif part_of(module) == "app.operate":
            assert not {"flask", "flask_wtf", "werkzeug"} & names
            assert not [name for name in find_imports(tree) if name.startswith("app.operate.pages")]
        if module in shared:
            assert "click" not in names
    assert shared <= trees.keys()


def test_chats_needs_no_library_and_no_io(trees: Trees) -> None:
    """The business imports pydantic and the standard library, without its I/O."""
    names = {
        name.partition(".")[0]
        for module, tree in trees.items()
        if part_of(module) == "app.chats"
        for name in find_imports(tree)
    }

    assert VALIDATION < names
    assert {"app", *VALIDATION} >= names - sys.stdlib_module_names
    assert set() == names & IO


def test_tools_import_no_tests() -> None:
    """``make run`` and ``make prove`` need no test."""
    files = sorted((ROOT / "tools").rglob("*.py"))
    names = {name for path in files for name in find_imports(ast.parse(path.read_text()))}

    assert "tools.stack.relay" in names
    assert not [name for name in names if name.partition(".")[0] == "tests"]


def test_imports_are_at_the_head_of_a_module(trees: Trees) -> None:
    """No function has an import."""
    assert not [
        (module, name)
        for module, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for name in find_imports(node)
    ]


def test_no_function_is_a_coroutine(trees: Trees) -> None:
    """gevent makes calls concurrent, and Flask would run a coroutine in a thread."""
    assert not [
        module
        for module, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef)
    ]


def test_no_module_makes_a_client(trees: Trees) -> None:
    """Clients come through constructors; a module creates none when it is imported."""
    assert not [
        (module, name)
        for module, tree in trees.items()
        for statement in tree.body
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef)
        for name in CLIENTS & find_calls(statement)
    ]
