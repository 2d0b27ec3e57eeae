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
from typing import Any

import pytest

from app.chats.record import FailureCode, Status
from tools.stack.channel_io import Behaviour, Operation
from tools.stack.channel_io.cards import CARDS, TEXT, Card
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
STOPS_OTHERS = (Behaviour.THROTTLED.user_id, Behaviour.FORBIDDEN.user_id)
LOST_MESSAGE = Behaviour.CREATE_THEN_CLOSE.user_id_for(Operation.MESSAGE)

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
    settings |= {"MAX_BACKLOG": str(len(PROGRAMS) + 1), "CALL_DEADLINE_SECONDS": "4"}
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
    """As the documents start it; a repeat of it makes no second chat and no second message."""
    for _ in range(2):
        ran = run(language, "client", relay, "shown-" + language, SUBMIT_TOKEN=SUBMIT_TOKEN)
        assert (0, "") == (ran.returncode, ran.stderr)
        assert "opened" in ran.stdout

    user_id = relay.channel_io.user_id_of(f"shown-{language}") or ""
    (create,) = relay.creates_of(user_id)
    in_chat = [message for message in relay.messages if message.chat_id == create.chat_id]
    assert [TEXT] == [message.text for message in in_chat]


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
        [*command, event_id, event_id, TEXT],
        env={"RELAY": relay.caller.url, **environ},
        capture_output=True,
        text=True,
        timeout=GIVE_UP_SECONDS,
        check=False,
    )


@pytest.fixture(scope="module")
def posted(relay: Deployment, clients: Mapping[str, ExampleClient]) -> Sequence[str]:
    """The ids of an event for each card, those last that stop the calls of others."""
    for card in sorted(CARDS, key=lambda card: card.id in STOPS_OTHERS):
        event = card.build_event(card.id)
        wait_until(lambda: relay.caller.post(event).ok, GIVE_UP_SECONDS, "room for an event")  # noqa: B023
        if card.id == LOST_MESSAGE:
            look_at_once(relay, card.id)
    return [card.id for card in CARDS]


def look_at_once(relay: Deployment, event_id: str) -> None:
    """Once the event's message was sent, make the look for it due, whose wait is a minute."""

    def is_sent() -> bool:
        return bool(relay.caller.record(event_id)["tasks"]["message"]["attempts"] == 1)

    wait_until(is_sent, GIVE_UP_SECONDS, "the send of a message")
    with relay.connect() as client:
        client.zadd("{relay}:due", {event_id: 1}, xx=True)
    wait_until(lambda: relay.caller.record(event_id)["complete"], GIVE_UP_SECONDS, "the look")


@pytest.mark.usefixtures("posted")
@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_a_test_card_acts_as_described(relay: Deployment, card: Card) -> None:
    """The record of its event ends with the row's last status, its code and its tasks."""
    of_event, *of_tasks = re.split(r"(?=`tasks\.)", card.record)
    words = re.findall(r"`(\w+)`", of_event)
    (*_, status) = [word for word in words if word in {*Status}]
    record = relay.caller.wait_for(card.id, status)
    if of_tasks:
        wait_until(lambda: relay.caller.record(card.id)["complete"], GIVE_UP_SECONDS, "its tasks")
        record = relay.caller.record(card.id)

    assert [word for word in words if word in {*FailureCode}] == codes_of(record)
    assert ("`session` null" in of_event) == (status == "opened" and record["session"] is None)
    assert [re.findall(r"`(?:tasks\.)?(\w+)`", text) for text in of_tasks] == [
        [name, task["status"], *codes_of(task)] for name, task in (record["tasks"] or {}).items()
    ]


def codes_of(described: Mapping[str, Any]) -> list[str]:
    """The failure code of a record or a task, if it has a failure."""
    return [described["failure"]["code"]] if described["failure"] else []


@pytest.mark.usefixtures("posted")
def test_a_merged_member_is_followed_to_the_last_user(relay: Deployment) -> None:
    """The chat is the user's that the others were merged into."""
    record = relay.caller.wait_for("stand-in-merged-2", "opened")

    assert ("stand-in-merged-0", "stand-in-merged-2") == (record["user_id"], record["member_id"])
