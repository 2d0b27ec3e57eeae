"""What is written down is what the code says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.documents import DOCUMENTS


@pytest.mark.parametrize(
    ("path", "render"), DOCUMENTS.items(), ids=lambda value: getattr(value, "name", "")
)
def test_documents_are_up_to_date(path: Path, render: Callable[[], str]) -> None:
    """Each document is what ``make docs`` would write now."""
    assert render() == path.read_text()
