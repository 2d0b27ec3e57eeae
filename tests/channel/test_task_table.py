"""The outcome of each answer to a task's requests, row by row: reads and writes."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from socket import create_server, socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.channel.answers import READ_TABLES, WRITE_TABLE
from app.chats.grant import Grant, Task
from app.chats.outcome import (
    Created,
    Denied,
    Done,
    LookFailed,
    NotSent,
    Outcome,
    Refused,
    Resolved,
    Throttled,
    Unknown,
)
from app.chats.record import FailureCode
from tests.channel.calls import CHAT_ID, SHORT_SECONDS, http, open_chat
from tests.channel.grants import (
    message_of,
    open_of,
    perform,
    perform_counted,
    request_lines,
    resolve_of,
)
from tests.channel.patched import Ended, PatchedCall, make_calls
from tests.channel.raw_server import RawServer, read_request, say, say_in_turn
from tools.stack.channel_io import Behaviour, ChannelIo, Message, Open, Operation

B = Behaviour
CHAT_NOT_FOUND = FailureCode.CHAT_NOT_FOUND
USER_NOT_FOUND = FailureCode.USER_NOT_FOUND
REJECTED = FailureCode.REJECTED
NO_ANSWER = FailureCode.NO_ANSWER

EMPTY_AND_INITIAL = b'{"messages": [], "userChat": {"state": "initial"}}'

# The look before a write, and the write; a resolve is one look.
LOOKS = {
    Task.RESOLVE: Operation.RESOLVE,
    Task.MESSAGE: Operation.LIST_MESSAGES,
    Task.OPEN: Operation.GET_CHAT,
}
WRITES = {Task.MESSAGE: Operation.MESSAGE, Task.OPEN: Operation.OPEN}


@dataclass(frozen=True)
class ExpectedTask:
    """Channel.io's behaviour, the status, and the outcome of a read and of a write.

    ``None`` for a read: it is good, and the task goes on.
    """

    behaviour: B
    status: int | None
    read: type[Outcome] | None
    write: type[Outcome]
    code: FailureCode | None = None
    effects: int = 0


ROWS = (
    *(
        ExpectedTask(behaviour, 200, None, Done, effects=1)
        for behaviour in (
            *(B.CREATE, B.CREATE_CHUNKED, B.CREATE_GZIP, B.NO_SESSION, B.NO_USER_SESSION),
            *(B.ODD_SESSIONS, B.HANDLING_OBJECT, B.BAD_CHAT_ID, B.BAD_CHAT_ID_EMPTY),
            *(B.BAD_CHAT_ID_SLASH, B.BAD_CHAT_ID_LONG, B.BAD_CHAT_ID_SURROGATE),
            *(B.BAD_CHAT_ID_CONTROL, B.NO_CHAT_ID),
        )
    ),
    ExpectedTask(B.CREATE_201, 201, None, Done, effects=1),
    ExpectedTask(B.NO_CONTENT_204, 204, LookFailed, Done, effects=1),
    *(
        ExpectedTask(behaviour, 200, LookFailed, Done, effects=1)
        for behaviour in (
            *(B.BROKEN_JSON_200, B.DEEP_JSON_200, B.LIST_200, B.HUGE_BODY, B.GZIP_BOMB),
            *(B.CREATE_THEN_TRUNCATE, B.CREATE_THEN_TRUNCATE_CHUNKED),
        )
    ),
    ExpectedTask(B.HTML_200, 200, LookFailed, Done),
    ExpectedTask(B.UNAUTHORIZED, 401, Denied, Denied),
    ExpectedTask(B.FORBIDDEN, 403, Denied, Denied),
    ExpectedTask(B.REDIRECT, 302, Denied, Denied),
    ExpectedTask(B.REDIRECT_307, 307, Denied, Denied),
    ExpectedTask(B.METHOD_NOT_ALLOWED, 405, Denied, Denied),
    ExpectedTask(B.GONE, 410, Denied, Denied),
    ExpectedTask(B.USER_NOT_FOUND, 404, Refused, Refused, CHAT_NOT_FOUND),
    ExpectedTask(B.USER_NOT_FOUND_422, 422, Refused, Refused, REJECTED),
    ExpectedTask(B.REJECTED_422, 422, Refused, Refused, REJECTED),
    ExpectedTask(B.BAD_REQUEST, 400, Refused, Refused, REJECTED),
    ExpectedTask(B.TOO_LARGE, 413, Refused, Refused, REJECTED),
    ExpectedTask(B.UNSUPPORTED_MEDIA_TYPE, 415, Refused, Refused, REJECTED),
    ExpectedTask(B.TEAPOT, 418, Refused, Refused, REJECTED),
    ExpectedTask(B.THROTTLED, 429, Throttled, Throttled),
    ExpectedTask(B.THROTTLED_BARE, 429, Throttled, Throttled),
    ExpectedTask(B.THROTTLED_RESET, 429, Throttled, Throttled),
    ExpectedTask(B.THROTTLED_ABSURD, 429, Throttled, Throttled),
    ExpectedTask(B.REQUEST_TIMEOUT, 408, LookFailed, Unknown, NO_ANSWER),
    ExpectedTask(B.CONFLICT, 409, LookFailed, Unknown, NO_ANSWER),
    ExpectedTask(B.SERVER_ERROR, 500, LookFailed, Unknown, NO_ANSWER),
    ExpectedTask(B.BAD_GATEWAY_HTML, 502, LookFailed, Unknown, NO_ANSWER),
    ExpectedTask(B.UNAVAILABLE, 503, LookFailed, Unknown, NO_ANSWER),
    ExpectedTask(B.GATEWAY_TIMEOUT, 504, LookFailed, Unknown, NO_ANSWER),
    ExpectedTask(B.CREATE_THEN_GATEWAY_TIMEOUT, 504, LookFailed, Unknown, NO_ANSWER, effects=1),
    ExpectedTask(B.CLOSE_WITHOUT_CREATE, None, LookFailed, Unknown, NO_ANSWER),
    ExpectedTask(B.CLOSE_THEN_CREATE, None, LookFailed, Unknown, NO_ANSWER),
    ExpectedTask(B.CREATE_THEN_CLOSE, None, LookFailed, Unknown, NO_ANSWER, effects=1),
    ExpectedTask(B.CREATE_THEN_RESET, None, LookFailed, Unknown, NO_ANSWER, effects=1),
    ExpectedTask(B.HUGE_HEADERS, None, LookFailed, Unknown, NO_ANSWER, effects=1),
    ExpectedTask(B.GARBAGE, None, LookFailed, Unknown, NO_ANSWER, effects=1),
)
# Answers that are good for other operations, and unreadable where the chat's state is read.
NO_STATE = ExpectedTask(B.NO_USER_CHAT, 200, LookFailed, Done, effects=1)
# No answer comes until the deadline, which fires in patched processes alone.
LATE_ROWS = (
    ExpectedTask(B.SILENCE, None, LookFailed, Unknown, NO_ANSWER),
    ExpectedTask(B.WAIT_THEN_CREATE, None, LookFailed, Unknown, NO_ANSWER),
    ExpectedTask(B.CREATE_THEN_SILENCE, None, LookFailed, Unknown, NO_ANSWER, effects=1),
    ExpectedTask(B.CREATE_SLOW, None, LookFailed, Unknown, NO_ANSWER, effects=1),
    ExpectedTask(B.CREATE_DRIP, None, LookFailed, Unknown, NO_ANSWER, effects=1),
    ExpectedTask(B.CREATE_THEN_WAIT, None, LookFailed, Unknown, NO_ANSWER, effects=1),
)


def grant_for(task: Task, chat_id: str) -> Grant:
    """Return a grant of the task, for that chat."""
    if task is Task.RESOLVE:
        return resolve_of("m1")
    return message_of(chat_id=chat_id) if task is Task.MESSAGE else open_of(chat_id)


def effects_in(stand_in: ChannelIo, chat_id: str) -> list[str]:
    """Return what was done in a chat: each message, and each open."""
    done: list[Message | Open] = [*stand_in.messages, *stand_in.opens]
    return [type(effect).__name__ for effect in done if effect.chat_id == chat_id]


@pytest.mark.parametrize("row", [*ROWS, NO_STATE], ids=lambda row: row.behaviour)
@pytest.mark.parametrize("task", WRITES)
def test_each_answer_to_a_write_is_taken_for_what_it_is(
    stand_in: ChannelIo, chat_id: str, row: ExpectedTask, task: Task
) -> None:
    """One look and one write are sent; the outcome agrees with the stand-in."""
    stand_in.plan(row.behaviour, operation=WRITES[task])

    outcome, requests = perform_counted(stand_in.url, grant_for(task, chat_id))

    assert_is(outcome, row.write, row.status, row.code)
    assert not isinstance(outcome, Done | Refused) or outcome.has_acted
    assert (2, row.effects) == (requests, len(effects_in(stand_in, chat_id)))


@pytest.mark.parametrize("row", [*ROWS, NO_STATE], ids=lambda row: row.behaviour)
@pytest.mark.parametrize("task", LOOKS)
def test_each_answer_to_a_look_is_taken_for_what_it_is(
    stand_in: ChannelIo, chat_id: str, row: ExpectedTask, task: Task
) -> None:
    """A look that is no good is repeated, or refused; nothing is sent after it, or in doubt."""
    stand_in.plan(row.behaviour, operation=LOOKS[task])

    outcome, requests = perform_counted(stand_in.url, grant_for(task, chat_id))

    is_good = row.read is None or (row is NO_STATE and task is not Task.OPEN)
    assert not isinstance(outcome, Unknown)
    if is_good:
        assert isinstance(outcome, Resolved if task is Task.RESOLVE else Done)
    else:
        assert_is(outcome, row.read, row.status, code_of_look(row, task))
        assert not (isinstance(outcome, Refused) and outcome.has_acted)
    acts = is_good and task is not Task.RESOLVE
    assert (1 + acts, acts) == (requests, len(effects_in(stand_in, chat_id)))


def code_of_look(row: ExpectedTask, task: Task) -> FailureCode | None:
    """Return the code of a look's outcome: of a resolve 404 and 422 are alike."""
    if row.read is LookFailed:
        return None
    return USER_NOT_FOUND if task is Task.RESOLVE and row.status in {404, 422} else row.code


def assert_is(
    outcome: Outcome | None,
    kind: type[Outcome] | None,
    status: int | None,
    code: FailureCode | None,
) -> None:
    """Hold an outcome to its row."""
    assert outcome is not None
    assert kind is type(outcome)
    assert status == outcome.upstream_status
    assert code == getattr(outcome, "code", None)


# Answers that do not come


@dataclass(frozen=True)
class LateCall:
    """A call for a row without an answer: of a task's look, or of its write."""

    row: ExpectedTask
    task: Task
    is_look: bool

    @property
    def operation(self) -> Operation:
        """The operation without an answer."""
        return LOOKS[self.task] if self.is_look else WRITES[self.task]

    @property
    def user_id(self) -> str:
        """The user of the call's chat, or its member."""
        return f"late-{self.operation}-{self.row.behaviour}"


LATE = [LateCall(row, task, True) for row in LATE_ROWS for task in LOOKS] + [  # noqa: FBT003
    LateCall(row, task, False)  # noqa: FBT003
    for row in LATE_ROWS
    for task in WRITES
]


@pytest.fixture(scope="module")
def late(
    running_stand_in: ChannelIo, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[LateCall, tuple[Ended, int]]]:
    """The end of each such call, and what it did in its chat; all of them run at once."""
    stand_in, calls, chats = running_stand_in, [], []
    for call in LATE:
        stand_in.plan(call.row.behaviour, user_id=call.user_id, operation=call.operation)
        chats.append(make_chat(stand_in, call.user_id))
        is_resolve = call.task is Task.RESOLVE
        calls.append(
            PatchedCall(
                url=stand_in.url,
                seconds=2 * SHORT_SECONDS,
                member_id=call.user_id if is_resolve else None,
                chat_id=None if is_resolve else chats[-1],
                is_open=call.task is Task.OPEN,
            )
        )
    ended = make_calls(tmp_path_factory.mktemp("late"), *calls)
    effects = [len(effects_in(stand_in, chat_id)) for chat_id in chats]
    yield dict(zip(LATE, zip(ended, effects, strict=True), strict=True))
    stand_in.release()
    stand_in.behave_well()


def make_chat(stand_in: ChannelIo, user_id: str) -> str:
    """Create a chat of a user; return its id."""
    outcome = open_chat(stand_in.url, user_id=user_id)
    assert isinstance(outcome, Created)
    return outcome.chat.id


@pytest.mark.parametrize("call", LATE, ids=lambda call: f"{call.operation}-{call.row.behaviour}")
def test_a_task_without_an_answer_ends_at_the_deadline(
    late: dict[LateCall, tuple[Ended, int]], call: LateCall
) -> None:
    """A look is repeated, and nothing was sent after it; a write may have been executed."""
    ended, effects = late[call]

    kind, code = (LookFailed, None) if call.is_look else (call.row.write, call.row.code)
    assert_is(ended.outcome, kind, None, code)
    assert isinstance(ended.outcome, LookFailed | Unknown)
    assert ended.outcome.detail.endswith("time ran out.")
    assert 2 * SHORT_SECONDS <= ended.seconds < 10
    assert (1, 0) if call.is_look else (2, call.row.effects) == (ended.requests, effects)


# Answers of no behaviour


def test_every_behaviour_of_the_stand_in_is_in_a_row() -> None:
    """A behaviour that is added must be given one."""
    assert set(B) == {row.behaviour for row in (*ROWS, *LATE_ROWS, NO_STATE)}


@pytest.mark.parametrize("table", [WRITE_TABLE, *READ_TABLES.values()])
def test_every_status_that_http_can_write_is_in_the_tables(table: tuple[Any, ...]) -> None:
    """Three digits are what http.client lets through."""
    assert all(any(said in row.statuses for row in table) for said in range(100, 1000))


@pytest.mark.parametrize("status", [600, 999])
def test_an_undefined_status_proves_nothing(status: int) -> None:
    """A look is repeated, and a write may have been executed."""
    with RawServer(say_in_turn(http(200, b'{"messages": []}'), http(status, b""))) as server:
        sent = perform(server.url, message_of())
    with RawServer(say(http(status, b""))) as server:
        look = perform(server.url, message_of())

    assert_is(sent, Unknown, status, NO_ANSWER)
    assert_is(look, LookFailed, status, None)


@pytest.mark.parametrize("task", WRITES)
def test_a_write_that_was_not_sent_is_no_send(task: Task) -> None:
    """The look was answered, and then nothing listens."""
    with create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        pool.submit(answer_once, listener, http(200, EMPTY_AND_INITIAL))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/open/v4"
        outcome, requests = perform_counted(url, grant_for(task, CHAT_ID))

    assert NotSent("The request was not sent to Channel.io: the connection was refused.") == outcome
    assert 1 == requests


def answer_once(listener: socket, answer: bytes) -> None:
    """Answer one request, and listen no more."""
    connection, _ = listener.accept()
    listener.close()
    with connection:
        read_request(connection)
        connection.sendall(answer)


@pytest.mark.parametrize("task", LOOKS)
def test_a_look_that_was_not_sent_is_not_sent(task: Task) -> None:
    """Nothing listens there."""
    with RawServer(say()) as server:
        url = server.url

    outcome, requests = perform_counted(url, grant_for(task, CHAT_ID))

    assert NotSent("The request was not sent to Channel.io: the connection was refused.") == outcome
    assert 0 == requests


@pytest.mark.parametrize(
    "body",
    [
        {"errors": [{"field": "botName", "message": "Bot not found"}]},
        {"errors": [{"field": "botName", "message": "not found"}]},
        {"errors": [{"field": "botName", "message": "봇을 찾을 수 없습니다"}]},
        {"errors": [{"message": "존재하지 않는 봇입니다"}]},
        {"type": "botNotFound", "message": ""},
        {"type": "BotNotFoundException", "message": ""},
        {"status": 422, "operationErrorCode": "bot_not_found", "message": "", "details": []},
        {"status": 422, "commonErrorCode": "notFound", "message": "No such bot: Bell"},
    ],
)
@pytest.mark.parametrize("is_escaped", [True, False])
@pytest.mark.parametrize("task", WRITES)
def test_an_unknown_bot_name_is_recognised_in_every_shape(
    body: Any, task: Task, *, is_escaped: bool
) -> None:
    """No error schema is published; messages may be Korean, and escaped."""
    content = json.dumps(body, ensure_ascii=is_escaped).encode()

    assert FailureCode.BOT_NOT_FOUND == code_of_refusal(task, content)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"errors": [{"field": "botName", "message": "is not a name"}]}',
        b'{"errors": [{"field": "plainText", "message": "is empty"}]}',
        b'{"errors": [{"field": "block", "message": "Bottom block not found"}]}',
        b'{"type": "userNotFound"}',
    ],
)
@pytest.mark.parametrize("task", WRITES)
def test_other_refusals_are_none_of_a_bot(body: bytes, task: Task) -> None:
    """They are another's to mend."""
    assert REJECTED == code_of_refusal(task, body)


def code_of_refusal(task: Task, body: bytes) -> FailureCode:
    """Return the code of a task whose write is answered with a 422 of this body."""
    with RawServer(say_in_turn(http(200, EMPTY_AND_INITIAL), http(422, body))) as server:
        outcome = perform(server.url, grant_for(task, CHAT_ID))
    assert isinstance(outcome, Refused)
    assert outcome.has_acted
    return outcome.code


def test_an_unknown_bot_of_the_stand_in_is_not_found(stand_in: ChannelIo, chat_id: str) -> None:
    """The versions with a number refuse its name."""
    name = "stand-in-unknown-bot"

    outcomes = [
        perform(stand_in.url, message_of(chat_id=chat_id, bot_name=name)),
        perform(stand_in.url, open_of(chat_id, bot_name=name)),
    ]

    codes = [outcome.code for outcome in outcomes if isinstance(outcome, Refused)]
    assert [FailureCode.BOT_NOT_FOUND] * 2 == codes


def test_no_redirect_is_followed_by_any_task() -> None:
    """The keys go to no other host."""
    with RawServer(say(http(200, b""))) as elsewhere:
        moved = say(http(307, b"", f"Location: {elsewhere.url}"))
        with RawServer(moved) as server:
            outcomes = [perform(server.url, grant_for(task, CHAT_ID)) for task in LOOKS]
            assert 3 == len(request_lines(server))
        assert [] == request_lines(elsewhere)

    assert [Denied] * 3 == [type(outcome) for outcome in outcomes]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
likely = st.fixed_dictionaries(
    {},
    optional={
        "user": st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("id", "type", "unifiedId"), json_values)
        )
        | json_values,
        "messages": st.lists(
            st.fixed_dictionaries(
                {}, optional=dict.fromkeys(("id", "requestId", "plainText"), json_values)
            )
            | json_values
        )
        | json_values,
        "next": json_values,
        "nextCursor": json_values,
        "message": st.fixed_dictionaries({}, optional={"id": json_values}) | json_values,
        "userChat": st.fixed_dictionaries({}, optional={"state": json_values}) | json_values,
    },
)


def test_no_answer_makes_a_task_raise() -> None:
    """Whatever it is, and whichever request it answers, it is an outcome."""
    answers: list[bytes] = []

    @given(st.sampled_from([*LOOKS]), st.integers(200, 999), st.binary() | likely.map(json.dumps))
    def check(task: Task, status: int, answer: bytes | str) -> None:
        body = answer.encode() if isinstance(answer, str) else answer
        for before in ([], [http(200, EMPTY_AND_INITIAL)]):
            answers[:] = [*before, http(status, body), http(200, body)]
            outcome = perform(server.url, grant_for(task, CHAT_ID))
            assert not (task is Task.RESOLVE and isinstance(outcome, Unknown))

    def reply(connection: socket) -> None:
        connection.sendall(answers.pop(0) if answers else b"")

    with RawServer(reply) as server:
        check()
