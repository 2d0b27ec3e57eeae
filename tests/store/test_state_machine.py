"""Any interleaving of what several workers do to a few events keeps the five invariants.

The oracle is plain Python and knows no script: it counts what Channel.io was made to create, and
what was said to whom. A failure prints the steps, and a blob that repeats them.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from app.chats.errors import EventIdReused
from app.chats.event import OnUnknown
from app.chats.grant import Grant, Probe, new_token
from app.chats.outcome import Created, Outcome, Unknown
from app.chats.record import Record, Status
from app.store.keys import Keys
from tests.store.bench import Bench, event_of
from tests.store.outcomes import NOT_SENT, OUTCOMES, created
from tests.store.rules import broken_rules

T = TypeVar("T")

EXAMPLES = settings(
    max_examples=100, stateful_step_count=50, deadline=None, derandomize=True, print_blob=True
)

IDS = ("e1", "e2", "e3")
EVENT_IDS = st.sampled_from(IDS)
CONSENTS = st.sampled_from([None, *OnUnknown])
KINDS = st.sampled_from(["created", "created", "unknown", *OUTCOMES])


@dataclass(frozen=True)
class Answer:
    """What a call under ``grant`` came to."""

    grant: Grant
    outcome: Outcome


def some(found: T | None) -> MultipleResults[T]:
    """What a rule adds to its bundle: one thing or nothing."""
    return multiple() if found is None else multiple(found)


class Workers(RuleBasedStateMachine):
    """Callers, workers, an unreliable network, and Channel.io, over one relay."""

    tokens: Bundle[str] = Bundle("tokens")  # a take was sent under it, and its reply may be lost
    grants: Bundle[Grant] = Bundle("grants")  # received, and not yet used
    answers: Bundle[Answer] = Bundle("answers")  # of calls that were made

    def __init__(self, client: Redis) -> None:
        """Start over with an empty Redis."""
        super().__init__()
        client.flushall()
        self.bench = Bench(client, Keys("relay"))
        self.bench.open_gate()
        self.worker = self.bench.worker()
        self.setting = OnUnknown.HOLD
        self.own: dict[str, OnUnknown | None] = {}  # what each accepted event said of consent
        self.called: dict[tuple[str, int], str] = {}  # the token that was granted each attempt
        self.overdue: set[tuple[str, int]] = set()
        self.used: set[str] = set()  # tokens under whose grant a call was made
        self.released: set[str] = set()
        self.made: dict[str, int] = defaultdict(int)  # chats that Channel.io may have created
        self.settled: dict[str, set[str]] = defaultdict(set)  # chat ids that reached the store
        self.published: dict[str, str] = {}

    @initialize(setting=st.sampled_from(OnUnknown), owns=st.tuples(CONSENTS, CONSENTS, CONSENTS))
    def begin(self, setting: OnUnknown, owns: tuple[OnUnknown | None, ...]) -> None:
        """Choose who consents to a second call, and let the first events come in."""
        self.setting = setting
        self.worker = self.bench.worker(on_unknown=setting)
        for event_id, own in zip(IDS, owns, strict=True):
            self.accept(event_id, own)

    @rule(event_id=EVENT_IDS, own=CONSENTS)
    def accept(self, event_id: str, own: OnUnknown | None) -> None:
        """A new event is new once; a repeat is a duplicate; another payload is refused."""
        event = event_of(event_id, on_unknown=own)
        if event_id in self.own and self.own[event_id] != own:
            with pytest.raises(EventIdReused):
                self.bench.intake().accept(event)
            return

        record, is_new = self.bench.intake().accept(event)

        assert is_new == (event_id not in self.own)
        assert record == self.bench.record(event_id)
        self.own[event_id] = own

    @rule(target=grants)
    def take(self) -> MultipleResults[Grant]:
        """Want work, and hear the reply."""
        return some(self.hear(new_token()))

    @rule(target=tokens, is_run=st.booleans())
    def take_and_hear_nothing(self, *, is_run: bool) -> str:
        """The reply was lost, or the take is still on its way; its worker cannot know which."""
        token = new_token()
        if is_run:
            self.hear(token)
        return token

    @rule(target=grants, token=tokens)
    def take_again(self, token: str) -> MultipleResults[Grant]:
        """Repeat a take, or let a delayed one arrive."""
        return some(self.hear(token))

    @rule(token=st.one_of(tokens, grants.map(lambda grant: grant.token)))
    def release(self, token: str) -> None:
        """Give up a take whose reply came too late, or not at all; never one that was used."""
        if token not in self.used:
            self.worker.release(token)
            self.released.add(token)

    @rule(target=answers, grant=consumes(grants), kind=KINDS)
    def call(self, grant: Grant, kind: str) -> MultipleResults[Answer]:
        """Use a grant, perhaps late."""
        return some(self.use(grant, kind))

    @rule(target=answers, kind=KINDS, is_settled=st.booleans())
    def work(self, kind: str, *, is_settled: bool) -> MultipleResults[Answer]:
        """Take and call, as on a good day; the answer may come late, or never."""
        grant = self.hear(new_token())
        answer = self.use(grant, kind) if grant else None
        if answer and is_settled:
            self.settle(answer)
        return some(answer)

    @rule(answer=answers)
    def settle(self, answer: Answer) -> None:
        """Settle a call: at once, late, or again after a lost reply; or never, if not chosen."""
        self.worker.settle(answer.grant, answer.outcome)
        if isinstance(answer.outcome, Created):
            self.settled[answer.grant.event_id].add(answer.outcome.chat.id)

    @rule(event_id=EVENT_IDS)
    def lose_worker(self, event_id: str) -> None:
        """Let the call's deadline pass: from now on nothing is sent for it."""
        attempt = int(self.bench.fields(event_id).get("attempt", 0))
        self.overdue |= {(event_id, number) for number in range(attempt + 1)}
        self.bench.lose_worker(event_id)

    @rule(event_id=EVENT_IDS)
    def age(self, event_id: str) -> None:
        """The event waits for longer than its deadline, though it was called before."""
        if event_id in self.bench.queue("due") and (event_id, 1) in self.called:
            self.bench.set_fields(event_id, accepted=1)

    @invariant()
    def schedule_and_lifetimes_are_right(self) -> None:
        """Open events are in exactly one of `due` and `calling`; what must end has a TTL."""
        assert not broken_rules(self.bench.client, self.bench.keys)

    @invariant()
    def records_tell_the_truth(self) -> None:
        """I3 and I5, event by event."""
        for event_id in self.own:
            record = self.bench.record(event_id)
            self.check_calls(event_id, record)
            self.check_chats(event_id, record)

    def check_calls(self, event_id: str, record: Record) -> None:
        """I3: no second create without proof or consent; and doubt is never denied."""
        consent = self.own[event_id] or self.setting
        assert self.made[event_id] <= (2 if consent is OnUnknown.RECREATE else 1)
        assert record.created is not False or self.made[event_id] == 0
        assert self.made[event_id] < 2 or record.possible_orphan

    def check_chats(self, event_id: str, record: Record) -> None:
        """I5: a published id stays, and every id that was settled is kept."""
        kept = {record.chat.id, *record.duplicate_chat_ids} if record.chat else set()
        assert kept == self.settled[event_id]
        assert (record.status is Status.OPENED) == (record.chat is not None)
        if record.chat:
            assert self.published.setdefault(event_id, record.chat.id) == record.chat.id
        assert record.chat or event_id not in self.published

    def hear(self, token: str) -> Grant | None:
        """Let a take arrive, after every backoff, pause and cool-down; a probe finds all well."""
        self.let_time_pass()
        taken = self.worker.take(token).taken
        if isinstance(taken, Probe):
            self.worker.probed(token, problem=None)
            taken = self.worker.take(token).taken
        if not isinstance(taken, Grant):
            return None
        self.check_grant(taken)
        return taken

    def let_time_pass(self) -> None:
        """End all that waits for its time, so that a run depends on no clock; calls go on."""
        self.bench.client.zadd(self.bench.key("due"), dict.fromkeys(IDS, 1), xx=True)
        self.bench.set_gate(pause_until=1, open_until=1, trial_until=1)

    def check_grant(self, grant: Grant) -> None:
        """I2: an attempt is one token's, a token one attempt's, and none's that was given up."""
        attempt = grant.event_id, grant.attempt
        assert grant.token not in self.released
        assert self.called.setdefault(attempt, grant.token) == grant.token
        assert list(self.called.values()).count(grant.token) == 1

    def use(self, grant: Grant, kind: str) -> Answer | None:
        """Make one call under a grant that was not given back, and send nothing past its time."""
        if grant.token in self.used | self.released:
            return None
        self.used.add(grant.token)
        if (grant.event_id, grant.attempt) in self.overdue:
            return Answer(grant, NOT_SENT)
        outcome = OUTCOMES[kind]
        if isinstance(outcome, Created):
            outcome = created(f"{grant.event_id}-{grant.attempt}")
        if isinstance(outcome, Created | Unknown):
            self.made[grant.event_id] += 1
        return Answer(grant, outcome)


def test_every_interleaving_keeps_the_invariants(client: Redis) -> None:
    """I1 to I5, whatever is lost, late or repeated."""

    class OverOneRedis(Workers):
        def __init__(self) -> None:
            super().__init__(client)

    run_state_machine_as_test(OverOneRedis, settings=EXAMPLES)
