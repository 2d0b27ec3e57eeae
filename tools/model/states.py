"""States of the model: one id as Redis keeps it, and the workers' turns."""

from typing import Any, NamedTuple

PLACE_OF = {"accepted": "due", "calling": "calling", "unknown": "held", "failed": "failed"}
SETTLED = {"opened", "failed"}
OTHER_CHAT = -1  # the chat of a turn has the number of its turn


class ModelRecord(NamedTuple):
    """The event in Redis; tokens and chats carry the numbers of their turns.

    ``life`` numbers the lives of the id. ``denials`` counts the event's own, and is -1 before
    the first denial. ``command`` numbers the last operator's command that changed it; ``doubted``
    are the tokens of attempts with an unknown result.
    """

    status: str = "accepted"
    attempt: int = 0
    attempts: int = 0
    token: int | None = None
    unknowns: int = 0
    consented: bool = False
    orphan: bool = False
    chat: int | None = None
    duplicates: frozenset[int] = frozenset()
    life: int = 0
    denials: int = -1
    command: int = 0
    doubted: frozenset[int] = frozenset()

    @property
    def created(self) -> bool | None:
        """Return whether there is a chat; ``None`` while it is unknown."""
        if self.status == "opened":
            return True
        return None if self.status in {"calling", "unknown"} or self.unknowns else False

    @property
    def places(self) -> frozenset[str]:
        """Return the sorted set of the status, if it has one."""
        return frozenset({PLACE_OF[self.status]} if self.status in PLACE_OF else ())

    @property
    def chats(self) -> set[int]:
        """Return the published chat and the duplicate chats."""
        return {*self.duplicates} if self.chat is None else {self.chat, *self.duplicates}


class Turn(NamedTuple):
    """One pass of a worker's loop, under a token of its own.

    ``phase`` is idle, then unsure (no reply to the take yet), granted, late (lease and deadline
    have passed), answered, and at last settled, released or dead. ``taken`` is the value of the
    token's key: nothing, the grant, or the tombstone. The outcome ``nothing`` is proof that no
    chat was made. ``life`` is that of the granted event.
    """

    phase: str = "idle"
    taken: str = ""
    grant: ModelRecord = ModelRecord()
    outcome: str = ""
    life: int = 0

    @property
    def is_doubtful(self) -> bool:
        """Return whether its call may have made a chat."""
        return self.outcome in {"created", "unknown"}


class OldPrimary(NamedTuple):
    """State of a primary that was cut off: record, place and tokens."""

    record: ModelRecord | None
    places: frozenset[str]
    taken: tuple[str, ...]


class State(NamedTuple):
    """The id, the turns, and how often operators acted, Redis lost writes, and lives ended.

    ``command`` is the last operator's command. ``old`` is the primary that was cut off, if one was;
    ``shown`` is the chat that a look-up has returned of this life.
    """

    turns: tuple[Turn, ...]
    record: ModelRecord | None = None
    places: frozenset[str] = frozenset()
    operations: int = 0
    recreates: int = 0
    command: "ModelStep | None" = None
    losses: int = 0
    lost_grants: int = 0
    lives: int = 0
    old: OldPrimary | None = None
    shown: int | None = None

    def turned(self, number: int, **changes: Any) -> "State":
        """Return the state with a turn changed."""
        turn = self.turns[number]._replace(**changes)
        return self._replace(turns=(*self.turns[:number], turn, *self.turns[number + 1 :]))

    def over(self, number: int, phase: str) -> "State":
        """Return the state with a turn ended; only its possible chat is remembered."""
        turn = self.turns[number]
        outcome, life = (turn.outcome, turn.life) if turn.is_doubtful else ("", 0)
        return self.turned(number, phase=phase, grant=ModelRecord(), outcome=outcome, life=life)

    @property
    def server(self) -> OldPrimary:
        """Return the primary's state."""
        return OldPrimary(self.record, self.places, tuple(turn.taken for turn in self.turns))

    def served_by(self, server: OldPrimary) -> "State":
        """Return the state with another server's contents as the primary's."""
        pairs = zip(self.turns, server.taken, strict=True)
        turns = tuple(turn._replace(taken=taken) for turn, taken in pairs)
        return self._replace(turns=turns, record=server.record, places=server.places)


class ModelStep(NamedTuple):
    """One step: its turn, if any, and the outcome of its call.

    ``is_old``: at the primary that was cut off.
    """

    name: str
    turn: int | None = None
    outcome: str = ""
    is_old: bool = False

    def __str__(self) -> str:
        numbers = [] if self.turn is None else [str(self.turn + 1)]
        where = ["at the old primary"] if self.is_old else []
        return " ".join([self.name, *numbers, *filter(None, [self.outcome]), *where])
