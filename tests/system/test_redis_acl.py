"""A relay whose Redis permits it no more than an ACL: the documented one, and lesser ones."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.bootstrap.operate import build_cli_context
from app.operate.commands import cli
from tools.prove.ha import HaDeployment
from tools.stack.channel_io import Behaviour
from tools.stack.processes import wait_until
from tools.stack.redis_client import Client, connect_to
from tools.stack.servers import KINDS, binary_of
from tools.stack.valkey import Valkey

OPERATING = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
[RULES] = re.findall(r"^~\{relay\}\* &\{relay\}\* .*$", OPERATING, re.MULTILINE)
PASSWORD = "geheim"
WITH_TASKS = {
    "event_id": "whole",
    "member_id": "m1",
    "message": {"text": "Hello.", "bot_name": "Relay"},
    "open": True,
}


@pytest.fixture(scope="module", params=KINDS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Valkey]:
    """A server that lets users in by their passwords."""
    directory = tmp_path_factory.mktemp(request.param)
    with Valkey(directory, binary=binary_of(request.param)) as server:
        yield server


@pytest.fixture
def owner(server: Valkey) -> Iterator[Client]:
    """Its owner, who may do everything."""
    with connect_to(server.url) as client:
        client.flushall()
        client.execute_command("ACL", "LOG", "RESET")
        yield client


def let_in(owner: Client, server: Valkey, rules: str) -> str:
    """Let a user in who is held to ``rules``; return the address for it, in the second database."""
    user = ("chat-relay", "reset", "on", f">{PASSWORD}")
    owner.execute_command("ACL", "SETUSER", *user, *rules.split())
    return f"redis://chat-relay:{PASSWORD}@127.0.0.1:{server.port}/1"


def test_the_documented_acl_suffices(owner: Client, server: Valkey, tmp_path: Path) -> None:
    """For the whole way of web, worker and operator: Redis denies none of their commands."""
    url = let_in(owner, server, RULES)
    with HaDeployment(tmp_path, url) as relay:
        worker, caller = relay.start_worker(), relay.start_web()
        caller.wait_until_ready()
        ready = caller.get("/readyz").json()
        opened = caller.post({"event_id": "opened", "user_id": "u1"}, Prefer="wait=20").json()
        whole = caller.post(WITH_TASKS, Prefer="wait=20").json()
        for behaviour, status in (
            (Behaviour.USER_NOT_FOUND, "failed"),
            (Behaviour.CREATE_THEN_CLOSE, "unknown"),
            (Behaviour.CLOSE_WITHOUT_CREATE, "unknown"),
        ):
            caller.post({"event_id": behaviour, "user_id": behaviour.user_id})
            caller.wait_for(behaviour, status)
        throttled = {"event_id": "throttled", "user_id": Behaviour.THROTTLED.user_id}
        caller.post(throttled)
        wait_until(lambda: worker.lines("call", event_id="throttled"), 20, "its call")
        looked_up = [
            caller.get("/v1/events/opened").json(),
            caller.get(f"/v1/chats/{opened['chat']['id']}").json(),
            *caller.get("/v1/users/u1/chats").json()["chats"],
        ]
        of_member = caller.get("/v1/members/m1/chats").json()["chats"]
        metrics = caller.get("/metrics").text
        operator = build_cli_context({"REDIS_URL": url})
        codes = {
            command: CliRunner().invoke(cli, command.split(), obj=operator).exit_code
            for command in (
                "status",
                "list",
                "list --status failed",
                "explain opened",
                "redrive user_not_found",
                "resolve create_then_close --recreate",
                "resolve close_without_create --give-up",
                f"recover --from-log {worker.log}",
                "pause",
                "resume",
                "cancel throttled",
                "list --code abandoned --user u1 --since 1h",
                "forget --user u1 --yes",
                "forget --member m1 --yes",
            )
        }
        denied = owner.execute_command("ACL", "LOG")

    assert {"status": "ok", "warnings": []} == ready
    assert [opened] * 3 == looked_up
    assert [whole] == of_member
    assert ["done", "done"] == [task["status"] for task in whole["tasks"].values()]
    assert "relay_backlog_events" in metrics
    assert {} == {command: code for command, code in codes.items() if code not in {0, 1}}
    assert [0, 0, 0] == [codes[name] for name in codes if name.startswith(("re", "st"))][:3]
    assert [] == denied
    assert [] == worker.lines("redis_refuses") + worker.lines("redis_unavailable")


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        ("~{relay}:* &{relay}* +@all", "EVAL, EVALSHA on {relay}: NOPERM"),
        ("~{relay}* resetchannels +@all", "PUBLISH on {relay}:settled"),
    ],
)
def test_a_lesser_acl_is_named(
    owner: Client, server: Valkey, tmp_path: Path, rules: str, named: str
) -> None:
    """At the start of web and worker, and at ``/readyz``; mended, both go on without a restart."""
    url = let_in(owner, server, rules)
    with HaDeployment(tmp_path, url) as relay:
        worker, caller = relay.start_worker(), relay.start_web()
        for process in relay.processes:
            assert named in process.wait_for_line("redis_refuses")["refusal"]
        wait_until(lambda: caller.answers("/livez"), 30, "/livez")
        content = caller.get("/readyz")
        let_in(owner, server, RULES)
        caller.wait_until_ready()
        posted = caller.post({"event_id": "e1", "user_id": "u1"}, Prefer="wait=20")

        assert 503 == content.status_code
        assert any(named in error["check"] for error in content.json()["errors"])
        assert (200, "opened") == (posted.status_code, posted.json()["status"])
        assert worker.child.poll() is None
