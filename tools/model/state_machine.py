"""State machine of random interleavings: several workers and a few events.

The oracle is plain Python, independent of the scripts: it counts the chats that Channel.io may have
created, and the answers that callers received. A failure prints the steps, and a blob that repeats
them.
"""

from collections import defaultdict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from app.chats.errors import EventIdReused
from app.chats.event import OnUnknown
from app.chats.grant import Grant, NoWork, Probe, new_token
from app.chats.outcome import Created, Outcome, Unknown
from app.chats.record import Record, Status
from app.store.keys import Keys
from tools.model.outcomes import NOT_SENT, OUTCOMES, created
from tools.model.rules import broken_rules
from tools.model.store_driver import StoreDriver, event_of
from tools.stack.redis_client import Client

EXAMPLES = settings(
    max_examples=30, stateful_step_count=30, deadline=None, derandomize=True, print_blob=True
)

IDS = ("e1", "e2", "e3", "e4", "e5")
EVENT_IDS = st.sampled_from(IDS)
CONSENTS = st.sampled_from([None, *OnUnknown])
KINDS = st.sampled_from([*["created"] * 3, *["unknown"] * 2, *OUTCOMES])
# How far a worker gets: the take under way, its reply lost, the grant unused, the answer not
# settled, the worker lost before that, or all done.
ENDS = st.sampled_from(["under way", "unread", "unused", "late", "lost", "lost", *["settled"] * 4])
MOVES = st.sampled_from(
    [
        *["work"] * 6,
        *["settle", "resume", "take again"] * 2,
        *["settle", "be late", "age", "take nothing"],
    ]
)
PICKS = st.sampled_from([0, 0, 1, 2, -1])  # mostly the oldest


class Workers(RuleBasedStateMachine):
    """Callers, workers, an unreliable network, and Channel.io, over one relay."""

    def __init__(self, client: Client) -> None:
        """Start over with an empty Redis."""
        super().__init__()
        client.flushall()
        self.bench = StoreDriver(client, Keys("relay"))
        self.bench.open_gate()
        self.worker = self.bench.worker()
        self.setting = OnUnknown.HOLD
        self.own: dict[str, OnUnknown | None] = {}  # the consent that each accepted event gave
        self.tokens: list[str] = []  # of takes whose reply is lost or delayed
        self.grants: list[Grant] = []  # received, and not used
        self.answers: list[tuple[Grant, Outcome]] = []  # the outcome of each call
        self.called: dict[tuple[str, int], str] = {}  # the token that was granted each attempt
        self.overdue: set[tuple[str, int]] = set()  # attempts under which nothing is sent any more
        self.used: set[str] = set()  # tokens under whose grant a call was made
        self.released: set[str] = set()
        self.made: dict[str, int] = defaultdict(int)  # chats that Channel.io may have created
        self.settled: dict[str, set[str]] = defaultdict(set)  # chat ids that reached the store
        self.published: dict[str, str] = {}

    @initialize(setting=st.sampled_from(OnUnknown), own=CONSENTS)
    def begin(self, setting: OnUnknown, own: OnUnknown | None) -> None:
        """Choose the setting of consent, and accept a first event."""
        self.setting = setting
        self.worker = self.bench.worker(on_unknown=setting)
        self.accept("e1", own)

    @rule(event_id=EVENT_IDS, own=CONSENTS)
    def accept(self, event_id: str, own: OnUnknown | None) -> None:
        """Accept an event: new once, then a duplicate; another payload is refused."""
        event = event_of(event_id, on_unknown=own)
        if event_id in self.own and self.own[event_id] != own:
            with pytest.raises(EventIdReused):
                self.bench.intake().accept(event)
            return

        record, is_new = self.bench.intake().accept(event)

        assert is_new == (event_id not in self.own)
        assert record == self.bench.record(event_id)
        self.own[event_id] = own

    @rule(
        move=MOVES, end=ENDS, kind=KINDS, pick=PICKS, is_given_up=st.booleans(), event_id=EVENT_IDS
    )
    def step(
        self, move: str, end: str, kind: str, pick: int, event_id: str, *, is_given_up: bool
    ) -> None:
        """Make the next move. It is one rule, since Hypothesis omits whole rules from a run."""
        if move == "work":
            self.work(end, kind, pick)
        elif move == "settle" and self.answers:
            self.settle(pick)
        elif move == "resume" and self.grants:
            self.resume(pick, kind, is_given_back=is_given_up)
        elif move == "take again" and self.tokens:
            self.take_again(pick, kind, is_given_up=is_given_up)
        elif move == "be late":
            self.lose_worker(event_id)
        elif move == "age":
            self.age(event_id)
        elif move == "take nothing":
            self.take_nothing()

    def work(self, end: str, kind: str, pick: int) -> None:
        """Take, call and settle, or stop after any of these."""
        token = new_token()
        grant = None if end == "under way" else self.receive(token)
        if end in {"under way", "unread"}:
            self.tokens.append(token)
        elif grant and end == "unused":
            self.grants.append(grant)
        elif grant:
            self.use(grant, kind)
        if grant and end == "lost":
            self.lose_worker(grant.event_id)
        if self.answers and end == "settled":
            self.settle(pick)

    def resume(self, pick: int, kind: str, *, is_given_back: bool) -> None:
        """Continue with a grant, perhaps late, or release it."""
        grant = self.grants.pop(pick % len(self.grants))
        if is_given_back:
            self.release(grant.token)
        else:
            self.use(grant, kind)

    def take_again(self, pick: int, kind: str, *, is_given_up: bool) -> None:
        """Repeat a take, deliver a delayed one, or release its token before it arrives."""
        token = self.tokens[pick % len(self.tokens)]
        if is_given_up:
            self.release(token)
        elif grant := self.receive(token):
            self.use(grant, kind)

    def take_nothing(self) -> None:
        """Take without a free slot: lost workers and expired events are found, nothing more."""
        self.let_time_pass()
        assert isinstance(self.worker.take(new_token(), may_grant=False).decision, NoWork)

    def settle(self, pick: int) -> None:
        """Settle a call: at once, late, out of order, or again after a lost reply."""
        grant, outcome = answer = self.answers.pop(pick % len(self.answers))
        self.answers.append(answer)
        if isinstance(outcome, Created):
            self.settled[grant.event_id].add(outcome.chat.id)
        self.worker.settle(grant, outcome)

    def lose_worker(self, event_id: str) -> None:
        """Let the call's deadline pass: from now on nothing is sent for it."""
        attempt = int(self.bench.fields(event_id).get("attempt", 0))
        self.overdue |= {(event_id, number) for number in range(attempt + 1)}
        self.bench.lose_worker(event_id)

    def age(self, event_id: str) -> None:
        """Let an event that was called before wait past its deadline."""
        if event_id in self.bench.queue("due") and (event_id, 1) in self.called:
            self.bench.set_fields(event_id, accepted_ms=1)

    @invariant()
    def schedule_and_lifetimes_are_right(self) -> None:
        """Check that each open event is in one of `due` and `calling`, and the TTLs."""
        assert not broken_rules(self.bench.client, self.bench.keys)

    @invariant()
    def records_tell_the_truth(self) -> None:
        """Check I3 and I5, event by event."""
        for event_id in self.own:
            record = self.bench.record(event_id)
            self.check_calls(event_id, record)
            self.check_chats(event_id, record)

    def check_calls(self, event_id: str, record: Record) -> None:
        """Check I3: no second create without proof or consent, and `created` is honest."""
        consent = self.own[event_id] or self.setting
        assert self.made[event_id] <= (2 if consent is OnUnknown.RECREATE else 1)
        assert record.created is not False or self.made[event_id] == 0
        assert self.made[event_id] < 2 or record.possible_orphan

    def check_chats(self, event_id: str, record: Record) -> None:
        """Check I5: a published id stays, and every settled id is kept."""
        kept = {record.chat.id, *record.duplicate_chat_ids} if record.chat else set()
        assert kept == self.settled[event_id]
        assert (record.status is Status.OPENED) == (record.chat is not None)
        if record.chat:
            assert self.published.setdefault(event_id, record.chat.id) == record.chat.id
        assert record.chat or event_id not in self.published

    def receive(self, token: str) -> Grant | None:
        """Take after every backoff, pause and cool-down; a probe succeeds."""
        self.let_time_pass()
        self.let_work_come_in()
        taken = self.worker.take(token).decision
        if isinstance(taken, Probe):
            self.worker.report_probe(token, problem=None)
            taken = self.worker.take(token).decision
        if not isinstance(taken, Grant):
            return None
        self.check_grant(taken)
        return taken

    def let_time_pass(self) -> None:
        """End every delay but leases, so that a run does not depend on the clock."""
        self.bench.client.zadd(self.bench.key("due"), dict.fromkeys(IDS, 1), xx=True)
        self.bench.set_gate(pause_until=1, open_until=1, trial_until=1)

    def let_work_come_in(self) -> None:
        """Accept another event, with consent to a second call, if none is due."""
        new = [event_id for event_id in IDS if event_id not in self.own]
        if new and not self.bench.queue("due"):
            self.accept(new[0], OnUnknown.RECREATE)

    def check_grant(self, grant: Grant) -> None:
        """Check the fence: one token for each attempt, and no grant for a released token."""
        attempt = grant.event_id, grant.attempt
        assert grant.token not in self.released
        assert self.called.setdefault(attempt, grant.token) == grant.token
        assert list(self.called.values()).count(grant.token) == 1

    def use(self, grant: Grant, kind: str) -> None:
        """Make one call under a grant that was not released, and none past its deadline."""
        if grant.token in self.used | self.released:
            return
        self.used.add(grant.token)
        outcome = OUTCOMES[kind]
        if (grant.event_id, grant.attempt) in self.overdue:
            outcome = NOT_SENT
        elif isinstance(outcome, Created):
            outcome = created(f"{grant.event_id}-{grant.attempt}")
        if isinstance(outcome, Created | Unknown):
            self.made[grant.event_id] += 1
        self.answers.append((grant, outcome))

    def release(self, token: str) -> None:
        """Release a token, unless a call was made under it."""
        if token not in self.used:
            self.worker.release(token)
            self.released.add(token)


def try_interleavings(client: Client, examples: settings) -> None:
    """Try random interleavings; raise for the first that breaks an invariant."""

    class OverOneRedis(Workers):
        def __init__(self) -> None:
            super().__init__(client)

    run_state_machine_as_test(OverOneRedis, settings=examples)
