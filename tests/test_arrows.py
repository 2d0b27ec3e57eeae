"""Arrows between the parts point inward, read from the sources without importing them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
Trees = dict[str, ast.Module]

# The modules that put the parts together, and may import all of them.
SEE_ALL = {
    *("app.bootstrap.redis", "app.bootstrap.web", "app.bootstrap.worker", "app.bootstrap.operate"),
    *("app.bootstrap.start", "app.bootstrap.tracing"),
    *("app.wsgi", "app.worker.__main__", "app.operate.__main__"),
}

# The other parts that a part may import; one that is not named imports none.
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
    "flask": {"app.web", "app.bootstrap"},
    "werkzeug": {"app.web"},
    "gunicorn": {"app.web"},
    "requests": {"app.channel"},
    "urllib3": {"app.channel"},
    "redis": {"app.store"},
    "opentelemetry": {"app.telemetry"},
    "tests": set(),
    "tools": set(),
}

# What holds connections, or is built over something that does.
CLIENTS = {
    *("Redis", "from_url", "connect", "connect_blocking", "Session", "PoolManager"),
    *("EventStore", "GrantStore", "ChannelClient", "Flask", "create_app"),
}


def _module_of(path: Path) -> str:
    """The name under which a file is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.fixture(scope="module")
def trees() -> Trees:
    """Every module of ours, by its name."""
    return {
        _module_of(path): ast.parse(path.read_text())
        for directory in ("app", "config")
        for path in sorted((ROOT / directory).rglob("*.py"))
    }


def part_of(module: str) -> str:
    """Which part of ours, or which library, a module belongs to."""
    names = module.split(".")
    return ".".join(names[: 2 if names[0] == "app" else 1])


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules that are imported anywhere in ``tree``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "an import is written in full, so that its arrow can be read"
            # `from app import web` imports the part and not the package
            whole = [f"app.{alias.name}" for alias in node.names]
            yield from whole if node.module == "app" else [str(node.module)]


def called(statement: ast.stmt) -> set[str]:
    """The last names of what ``statement`` calls: ``from_url`` of ``Redis.from_url(…)``."""
    calls = (node.func for node in ast.walk(statement) if isinstance(node, ast.Call))
    return {ast.unparse(function).rpartition(".")[2] for function in calls}


def test_imports_follow_the_arrows(trees: Trees) -> None:
    """Processes import clients, both import the business; neighbours do not import each other."""
    arrows = [
        (module, name)
        for module, tree in trees.items()
        for name in imported(tree)
        if name.partition(".")[0] in {"app", "config"} and module not in SEE_ALL
    ]

    assert ("app.store.events", "app.chats.event") in arrows
    assert ("app.operate.context", "app.store.operations") in arrows
    assert not [
        (module, name)
        for module, name in arrows
        if not {name, part_of(name)} & {part_of(module), *KNOWS.get(part_of(module), ())}
    ]


def test_libraries_stay_at_home(trees: Trees) -> None:
    """HTTP in, HTTP out and Redis are one part's business each; and no part imports the tests."""
    arrows = {
        (part_of(module), name.partition(".")[0])
        for module, tree in trees.items()
        for name in imported(tree)
    }

    assert {("app.web", "flask"), ("app.channel", "requests"), ("app.store", "redis")} <= arrows
    assert not [(part, name) for part, name in arrows if part not in HOMES.get(name, {part})]


def test_tools_import_no_tests() -> None:
    """``make run`` and ``make prove`` need no test."""
    files = sorted((ROOT / "tools").rglob("*.py"))
    names = {name for path in files for name in imported(ast.parse(path.read_text()))}

    assert "tools.stack.relay" in names
    assert not [name for name in names if name.partition(".")[0] == "tests"]


def test_nothing_is_imported_inside_of_a_function(trees: Trees) -> None:
    """Modules import at their head only."""
    assert not [
        (module, name)
        for module, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for name in imported(node)
    ]


def test_nothing_is_a_coroutine(trees: Trees) -> None:
    """No view is a coroutine."""
    assert not [
        module
        for module, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef)
    ]


def test_no_module_makes_a_client(trees: Trees) -> None:
    """Collaborators come in through constructors."""
    assert not [
        (module, name)
        for module, tree in trees.items()
        for statement in tree.body
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef)
        for name in CLIENTS & called(statement)
    ]
