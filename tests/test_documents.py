"""What is written down is what the code says."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.documents import DOCUMENTS

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


@pytest.mark.parametrize("name", [*NAMED_FILES, *(f"app/store/scripts/{s}" for s in SCRIPTS)])
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
