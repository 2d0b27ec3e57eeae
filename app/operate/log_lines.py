"""Reader of a worker's canonical `call` lines, for when Redis and the spool's disk both failed."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

from pydantic import ValidationError

from app.chats.outcome import OutcomeKind
from app.store.operations import LoggedChat
from app.telemetry.call_line import EVENT, OUTCOME_FIELD, CreatedLine

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
_MARK = re.compile(rf'"{OUTCOME_FIELD}\W+{OutcomeKind.CREATED}\b')


@dataclass(frozen=True, slots=True)
class UnreadableLine:
    """A line, counted from 1, with a created chat that cannot be settled from it."""

    number: int


def read_created_lines(log: IO[bytes]) -> Iterator[LoggedChat | UnreadableLine]:
    """Yield the calls of ``log`` that created a chat; pass over all other lines.

    A call is a JSON object that is the whole line, behind a prefix of Docker or Kubernetes at most;
    or a collector's object is, and has the line of the call in one of ``LINE_FIELDS``, as text or
    as an object. Anything else may be text that an attacker sent to some server.
    """
    for number, line in enumerate(iter(partial(log.readline, MAX_LINE_BYTES), b""), start=1):
        if not line.endswith(b"\n"):
            _skip_rest(log)
        text = line.decode(errors="replace")
        call = _find_call(text)
        if call is None and _MARK.search(text):
            yield UnreadableLine(number)
        elif call is not None and call.get(OUTCOME_FIELD) == OutcomeKind.CREATED:
            yield _validate(call) or UnreadableLine(number)


def _skip_rest(log: IO[bytes]) -> None:
    """Read on to the end of a line, whose rest must not pass for a line of its own."""
    while (rest := log.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
        pass


def _find_call(text: str) -> Call | None:
    prefix = _PREFIX.match(text.removeprefix("\ufeff").lstrip(" "))
    found = _parse(prefix.string[prefix.end() :]) if prefix else None
    if not isinstance(found, dict) or found.get("event") == EVENT:
        return found
    calls = [call for name in LINE_FIELDS if (call := _parse_field(found.get(name)))]
    return calls[0] if len(calls) == 1 else None


def _parse_field(content: Any) -> Call | None:
    found = _parse(content) if isinstance(content, str) else content
    return found if isinstance(found, dict) and found.get("event") == EVENT else None


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


def _validate(call: Call) -> LoggedChat | None:
    try:
        line = CreatedLine.model_validate(call)
    except ValidationError:
        return None
    return LoggedChat(
        event_id=line.event_id,
        user_id=line.user_id,
        member_id=line.member_id,
        attempt=line.attempt,
        life_ms=line.life,
        token=line.token,
        chat=line.chat,
    )
