"""``SSL_CERT_FILE`` and its like: which of them counts, and what is refused."""

from pathlib import Path

import pytest

from config.authorities import certificate_files
from config.settings import WorkerSettings, load
from tests.channel.raw_server import CERTIFICATE
from tests.config.environments import WORKER
from tests.config.test_settings import problems_of

NAMES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with one certificate, and what else lies about in such."""
    (tmp_path / "company.pem").write_bytes(CERTIFICATE.read_bytes())
    (tmp_path / "README").write_text("nothing")
    (tmp_path / "gone.pem").symlink_to(tmp_path / "nowhere")
    (tmp_path / "private").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_a_file_or_a_directory_may_be_named(directory: Path, name: str) -> None:
    """Of a directory all certificates count, be they named by their hashes or not."""
    file = directory / "company.pem"

    for path in (file, directory):
        settings = load(WorkerSettings, {**WORKER, name: str(path)})
        assert (path,) == settings.authorities
        assert [file] == certificate_files(path)


def test_several_directories_may_be_named(directory: Path) -> None:
    """With colons between them, as OpenSSL has it."""
    environ = {**WORKER, "SSL_CERT_DIR": f"{directory}:{directory}"}

    assert (directory, directory) == load(WorkerSettings, environ).authorities


@pytest.mark.parametrize("name", NAMES)
def test_a_file_without_certificate_is_refused(directory: Path, name: str) -> None:
    """At the start, by the variable's name, and not at the first call."""
    missing, empty = directory / "missing", directory / "private"
    wrong = {
        missing: f"cannot read '{missing}' (No such file or directory)",
        directory / "README": f"'{directory}/README' holds no certificate in PEM",
        empty: f"'{empty}' holds no certificate in PEM",
    }

    for path, sentence in wrong.items():
        problems = problems_of(WorkerSettings, {**WORKER, name: str(path)})
        assert [f"{name}: {sentence}"] == problems


def test_which_variable_counts(directory: Path) -> None:
    """As requests has it, then as OpenSSL has it, which reads a file and directories."""
    files = [directory / f"{number}.pem" for number in range(4)]
    for file in files:
        file.write_bytes(CERTIFICATE.read_bytes())
    environ = dict(zip(NAMES, map(str, files), strict=True))
    counting = []
    for name in (*NAMES[:3], ""):
        counting.append(load(WorkerSettings, {**WORKER, **environ}).authorities)
        environ[name] = ""

    expected = [(files[0],), (files[1],), (files[2], files[3]), (files[3],)]
    assert expected == counting


def test_without_any_the_public_ones_count() -> None:
    """Blank is unset."""
    environ = {**WORKER, **dict.fromkeys(NAMES, " ")}

    assert () == load(WorkerSettings, environ).authorities
