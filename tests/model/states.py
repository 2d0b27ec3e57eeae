"""The states of the model: one event as Redis keeps it, and the workers' turns at it."""

from typing import Any, NamedTuple

PLACE_OF = {"accepted": "due", "calling": "calling", "unknown": "held", "failed": "failed"}


class Record(NamedTuple):
    """What Redis keeps of the event; ``token`` and the chats carry the numbers of their turns."""

    status: str = "accepted"
    attempt: int = 0
    attempts: int = 0
    token: int | None = None
    unknowns: int = 0
    consented: bool = False
    orphan: bool = False
    chat: int | None = None
    duplicates: frozenset[int] = frozenset()

    @property
    def created(self) -> bool | None:
        """Whether there is a chat; ``None`` while nobody can know."""
        if self.status == "opened":
            return True
        return None if self.status in {"calling", "unknown"} or self.unknowns else False

    @property
    def places(self) -> frozenset[str]:
        """The one sorted set in which the event belongs, if it belongs in one."""
        return frozenset({PLACE_OF[self.status]} if self.status in PLACE_OF else ())


class Turn(NamedTuple):
    """One pass of a worker's loop, under a token of its own.

    ``phase`` is idle, then unsure (of its take's reply), granted, late (the lease is over, and with
    it the deadline), answered, and at last settled, released or dead. ``taken`` is what Redis keeps
    under the token: nothing, the grant, or the tombstone. ``outcome`` nothing is proof.
    """

    phase: str = "idle"
    taken: str = ""
    grant: Record = Record()
    outcome: str = ""

    @property
    def is_doubtful(self) -> bool:
        """Whether its call may have made a chat."""
        return self.outcome in {"created", "unknown"}


class State(NamedTuple):
    """The event, the turns, and how often operators acted and Redis lost writes."""

    turns: tuple[Turn, ...]
    record: Record | None = None
    places: frozenset[str] = frozenset()
    operations: int = 0
    recreates: int = 0
    losses: int = 0
    lost_grants: int = 0

    def turned(self, number: int, **changes: Any) -> "State":
        """The same, with a turn changed."""
        turn = self.turns[number]._replace(**changes)
        return self._replace(turns=(*self.turns[:number], turn, *self.turns[number + 1 :]))

    def over(self, number: int, phase: str) -> "State":
        """The same, with a turn at its end, and only remembered for what it may have created."""
        turn = self.turns[number]
        outcome = turn.outcome if turn.is_doubtful else ""
        return self.turned(number, phase=phase, grant=Record(), outcome=outcome)


class Step(NamedTuple):
    """What happened: to which turn, if to one, and what its call came to."""

    name: str
    turn: int | None = None
    outcome: str = ""

    def __str__(self) -> str:
        numbers = [] if self.turn is None else [str(self.turn + 1)]
        return " ".join([self.name, *numbers, *filter(None, [self.outcome])])
