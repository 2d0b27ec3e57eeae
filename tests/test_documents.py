"""Tests of the documents: they agree with the code."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from config.settings import OperatorSettings, Settings, WebSettings, WorkerSettings
from tools.documents import DOCUMENTS

ROOT = Path(__file__).parents[1]
CORE = (ROOT / "docs" / "core.md").read_text()
NAMED_FILES = sorted(set(re.findall(r"`((?:app|tests|config|docs)/[\w/]+\.\w+)(?:::|`)", CORE)))
SCRIPTS = sorted(set(re.findall(r"`(\w+\.lua)`", CORE)))
# `::name` alone is of the file that was named last.
NAMED_TESTS = re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+))`", CORE)


@pytest.mark.parametrize(
    ("path", "render"), DOCUMENTS.items(), ids=lambda value: getattr(value, "name", "")
)
def test_documents_are_up_to_date(path: Path, render: Callable[[], str]) -> None:
    """Each document is what ``make docs`` would write now."""
    assert render() == path.read_text()


@pytest.mark.parametrize("name", [*NAMED_FILES, *(f"app/store/lua/{s}" for s in SCRIPTS)])
def test_core_names_files_that_exist(name: str) -> None:
    """A reader who follows the page finds what it names."""
    assert (ROOT / name).is_file()


def test_core_names_tests_that_exist() -> None:
    """Each invariant is shown by tests, by their names."""
    path, missing = "", []
    for named, test in NAMED_TESTS:
        path = named or path
        if f"def {test}(" not in (ROOT / path).read_text():
            missing.append((path, test))

    assert NAMED_TESTS
    assert [] == missing


def test_the_scripts_readme_names_each_script() -> None:
    """A new script has its row."""
    directory = ROOT / "app" / "store" / "lua"
    named = set(re.findall(r"`(\w+)`", (directory / "README.md").read_text()))

    assert {path.stem for path in directory.glob("*.lua")} <= named


MODELS: dict[str, type[Settings]] = {
    "web": WebSettings,
    "worker": WorkerSettings,
    "operator": OperatorSettings,
}
# Defaults that depend on the host, or on another setting.
DERIVED = {
    "BIND": "[::], or 0.0.0.0 on a host without IPv6",
    "WEB_CONCURRENCY": "the cores, at most 4",
    "EVENT_DEADLINE_SECONDS": "86400, at most the window",
    "CALL_CONNECT_TIMEOUT_SECONDS": "3, at most the deadline",
    "METRICS_PORT": "unset; 9100 in the image",
    "SPOOL_DIR": "spool; a volume in the image",
    "REDIS_ALLOW_UNSAFE": "0",
    "OTEL_SDK_DISABLED": "false",
}


def described(name: str) -> tuple[str, str, str]:
    """Return default, limits and readers of a setting, as the code has them."""
    readers = [reader for reader, model in MODELS.items() if name.lower() in model.model_fields]
    field = MODELS[readers[0]].model_fields[name.lower()]
    default = "unset" if field.default in {None, ()} else str(field.default)
    default = DERIVED.get(name, "required" if field.is_required() else default)
    return default, field.description or "", ", ".join(readers)


def test_every_setting_is_in_the_table() -> None:
    """Default, limits and readers of each; `README.md` links to the page."""
    names = {field.upper() for model in MODELS.values() for field in model.model_fields}
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.*?) \| (.*?) \| (.*?) \|", page, re.MULTILINE)

    assert {name: described(name) for name in names} == {
        name: (default.replace("`", ""), takes, readers) for name, default, takes, readers in rows
    }
    assert "(docs/settings.md)" in (ROOT / "README.md").read_text()
