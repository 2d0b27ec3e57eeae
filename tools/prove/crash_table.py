"""The table of crashes: every durable step, before and after, by kind of answer and way.

Generated, so that no cell is forgotten; how each must end is decided here, by what was known where.
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
    """A kind of answer, and how an event ends that gets it first and is then served well."""

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

# Of a call in these places only its process knows: that nothing was sent; that it was, or what the
# answer is; and, besides, its log.
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

# These lie in the midst of an exchange: the stand-in holds the calls there, by what it withholds.
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
        """In words, for the sentences of faults."""
        kinds = ", ".join(kind.name for kind in self.kinds)
        return f"{self.way} {self.edge} {self.step} ({kinds})"

    @property
    def withheld(self) -> Withheld | None:
        """The part of an answer that the stand-in withholds; none where the process is held."""
        return WITHHELD.get((self.edge, self.step))

    @property
    def is_lost(self) -> bool:
        """Return whether a process died that alone had the state of its calls."""
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
        is_told = kind is CREATED and (self.edge, self.step) in LOGGED
        return kind.end if is_told else self.end_of(kind)


def crashes_at(step: DurableStep, ways: Sequence[Way]) -> Iterator[Crash]:
    """All cells of one step, those together whose calls can stand there together."""
    for edge in Edge:
        kinds = [kind for kind in KINDS if _comes_to(kind, edge, step)]
        for way in ways:
            for together in _together(kinds, step):
                yield Crash(way, edge, step, together)


def _comes_to(kind: Kind, edge: Edge, step: DurableStep) -> bool:
    """Nothing is sent without a listener; with one, no answer need begin."""
    has_begun = (edge, step) == (Edge.BEFORE, DurableStep.ANSWERED)
    return not (has_begun and kind in {NO_ANSWER, NOT_SENT}) and not (
        kind is NOT_SENT and step is DurableStep.SENT
    )


def _together(kinds: Sequence[Kind], step: DurableStep) -> list[Sequence[Kind]]:
    """At an address without a listener all calls are alike."""
    if step is DurableStep.ACCEPTED:
        return [kinds]
    others = [kind for kind in kinds if kind is not NOT_SENT]
    return [others, [NOT_SENT]] if NOT_SENT in kinds else [others]
