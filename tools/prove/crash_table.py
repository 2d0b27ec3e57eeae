"""The table of crashes: every durable step, before and after, by kind of answer and way.

It is generated, so no cell is missing. How an event must end follows from where its result was
stored at the crash.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tools.prove.crash_points import DurableStep, Edge
from tools.stack.channel_io import Behaviour, Withheld


class Way(StrEnum):
    """A strike: at the process that makes the calls, or at its Redis."""

    KILL = "kill -9"
    STOP = "SIGTERM"
    LOSE_REDIS = "Redis killed"
    FREEZE_REDIS = "Redis frozen"


PROCESS_ENDS = (Way.KILL, Way.STOP)
REDIS_GONE = (Way.LOSE_REDIS, Way.FREEZE_REDIS)


@dataclass(frozen=True)
class Kind:
    """A kind of first answer, and how its event ends if later answers are good."""

    name: str
    behaviour: Behaviour | None
    end: str


CREATED = Kind("created", Behaviour.CREATE, "opened")
NO_ANSWER = Kind("no-answer", Behaviour.CREATE_THEN_CLOSE, "unknown")
NOT_SENT = Kind("not-sent", None, "opened")  # at first without a listener
KINDS = (
    CREATED,
    Kind("refused-404", Behaviour.USER_NOT_FOUND, "failed"),
    Kind("throttled", Behaviour.THROTTLED, "opened"),
    Kind("status-500", Behaviour.SERVER_ERROR, "unknown"),
    NO_ANSWER,
    NOT_SENT,
)

# At the first two groups of points the state of a call is only in its process: nothing is sent, or
# it is sent or answered. At the third it is in the log too.
UNSENT = {(Edge.AFTER, DurableStep.GRANTED), (Edge.BEFORE, DurableStep.SENT)}
UNLOGGED = {
    (Edge.AFTER, DurableStep.SENT),
    (Edge.BEFORE, DurableStep.ANSWERED),
    (Edge.AFTER, DurableStep.ANSWERED),
    (Edge.BEFORE, DurableStep.LOGGED),
}
LOGGED = {
    (Edge.AFTER, DurableStep.LOGGED),
    (Edge.BEFORE, DurableStep.SPOOLED),
    (Edge.BEFORE, DurableStep.SETTLED),
}

# Points within an exchange: the stand-in holds the calls by withholding a part of its answer.
WITHHELD = {
    (Edge.AFTER, DurableStep.SENT): Withheld.ANSWER,
    (Edge.BEFORE, DurableStep.ANSWERED): Withheld.BODY,
}


@dataclass(frozen=True)
class Crash:
    """A crash and its step: one cell of the table for each of ``kinds``."""

    way: Way
    edge: Edge
    step: DurableStep
    kinds: Sequence[Kind]

    def __str__(self) -> str:
        """Format the crash for the sentences of faults."""
        kinds = ", ".join(kind.name for kind in self.kinds)
        return f"{self.way} {self.edge} {self.step} ({kinds})"

    @property
    def withheld(self) -> Withheld | None:
        """Return the withheld part of an answer; None where the process is held."""
        return WITHHELD.get((self.edge, self.step))

    @property
    def is_lost(self) -> bool:
        """Return whether the killed process alone had the state of its calls."""
        return self.way is Way.KILL and (self.edge, self.step) in UNSENT | UNLOGGED | LOGGED

    @property
    def is_unsent(self) -> bool:
        """Return whether no call can have been made, then or later."""
        return self.is_lost and (self.edge, self.step) in UNSENT

    @property
    def redis_way(self) -> Way | None:
        """Return what happens to Redis; nothing is spooled while it answers."""
        if self.way in REDIS_GONE:
            return self.way
        return Way.LOSE_REDIS if self.step is DurableStep.SPOOLED else None

    def end_of(self, kind: Kind) -> str:
        """Return how an event of that kind ends by itself."""
        return "unknown" if self.is_lost else kind.end

    def end_with_log(self, kind: Kind) -> str:
        """Return how it ends after its log lines are recovered."""
        is_logged = kind is CREATED and (self.edge, self.step) in LOGGED
        return kind.end if is_logged else self.end_of(kind)


def crashes_at(step: DurableStep, ways: Sequence[Way]) -> Iterator[Crash]:
    """Yield the crashes of one step; calls that can be held together share a crash."""
    for edge in Edge:
        kinds = [kind for kind in KINDS if _reaches(kind, edge, step)]
        for way in ways:
            for together in _together(kinds, step):
                yield Crash(way, edge, step, together)


def _reaches(kind: Kind, edge: Edge, step: DurableStep) -> bool:
    """Return whether a call of this kind reaches the point."""
    has_begun = (edge, step) == (Edge.BEFORE, DurableStep.ANSWERED)
    return not (has_begun and kind in {NO_ANSWER, NOT_SENT}) and not (
        kind is NOT_SENT and step is DurableStep.SENT
    )


def _together(kinds: Sequence[Kind], step: DurableStep) -> list[Sequence[Kind]]:
    """Group the kinds that one crash can have; an address without a listener has one kind."""
    if step is DurableStep.ACCEPTED:
        return [kinds]
    others = [kind for kind in kinds if kind is not NOT_SENT]
    return [others, [NOT_SENT]] if NOT_SENT in kinds else [others]
