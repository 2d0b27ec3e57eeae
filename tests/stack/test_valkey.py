"""Tests of the embedded Valkey: its data, its lock, and its end."""

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tools.stack import valkey
from tools.stack.processes import start_child, wait_until
from tools.stack.valkey import Valkey, ValkeyError

STARTS_AND_STAYS = """
import pathlib, signal, sys
from tools.stack.valkey import Valkey
server = Valkey(pathlib.Path(sys.argv[1]))
server.start()
print(server.port, flush=True)
signal.pause()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    """A running server of this test's own."""
    with Valkey(tmp_path / "data") as server:
        yield server


def client_of(server: Valkey, timeout_seconds: float = 30) -> redis.Redis:
    """Return a client with this time-out for a reply."""
    return redis.Redis.from_url(server.url, socket_timeout=timeout_seconds, decode_responses=True)


def is_served(port: int) -> bool:
    """Return whether the loopback port has a listener."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_valkey_has_the_settings_that_the_relay_needs(server: Valkey) -> None:
    """AOF every second, no eviction, no snapshots, loopback only."""
    names = ("appendonly", "appendfsync", "maxmemory-policy", "save", "bind")

    with client_of(server) as client:
        settings = [client.config_get(name)[name] for name in names]

    assert ["yes", "everysec", "noeviction", "", "127.0.0.1"] == settings


@pytest.mark.parametrize("end", [Valkey.stop, Valkey.kill])
def test_valkey_restarts_with_its_data_and_port(
    server: Valkey, end: Callable[[Valkey], None]
) -> None:
    """Data written before a stop or a crash is there after the next start."""
    address = server.url
    with client_of(server) as client:
        client.set("kept", "yes")

    end(server)
    server.start()

    with client_of(server) as client:
        assert "yes" == client.get("kept")
    assert address == server.url


def test_a_second_server_on_the_same_directory_is_refused(server: Valkey) -> None:
    """Two servers never open the same files, even on different ports."""
    second = Valkey(server.directory)

    with pytest.raises(ValkeyError, match="another Valkey uses"):
        second.start()

    assert not second.is_running
    with client_of(server) as client:
        assert client.ping()


def test_a_taken_port_is_reported(server: Valkey, tmp_path: Path) -> None:
    """An answer of another server on the port does not count as a start."""
    with pytest.raises(ValkeyError, match="Address already in use"):
        Valkey(tmp_path / "other", server.port).start()


def test_a_paused_server_answers_nothing_until_resumed(server: Valkey) -> None:
    """A client of a paused server times out; the server can still be stopped."""
    with client_of(server) as patient, client_of(server, timeout_seconds=0.3) as hasty:
        server.pause()
        with pytest.raises(redis.TimeoutError):
            hasty.ping()

        server.resume()
        assert patient.ping()

    server.pause()
    server.stop()
    assert not server.is_running


def test_further_arguments_reach_the_server(tmp_path: Path) -> None:
    """A test can pass any option, such as a memory limit."""
    with Valkey(tmp_path, arguments=("--maxmemory", "4mb")) as server, client_of(server) as client:
        assert str(4 * 1024 * 1024) == client.config_get("maxmemory")["maxmemory"]


def test_valkey_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    """The kernel ties a child to a thread, which here lives as long as the process."""
    server = Valkey(tmp_path)
    starter = threading.Thread(target=server.start)

    starter.start()
    starter.join()

    try:
        with client_of(server) as client:
            assert client.ping()
    finally:
        server.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_a_killed_parent_leaves_no_server_behind(tmp_path: Path) -> None:
    """After SIGKILL of its parent the server ends."""
    command = [sys.executable, "-c", STARTS_AND_STAYS, str(tmp_path / "data")]
    with (tmp_path / "output").open("wb") as output:
        parent = start_child(command, output=output)
    port = int(wait_until((tmp_path / "output").read_text, 30, "the server's port"))
    assert is_served(port)

    parent.kill()

    wait_until(lambda: not is_served(port), 30, "the server's end")
    parent.wait()


def test_a_platform_without_a_binary_has_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the remedies."""
    monkeypatch.setattr(valkey, "files", lambda _name: [])

    with pytest.raises(ValkeyError, match="set REDIS_URL"):
        valkey.find_binary()
