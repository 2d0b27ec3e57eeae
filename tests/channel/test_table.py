"""The table of what happened and whether it created a chat, row by row."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from app.channel.answers import TABLE
from app.channel.attempt import CallContext
from app.chats.outcome import Created, Denied, Outcome, Refused, Throttled, Unknown
from app.chats.record import FailureCode
from tests.channel.calls import AMPLE_SECONDS, SHORT_SECONDS, client_of, http, open_chat
from tests.channel.patched import Ended, PatchedCall, make_calls
from tests.channel.raw_server import RawServer, say
from tools.stack.channel_io import Behaviour, ChannelIo

B = Behaviour
NOT_FOUND = FailureCode.USER_NOT_FOUND
REJECTED = FailureCode.REJECTED
NO_ANSWER = FailureCode.NO_ANSWER
UNREADABLE = FailureCode.UNREADABLE_ANSWER


@dataclass(frozen=True)
class ExpectedAnswer:
    """Channel.io's behaviour, the expected outcome, and the number of chats."""

    behaviour: B
    outcome: type[Outcome]
    status: int | None
    code: FailureCode | None = None
    creates: int = 0


ROWS = (
    ExpectedAnswer(B.CREATE, Created, 200, creates=1),
    ExpectedAnswer(B.CREATE_201, Created, 201, creates=1),
    ExpectedAnswer(B.CREATE_CHUNKED, Created, 200, creates=1),
    ExpectedAnswer(B.CREATE_GZIP, Created, 200, creates=1),
    ExpectedAnswer(B.NO_SESSION, Created, 200, creates=1),
    ExpectedAnswer(B.NO_USER_SESSION, Created, 200, creates=1),
    ExpectedAnswer(B.ODD_SESSIONS, Created, 200, creates=1),
    ExpectedAnswer(B.HANDLING_OBJECT, Created, 200, creates=1),
    ExpectedAnswer(B.NO_CONTENT_204, Unknown, 204, UNREADABLE, creates=1),
    ExpectedAnswer(B.NO_CHAT_ID, Unknown, 200, UNREADABLE, creates=1),
    ExpectedAnswer(B.NO_USER_CHAT, Unknown, 200, UNREADABLE, creates=1),
    ExpectedAnswer(B.BAD_CHAT_ID, Unknown, 200, UNREADABLE, creates=1),
    ExpectedAnswer(B.BAD_CHAT_ID_EMPTY, Unknown, 200, UNREADABLE, creates=1),
    ExpectedAnswer(B.BAD_CHAT_ID_SLASH, Unknown, 200, UNREADABLE, creates=1),
    ExpectedAnswer(B.BAD_CHAT_ID_LONG, Unknown, 200, UNREADABLE, creates=1),
    ExpectedAnswer(B.BAD_CHAT_ID_CONTROL, Unknown, 200, UNREADABLE, creates=1),
    ExpectedAnswer(B.BAD_CHAT_ID_SURROGATE, Unknown, 200, UNREADABLE, creates=1),
    ExpectedAnswer(B.BROKEN_JSON_200, Unknown, 200, UNREADABLE, creates=1),
    ExpectedAnswer(B.DEEP_JSON_200, Unknown, 200, UNREADABLE, creates=1),
    ExpectedAnswer(B.LIST_200, Unknown, 200, UNREADABLE, creates=1),
    ExpectedAnswer(B.HUGE_BODY, Unknown, 200, UNREADABLE, creates=1),
    ExpectedAnswer(B.GZIP_BOMB, Unknown, 200, UNREADABLE, creates=1),
    ExpectedAnswer(B.HTML_200, Unknown, 200, UNREADABLE),
    ExpectedAnswer(B.CREATE_THEN_TRUNCATE, Unknown, 200, UNREADABLE, creates=1),
    ExpectedAnswer(B.CREATE_THEN_TRUNCATE_CHUNKED, Unknown, 200, UNREADABLE, creates=1),
    ExpectedAnswer(B.UNAUTHORIZED, Denied, 401),
    ExpectedAnswer(B.FORBIDDEN, Denied, 403),
    ExpectedAnswer(B.REDIRECT, Denied, 302),
    ExpectedAnswer(B.REDIRECT_307, Denied, 307),
    ExpectedAnswer(B.METHOD_NOT_ALLOWED, Denied, 405),
    ExpectedAnswer(B.GONE, Denied, 410),
    ExpectedAnswer(B.USER_NOT_FOUND, Refused, 404, NOT_FOUND),
    ExpectedAnswer(B.USER_NOT_FOUND_422, Refused, 422, NOT_FOUND),
    ExpectedAnswer(B.REJECTED_422, Refused, 422, REJECTED),
    ExpectedAnswer(B.BAD_REQUEST, Refused, 400, REJECTED),
    ExpectedAnswer(B.TOO_LARGE, Refused, 413, REJECTED),
    ExpectedAnswer(B.UNSUPPORTED_MEDIA_TYPE, Refused, 415, REJECTED),
    ExpectedAnswer(B.TEAPOT, Refused, 418, REJECTED),
    ExpectedAnswer(B.THROTTLED, Throttled, 429),
    ExpectedAnswer(B.THROTTLED_BARE, Throttled, 429),
    ExpectedAnswer(B.THROTTLED_RESET, Throttled, 429),
    ExpectedAnswer(B.THROTTLED_ABSURD, Throttled, 429),
    ExpectedAnswer(B.REQUEST_TIMEOUT, Unknown, 408, NO_ANSWER),
    ExpectedAnswer(B.CONFLICT, Unknown, 409, NO_ANSWER),
    ExpectedAnswer(B.SERVER_ERROR, Unknown, 500, NO_ANSWER),
    ExpectedAnswer(B.BAD_GATEWAY_HTML, Unknown, 502, NO_ANSWER),
    ExpectedAnswer(B.UNAVAILABLE, Unknown, 503, NO_ANSWER),
    ExpectedAnswer(B.GATEWAY_TIMEOUT, Unknown, 504, NO_ANSWER),
    ExpectedAnswer(B.CREATE_THEN_GATEWAY_TIMEOUT, Unknown, 504, NO_ANSWER, creates=1),
    ExpectedAnswer(B.CLOSE_WITHOUT_CREATE, Unknown, None, NO_ANSWER),
    ExpectedAnswer(B.CLOSE_THEN_CREATE, Unknown, None, NO_ANSWER),  # made at the next release
    ExpectedAnswer(B.CREATE_THEN_CLOSE, Unknown, None, NO_ANSWER, creates=1),
    ExpectedAnswer(B.CREATE_THEN_RESET, Unknown, None, NO_ANSWER, creates=1),
    ExpectedAnswer(B.HUGE_HEADERS, Unknown, None, NO_ANSWER, creates=1),
    ExpectedAnswer(B.GARBAGE, Unknown, None, NO_ANSWER, creates=1),
)

# No answer comes until the deadline, which fires in patched processes alone.
LATE_ROWS = (
    ExpectedAnswer(B.SILENCE, Unknown, None, NO_ANSWER),
    ExpectedAnswer(B.CREATE_THEN_SILENCE, Unknown, None, NO_ANSWER, creates=1),
    ExpectedAnswer(B.CREATE_SLOW, Unknown, None, NO_ANSWER, creates=1),
    ExpectedAnswer(B.CREATE_DRIP, Unknown, None, NO_ANSWER, creates=1),
    ExpectedAnswer(B.WAIT_THEN_CREATE, Unknown, None, NO_ANSWER),
    ExpectedAnswer(B.CREATE_THEN_WAIT, Unknown, None, NO_ANSWER, creates=1),
)

ODD_STATUSES = (600, 999)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.behaviour)
def test_each_row_is_taken_for_what_it_is(stand_in: ChannelIo, row: ExpectedAnswer) -> None:
    """One POST without a body is sent, and its outcome agrees with the stand-in."""
    user_id = f"row-{ROWS.index(row)}"
    stand_in.plan(row.behaviour, user_id=user_id)

    deadline = time.monotonic() + AMPLE_SECONDS
    outcome = client_of(stand_in.url).open_chat(user_id, CallContext(deadline))

    assert_is(row, outcome)
    assert row.creates == len(stand_in.creates_of(user_id))
    assert [request_for(user_id)] == requests_of(stand_in, user_id)


@pytest.fixture(scope="module")
def late_outcomes(
    running_stand_in: ChannelIo, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Ended]]:
    """Result of a call for each row without an answer; all calls run at once."""
    for row in LATE_ROWS:
        running_stand_in.plan(row.behaviour, user_id=row.behaviour)
    calls = [
        PatchedCall(url=running_stand_in.url, seconds=SHORT_SECONDS, user_id=row.behaviour)
        for row in LATE_ROWS
    ]
    yield make_calls(tmp_path_factory.mktemp("table"), *calls)
    running_stand_in.release()
    running_stand_in.behave_well()


@pytest.mark.parametrize("row", LATE_ROWS, ids=lambda row: row.behaviour)
def test_each_row_without_an_answer_ends_at_the_deadline(
    running_stand_in: ChannelIo, late_outcomes: list[Ended], row: ExpectedAnswer
) -> None:
    """As above; whether a chat was made is known to the stand-in alone."""
    ended = late_outcomes[LATE_ROWS.index(row)]

    assert ended.outcome is not None
    assert_is(row, ended.outcome)
    assert SHORT_SECONDS <= ended.seconds < AMPLE_SECONDS / 2
    assert row.creates == len(running_stand_in.creates_of(row.behaviour))
    assert [request_for(row.behaviour)] == requests_of(running_stand_in, row.behaviour)


def assert_is(row: ExpectedAnswer, outcome: Outcome) -> None:
    """Hold an outcome to its row."""
    assert row.outcome is type(outcome)
    assert row.status == outcome.upstream_status
    assert row.code == getattr(outcome, "code", None)


def request_for(user_id: str) -> tuple[str, str, bytes]:
    """The only request that may be sent for a user: method, path and body."""
    return "POST", f"/open/v4/users/{user_id}/user-chats", b""


def requests_of(stand_in: ChannelIo, user_id: str) -> list[tuple[str, str, bytes]]:
    """Return the stand-in's requests for one user: method, path and body."""
    asked = [(said.method, said.path, said.body) for said in stand_in.requests]
    return [request for request in asked if f"/{user_id}/" in request[1]]


def test_every_behaviour_is_in_the_table() -> None:
    """A behaviour that is added to the stand-in must be given a row here."""
    assert set(B) == {row.behaviour for row in ROWS + LATE_ROWS}


@pytest.mark.parametrize("status", ODD_STATUSES)
def test_an_undefined_status_is_unknown(status: int) -> None:
    """It proves nothing, so it is held, even with a body that looks right."""
    with RawServer(say(http(status, b""))) as server:
        outcome = open_chat(server.url)

    assert isinstance(outcome, Unknown)
    assert (UNREADABLE, status) == (outcome.code, outcome.upstream_status)


def test_every_row_of_the_table_is_tried() -> None:
    """No row of the client's table is there without having been walked."""
    # 407 is a proxy's; the tests of the proxy walk it
    walked = {row.status for row in ROWS if row.status} | {407, *ODD_STATUSES}

    decided = {next(i for i, row in enumerate(TABLE) if said in row.statuses) for said in walked}

    assert set(range(len(TABLE))) == decided


def test_every_status_that_http_can_write_is_in_the_table() -> None:
    """Three digits are what http.client lets through."""
    assert all(any(said in row.statuses for row in TABLE) for said in range(100, 1000))
