"""Tests of the stand-in: its behaviours, and its ledger of chats."""

import json
import re
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from select import select

import pytest
import requests

from tools.stack.channel_io import CHANNEL_ID, PERSONAL, Behaviour, ChannelIo, Withheld
from tools.stack.processes import free_port, start_child, stop_child, wait_until

KEYS = {"x-access-key": "key", "x-access-secret": "secret"}
NOTHING = None  # instead of a status

# The status of the answer, and the number of chats afterwards.
ANSWERS: dict[Behaviour, tuple[int | None, int]] = {
    Behaviour.CREATE: (200, 1),
    Behaviour.USER_NOT_FOUND: (404, 0),
    Behaviour.USER_NOT_FOUND_422: (422, 0),
    Behaviour.REJECTED_422: (422, 0),
    Behaviour.BAD_REQUEST: (400, 0),
    Behaviour.UNAUTHORIZED: (401, 0),
    Behaviour.FORBIDDEN: (403, 0),
    Behaviour.METHOD_NOT_ALLOWED: (405, 0),
    Behaviour.GONE: (410, 0),
    Behaviour.TOO_LARGE: (413, 0),
    Behaviour.UNSUPPORTED_MEDIA_TYPE: (415, 0),
    Behaviour.TEAPOT: (418, 0),
    Behaviour.REDIRECT: (302, 0),
    Behaviour.REDIRECT_307: (307, 0),
    Behaviour.THROTTLED: (429, 0),
    Behaviour.THROTTLED_BARE: (429, 0),
    Behaviour.THROTTLED_RESET: (429, 0),
    Behaviour.THROTTLED_ABSURD: (429, 0),
    Behaviour.REQUEST_TIMEOUT: (408, 0),
    Behaviour.CONFLICT: (409, 0),
    Behaviour.SERVER_ERROR: (500, 0),
    Behaviour.BAD_GATEWAY_HTML: (502, 0),
    Behaviour.UNAVAILABLE: (503, 0),
    Behaviour.GATEWAY_TIMEOUT: (504, 0),
    Behaviour.HTML_200: (200, 0),
    Behaviour.SILENCE: (NOTHING, 0),
    Behaviour.CLOSE_WITHOUT_CREATE: (NOTHING, 0),
    Behaviour.CREATE_THEN_CLOSE: (NOTHING, 1),
    Behaviour.CREATE_THEN_RESET: (NOTHING, 1),
    Behaviour.CREATE_THEN_TRUNCATE: (200, 1),
    Behaviour.CREATE_THEN_TRUNCATE_CHUNKED: (200, 1),
    Behaviour.CREATE_THEN_SILENCE: (NOTHING, 1),
    Behaviour.CREATE_THEN_GATEWAY_TIMEOUT: (504, 1),
    Behaviour.CREATE_SLOW: (200, 1),
    Behaviour.CREATE_DRIP: (200, 1),
    Behaviour.WAIT_THEN_CREATE: (NOTHING, 0),
    Behaviour.CREATE_THEN_WAIT: (NOTHING, 1),
    Behaviour.CLOSE_THEN_CREATE: (NOTHING, 0),
    Behaviour.CREATE_201: (201, 1),
    Behaviour.CREATE_CHUNKED: (200, 1),
    Behaviour.CREATE_GZIP: (200, 1),
    Behaviour.NO_SESSION: (200, 1),
    Behaviour.NO_USER_SESSION: (200, 1),
    Behaviour.ODD_SESSIONS: (200, 1),
    Behaviour.HANDLING_OBJECT: (200, 1),
    Behaviour.NO_CONTENT_204: (204, 1),
    Behaviour.NO_CHAT_ID: (200, 1),
    Behaviour.NO_USER_CHAT: (200, 1),
    Behaviour.BAD_CHAT_ID: (200, 1),
    Behaviour.BAD_CHAT_ID_EMPTY: (200, 1),
    Behaviour.BAD_CHAT_ID_SLASH: (200, 1),
    Behaviour.BAD_CHAT_ID_LONG: (200, 1),
    Behaviour.BAD_CHAT_ID_SURROGATE: (200, 1),
    Behaviour.BAD_CHAT_ID_CONTROL: (200, 1),
    Behaviour.BROKEN_JSON_200: (200, 1),
    Behaviour.DEEP_JSON_200: (200, 1),
    Behaviour.LIST_200: (200, 1),
    Behaviour.HUGE_BODY: (200, 1),
    Behaviour.GZIP_BOMB: (200, 1),
    Behaviour.HUGE_HEADERS: (200, 1),
    Behaviour.GARBAGE: (NOTHING, 1),
}


@pytest.fixture
def stand_in() -> Iterator[ChannelIo]:
    """A stand-in that creates."""
    with ChannelIo() as stand_in:
        yield stand_in


def chats_url(stand_in: ChannelIo, user_id: str = "u1") -> str:
    """Return the path that creates chats for the user."""
    return f"{stand_in.url}/users/{user_id}/user-chats"


def post(stand_in: ChannelIo, user_id: str = "u1") -> requests.Response:
    """Request a chat, on a new connection."""
    return requests.post(chats_url(stand_in, user_id), headers=KEYS, timeout=30)


def post_raw(stand_in: ChannelIo, user_id: str = "u1", silence_seconds: float = 10) -> bytes:
    """Request a chat; return all bytes until the end, or until a silence of this length."""
    with socket.create_connection(
        ("127.0.0.1", stand_in.port), timeout=silence_seconds
    ) as connection:
        connection.sendall(request_bytes(user_id))
        return b"".join(received(connection))


def request_bytes(user_id: str) -> bytes:
    """Build a request for a chat, the last one on its connection."""
    lines = [f"POST /open/v4/users/{user_id}/user-chats HTTP/1.1", "Host: h", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in KEYS.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def received(connection: socket.socket) -> Iterator[bytes]:
    """Read everything until the connection ends."""
    try:
        yield from iter(lambda: connection.recv(65536), b"")
    except (TimeoutError, ConnectionResetError):
        return


def status_in(raw: bytes) -> int | None:
    """Return the status of an answer, None if there is none."""
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", raw)
    return int(found[1]) if found else None


def status_and_body(raw: bytes) -> tuple[int | None, bool]:
    """Return the status of an answer, and whether any of its body has come."""
    return status_in(raw), bool(raw.partition(b"\r\n\r\n")[2])


def test_every_behaviour_is_in_the_table() -> None:
    """A new behaviour needs a row."""
    assert set(ANSWERS) == set(Behaviour)


@pytest.mark.parametrize("behaviour", Behaviour)
def test_each_behaviour_answers_and_creates_as_in_the_table(
    stand_in: ChannelIo, behaviour: Behaviour
) -> None:
    """The user id names the behaviour; the answer and the count are those of the table."""
    if behaviour in {Behaviour.CREATE_SLOW, Behaviour.CREATE_DRIP}:
        stand_in.plan(behaviour, user_id=behaviour.user_id, seconds=1e-6)

    status, creates = ANSWERS[behaviour]
    patience_seconds = 0.3 if status is NOTHING else 30

    answer = post_raw(stand_in, behaviour.user_id, patience_seconds)

    wait_until(lambda: len(stand_in.creates) >= creates, 30, "the chat to be made")
    assert (status, creates) == (status_in(answer), len(stand_in.creates))


def test_every_post_makes_a_new_chat(stand_in: ChannelIo) -> None:
    """Two calls are two chats, in state ``initial``, as in the ledger."""
    before = int(time.time())

    chats = [post(stand_in).json()["userChat"] for _ in range(2)]

    assert [create.chat_id for create in stand_in.creates] == [chat["id"] for chat in chats]
    assert chats[0]["id"] != chats[1]["id"]
    assert re.fullmatch(r"[0-9a-f]{20}", chats[0]["id"])
    assert before <= int(chats[0]["id"][:8], 16) <= time.time()
    assert {("initial", CHANNEL_ID)} == {(chat["state"], chat["channelId"]) for chat in chats}


def test_a_chat_made_by_the_api_is_in_no_list(stand_in: ChannelIo) -> None:
    """A look-up cannot show whether a lost POST made a chat."""
    post(stand_in)

    listed = requests.get(chats_url(stand_in), headers=KEYS, timeout=30)

    assert [] == listed.json()["userChats"]


def test_the_answer_holds_personal_data(stand_in: ChannelIo) -> None:
    """Tests can search for it in logs and records."""
    answer = post(stand_in).text

    assert all(secret in answer for secret in PERSONAL)


@pytest.mark.parametrize("keys", [{}, KEYS | {"x-access-secret": "wrong"}, {"x-access-key": "key"}])
def test_wrong_or_missing_keys_create_nothing(stand_in: ChannelIo, keys: dict[str, str]) -> None:
    """Both keys must be right."""
    answer = requests.post(chats_url(stand_in), headers=keys, timeout=30)

    assert 401 == answer.status_code
    assert [] == stand_in.creates


@pytest.mark.parametrize(
    ("base", "status"), [("/open", 200), ("/open/v4", 200), ("/open/v5", 200), ("/v4", 404)]
)
def test_three_base_urls_are_served(stand_in: ChannelIo, base: str, status: int) -> None:
    """A wrong base URL answers 404 to everything."""
    root = f"http://127.0.0.1:{stand_in.port}{base}"

    made = requests.post(f"{root}/users/u1/user-chats", headers=KEYS, timeout=30)
    probed = requests.get(f"{root}/channel", headers=KEYS, timeout=30)

    assert (status, status) == (made.status_code, probed.status_code)


def test_plans_come_first_and_each_is_used_once(stand_in: ChannelIo) -> None:
    """The plan for the user precedes that for any user, and both the permanent behaviour."""
    stand_in.always(Behaviour.UNAVAILABLE)
    stand_in.plan(Behaviour.CONFLICT, Behaviour.GONE)
    stand_in.plan(Behaviour.FORBIDDEN, user_id="u1")

    statuses = [post(stand_in).status_code for _ in range(4)]
    stand_in.behave_well()

    assert [403, 409, 410, 503] == statuses
    assert 200 == post(stand_in).status_code


def test_a_throttle_sends_the_planned_pause(stand_in: ChannelIo) -> None:
    """``retry_after`` is sent unchanged."""
    stand_in.plan(Behaviour.THROTTLED, retry_after="17")

    assert "17" == post(stand_in).headers["Retry-After"]


def test_a_probe_never_creates(stand_in: ChannelIo) -> None:
    """``GET {base}/channel`` has a behaviour of its own."""
    url = f"{stand_in.url}/channel"

    good = requests.get(url, headers=KEYS, timeout=30)
    stand_in.probe_with(Behaviour.CREATE_THEN_GATEWAY_TIMEOUT)
    bad = requests.get(url, headers=KEYS, timeout=30)

    assert (CHANNEL_ID, 504) == (good.json()["channel"]["id"], bad.status_code)
    assert [] == stand_in.creates


@pytest.mark.parametrize(
    ("behaviour", "before", "after"),
    [(Behaviour.WAIT_THEN_CREATE, 0, 2), (Behaviour.CREATE_THEN_WAIT, 2, 2)],
)
def test_requests_are_held_until_released(
    stand_in: ChannelIo, behaviour: Behaviour, before: int, after: int
) -> None:
    """The ledger is right while requests are held, before any byte of an answer."""
    stand_in.always(behaviour)

    with ThreadPoolExecutor() as callers:
        calls = [callers.submit(post, stand_in) for _ in range(2)]
        stand_in.wait_for_arrivals(2)
        assert before == len(stand_in.creates)
        stand_in.release()

    assert [200, 200] == [call.result().status_code for call in calls]
    assert after == len(stand_in.creates)


@pytest.mark.parametrize(
    ("behaviour", "withheld", "early", "whole", "creates"),
    [
        (Behaviour.CREATE, Withheld.ANSWER, None, (200, True), 1),
        (Behaviour.CREATE, Withheld.BODY, (200, False), (200, True), 1),
        (Behaviour.USER_NOT_FOUND, Withheld.BODY, (404, False), (404, True), 0),
        (Behaviour.CREATE_THEN_CLOSE, Withheld.ANSWER, None, (NOTHING, False), 1),
    ],
)
def test_an_answer_is_withheld_until_released(
    stand_in: ChannelIo,
    *,
    behaviour: Behaviour,
    withheld: Withheld,
    early: tuple[int | None, bool] | None,
    whole: tuple[int | None, bool],
    creates: int,
) -> None:
    """The answer is withheld whole or after its head; the request is executed."""
    stand_in.plan(behaviour, withheld=withheld)

    with socket.create_connection(("127.0.0.1", stand_in.port), timeout=30) as connection:
        connection.sendall(request_bytes("u1"))
        stand_in.wait_for_arrivals()
        has_come = bool(select([connection], [], [], 0)[0])
        head = connection.recv(65536) if has_come else b""
        assert early == (status_and_body(head) if has_come else None)
        assert creates == len(stand_in.creates)
        stand_in.release()

        assert whole == status_and_body(head + b"".join(received(connection)))


def test_a_stop_cuts_held_requests(stand_in: ChannelIo) -> None:
    """Held requests create nothing; port and ledger are the same after a restart."""
    post(stand_in)
    stand_in.plan(Behaviour.WAIT_THEN_CREATE)
    with ThreadPoolExecutor() as callers:
        held = callers.submit(post_raw, stand_in)
        stand_in.wait_for_arrivals()
        stand_in.stop()

    assert b"" == held.result()
    with pytest.raises(requests.ConnectionError):
        post(stand_in)
    stand_in.start()
    assert 200 == post(stand_in).status_code
    assert 2 == len(stand_in.creates)


def test_ledger_has_requests_as_they_arrived(stand_in: ChannelIo) -> None:
    """The ledger has method, path, headers, body and connection of each request."""
    with requests.Session() as session:
        session.post(chats_url(stand_in), headers=KEYS, timeout=30)
        session.post(chats_url(stand_in), headers=KEYS, timeout=30, data=b"{}")

    first, second = stand_in.requests
    assert ("POST", "/open/v4/users/u1/user-chats") == (first.method, first.path)
    assert "key" == first.headers["x-access-key"]
    assert (False, True) == (first.has_body, second.has_body)
    assert second.client_port == first.client_port


@pytest.mark.parametrize("gives_hint", [True, False])
def test_rate_limit_admits_a_burst(*, gives_hint: bool) -> None:
    """Over the limit the answer is 429, with Retry-After if configured, and no chat is made."""
    with ChannelIo(limit_per_second=0.01, burst=3, sends_retry_after=gives_hint) as stand_in:
        answers = [post(stand_in) for _ in range(4)]

    assert [200, 200, 200, 429] == [answer.status_code for answer in answers]
    assert ["2", "1", "0", "0"] == [answer.headers["x-ratelimit-remaining"] for answer in answers]
    waits = [answer.headers.get("Retry-After") for answer in answers]
    assert [None] * 3 == waits[:3]
    assert waits[3] in (map(str, range(80, 101)) if gives_hint else [None])
    assert 3 == len(stand_in.creates)


def test_answers_take_the_planned_time() -> None:
    """Each answer takes the latency, refusals included."""
    with ChannelIo(limit_per_second=0.1, burst=1, latency_seconds=0.2) as stand_in:
        answers = [post(stand_in) for _ in range(2)]

    assert [200, 429] == [answer.status_code for answer in answers]
    assert all(answer.elapsed.total_seconds() >= 0.2 for answer in answers)


def test_truncated_answer_is_shorter_than_its_content_length(stand_in: ChannelIo) -> None:
    """The client can detect the missing bytes."""
    head, body = post_raw(stand_in, Behaviour.CREATE_THEN_TRUNCATE.user_id).split(b"\r\n\r\n")

    promised = re.search(rb"Content-Length: (\d+)", head)
    assert promised
    assert len(body) < int(promised[1])


def test_reset_is_a_reset(stand_in: ChannelIo) -> None:
    """The connection ends with an RST."""
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        post(stand_in, Behaviour.CREATE_THEN_RESET.user_id)


def test_a_separate_stand_in_is_controlled_over_http(tmp_path: Path) -> None:
    """Its routes plan behaviours and list chats; SIGTERM ends it with 0."""
    port = free_port()
    command = [sys.executable, "-m", "tools.stack.channel_io", "--port", str(port)]
    with (tmp_path / "output").open("wb") as output:
        child = start_child(command, output=output)
    wait_until((tmp_path / "output").read_text, 30, "the stand-in to serve")
    control = f"http://127.0.0.1:{port}/stand-in"
    separate = ChannelIo(port=port)

    body = {"behaviour": "create-then-gateway-timeout", "times": 1}
    requests.put(f"{control}/behaviour", data=json.dumps(body), timeout=30).raise_for_status()
    statuses = [post(separate).status_code for _ in range(2)]
    creates = requests.get(f"{control}/creates", timeout=30).json()

    assert [504, 200] == statuses
    assert ["u1", "u1"] == [create["user_id"] for create in creates]
    assert 0 == stop_child(child)
