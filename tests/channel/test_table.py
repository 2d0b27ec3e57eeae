"""The table of what happened and whether it created a chat, row by row."""

import time
from dataclasses import dataclass

import pytest

from app.channel.answers import TABLE
from app.chats.outcome import Created, Denied, Outcome, Refused, Throttled, Unknown
from app.chats.record import FailureCode
from tests.channel.calls import AMPLE_SECONDS, SHORT_SECONDS, client_of, http, open_chat
from tests.channel.raw_server import RawServer, say
from tests.stack.channel_io import Behaviour, ChannelIo
from tests.stack.processes import wait_until

B = Behaviour
NOT_FOUND = FailureCode.USER_NOT_FOUND
REJECTED = FailureCode.REJECTED
NO_ANSWER = FailureCode.NO_ANSWER
UNREADABLE = FailureCode.UNREADABLE_ANSWER


@dataclass(frozen=True)
class Row:
    """What Channel.io does, what that is, and how many chats there are afterwards."""

    behaviour: B
    outcome: type[Outcome]
    status: int | None
    code: FailureCode | None = None
    creates: int = 0
    seconds: float = AMPLE_SECONDS


ROWS = (
    Row(B.CREATE, Created, 200, creates=1),
    Row(B.CREATE_201, Created, 201, creates=1),
    Row(B.CREATE_CHUNKED, Created, 200, creates=1),
    Row(B.CREATE_GZIP, Created, 200, creates=1),
    Row(B.NO_SESSION, Created, 200, creates=1),
    Row(B.NO_USER_SESSION, Created, 200, creates=1),
    Row(B.ODD_SESSIONS, Created, 200, creates=1),
    Row(B.HANDLING_OBJECT, Created, 200, creates=1),
    Row(B.NO_CONTENT_204, Unknown, 204, UNREADABLE, creates=1),
    Row(B.NO_CHAT_ID, Unknown, 200, UNREADABLE, creates=1),
    Row(B.NO_USER_CHAT, Unknown, 200, UNREADABLE, creates=1),
    Row(B.BAD_CHAT_ID, Unknown, 200, UNREADABLE, creates=1),
    Row(B.BAD_CHAT_ID_EMPTY, Unknown, 200, UNREADABLE, creates=1),
    Row(B.BAD_CHAT_ID_SLASH, Unknown, 200, UNREADABLE, creates=1),
    Row(B.BAD_CHAT_ID_LONG, Unknown, 200, UNREADABLE, creates=1),
    Row(B.BAD_CHAT_ID_CONTROL, Unknown, 200, UNREADABLE, creates=1),
    Row(B.BAD_CHAT_ID_SURROGATE, Unknown, 200, UNREADABLE, creates=1),
    Row(B.BROKEN_JSON_200, Unknown, 200, UNREADABLE, creates=1),
    Row(B.DEEP_JSON_200, Unknown, 200, UNREADABLE, creates=1),
    Row(B.LIST_200, Unknown, 200, UNREADABLE, creates=1),
    Row(B.HUGE_BODY, Unknown, 200, UNREADABLE, creates=1),
    Row(B.GZIP_BOMB, Unknown, 200, UNREADABLE, creates=1),
    Row(B.HTML_200, Unknown, 200, UNREADABLE),
    Row(B.CREATE_THEN_TRUNCATE, Unknown, 200, UNREADABLE, creates=1),
    Row(B.CREATE_THEN_TRUNCATE_CHUNKED, Unknown, 200, UNREADABLE, creates=1),
    Row(B.UNAUTHORIZED, Denied, 401),
    Row(B.FORBIDDEN, Denied, 403),
    Row(B.REDIRECT, Denied, 302),
    Row(B.REDIRECT_307, Denied, 307),
    Row(B.METHOD_NOT_ALLOWED, Denied, 405),
    Row(B.GONE, Denied, 410),
    Row(B.USER_NOT_FOUND, Refused, 404, NOT_FOUND),
    Row(B.USER_NOT_FOUND_422, Refused, 422, NOT_FOUND),
    Row(B.REJECTED_422, Refused, 422, REJECTED),
    Row(B.BAD_REQUEST, Refused, 400, REJECTED),
    Row(B.TOO_LARGE, Refused, 413, REJECTED),
    Row(B.UNSUPPORTED_MEDIA_TYPE, Refused, 415, REJECTED),
    Row(B.TEAPOT, Refused, 418, REJECTED),
    Row(B.THROTTLED, Throttled, 429),
    Row(B.THROTTLED_BARE, Throttled, 429),
    Row(B.THROTTLED_RESET, Throttled, 429),
    Row(B.THROTTLED_ABSURD, Throttled, 429),
    Row(B.REQUEST_TIMEOUT, Unknown, 408, NO_ANSWER),
    Row(B.CONFLICT, Unknown, 409, NO_ANSWER),
    Row(B.SERVER_ERROR, Unknown, 500, NO_ANSWER),
    Row(B.BAD_GATEWAY_HTML, Unknown, 502, NO_ANSWER),
    Row(B.UNAVAILABLE, Unknown, 503, NO_ANSWER),
    Row(B.GATEWAY_TIMEOUT, Unknown, 504, NO_ANSWER),
    Row(B.CREATE_THEN_GATEWAY_TIMEOUT, Unknown, 504, NO_ANSWER, creates=1),
    Row(B.CLOSE_WITHOUT_CREATE, Unknown, None, NO_ANSWER),
    Row(B.CREATE_THEN_CLOSE, Unknown, None, NO_ANSWER, creates=1),
    Row(B.CREATE_THEN_RESET, Unknown, None, NO_ANSWER, creates=1),
    Row(B.HUGE_HEADERS, Unknown, None, NO_ANSWER, creates=1),
    Row(B.GARBAGE, Unknown, None, NO_ANSWER, creates=1),
    Row(B.SILENCE, Unknown, None, NO_ANSWER, seconds=SHORT_SECONDS),
    Row(B.CREATE_THEN_SILENCE, Unknown, None, NO_ANSWER, creates=1, seconds=SHORT_SECONDS),
    Row(B.CREATE_SLOW, Unknown, None, NO_ANSWER, creates=1, seconds=SHORT_SECONDS),
    Row(B.CREATE_DRIP, Unknown, None, NO_ANSWER, creates=1, seconds=SHORT_SECONDS),
    Row(B.WAIT_THEN_CREATE, Unknown, None, NO_ANSWER, seconds=SHORT_SECONDS),
    Row(B.CREATE_THEN_WAIT, Unknown, None, NO_ANSWER, creates=1, seconds=SHORT_SECONDS),
)

ODD_STATUSES = (101, 103, 199, 600, 999)


@pytest.mark.usefixtures("no_call_is_left")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.behaviour)
def test_each_row_is_taken_for_what_it_is(stand_in: ChannelIo, row: Row) -> None:
    """One POST without a body goes out, and its outcome says what the stand-in knows."""
    user_id = f"row-{ROWS.index(row)}"
    stand_in.plan(row.behaviour, user_id=user_id)

    deadline = time.monotonic() + row.seconds
    outcome = client_of(stand_in.url).open_chat(user_id, deadline=deadline)
    wait_until(lambda: len(requests_of(stand_in, user_id)) > 0, 5, "the request to arrive")
    wait_until(lambda: len(stand_in.creates_of(user_id)) >= row.creates, 5, "the chat to be made")
    creates = len(stand_in.creates_of(user_id))
    stand_in.release()

    path = f"/open/v4/users/{user_id}/user-chats"
    assert row.outcome is type(outcome)
    assert row.status == outcome.upstream_status
    assert row.code == getattr(outcome, "code", None)
    assert row.creates == creates
    assert [("POST", path, b"")] == requests_of(stand_in, user_id)


def requests_of(stand_in: ChannelIo, user_id: str) -> list[tuple[str, str, bytes]]:
    """What the stand-in was asked about one user: method, path and body."""
    asked = [(said.method, said.path, said.body) for said in stand_in.requests]
    return [request for request in asked if f"/{user_id}/" in request[1]]


def test_the_walk_knows_every_behaviour() -> None:
    """A behaviour that is added to the stand-in must be given a row here."""
    assert set(B) == {row.behaviour for row in ROWS}


@pytest.mark.parametrize("status", ODD_STATUSES)
def test_a_status_that_nobody_defined_is_unknown(status: int) -> None:
    """It proves nothing, so it is held, even with a body that looks right."""
    with RawServer(say(http(status, b""))) as server:
        outcome = open_chat(server.url)

    assert isinstance(outcome, Unknown)
    assert (UNREADABLE, status) == (outcome.code, outcome.upstream_status)


def test_the_walk_knows_every_row_of_the_table() -> None:
    """No row of the client's table is there without having been walked."""
    walked = {row.status for row in ROWS if row.status} | set(ODD_STATUSES)

    decided = {next(i for i, row in enumerate(TABLE) if said in row.statuses) for said in walked}

    assert set(range(len(TABLE))) == decided


def test_every_status_that_http_can_write_is_in_the_table() -> None:
    """Three digits are what http.client lets through."""
    assert all(any(said in row.statuses for row in TABLE) for said in range(100, 1000))
