"""The documented clients against a real relay, and the test cards."""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from app.chats.record import FailureCode, Status
from tools.stack.channel_io import Behaviour
from tools.stack.channel_io.cards import CARDS, Card
from tools.stack.deployment import SUBMIT_TOKEN, Deployment
from tools.stack.processes import kill_child, start_child, wait_until
from tools.stack.relay import ROOT

EXAMPLES = ROOT / "docs" / "examples"
SECRET = "whsec_" + base64.b64encode(b"a webhook secret of tests").decode()
GIVE_UP_SECONDS = 30
NODE = shutil.which("node")
PROGRAMS = {"python": sys.executable, **({"node": NODE} if NODE else {})}
# A call of the example that waits for nothing, so that its time-out comes soon.
CALL = {
    "python": f"import json, sys; sys.path.insert(0, {str(EXAMPLES)!r});"
    " from client import open_chat; event = json.loads(sys.argv[1]);"
    " print(json.dumps(open_chat(event, wait_seconds=0)))",
    "node": f"const {{ openChat }} = await import({str(EXAMPLES / 'client.mjs')!r});"
    " const event = JSON.parse(process.argv[1]);"
    " console.log(JSON.stringify(await openChat(event, 0)));",
}
EVALUATE = {"python": ["-c"], "node": ["--input-type=module", "-e"]}
SUFFIX = {"python": "py", "node": "mjs"}
# Cards that stop the calls of others for a while.
STOPS_OTHERS = (Behaviour.THROTTLED, Behaviour.FORBIDDEN)

each_language = pytest.mark.parametrize(
    "language",
    [
        "python",
        pytest.param(
            "node",
            marks=pytest.mark.skipif(
                NODE is None, reason="no Node: apt-get install --no-install-recommends nodejs"
            ),
        ),
    ],
)


class ExampleClient:
    """A process that has a chat opened by the example of a language; its lines go to a file."""

    def __init__(self, language: str, url: str, event_id: str, directory: Path) -> None:
        """Start it."""
        self._log = directory / f"{event_id}.log"
        event = json.dumps({"event_id": event_id, "user_id": event_id})
        with self._log.open("wb") as output:
            self.child = start_child(
                [PROGRAMS[language], *EVALUATE[language], CALL[language], event],
                env={"RELAY": url, "SUBMIT_TOKEN": SUBMIT_TOKEN, "PYTHONDONTWRITEBYTECODE": "1"},
                output=output,
            )

    @property
    def lines(self) -> list[str]:
        """The lines that it has printed."""
        return self._log.read_text().splitlines()

    def wait_for(self, line: str) -> None:
        """Return once it has printed ``line``."""
        wait_until(lambda: line in self.lines, GIVE_UP_SECONDS, f"the client's {line!r}")


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A relay whose callers may sign, and whose backlog has room for a few events."""
    settings = {"WEBHOOK_SECRETS": SECRET, "BREAKER_THRESHOLD": "1000"}
    settings |= {"MAX_BACKLOG": str(len(PROGRAMS) + 1), "CALL_DEADLINE_SECONDS": "3"}
    settings |= {"BOT_NAME": "Relay"}
    with Deployment(tmp_path_factory.mktemp("examples"), **settings) as relay:
        relay.start_web().wait_until_ready()
        yield relay


@pytest.fixture(scope="module")
def clients(relay: Deployment) -> Mapping[str, ExampleClient]:
    """A client of each language, which has met a 503, a 202 and a time-out, and has ended."""
    web = relay.processes[0]
    relay.valkey.stop()
    clients = {
        language: ExampleClient(language, relay.caller.url, f"e-{language}", relay.directory)
        for language in PROGRAMS
    }
    for client in clients.values():
        client.wait_for("503: again in 1 s")
    relay.valkey.start()
    for client in clients.values():
        client.wait_for("202: again in 1 s")
    relay.caller.post({"event_id": "last", "user_id": "last"}).raise_for_status()
    os.killpg(web.pid, signal.SIGSTOP)
    for client in clients.values():
        wait_until(lambda: "no answer" in client.lines[-1], GIVE_UP_SECONDS, "a time-out")  # noqa: B023
    os.killpg(web.pid, signal.SIGCONT)
    refused = [
        ExampleClient(language, relay.caller.url, f"late-{language}", relay.directory)
        for language in PROGRAMS
    ]
    for client in refused:
        client.wait_for("429: again in 10 s")
        kill_child(client.child)
    relay.start_worker()
    for client in clients.values():
        client.child.wait(GIVE_UP_SECONDS)
    return clients


@each_language
def test_a_client_repeats_its_event_until_there_is_a_chat(
    relay: Deployment, clients: Mapping[str, ExampleClient], language: str
) -> None:
    """After a 503, a 202 and a time-out it prints the record of the only chat that was made."""
    client = clients[language]

    (create,) = relay.creates_of(f"e-{language}")
    assert 0 == client.child.returncode
    assert create.chat_id == json.loads(client.lines[-1])["chat"]["id"]


@each_language
@pytest.mark.usefixtures("clients")
def test_a_client_shows_its_record(relay: Deployment, language: str) -> None:
    """As the documents start it, with two ids; a repeat of it makes no second chat."""
    for _ in range(2):
        ran = run(language, "client", relay, "shown-" + language, SUBMIT_TOKEN=SUBMIT_TOKEN)
        assert (0, "") == (ran.returncode, ran.stderr)
        assert "opened" in ran.stdout

    assert 1 == len(relay.creates_of(f"shown-{language}"))


@each_language
@pytest.mark.usefixtures("clients")
def test_a_client_does_not_repeat_what_is_refused_each_time(
    relay: Deployment, language: str
) -> None:
    """It fails at once, with the relay's problem."""
    ran = run(language, "client", relay, "not an id", SUBMIT_TOKEN=SUBMIT_TOKEN)

    assert 1 == ran.returncode
    assert "/problems/invalid-event" in ran.stderr
    assert "again in" not in ran.stderr


@each_language
@pytest.mark.usefixtures("clients")
@pytest.mark.parametrize("seconds", [0, -600, 600])
def test_a_signed_event_is_accepted_whatever_the_clock(
    relay: Deployment, tmp_path: Path, language: str, seconds: int
) -> None:
    """A clock that is ten minutes behind or ahead is mended by the relay's ``Date``."""
    (tmp_path / "sitecustomize.py").write_text(
        f"import time; now = time.time; time.time = lambda: now() + {seconds}"
    )
    (tmp_path / "clock.cjs").write_text(
        f"const now = Date.now; Date.now = () => now() + {seconds} * 1000;"
    )
    event_id = f"signed-{language}{seconds}"
    clock = {"PYTHONPATH": str(tmp_path), "NODE_OPTIONS": f"--require={tmp_path / 'clock.cjs'}"}

    ran = run(language, "signed", relay, event_id, WEBHOOK_SECRET=SECRET, **clock)

    assert (0, "") == (ran.returncode, ran.stderr)
    assert ran.stdout.startswith("202 ")
    assert event_id == relay.caller.wait_for(event_id, "opened")["event_id"]


def run(
    language: str, script: str, relay: Deployment, event_id: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run an example as the documents do."""
    command = [PROGRAMS[language], str(EXAMPLES / f"{script}.{SUFFIX[language]}")]
    return subprocess.run(
        [*command, event_id, event_id],
        env={"RELAY": relay.caller.url, **environ},
        capture_output=True,
        text=True,
        timeout=GIVE_UP_SECONDS,
        check=False,
    )


@pytest.fixture(scope="module")
def posted(relay: Deployment, clients: Mapping[str, ExampleClient]) -> Sequence[str]:
    """The ids of an event for each card, those last that stop the calls of others."""
    cards = sorted(CARDS, key=lambda card: card.behaviour in STOPS_OTHERS)
    for card in cards:
        wait_until(lambda: relay.caller.post(card.event).ok, GIVE_UP_SECONDS, "room for an event")  # noqa: B023
    return [card.user_id for card in cards]


@pytest.mark.usefixtures("posted")
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.user_id)
def test_a_test_card_acts_as_described(relay: Deployment, card: Card) -> None:
    """The record of an event for that user ends with the row's last status, and its code."""
    words = re.findall(r"`(\w+)`", card.record.partition(";")[0])
    status = [word for word in words if word in {*Status}][-1]
    words = re.findall(r"`(\w+)`", card.record)
    codes = [word for word in words if word in {*FailureCode}]
    if status in {"opened", "failed"}:
        is_over = lambda: relay.caller.record(card.user_id)["complete"]  # noqa: E731
        wait_until(is_over, GIVE_UP_SECONDS, f"{card.user_id} to be complete")
    record = relay.caller.wait_for(card.user_id, status)

    tasks = (record["tasks"] or {}).values()
    failures = [*filter(None, [record["failure"], *(task["failure"] for task in tasks)])]
    assert codes == [failure["code"] for failure in failures]
    assert ("`done`" in card.record) == any(task["status"] == "done" for task in tasks)
    assert ("`session` null" in card.record) == (status == "opened" and record["session"] is None)


@pytest.mark.usefixtures("posted")
@pytest.mark.parametrize(
    ("member_id", "status", "user_id"),
    [
        ("stand-in-unknown", "failed", None),
        ("stand-in-merged-2", "opened", "stand-in-merged-0"),
        ("stand-in-rejected-422", "failed", "stand-in-rejected-422"),
    ],
)
def test_a_test_member_acts_as_described(
    relay: Deployment, member_id: str, status: str, user_id: str | None
) -> None:
    """It is unknown, merged, or one of the test users."""
    event = {"event_id": f"of-{member_id}", "member_id": member_id}
    wait_until(lambda: relay.caller.post(event).ok, GIVE_UP_SECONDS, "room for an event")

    record = relay.caller.wait_for(event["event_id"], status)

    assert user_id == record["user_id"]
