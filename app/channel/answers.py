"""Table of the outcome of each answer: did it create a chat?

Messages are for the engineer on call. They never quote Channel.io.
"""

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.channel.attempt import CallAttempt, UpstreamResponse
from app.channel.body import has_channel, is_bot_not_found, is_user_not_found, read_chat
from app.channel.throttle import parse_pause_ms
from app.chats.outcome import (
    Created,
    Denied,
    LookFailed,
    NotSent,
    Outcome,
    Refused,
    Throttled,
    Unknown,
)
from app.chats.record import FailureCode

ResultT_co = TypeVar("ResultT_co", covariant=True)

WRONG_KEY = "the access key or secret is wrong, or lacks the right"
WRONG_URL = "CHANNEL_API_URL does not lead to Channel.io's API"
WRONG_PROXY_LOGIN = "it demands another user and password"

_ERRORS = {
    "ConnectionRefusedError": "the connection was refused",
    "ConnectionResetError": "the connection was reset",
    "RemoteDisconnected": "the connection was closed",
    "SSLEOFError": "the connection was closed",
    "SSLCertVerificationError": "its TLS certificate could not be verified",
    "TimeoutError": "time ran out",
    "TooLateError": "time ran out",
    "gaierror": "its host name could not be resolved",
}


def classify_create(attempt: CallAttempt) -> Outcome:
    """Return the outcome of a create. Raises nothing."""
    return _apply(TABLE, attempt, _no_answer)


def classify_read(attempt: CallAttempt, missing: FailureCode) -> UpstreamResponse | Outcome:
    """Return the answer of a read if it is good, else the outcome. Raises nothing.

    ``missing`` is the code for what is not there: ``USER_NOT_FOUND`` or ``CHAT_NOT_FOUND``.
    """
    return _apply(READ_TABLES[missing], attempt, _no_answer_to_read)


def classify_write(attempt: CallAttempt) -> UpstreamResponse | Outcome:
    """Return the answer of a message or an open if it was done, else the outcome.

    Raises nothing.
    """
    return _apply(WRITE_TABLE, attempt, _no_answer)


def probe_problem(attempt: CallAttempt) -> str | None:
    """Return the problem that a probe found, or ``None`` if Channel.io serves the relay."""
    if attempt.response is None:
        return f"Channel.io did not answer the probe: {_why(attempt)}."
    status = attempt.response.status
    if status not in _SUCCESS:
        return f"Channel.io answered the probe with {status}{_hint(status)}."
    if not has_channel(attempt.response.body, attempt.response.charset):
        return f"Channel.io answered the probe with {status}, but without a channel: {WRONG_URL}."
    return None


def _why(attempt: CallAttempt) -> str:
    if attempt.proxy_status is not None:
        return _proxy_answered(attempt.proxy_status)
    error_class = attempt.error_class or ""
    why = _ERRORS.get(error_class, f"the connection broke ({error_class})")
    return f"at the proxy, {why}" if attempt.is_at_proxy else why


def _proxy_answered(status: int) -> str:
    hint = f": {WRONG_PROXY_LOGIN}" if status in _PROXY_LOGIN_REFUSED else ""
    return f"the proxy answered {status}{hint}"


def _hint(status: int) -> str:
    if status in _PROXY_LOGIN_REFUSED:
        return f": {_proxy_answered(status)}"
    if status in _KEY_REFUSED:
        return f": {WRONG_KEY}"
    return f": {WRONG_URL}" if status in _URL_REFUSED or status in _NOT_FOUND else ""


def _opened(answer: UpstreamResponse) -> Outcome:
    chat = read_chat(answer.body, answer.charset)
    if chat is not None:
        return Created(chat, answer.status)
    detail = f"Channel.io answered {answer.status} without a readable chat id: a chat may exist."
    return Unknown(FailureCode.UNREADABLE_ANSWER, detail, answer.status)


def _denied(why: str) -> Callable[[UpstreamResponse], Outcome]:
    return lambda answer: Denied(f"Channel.io answered {answer.status}: {why}.", answer.status)


def _refused_by_proxy(answer: UpstreamResponse) -> Outcome:
    return NotSent(f"The request was not sent to Channel.io: {_proxy_answered(answer.status)}.")


def _user_not_found(answer: UpstreamResponse) -> Outcome:
    detail = f"Channel.io answered {answer.status}: it has no such user."
    return Refused(FailureCode.USER_NOT_FOUND, detail, answer.status)


def _rejected(answer: UpstreamResponse) -> Outcome:
    detail = f"Channel.io answered {answer.status}: it does not accept the request."
    return Refused(FailureCode.REJECTED, detail, answer.status)


def _unprocessable(answer: UpstreamResponse) -> Outcome:
    return (
        _user_not_found(answer)
        if is_user_not_found(answer.body, answer.charset)
        else _rejected(answer)
    )


def _throttled(answer: UpstreamResponse) -> Outcome:
    return Throttled(parse_pause_ms(answer.headers), answer.status)


def _unknown(code: FailureCode) -> Callable[[UpstreamResponse], Outcome]:
    def unknown(answer: UpstreamResponse) -> Outcome:
        detail = f"Channel.io answered {answer.status}, which proves nothing: a chat may exist."
        return Unknown(code, detail, answer.status)

    return unknown


def _good(answer: UpstreamResponse) -> UpstreamResponse:
    return answer


def _missing(code: FailureCode, *, has_acted: bool) -> Callable[[UpstreamResponse], Outcome]:
    def missing(answer: UpstreamResponse) -> Outcome:
        detail = f"Channel.io answered {answer.status}: it has no such {_THING[code]}."
        return Refused(code, detail, answer.status, has_acted)

    return missing


def _unprocessable_task(answer: UpstreamResponse) -> Outcome:
    if not is_bot_not_found(answer.body, answer.charset):
        return _rejected(answer)
    detail = f"Channel.io answered {answer.status}: it has no bot of this name."
    return Refused(FailureCode.BOT_NOT_FOUND, detail, answer.status)


def _unanswered(answer: UpstreamResponse) -> Outcome:
    detail = f"Channel.io answered {answer.status}, which proves nothing: it may have been done."
    return Unknown(FailureCode.NO_ANSWER, detail, answer.status)


def _refused_read(answer: UpstreamResponse) -> Outcome:
    detail = f"Channel.io answered {answer.status}: it does not accept the request."
    return Refused(FailureCode.REJECTED, detail, answer.status, has_acted=False)


def _failed_read(answer: UpstreamResponse) -> Outcome:
    return LookFailed(f"Channel.io answered a read with {answer.status}.", answer.status)


def _read_table(statuses: Container[int], code: FailureCode) -> "TaskTable":
    return (
        *_OURS,
        AnswerRule(_SUCCESS, _good),
        AnswerRule(statuses, _missing(code, has_acted=False)),
        AnswerRule(_UNCLEAR, _failed_read),
        AnswerRule(range(400, 500), _refused_read),
        AnswerRule(range(1000), _failed_read),
    )


_SUCCESS = range(200, 300)
_KEY_REFUSED = {401, 403}
_URL_REFUSED = {*range(300, 400), 405, 410}
_NOT_FOUND = {404}
_UNPROCESSABLE = {422}
_UNCLEAR = {408, 409}
_THING = {FailureCode.USER_NOT_FOUND: "user", FailureCode.CHAT_NOT_FOUND: "chat"}
_PROXY_LOGIN_REFUSED = {407}


@dataclass(frozen=True, slots=True)
class AnswerRule(Generic[ResultT_co]):
    """A row of a table: the outcome of answers with these statuses, or the answer if it is good."""

    statuses: Container[int]
    outcome: Callable[[UpstreamResponse], ResultT_co]


CreateTable = tuple[AnswerRule[Outcome], ...]
TaskTable = tuple[AnswerRule[Outcome | UpstreamResponse], ...]

_OURS: CreateTable = (
    AnswerRule(_KEY_REFUSED, _denied(WRONG_KEY)),
    AnswerRule(_URL_REFUSED, _denied(WRONG_URL)),
    AnswerRule(_PROXY_LOGIN_REFUSED, _refused_by_proxy),
    AnswerRule({429}, _throttled),
)
TABLE: CreateTable = (
    *_OURS,
    AnswerRule(_SUCCESS, _opened),
    AnswerRule(_NOT_FOUND, _user_not_found),
    AnswerRule(_UNPROCESSABLE, _unprocessable),
    AnswerRule(_UNCLEAR, _unknown(FailureCode.NO_ANSWER)),
    AnswerRule(range(400, 500), _rejected),
    AnswerRule(range(500, 600), _unknown(FailureCode.NO_ANSWER)),
    AnswerRule(range(1000), _unknown(FailureCode.UNREADABLE_ANSWER)),
)
"""For creates. The first row that has the status counts; the last has all that HTTP can write."""
WRITE_TABLE: TaskTable = (
    *_OURS,
    AnswerRule(_SUCCESS, _good),
    AnswerRule(_NOT_FOUND, _missing(FailureCode.CHAT_NOT_FOUND, has_acted=True)),
    AnswerRule(_UNPROCESSABLE, _unprocessable_task),
    AnswerRule(_UNCLEAR, _unanswered),
    AnswerRule(range(400, 500), _rejected),
    AnswerRule(range(1000), _unanswered),
)
"""For messages and opens."""
READ_TABLES: dict[FailureCode, TaskTable] = {
    FailureCode.USER_NOT_FOUND: _read_table({404, 422}, FailureCode.USER_NOT_FOUND),
    FailureCode.CHAT_NOT_FOUND: _read_table(_NOT_FOUND, FailureCode.CHAT_NOT_FOUND),
}


def _apply(
    table: tuple[AnswerRule[ResultT_co], ...],
    attempt: CallAttempt,
    no_answer: Callable[[str], Outcome],
) -> ResultT_co | Outcome:
    if not attempt.is_sent:
        return NotSent(f"The request was not sent to Channel.io: {_why(attempt)}.")
    answer = attempt.response
    if answer is None:
        return no_answer(_why(attempt))
    return next(row.outcome(answer) for row in table if answer.status in row.statuses)


def _no_answer(why: str) -> Outcome:
    detail = f"The request was sent to Channel.io, and no whole answer came: {why}."
    return Unknown(FailureCode.NO_ANSWER, detail)


def _no_answer_to_read(why: str) -> Outcome:
    return LookFailed(f"A read of Channel.io had no whole answer: {why}.")
