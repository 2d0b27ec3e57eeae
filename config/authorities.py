"""``SSL_CERT_FILE`` and its like: the files with certificates that they name."""

import os
import ssl
from pathlib import Path

AUTHORITIES_SENTENCE = "a file with certificates in PEM, or a directory of such files"


def parse_authorities(text: str) -> tuple[Path, ...]:
    """Return the file, or the directories, that ``text`` names.

    Raises ``ValueError`` with the rest of a sentence that begins with the variable's name.
    """
    is_one = Path(text).exists()
    paths = (Path(text),) if is_one else tuple(map(Path, text.split(os.pathsep)))
    for path in paths:
        try:
            files = certificate_files(path)
        except OSError as error:
            raise ValueError(f"cannot read {str(path)!a} ({error.strerror})") from None
        if not files:
            raise ValueError(f"{str(path)!a} holds no certificate in PEM")
    return paths


def certificate_files(path: Path) -> list[Path]:
    """Return the files with certificates at ``path``: itself, or those of a directory.

    OpenSSL itself finds a directory's files by the hashes that ``openssl rehash`` names them with,
    and passes over all others. Raises ``OSError`` where ``path`` cannot be read.
    """
    if not path.is_dir():
        path.open("rb").close()
        return [path] if _holds_certificates(path) else []
    return [file for file in sorted(path.iterdir()) if _holds_certificates(file)]


def _holds_certificates(file: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except OSError:  # what is no certificate as well
        return False
    return True
