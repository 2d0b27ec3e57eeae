"""Secrets from files, as container platforms mount them."""

from pathlib import Path

import pytest

from config.environment import MAX_FILE_BYTES, SECRETS, read


@pytest.mark.parametrize("name", sorted(SECRETS))
@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_secret_from_a_file(name: str, ending: str, tmp_path: Path) -> None:
    """A file holds the secret alone; the newline that editors append is none of it."""
    (tmp_path / "secret").write_bytes(f"from-file{ending}".encode())

    texts, problems = read([name], {f"{name}_FILE": str(tmp_path / "secret")})

    assert ({name: "from-file"}, {}) == (texts, problems)


def test_only_secrets_come_from_files() -> None:
    """``PORT_FILE`` means nothing to the relay."""
    assert ({}, {}) == read(["PORT"], {"PORT_FILE": "/nowhere"})


def test_both_is_a_problem(tmp_path: Path) -> None:
    """A variable and its file must not both be set: it is unclear which is meant."""
    environ = {"REDIS_URL": "redis://a", "REDIS_URL_FILE": str(tmp_path)}

    _, problems = read(["REDIS_URL"], environ)

    assert {
        "REDIS_URL": "REDIS_URL: REDIS_URL_FILE is set as well; unset one of the two"
    } == problems


def test_blank_beside_a_file_is_not_both(tmp_path: Path) -> None:
    """A blank variable is unset, and so is a blank path."""
    (tmp_path / "secret").write_text("redis://b")

    from_file, _ = read(
        ["REDIS_URL"], {"REDIS_URL": "", "REDIS_URL_FILE": str(tmp_path / "secret")}
    )
    from_variable, _ = read(["REDIS_URL"], {"REDIS_URL": "redis://a", "REDIS_URL_FILE": " "})

    assert {"REDIS_URL": "redis://b"} == from_file
    assert {"REDIS_URL": "redis://a"} == from_variable


def test_blank_file_is_unset(tmp_path: Path) -> None:
    """An empty secret is no secret."""
    (tmp_path / "secret").write_text("\n")

    assert ({}, {}) == read(["READ_TOKENS"], {"READ_TOKENS_FILE": str(tmp_path / "secret")})


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "(No such file or directory)"),
        (b"\xff\xfe", "as UTF-8 text"),
        (b"x" * (MAX_FILE_BYTES + 1), "is larger than 64 KiB"),
    ],
)
def test_file_that_cannot_be_read(content: bytes | None, complaint: str, tmp_path: Path) -> None:
    """The problem names the variable and the path, and quotes nothing of the file."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)

    _, problems = read(["REDIS_URL"], {"REDIS_URL_FILE": str(path)})

    assert problems["REDIS_URL"].startswith("REDIS_URL_FILE: ")
    assert str(path) in problems["REDIS_URL"]
    assert problems["REDIS_URL"].endswith(complaint)
