"""Reader of a worker's canonical `call` lines, for when Redis and the spool's disk both failed."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from app.chats.event import EventId, UserId
from app.chats.record import Chat, Session, is_chat_id
from app.store.operations import LoggedChat

# Where a collector's object keeps the line that it was given.
LINE_FIELDS = ("log", "message", "msg")
MAX_LINE_BYTES = 1024 * 1024

Call = dict[str, Any]

# What `docker compose logs`, `kubectl logs`, their options and a container's log file put before
# each line, and nothing else: what follows is a whole line.
_PREFIX = re.compile(
    r"(?:[\w.-]+ +\| |\[pod/[^\s\]]+\] )?"
    r"(?:\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d) (?:std(?:out|err) F )?)?(?={)"
)
# What is left of a line with a created chat, however it was cut or wrapped.
_MARK = re.compile(r'"outcome\W+created\b')


def _check_chat_id(text: str) -> str:
    if not is_chat_id(text):
        raise ValueError
    return text


Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Text = Annotated[str, Field(max_length=256)]
Number = Annotated[int, Field(ge=1, lt=10**14, strict=True)]


class CreatedLine(BaseModel):
    """One call that created a chat, as it is logged: without the sessions' keys."""

    event_id: EventId
    user_id: UserId
    attempt: Number
    life: Number | None = None
    token: Token | None = None
    chat_id: Annotated[str, AfterValidator(_check_chat_id)]
    channel_id: Text | None = None
    chat_state: Text | None = None
    session_id: Text | None = None
    user_session_id: Text | None = None

    def as_logged_chat(self) -> LoggedChat:
        """Build what can be settled from it."""
        chat = Chat(
            self.chat_id,
            self.channel_id,
            self.chat_state,
            _session(self.session_id),
            _session(self.user_session_id),
        )
        return LoggedChat(
            event_id=self.event_id,
            user_id=self.user_id,
            attempt=self.attempt,
            life_ms=self.life,
            token=self.token,
            chat=chat,
        )


@dataclass(frozen=True, slots=True)
class UnreadableLine:
    """A line, counted from 1, with a created chat that cannot be settled from it."""

    number: int


def read_created_lines(log: IO[bytes]) -> Iterator[CreatedLine | UnreadableLine]:
    """Yield the calls of ``log`` that created a chat; pass over all other lines.

    A call is a JSON object that is the whole line, behind a prefix of Docker or Kubernetes at most;
    or a collector's object is, and has the line of the call in one of ``LINE_FIELDS``, as text or
    as an object. Anything else may be text that a stranger sent to some server.
    """
    for number, line in enumerate(iter(partial(log.readline, MAX_LINE_BYTES), b""), start=1):
        if not line.endswith(b"\n"):
            _skip_rest(log)
        text = line.decode(errors="replace")
        call = _find_call(text)
        if call is None and _MARK.search(text):
            yield UnreadableLine(number)
        elif call is not None and call.get("outcome") == "created":
            yield _validate(call) or UnreadableLine(number)


def _skip_rest(log: IO[bytes]) -> None:
    """Read on to the end of a line, whose rest must not pass for a line of its own."""
    while (rest := log.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
        pass


def _find_call(text: str) -> Call | None:
    prefix = _PREFIX.match(text.removeprefix("\ufeff").lstrip(" "))
    found = _parse(prefix.string[prefix.end() :]) if prefix else None
    if not isinstance(found, dict) or found.get("event") == "call":
        return found
    calls = [call for name in LINE_FIELDS if (call := _parse_field(found.get(name)))]
    return calls[0] if len(calls) == 1 else None


def _parse_field(content: Any) -> Call | None:
    found = _parse(content) if isinstance(content, str) else content
    return found if isinstance(found, dict) and found.get("event") == "call" else None


def _parse(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_build_object)
    except (ValueError, RecursionError):
        return None


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object whose names are all different: no reader agrees on the others."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _validate(call: Call) -> CreatedLine | None:
    try:
        return CreatedLine.model_validate(call)
    except ValidationError:
        return None


def _session(session_id: str | None) -> Session | None:
    return Session(session_id, None) if session_id else None
