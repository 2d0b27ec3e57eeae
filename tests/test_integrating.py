"""Callers read what the code does: the examples, the tables of records and of test cards."""

import re
from pathlib import Path

import pytest

from app.chats.record import FailureCode, Status, TaskStatus
from app.web.openapi import DOCUMENT
from tools.stack.channel_io.cards import CARDS

DOCS = Path(__file__).parents[1] / "docs"
INTEGRATING = (DOCS / "integrating.md").read_text()
EXAMPLES = sorted((DOCS / "examples").glob("*.*"))
README = (DOCS.parent / "README.md").read_text()
LANGUAGES = {".py": "python", ".mjs": "js"}


def rows(heading: str) -> list[list[str]]:
    """The cells of each row of the only table below ``heading``."""
    section = INTEGRATING.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines[1:]]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_shown_as_it_is(example: Path) -> None:
    """The text is the file, which another test runs."""
    block = f"```{LANGUAGES[example.suffix]}\n{example.read_text()}```\n"

    assert block in INTEGRATING


def test_every_status_and_failure_code_is_explained() -> None:
    """Each once, in the words of the API's page."""
    table = rows("What a record says")

    assert [f"`{word}`" for word in (*Status, *FailureCode, *TaskStatus)] == [
        word for word, *_ in table
    ]
    for kind in ("Status", "FailureCode", "TaskStatus"):
        meanings = DOCUMENT["components"]["schemas"][kind]["x-meanings"]
        for word, said in meanings.items():
            assert [f"`{word}`", said["meaning"], said["remedy"]] in table


def test_the_table_of_test_cards_is_the_stand_ins() -> None:
    """The rows are what the stand-in's own list says."""
    expected = [[f"`{card.user_id}`", card.channel_io, card.record] for card in CARDS]

    assert expected == rows("Users to try it with")


def test_links_within_the_documents_lead_somewhere() -> None:
    """The README leads to the page and its parts, and the page to files that exist."""
    headings = re.findall(r"^## (.*)$", INTEGRATING, re.MULTILINE)
    anchors = {re.sub(r"[^a-z -]", "", name.lower()).replace(" ", "-") for name in headings}

    linked = {*re.findall(r"\(docs/integrating\.md(?:#([a-z-]*))?\)", README)}
    assert {"", "what-a-record-says", "users-to-try-it-with"} <= linked
    assert linked - {""} <= anchors
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", INTEGRATING):
        assert (DOCS / link).exists(), link


def test_shell_lines_have_no_comment() -> None:
    """Not every shell reads one that is pasted: zsh takes its words for arguments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README + INTEGRATING, re.MULTILINE | re.DOTALL)

    assert blocks
    assert [] == [
        line for block in blocks for line in block.splitlines() if re.search("(^| )#", line)
    ]
