"""The ways to one Redis that ``REDIS_URL`` can name, each with a server of its own."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType

from tests.channel.raw_server import CERTIFICATE
from tools.stack.redis_proxy import RedisProxy
from tools.stack.valkey import Valkey

USER = "relay:user"
PASSWORD = "p@ss/w:rd%"
QUOTED_USER, QUOTED_PASSWORD = "relay%3Auser", "p%40ss%2Fw%3Ard%25"
TRUSTING = f"ssl_ca_certs={CERTIFICATE}"

Way = Callable[[Path], AbstractContextManager[str]]


@contextmanager
def over_tcp(directory: Path) -> Iterator[str]:
    """Run a server whose default user has no password."""
    with Valkey(directory) as server:
        yield server.url


@contextmanager
def over_a_unix_socket(directory: Path) -> Iterator[str]:
    """Run a server with a socket of this host, and name a database of it."""
    with tempfile.TemporaryDirectory() as short:  # a socket's path has 107 bytes at most
        path = f"{short}/valkey.sock"
        with Valkey(directory, arguments=("--unixsocket", path)):
            yield f"unix://{path}?db=2"


@contextmanager
def over_tls(directory: Path) -> Iterator[str]:
    """Run a server behind TLS."""
    with Valkey(directory) as server, RedisProxy(server.port, certificate=CERTIFICATE) as proxy:
        yield f"{proxy.url}?{TRUSTING}"


@contextmanager
def over_tls_with_a_password(directory: Path) -> Iterator[str]:
    """Run a server behind TLS whose default user has a password."""
    with Valkey(directory) as server, RedisProxy(server.port, certificate=CERTIFICATE) as proxy:
        require_password(server)
        yield f"rediss://:{QUOTED_PASSWORD}@127.0.0.1:{proxy.port}/0?{TRUSTING}"


@contextmanager
def as_a_user_in_a_database(directory: Path) -> Iterator[str]:
    """Run a server that admits only one user with a password; the database is its third."""
    with Valkey(directory) as server:
        require_password(server)
        yield f"redis://{QUOTED_USER}:{QUOTED_PASSWORD}@127.0.0.1:{server.port}/3"


def require_password(server: Valkey) -> None:
    """Give the default user a password, and let in another user who has the same."""
    add_user(server)
    with server.connect() as client:
        client.config_set("requirepass", PASSWORD)


def add_user(server: Valkey) -> None:
    """Let in one more user, who has a password."""
    with server.connect() as client:
        client.acl_setuser(
            USER,
            enabled=True,
            passwords=[f"+{PASSWORD}"],
            categories=["+@all"],
            keys=["*"],
            channels=["*"],
        )


WAYS: MappingProxyType[str, Way] = MappingProxyType(
    {
        "tcp": over_tcp,
        "unix socket": over_a_unix_socket,
        "tls": over_tls,
        "tls and password": over_tls_with_a_password,
        "user and database": as_a_user_in_a_database,
    }
)
