"""The files for deployers: by their schemas, and by what they start.

Commands, environments and probes are taken out of the files and run here, against a real Redis and
the stand-in; only hosts and ports are replaced by those of this machine.
"""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema_rs
import kubernetes_validate
import pytest
import requests
import yaml
from redis.exceptions import ConnectionError as RedisConnectionError

from config.version import VERSION
from tools.stack.channel_io import ChannelIo
from tools.stack.processes import free_port, kill_child, start_child, wait_until
from tools.stack.redis_client import Client, connect_to
from tools.stack.relay import OWN, ROOT, Json, RelayClient, start_process
from tools.stack.servers import KINDS, binary_of
from tools.stack.valkey import find_binary

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
KUBERNETES_VERSION = "1.31"
START_SECONDS = 30
SUBMIT_TOKEN, READ_TOKEN = "s" * 24, "r" * 24
SECRETS = {
    "REDIS_PASSWORD": "geheim",
    "SUBMIT_TOKENS": f"orders:{SUBMIT_TOKEN}",
    "READ_TOKENS": f"orders:{READ_TOKEN}",
    "OPERATE_TOKENS": f"anna:{'o' * 24}",
    "CHANNEL_ACCESS_KEY": "key",
    "CHANNEL_ACCESS_SECRET": "secret",
    "BOT_NAME": "Relay",
}
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<text>[^}]*))?\}")


def interpolate(text: str) -> str:
    """Put the variables of ``.env`` in, https://docs.docker.com/reference/compose-file/interpolation/"""

    def value(found: re.Match[str]) -> str:
        name = found["name"]
        if found["kind"] == "?" or name in SECRETS:
            return SECRETS[name]
        return found["text"] or ""

    return VARIABLE.sub(value, text)


COMPOSE_TEXT = (DEPLOY / "compose.yaml").read_text()
COMPOSE: Json = yaml.safe_load(interpolate(COMPOSE_TEXT))
SERVICES: dict[str, Json] = COMPOSE["services"]
NGINX = (DEPLOY / "nginx.conf").read_text()
PROMETHEUS = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
DOCUMENTS: dict[str, Json] = {
    f"{document['kind']}-{document['metadata']['name']}-{path.stem}": document
    for path in sorted(KUBERNETES.rglob("*.yaml"))
    if path.name != "kustomization.yaml"
    for document in yaml.safe_load_all(path.read_text())
}
KUSTOMIZATION: Json = yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text())


# By their schemas.


def test_compose_follows_its_schema() -> None:
    """As https://github.com/compose-spec/compose-spec publishes it."""
    schema = json.loads((Path(__file__).parent / "compose-spec.json").read_text())

    errors = [*jsonschema_rs.validator_for(schema).iter_errors(_without_extensions(COMPOSE))]

    assert [] == [f"{error.instance_path}: {error.message}" for error in errors]


def _without_extensions(compose: Json) -> Json:
    return {name: part for name, part in compose.items() if name != "name"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_manifest_follows_its_schema(name: str) -> None:
    """Strictly: a misspelt field is an error."""
    kubernetes_validate.validate(DOCUMENTS[name], KUBERNETES_VERSION, strict=True)


def test_the_base_names_its_files() -> None:
    """All of them, and the release."""
    files = {path.name for path in (KUBERNETES / "base").glob("*.yaml")}

    assert files - {"kustomization.yaml"} == set(KUSTOMIZATION["resources"])
    assert [VERSION] == [image["newTag"] for image in KUSTOMIZATION["images"]]


# What they promise.


def test_the_example_of_the_environment_has_every_secret() -> None:
    """Each variable without which compose does not start."""
    needed = {found["name"] for found in VARIABLE.finditer(COMPOSE_TEXT) if found["kind"] == "?"}
    named = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))

    assert needed <= named
    optional = {"OPERATE_TOKENS", "BOT_NAME", "PORT", "OPERATE_PORT", "PROMETHEUS_PORT"}
    assert needed | optional == named


def test_redis_lets_the_relay_in_as_documented() -> None:
    """The rules of docs/operating.md, and no other user."""
    guide = (ROOT / "docs" / "operating.md").read_text()
    [rules] = re.findall(r"^~\{relay\}\* &\{relay\}\* .*$", guide, re.MULTILINE)
    users = " ".join(SERVICES["redis"]["command"]).split(" --user ")[1:]

    assert ["default off", f"chat-relay on >{SECRETS['REDIS_PASSWORD']} {rules}"] == users


def test_web_never_has_the_keys_of_channel_io() -> None:
    """In compose, and in Kubernetes' secrets."""
    secrets = {
        document["metadata"]["name"]: document["stringData"].keys()
        for document in DOCUMENTS.values()
        if document["kind"] == "Secret"
    }

    for name in ("web-1", "web-2"):
        assert not [one for one in SERVICES[name]["environment"] if one.startswith("CHANNEL_")]
    assert {"REDIS_URL", "SUBMIT_TOKENS", "READ_TOKENS", "OPERATE_TOKENS"} == secrets[
        "chat-relay-web"
    ]
    assert {"REDIS_URL", "CHANNEL_ACCESS_KEY", "CHANNEL_ACCESS_SECRET"} == secrets[
        "chat-relay-worker"
    ]


def test_each_worker_has_a_spool_of_its_own() -> None:
    """Which outlives it."""
    volumes = [SERVICES[name]["volumes"] for name in ("worker-1", "worker-2")]
    (claim,) = pod_owner("worker")["spec"]["volumeClaimTemplates"]
    mounts = {one["name"]: one["mountPath"] for one in container("worker")["volumeMounts"]}

    assert [["spool-1:/var/spool/relay"], ["spool-2:/var/spool/relay"]] == volumes
    assert environment_of("worker")["SPOOL_DIR"] == mounts[claim["metadata"]["name"]]


def test_nginx_leads_to_the_webs_and_hides_metrics() -> None:
    """Each of them, on its port; what is not named is 404. Operators have a port on loopback."""
    servers = re.findall(r"^ *server (\S+):(\d+) ", NGINX, re.MULTILINE)
    callers, operators = re.split(r"^ *listen (?=800\d;)", NGINX, flags=re.MULTILINE)[1:]
    locations, of_operators = (
        re.findall(r"location (?:= )?(\S+) \{ (\w+)", server) for server in (callers, operators)
    )

    assert [("web-1", "8000"), ("web-2", "8000")] == servers
    assert {"8000"} == {SERVICES[name]["environment"]["PORT"] for name, _ in servers}
    assert ("/", "return") in locations
    assert not [path for path, _ in locations if path.startswith(("/metrics", "/operate"))]
    assert [("/", "return"), ("/operate", "proxy_pass"), ("/", "return")] == of_operators
    assert ["8000:8000", "127.0.0.1:8001:8001"] == SERVICES["nginx"]["ports"]


def test_prometheus_scrapes_every_process() -> None:
    """With the alerts."""
    targets = {
        target
        for job in PROMETHEUS["scrape_configs"]
        for static in job["static_configs"]
        for target in static["targets"]
    }

    assert {
        f"{name}:{port}"
        for name, service in SERVICES.items()
        if name.startswith(("web", "worker"))
        for port in service["expose"]
    } == targets
    mounted = [one.split(":")[1] for one in SERVICES["prometheus"]["volumes"][:2]]
    assert PROMETHEUS["rule_files"] == mounted[1:]


def test_only_v1_is_reached_from_outside() -> None:
    """By the ingress; and by the policy only from the controller and Prometheus."""
    ingress = DOCUMENTS["Ingress-web-ingress"]
    paths = [path["path"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
    policies = [one for one in DOCUMENTS.values() if one["kind"] == "NetworkPolicy"]

    assert ["/v1"] == paths
    assert [8000, 9100] == [
        port["port"]
        for policy in policies
        for rule in policy["spec"]["ingress"]
        for port in rule["ports"]
    ]


@pytest.mark.parametrize("name", ["web", "worker"])
def test_a_pod_needs_no_rights(name: str) -> None:
    """As the restricted profile has it, and without a token of the cluster's."""
    pod = pod_owner(name)["spec"]["template"]["spec"]

    assert pod["automountServiceAccountToken"] is False
    assert (True, 10001) == (
        pod["securityContext"]["runAsNonRoot"],
        pod["securityContext"]["runAsUser"],
    )
    assert {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    } == container(name)["securityContext"]


def pod_owner(name: str) -> Json:
    """Return the Deployment or StatefulSet of a component."""
    owners = [one for one in DOCUMENTS.values() if one["kind"] in {"Deployment", "StatefulSet"}]
    (found,) = [owner for owner in owners if owner["metadata"]["name"] == name]
    return found


def container(name: str) -> Json:
    """Return the only container of a component."""
    (found,) = pod_owner(name)["spec"]["template"]["spec"]["containers"]
    return dict(found)


def environment_of(name: str) -> dict[str, str]:
    """Return the environment of a container: its config map, its secret, its own."""
    sources: dict[str, str] = {}
    for source in container(name)["envFrom"]:
        ((kind, reference),) = source.items()
        wanted = {"configMapRef": "ConfigMap", "secretRef": "Secret"}[kind]
        (document,) = [
            one
            for one in DOCUMENTS.values()
            if (one["kind"], one["metadata"]["name"]) == (wanted, reference["name"])
        ]
        sources |= document["data"] if "data" in document else document["stringData"]
    return sources | {one["name"]: one["value"] for one in container(name)["env"]}


# What they start.


@pytest.fixture(scope="module", params=KINDS)
def redis(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """The server as compose starts it, with the port of this machine."""
    directory, port = tmp_path_factory.mktemp(request.param), free_port()
    _, *arguments = SERVICES["redis"]["command"]
    binary = str(binary_of(request.param) or find_binary())
    options = ["--port", str(port), "--dir", str(directory), "--bind", "127.0.0.1"]
    child = start_child([binary, *arguments, *options], output=subprocess.DEVNULL)
    try:
        wait_until(lambda: _answers_ping(port), START_SECONDS, "Redis")
        yield port
    finally:
        kill_child(child)


def _answers_ping(port: int) -> bool:
    try:
        with connect_to(_url(port)) as client:
            return bool(client.ping())
    except RedisConnectionError:
        return False


def _url(port: int) -> str:
    return f"redis://chat-relay:{SECRETS['REDIS_PASSWORD']}@127.0.0.1:{port}/0"


@pytest.fixture(scope="module")
def stand_in() -> Iterator[ChannelIo]:
    """Channel.io, with the keys of the files."""
    with ChannelIo("key", "secret") as stand_in:
        yield stand_in


@contextmanager
def started(
    directory: Path,
    redis: int,
    stand_in: ChannelIo,
    web: Mapping[str, str],
    worker: Mapping[str, str],
) -> Iterator[tuple[RelayClient, str]]:
    """Start web and worker with these environments; yield a client, and the worker's address."""
    ports = {"web": str(free_port()), "worker": str(free_port())}
    here = {"REDIS_URL": _url(redis), "BIND": "127.0.0.1", "KEY_PREFIX": "relay"}
    processes = [
        start_process("web", {**web, **here, "PORT": ports["web"]}, directory / "web.log"),
        start_process(
            "worker",
            {
                **worker,
                **here,
                "METRICS_PORT": ports["worker"],
                "SPOOL_DIR": str(directory / "spool"),
                "CHANNEL_API_URL": stand_in.url,
                "no_proxy": "127.0.0.1",
            },
            directory / "worker.log",
        ),
    ]
    try:
        client = RelayClient(f"http://127.0.0.1:{ports['web']}", SUBMIT_TOKEN, READ_TOKEN)
        client.wait_until_ready()
        yield client, f"http://127.0.0.1:{ports['worker']}"
    finally:
        for process in processes:
            process.kill()


def open_chat(client: RelayClient, event_id: str) -> Json:
    """Post an event with all tasks, and return its record once it is complete."""
    event: dict[str, Any] = {
        "event_id": event_id,
        "member_id": event_id,
        "message": {"text": "Hello.", "bot_name": "Relay"},
        "open": True,
    }
    return dict(client.post(event, Prefer="wait=30").json())


def test_compose_starts_a_relay(redis: int, stand_in: ChannelIo, tmp_path: Path) -> None:
    """With the environments of the file, the commands of the Procfile, and Redis' own user."""
    web, worker = (SERVICES[name]["environment"] for name in ("web-1", "worker-1"))

    with started(tmp_path, redis, stand_in, web, worker) as (client, worker_url):
        record = open_chat(client, f"compose-{redis}")
        probed = requests.get(f"{worker_url}/readyz", timeout=10)
        page = requests.get(f"{client.url}/operate", timeout=10)
        ran = run_operator(redis)

    assert ("opened", True) == (record["status"], record["complete"])
    assert 200 == probed.status_code
    assert (200, True) == (page.status_code, "Operator token" in page.text)
    assert (0, "") == (ran.returncode, ran.stderr)
    assert "workers" in ran.stdout


def run_operator(redis: int) -> subprocess.CompletedProcess[str]:
    """Run the operator's service as compose does."""
    service = SERVICES["operate"]
    command: list[str] = [*service["entrypoint"], *service["command"]]
    return subprocess.run(
        [str(OWN / command[0]), *command[1:]],
        env={"REDIS_URL": _url(redis)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_commands_of_workers_are_the_procfiles() -> None:
    """In compose and in Kubernetes; web has the image's own."""
    commands = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())

    worker = shlex.split(commands["worker"])
    assert worker == SERVICES["worker-1"]["command"] == container("worker")["command"]
    assert "command" not in SERVICES["web-1"]
    assert "command" not in container("web")


def test_kubernetes_starts_a_relay(redis: int, stand_in: ChannelIo, tmp_path: Path) -> None:
    """With the environments of its containers; each probe answers 200."""
    web, worker = environment_of("web"), environment_of("worker")
    web |= {"SUBMIT_TOKENS": SECRETS["SUBMIT_TOKENS"], "READ_TOKENS": SECRETS["READ_TOKENS"]}

    with started(tmp_path, redis, stand_in, web, worker) as (client, worker_url):
        record = open_chat(client, f"kubernetes-{redis}")
        probed = {
            (name, kind): requests.get(url + container(name)[kind]["httpGet"]["path"], timeout=10)
            for name, url in (("web", client.url), ("worker", worker_url))
            for kind in ("livenessProbe", "readinessProbe")
        }

    assert ("opened", True) == (record["status"], record["complete"])
    assert {200} == {answer.status_code for answer in probed.values()}


@pytest.mark.parametrize("name", ["web", "worker"])
def test_probes_go_to_the_port_of_the_process(name: str) -> None:
    """By the name that the container gives it."""
    (port,) = container(name)["ports"]
    variable = {"web": "PORT", "worker": "METRICS_PORT"}[name]

    assert environment_of(name)[variable] == str(port["containerPort"])
    for kind in ("livenessProbe", "readinessProbe"):
        assert port["name"] == container(name)[kind]["httpGet"]["port"]


def test_pods_have_time_to_stop() -> None:
    """The pre-stop delay of web, and a call's deadline and its margin of the worker."""
    grace = {
        name: pod_owner(name)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        for name in ("web", "worker")
    }

    assert ["sleep", "5"] == container("web")["lifecycle"]["preStop"]["exec"]["command"]
    assert grace["web"] >= 5 + 40
    assert grace["worker"] >= 15 + 5
    assert int(SERVICES["worker-1"]["stop_grace_period"].rstrip("s")) >= 15 + 5


def test_redis_refuses_what_is_not_the_relays(redis: int) -> None:
    """Other keys, and other users."""
    client: Client
    with connect_to(_url(redis)) as client:
        with pytest.raises(Exception, match=r"NOPERM|permission"):
            client.set("other", "1")
        assert {"noeviction", "yes"} == {
            client.config_get("maxmemory-policy")["maxmemory-policy"],
            client.config_get("appendonly")["appendonly"],
        }
    with (
        connect_to(f"redis://127.0.0.1:{redis}/0") as stranger,
        pytest.raises(Exception, match=r"(?i)auth|WRONGPASS"),
    ):
        stranger.ping()
