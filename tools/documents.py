"""Generator of the documents that come from code: ``make docs``. A test compares them."""

from pathlib import Path

from app.web.problems import PROBLEMS

DOCS = Path(__file__).parents[1] / "docs"


def problems() -> str:
    """Render ``docs/problems.md``: every problem that the service answers with."""
    introduction = (
        "# Problems\n\nEach error's `type` is an address of the service that says the same."
        " `make docs` writes this page.\n"
    )
    parts = [introduction]
    parts += [
        f"## {problem.status} `{problem.slug}`\n\n**{problem.title}.** {problem.meaning}\n\n"
        f"What to do: {problem.remedy}\n"
        for problem in PROBLEMS.values()
    ]
    return "\n".join(parts)


DOCUMENTS = {DOCS / "problems.md": problems}


if __name__ == "__main__":
    for path, render in DOCUMENTS.items():
        path.write_text(render())
