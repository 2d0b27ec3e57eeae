"""The audit: whether this Redis keeps what it is given."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.chats.errors import StoreUnavailable
from app.store.audit import Audit, Auditor
from tests.stack.processes import free_port
from tests.stack.redis_client import Client, connect_to
from tests.stack.valkey import Valkey

DEFAULTS = {"maxmemory-policy": "noeviction", "appendonly": "yes", "save": ""}


@pytest.fixture
def set_up(client: Client) -> Iterator[Client]:
    """A client whose changes of the server's settings are undone."""
    yield client
    for name, value in DEFAULTS.items():
        client.config_set(name, value)


def test_a_server_that_keeps_everything_is_sound(client: Client) -> None:
    """No fault, no warning."""
    assert Auditor(client.relay).audit() == Audit((), ())


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_an_evicting_server_is_a_fault(set_up: Client, policy: str) -> None:
    """It may drop an accepted event; the sentence says what to set."""
    set_up.config_set("maxmemory-policy", policy)

    [fault] = Auditor(set_up.relay).audit().faults

    assert policy in fault
    assert "noeviction" in fault


def test_a_server_that_writes_nothing_to_disk_is_warned_about(set_up: Client) -> None:
    """A restart loses accepted events; that may be wanted, so it is no fault."""
    set_up.config_set("appendonly", "no")

    audit = Auditor(set_up.relay).audit()

    assert audit.faults == ()
    [warning] = audit.warnings
    assert "persistence" in warning


def test_snapshots_are_persistence(set_up: Client) -> None:
    """Either of the two is enough for no warning."""
    set_up.config_set("appendonly", "no")
    set_up.config_set("save", "3600 1")

    assert Auditor(set_up.relay).audit() == Audit((), ())


def test_where_config_is_forbidden_no_warning_is_made_up(tmp_path: Path) -> None:
    """Managed services forbid it, and say by other means what they keep."""
    forbid = ("--appendonly", "no", "--rename-command", "CONFIG", "")

    with Valkey(tmp_path, arguments=forbid) as server, connect_to(server.url) as client:
        assert Auditor(client.relay).audit() == Audit((), ())


def test_a_connection_that_was_closed_is_replaced(client: Client) -> None:
    """A probe that comes each ten seconds would else fail each other time."""
    Auditor(client.relay).audit()
    client.client_kill_filter(_type="normal", skipme=True)

    assert Audit((), ()) == Auditor(client.relay).audit()


def test_a_server_that_is_away_is_said_to_be() -> None:
    """Not judged, neither safe nor unsafe."""
    with (
        connect_to(f"redis://127.0.0.1:{free_port()}/0") as client,
        pytest.raises(StoreUnavailable, match="INFO"),
    ):
        Auditor(client.relay).audit()
