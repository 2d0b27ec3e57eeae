"""The audit: what Redis forbids or refuses, and whether it keeps what it is given."""

import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from app.chats.errors import StoreRefused, StoreUnavailable
from app.store.audit import NO_PERSISTENCE, ONLY_SNAPSHOTS, Audit, Auditor, MisnamedDatabase
from app.store.keys import Keys
from tests.store.driven import PatchedClient
from tools.prove.ha_servers import Node
from tools.stack.processes import free_port, wait_until
from tools.stack.redis_client import Client, connect_to
from tools.stack.redis_line import RedisLine
from tools.stack.servers import KINDS, binary_of
from tools.stack.valkey import Valkey

ROOT = Path(__file__).parents[2]
STORE = ROOT / "app" / "store"
KEYS = Keys("relay")
DEFAULTS = {
    "maxmemory-policy": "noeviction",
    "appendonly": "yes",
    "save": "",
    "maxmemory": 0,
    "min-replicas-to-write": 0,
}
USER, PASSWORD = "limited", "geheim"
# Redis and Valkey have their own words for it.
FORBIDDEN = "has no permissions to run|can't run this command"

AUDIT_LUA = (STORE / "lua" / "audit.lua").read_text()
RELAY_LUA = (STORE / "lua" / "relay.lua").read_text()
SCRIPTS = [path for path in (STORE / "lua").glob("*.lua") if path.stem != "audit"]
USED = {
    command
    for path in SCRIPTS
    for command in re.findall(r"redis\.p?call\('([A-Z]+)'", path.read_text())
}
TRIED = set(re.findall(r"\{'([A-Z]+)'", AUDIT_LUA))
# Commands of Python are words of their own; those of the way to the primary are no part of this.
SENT = {
    command
    for path in STORE.glob("*.py")
    if path.stem not in {"audit", "discovery"}
    for command in re.findall(r'"([A-Z]{3,})"', path.read_text())
} - {"UNBLOCKED"}
# Of the operator's `forget` alone, which says itself that it may not.
OF_FORGET = {"SCAN", "MATCH", "COUNT"}
TRIED_BESIDE = ("EVAL", "EVALSHA", "MGET", "BLPOP", "PING", "SUBSCRIBE")
LISTED = re.compile(r"^--   (\{relay\}:\S+) ", re.MULTILINE)
DOCUMENTED = {re.sub(r"<\w+>", "", name) for name in LISTED.findall(RELAY_LUA)}


def audit(client: Client, *, min_replicas_acked: int = 0) -> Audit:
    """Audit the server that ``client`` is one of."""
    return Auditor(client.relay, KEYS, min_replicas_acked=min_replicas_acked).audit()


# Sound servers


@pytest.fixture(scope="module", params=KINDS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Valkey]:
    """A server of each kind."""
    directory = tmp_path_factory.mktemp(request.param)
    with Valkey(directory, binary=binary_of(request.param)) as server:
        yield server
        server.kill()  # Redis does not stop while it writes an AOF that was turned on again


@pytest.fixture
def set_up(server: Valkey) -> Iterator[Client]:
    """A client whose changes of the server's settings are undone."""
    with connect_to(server.url) as client:
        client.flushall()
        yield client
        for name, value in DEFAULTS.items():
            client.config_set(name, value)


def test_a_server_that_keeps_everything_is_sound(set_up: Client) -> None:
    """No fault, no refusal, no warning; and the audit leaves nothing behind."""
    assert Audit() == audit(set_up)
    assert [] == set_up.keys("*")


def test_the_audit_changes_nothing_of_the_relay(set_up: Client) -> None:
    """Keys of every type stay as they are, rings and empty members included."""
    set_up.zadd("{relay}:due", {"e1": 1})
    set_up.lpush("{relay}:bell", 1)
    set_up.hset("{relay}:gate", "state", "open")
    set_up.set("{relay}:event:e1", "{}")
    before = {key: set_up.dump(key) for key in set_up.keys("*")}

    assert Audit() == audit(set_up)

    assert before == {key: set_up.dump(key) for key in set_up.keys("*")}


# Every command, key and channel


def test_every_command_of_the_scripts_is_tried() -> None:
    """A new command of a script needs a line in audit.lua; one that is gone forbids nothing."""
    assert USED == TRIED


def test_every_command_beside_the_scripts_is_tried() -> None:
    """A command that Python sends is tried as well; WAIT is a case of its own."""
    assert SENT == {*TRIED_BESIDE, "WAIT"} | OF_FORGET


def test_every_key_is_tried() -> None:
    """Each key and channel that the head of relay.lua lists."""
    tried = {f"{{relay}}:{name}" for name in re.findall(r"key\('([^']+)'\)", AUDIT_LUA)}

    assert len(DOCUMENTED) > 10
    assert set() == DOCUMENTED - tried


@contextmanager
def limited(client: Client, *rules: str) -> Iterator[Client]:
    """Let a user in who is held to ``rules`` of an ACL."""
    client.execute_command("ACL", "SETUSER", USER, "reset", "on", f">{PASSWORD}", *rules)
    host = client.connection_pool.connection_kwargs
    with connect_to(f"redis://{USER}:{PASSWORD}@{host['host']}:{host['port']}/0") as its_own:
        yield its_own


def named_by(client: Client, *rules: str) -> str:
    """Return the refusals that are found under ``rules``, in one text."""
    with limited(client, *rules) as its_own:
        try:
            return "\n".join(audit(its_own).refusals)
        except StoreRefused as error:
            return str(error)


def test_each_forbidden_command_is_named(set_up: Client) -> None:
    """Any command is named, with the words of Redis."""
    missed = []
    for command in sorted(TRIED | {*TRIED_BESIDE}):
        named = named_by(set_up, "~*", "&*", "+@all", f"-{command}")
        if not re.search(rf"\b{command}\b.*({FORBIDDEN})", named):
            missed.append((command, named))

    assert [] == missed


def test_a_forbidden_command_is_named_alone(set_up: Client) -> None:
    """The operator reads what to permit, and nothing besides."""
    named = named_by(set_up, "~*", "&*", "+@all", "-hincrby")

    assert re.fullmatch(rf"HINCRBY on \{{relay\}}:audit:hash: .*({FORBIDDEN}).*", named)


def test_each_forbidden_key_is_named(set_up: Client) -> None:
    """An ACL that was made from the names of the keys, and lacks one, or lets it only be read."""
    names = {name: f"{name}*" for name in DOCUMENTED | {"{relay}:audit"}} | {"{relay}": "{relay}"}
    del names["{relay}:settled"]
    missed = []
    for name in sorted(names):
        others = [f"~{pattern}" for other, pattern in names.items() if other != name]
        for own in ([], [f"%R~{names[name]}"]):
            named = named_by(set_up, *others, *own, "&{relay}*", "+@all")
            if name not in named:
                missed.append((name, own, named))

    assert [] == missed


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        (("~{relay}:*", "&*", "+@all"), "EVAL, EVALSHA on {relay}: NOPERM"),
        (("~other*", "&*", "+@all"), " on {relay}, {relay}:audit: NOPERM"),
        (("~{relay}*", "resetchannels", "+@all"), "PUBLISH on {relay}:settled: "),
        (("~{relay}*", "resetchannels", "+@all"), "SUBSCRIBE on {relay}:settled: NOPERM"),
        (("~{relay}*", "&other*", "+@all"), "PUBLISH on {relay}:settled: "),
        (("~{relay}*", "&*"), "EVAL on {relay}: NOPERM"),
    ],
)
def test_commands_that_an_acl_forbids_are_named(
    set_up: Client, rules: tuple[str, ...], named: str
) -> None:
    """Keys and channels by the pattern that is missing, with the words of Redis."""
    assert named in named_by(set_up, *rules)


def test_the_permission_given_later_is_found(set_up: Client) -> None:
    """Over the connections that stand: nothing need be restarted."""
    with limited(set_up, "~{relay}*", "+@all") as its_own:
        assert audit(its_own).refusals
        set_up.execute_command("ACL", "SETUSER", USER, "&{relay}*")
        assert Audit() == audit(its_own)


def test_wait_is_named_where_it_is_needed(set_up: Client) -> None:
    """Without MIN_REPLICAS_ACKED it is advice."""
    with limited(set_up, "~*", "&*", "+@all", "-wait") as its_own:
        assert () == audit(its_own).refusals
        assert "WAIT" in " ".join(audit(its_own).warnings)
        assert "WAIT: NOPERM" in " ".join(audit(its_own, min_replicas_acked=1).refusals)


# Settings


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_an_evicting_server_is_a_fault(set_up: Client, policy: str) -> None:
    """An evicting Redis may drop an accepted event; the message names the setting."""
    set_up.config_set("maxmemory-policy", policy)

    [fault] = audit(set_up).faults

    assert policy in fault
    assert "noeviction" in fault


def test_snapshots_alone_are_warned_about(set_up: Client) -> None:
    """A restart loses what came behind the last one; that may be wanted, so it is no fault."""
    set_up.config_set("appendonly", "no")
    set_up.config_set("save", "3600 1")

    assert Audit(warnings=(ONLY_SNAPSHOTS,)) == audit(set_up)


def test_a_server_that_writes_nothing_to_disk_is_warned_about_louder(set_up: Client) -> None:
    """A restart loses all of it."""
    set_up.config_set("appendonly", "no")

    assert Audit(warnings=(NO_PERSISTENCE,)) == audit(set_up)


def test_without_config_snapshots_are_not_judged(set_up: Client) -> None:
    """Managed services forbid it; that AOF is off is known all the same."""
    set_up.config_set("appendonly", "no")

    with limited(set_up, "~*", "&*", "+@all", "-config") as its_own:
        assert Audit(warnings=(ONLY_SNAPSHOTS,)) == audit(its_own)


def test_without_info_settings_are_not_judged(set_up: Client) -> None:
    """Everything else is; it works, and the operator reads what could not be judged."""
    with limited(set_up, "~*", "&*", "+@all", "-@dangerous") as its_own:
        findings = audit(its_own)

    assert ((), ()) == (findings.faults, findings.refusals)
    policy, aof = findings.warnings
    assert policy.startswith("maxmemory-policy could not be judged: NOPERM")
    assert aof.startswith("AOF could not be judged: NOPERM")


def test_renamed_commands_are_named(tmp_path: Path) -> None:
    """One that a script uses is a refusal, INFO a warning, CONFIG nothing."""
    renamed = [
        word for name in ("INFO", "CONFIG", "PUBLISH") for word in ("--rename-command", name, "")
    ]

    server = RenamedServer(tmp_path, arguments=renamed)
    with server, connect_to(server.url) as client:
        findings = audit(client)

    assert () == findings.faults
    assert all("could not be judged" in warning for warning in findings.warnings)
    [refusal] = findings.refusals
    assert refusal.startswith("PUBLISH on {relay}:settled: ")


class RenamedServer(Valkey):
    """A server that does not answer INFO."""

    def _answers_pong(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(b"PING\r\nQUIT\r\n")
            return connection.recv(64).startswith(b"+PONG")
        return False


@pytest.mark.parametrize("field", ["maxmemory_policy", "aof_enabled"])
def test_a_field_that_info_leaves_out_is_not_judged(
    valkey: Valkey, redis_url: str, field: str
) -> None:
    """A service that speaks Redis may not have it."""
    line = RewritingLine(valkey.port, field.encode(), b"x" * len(field))
    with line, connect_to(line.url) as client:
        findings = audit(client)

    [warning] = findings.warnings
    assert ((), ()) == (findings.faults, findings.refusals)
    assert warning.endswith("could not be judged: INFO leaves it out")


class RewritingLine(RedisLine):
    """A line to Redis on which ``old`` is ``new`` in each reply."""

    def __init__(self, port: int, old: bytes, new: bytes) -> None:
        super().__init__(port)
        self._old, self._new = old, new

    def _pass(self, passing: bytes, source: socket.socket, sink: socket.socket) -> None:
        super()._pass(passing.replace(self._old, self._new), source, sink)


# Writes that are refused


def test_a_full_memory_is_named(set_up: Client) -> None:
    """A removal, which Redis lets pass, does not hide it."""
    set_up.config_set("maxmemory", 1)

    [refusal] = audit(set_up).refusals

    assert re.match(r"SET\b.*: OOM command not allowed", refusal)


def test_missing_replicas_are_named(set_up: Client) -> None:
    """Persistence that the server's configuration sets is accepted."""
    set_up.config_set("min-replicas-to-write", 1)

    [refusal] = audit(set_up).refusals

    assert re.match(r"BLPOP, SET\b.*: NOREPLICAS Not enough good replicas to write", refusal)


def test_a_write_that_is_not_confirmed_is_named(set_up: Client) -> None:
    """With how many replicas confirmed it, and the setting that wants more."""
    [refusal] = audit(set_up, min_replicas_acked=1).refusals

    assert "0 of 1 replicas (MIN_REPLICAS_ACKED) confirmed a write within 0.7 s" == refusal


def test_a_disk_that_takes_no_snapshot_is_named(tmp_path: Path) -> None:
    """Redis takes no writes then: MISCONF."""
    lasting = ("--appendonly", "no", "--save", "3600 1")
    server = Valkey(tmp_path / "server", arguments=lasting)
    with server, connect_to(server.url) as client:
        shutil.rmtree(server.directory)
        with suppress(Exception):
            client.bgsave()
        wait_until(
            lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err",
            10,
            "the snapshot to fail",
        )

        [refusal] = audit(client).refusals

        server.kill()  # it would not stop before it has written a snapshot
    assert ": MISCONF " in refusal


def test_a_replica_is_no_primary(set_up: Client) -> None:
    """Behind one address: it answers reads, and refuses writes."""
    set_up.execute_command("REPLICAOF", "127.0.0.1", free_port())
    try:
        with pytest.raises(StoreRefused, match="READONLY You can't write against a read only"):
            audit(set_up)
    finally:
        set_up.execute_command("REPLICAOF", "NO", "ONE")
    assert Audit() == audit(set_up)


# Servers that let nothing through


@pytest.mark.parametrize(
    "reply",
    [
        "LOADING Redis is loading the dataset in memory",
        "CLUSTERDOWN The cluster is down",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "NOAUTH HELLO must be called with the client already authenticated",
        "WRONGPASS invalid username-password pair or user is disabled.",
        "ERR max number of clients reached",
        "NOPROTO unsupported protocol version",
        "SOMENEWCODE of a later release",
    ],
)
def test_the_words_of_redis_are_passed_on(reply: str) -> None:
    """Its code and its sentence, word for word."""
    with (
        canned(reply) as url,
        connect_to(url) as client,
        pytest.raises(StoreRefused) as refused,
    ):
        audit(client)

    assert reply == str(refused.value)


@pytest.mark.parametrize("code", ["MOVED", "ASK"])
def test_a_moved_slot_is_reported_without_address(code: str) -> None:
    """Strangers read it at ``/readyz``."""
    with (
        canned(f"{code} 3999 10.1.2.3:6379") as url,
        connect_to(url) as client,
        pytest.raises(StoreRefused, match=f"^{code} to another node") as refused,
    ):
        audit(client)

    assert "10.1.2.3" not in str(refused.value)


@contextmanager
def canned(reply: str) -> Iterator[str]:
    """Serve ``reply`` as the error that every command gets; yield the address."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    if connection.recv(65536):
                        connection.sendall(f"-{reply}\r\n".encode())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=serve, daemon=True).start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        listener.shutdown(socket.SHUT_RDWR)


def test_a_wrong_password_is_reported(set_up: Client) -> None:
    """Not that Redis does not answer; and the password is in no text."""
    with limited(set_up, "~*", "&*", "+@all") as its_own:
        set_up.execute_command("ACL", "SETUSER", USER, "resetpass", ">other")
        with pytest.raises(StoreRefused, match=r"^WRONGPASS ") as refused:
            audit(its_own)

    assert PASSWORD not in str(refused.value)


def test_a_missing_database_is_an_error_of_the_url(server: Valkey) -> None:
    """The setting is named, and the number in it."""
    with (
        connect_to(f"redis://127.0.0.1:{server.port}/99") as client,
        pytest.raises(MisnamedDatabase, match=r"^REDIS_URL names database 99; .*out of range"),
    ):
        audit(client)


def test_a_cluster_has_one_database(tmp_path: Path) -> None:
    """Redis' own clusters; Valkey's take more than one where they are set up so."""
    with (
        Node(tmp_path, binary_of("redis")) as node,
        connect_to(f"redis://127.0.0.1:{node.port}/1") as client,
        pytest.raises(MisnamedDatabase, match="REDIS_URL names database 1; "),
    ):
        audit(client)


def test_a_connection_that_was_closed_is_replaced(client: Client) -> None:
    """A probe that comes each ten seconds would else fail each other time."""
    audit(client)
    client.client_kill_filter(_type="normal", skipme=True)

    assert Audit() == audit(client)


def test_an_unreachable_server_is_reported() -> None:
    """Not judged, neither safe nor unsafe."""
    with (
        connect_to(f"redis://127.0.0.1:{free_port()}/0") as client,
        pytest.raises(StoreUnavailable) as unavailable,
    ):
        audit(client)

    assert not isinstance(unavailable.value, StoreRefused)


# Probes


def count_audits(client: Client) -> int:
    """Return how often EVAL ran, which audits alone send after the first of all scripts."""
    stats: dict[str, Any] = client.info("commandstats")
    return int(stats.get("cmdstat_eval", {}).get("calls", 0))


def test_readiness_probes_share_an_audit(client: Client, redis_url: str) -> None:
    """However many come at once or after; once it stands no more Redis is looked at again, and
    where a command met a fail-over meanwhile.
    """
    with PatchedClient(redis_url) as driven:
        assert [[], []] == driven.value("check_readiness", 0)
        before = count_audits(client)

        together = {str(each.value) for each in driven.start("check_readiness", 60, times=20)()}
        client.config_set("maxmemory-policy", "allkeys-lru")
        standing = driven.value("check_readiness", 60)
        audits = count_audits(client) - before
        anew = driven.value("check_readiness", 0)
        driven.run("execute", "EVAL", "return redis.error_reply('READONLY No.')", 0)
        after_fail_over = driven.value("check_readiness", 60)
        client.config_set("maxmemory-policy", "noeviction")

    assert ({"[[], []]"}, [[], []], 1) == (together, standing, audits)
    assert "allkeys-lru" in anew[0][0]
    assert anew == after_fail_over
