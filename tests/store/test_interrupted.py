"""Scripts that Redis stops half-way: a repeat leaves what an undisturbed run leaves.

For each scenario every command of the script is refused once, by its number; then the script is
run again. A user of Redis without channels, a memory that fills up and a key of another type stop
scripts like that.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from app.chats.errors import EventRefused, NothingDone
from app.chats.event import OnUnknown
from app.chats.grant import Grant
from app.chats.outcome import (
    Done,
    LookFailed,
    NotFound,
    Outcome,
    Refused,
    Resolved,
    Unknown,
)
from app.chats.record import FailureCode, Status
from app.store.keys import Keys, Person
from app.store.operations import Operations
from app.store.scripts import Scripts
from tests.store.interrupted import Interrupted, recorded
from tools.model.outcomes import OUTCOMES, created
from tools.model.store_driver import COOLDOWN_MS, HOUR_MS, TTL_SECONDS, StoreDriver, event_of
from tools.stack.redis_client import Client, connect_to
from tools.stack.valkey import Valkey

ACKED = 1
TOKEN = "token-of-the-take"
Setup = Callable[[StoreDriver], Grant | None]
Act = Callable[[StoreDriver, Grant | None], object]

# By hand: apt-get install redis-server. Where it is not installed, its half of the tests is not
# there, and no test is skipped.
BINARIES = {"valkey": None} | (
    {"redis": Path(found)} if (found := shutil.which("redis-server")) else {}
)

U1 = Person("user_id", "u1")
MEMBER = Person("member_id", "m1")
TASKS: dict[str, Any] = {"message": {"text": "Hello.", "bot_name": "Refunds"}, "open": True}
SENT = Done(has_acted=True, message_id="m-1")
LOST = Unknown(FailureCode.NO_ANSWER, "No answer came.")
NO_BOT = Refused(FailureCode.BOT_NOT_FOUND, "No such bot.", 422)


@pytest.fixture(scope="module", params=BINARIES, ids=list(BINARIES))
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """A client of a server of each kind that there is."""
    directory = tmp_path_factory.mktemp(request.param)
    with Valkey(directory, binary=BINARIES[request.param]) as valkey, connect_to(valkey.url) as one:
        yield one


@pytest.fixture
def relay(server: Client) -> StoreDriver:
    """A relay on it whose way was found good."""
    server.flushall()
    bench = StoreDriver(server, Keys("before"))
    bench.open_gate()
    return bench


# What comes before: each returns the grant that was handed out, if one was.


def nothing(_: StoreDriver) -> None:
    """Leave the relay as it is."""


def accept(bench: StoreDriver) -> None:
    """Accept the event."""
    bench.accept()


def grant(bench: StoreDriver) -> Grant:
    """Accept the event and take it."""
    bench.accept(metadata={"order": "7731"})
    taken = bench.worker().take(TOKEN).decision
    assert isinstance(taken, Grant)
    return taken


def lose(bench: StoreDriver) -> Grant:
    """Let the worker of a grant be lost."""
    given = grant(bench)
    bench.lose_worker()
    return given


def hold(bench: StoreDriver) -> Grant:
    """Let the event be held."""
    given = lose(bench)
    bench.worker().take("another", may_grant=False)
    return given


def consent(bench: StoreDriver) -> Grant:
    """Let the event be accepted again by consent."""
    given = lose(bench)
    bench.worker(on_unknown=OnUnknown.RECREATE).take("another", may_grant=False)
    return given


def publish_another(bench: StoreDriver) -> Grant:
    """Let an operator publish another chat while the answer is under way."""
    given = hold(bench)
    bench.operations().resolve_with_chat("e1", "chat-of-anna", by="anna")
    return given


def give_up(bench: StoreDriver) -> Grant:
    """Let an operator give the event up."""
    given = hold(bench)
    bench.operations().give_up("e1", by="anna")
    return given


def refuse(bench: StoreDriver) -> Grant:
    """Let the event fail, with proof that nothing was made."""
    given = grant(bench)
    bench.worker().settle(given, OUTCOMES["refused"])
    return given


def flush(bench: StoreDriver) -> Grant:
    """Let Redis lose the record and where the event stood."""
    given = grant(bench)
    bench.client.unlink(*map(bench.key, ("event:e1", "calling", f"taken:{TOKEN}")))
    return given


def live_again(bench: StoreDriver) -> Grant:
    """Let the id be accepted again after its window, for another user."""
    given = flush(bench)
    bench.accept(user_id="u2")
    bench.set_fields(accepted_ms=bench.now_ms() + HOUR_MS)
    return given


def deny(bench: StoreDriver) -> Grant:
    """Let the next denial be the second that is the event's own."""
    given = grant(bench)
    bench.set_fields(denied={"way": "way-1", "successes": 0, "own": 1, "times": 2, "since_ms": 1})
    bench.set_gate(**{"successes:way-1": 1})
    return given


def leave_stale_mark(bench: StoreDriver) -> None:
    """Let a removal be stopped after its record was removed."""
    given = hold(bench)
    bench.client.set(bench.key("forgotten:e1"), f"{given.life_ms} earlier", px=HOUR_MS)
    bench.client.unlink(bench.key("event:e1"))


def half_open(bench: StoreDriver) -> None:
    """Let one call be tried."""
    bench.accept()
    bench.set_gate(state="half_open", cooldown_ms=COOLDOWN_MS)


def cool_down(bench: StoreDriver) -> None:
    """Let the open breaker be due for its probe."""
    bench.accept()
    bench.set_gate(state="open", cooldown_ms=COOLDOWN_MS, open_until=1)


def change_way(bench: StoreDriver) -> None:
    """Let the way be unseen."""
    bench.accept()
    bench.client.hdel(bench.key("gate"), "way:way-1")


def set_clock_back(bench: StoreDriver) -> None:
    """Let the clock have shown a later time when the event was accepted."""
    bench.accept()
    later = bench.now_ms() + 40_000
    bench.move("due", "e1", later - 1)
    bench.set_gate(newest=later)


def expire(bench: StoreDriver) -> None:
    """Let the event wait for too long."""
    bench.accept()
    bench.set_fields(accepted_ms=bench.now_ms() - HOUR_MS)


def leave_stale(bench: StoreDriver) -> None:
    """Let sets name events that are elsewhere."""
    grant(bench)
    bench.client.zadd(bench.key("due"), {"e1": 1, "gone": 2})
    bench.client.zadd(bench.key("calling"), {"gone": 3})


def release_by_another(bench: StoreDriver) -> None:
    """Let another release have written the record."""
    bench.accept()
    bench.set_fields(v=4)


def lease_probe(bench: StoreDriver) -> None:
    """Let the probe of the way be under way."""
    change_way(bench)
    bench.worker().take(TOKEN)


def lease_breaker(bench: StoreDriver) -> None:
    """Let the probe of the breaker be under way."""
    cool_down(bench)
    bench.worker().take(TOKEN)


def pause(bench: StoreDriver) -> None:
    """Let an operator pause all calls."""
    bench.operations().pause(by="anna")


# And with tasks.


def await_resolve(bench: StoreDriver) -> None:
    """Accept an event whose user is to be found."""
    bench.accept("e1", member_id="m1", **TASKS)


def await_kept_user(bench: StoreDriver) -> None:
    """Accept an event whose user another one found."""
    await_resolve(bench)
    bench.client.set(bench.key("member:m1"), "u1", px=HOUR_MS)


def await_message(bench: StoreDriver) -> None:
    """Open an event whose message is to be sent."""
    bench.accept("e1", **TASKS)
    settle_next(bench, created("chat-1"), "first")


def await_open(bench: StoreDriver) -> None:
    """Open an event whose message is sent."""
    await_message(bench)
    settle_next(bench, SENT, "second")


def await_look(bench: StoreDriver) -> None:
    """Open an event whose message was sent twice, without an answer."""
    await_message(bench)
    for token in ("second", "third"):
        settle_next(bench, LOST, token)
    bench.make_due()


def fail_message(bench: StoreDriver) -> None:
    """Open an event whose message is refused."""
    await_message(bench)
    settle_next(bench, NO_BOT, "second")


def lose_text(bench: StoreDriver) -> None:
    """Let Redis lose the message's text."""
    await_message(bench)
    bench.client.unlink(bench.key("text:e1"))


def expire_message(bench: StoreDriver) -> None:
    """Let the message wait for too long."""
    await_message(bench)
    bench.set_fields(deadline_from_ms=bench.now_ms() - HOUR_MS)


def leave_text(bench: StoreDriver) -> None:
    """Let an acceptance be stopped before the record."""
    bench.accept("e1", **TASKS)
    bench.client.unlink(bench.keys.event("e1"))


def hold_with_tasks(bench: StoreDriver) -> None:
    """Let an event with tasks be held."""
    bench.accept("e1", member_id="m1", **TASKS)
    settle_next(bench, Resolved("u1"), "first")
    settle_next(bench, OUTCOMES["unknown"], "second")


def open_for_member(bench: StoreDriver) -> None:
    """Let the event be opened, so that both its person's indexes list it."""
    bench.accept("e1", member_id="m1")
    settle_next(bench, Resolved("u1"), "first")
    settle_next(bench, created("chat-1"), "second")


def refuse_with_tasks(bench: StoreDriver) -> None:
    """Let an event with tasks fail."""
    bench.accept("e1", member_id="m1", **TASKS)
    settle_next(bench, Resolved("u1"), "first")
    settle_next(bench, OUTCOMES["refused"], "second")


def settle_next(bench: StoreDriver, outcome: Outcome, token: str) -> None:
    """Take under the token, and settle."""
    bench.make_due()
    taken = bench.worker().take(token).decision
    assert isinstance(taken, Grant)
    bench.worker().settle(taken, outcome)


def granted(before: Callable[[StoreDriver], None]) -> Callable[[StoreDriver], Grant]:
    """Let the task that waits be granted under the token."""

    def setup(bench: StoreDriver) -> Grant:
        before(bench)
        taken = bench.worker().take(TOKEN).decision
        assert isinstance(taken, Grant)
        return taken

    return setup


def lost(before: Callable[[StoreDriver], None]) -> Setup:
    """Let the worker of that grant be lost."""

    def setup(bench: StoreDriver) -> Grant:
        given = granted(before)(bench)
        bench.lose_worker()
        bench.worker().take("another", may_grant=False)
        return given

    return setup


def overdue(before: Callable[[StoreDriver], None]) -> Setup:
    """Let the lease of that grant be over."""

    def setup(bench: StoreDriver) -> Grant:
        given = granted(before)(bench)
        bench.lose_worker()
        return given

    return setup


def unlinked(before: Callable[[StoreDriver], None]) -> Setup:
    """Let Redis lose the record of that grant."""

    def setup(bench: StoreDriver) -> Grant:
        given = granted(before)(bench)
        bench.client.unlink(*map(bench.key, ("event:e1", "calling", f"taken:{TOKEN}")))
        return given

    return setup


# What is stopped half-way.


def accepting(**fields: Any) -> Act:
    """Accept an event of that id."""
    event = event_of(**fields)

    def act(bench: StoreDriver, _: Grant | None) -> None:
        with suppress(EventRefused):
            bench.intake(min_replicas_acked=ACKED).accept(event)

    return act


def taking(*, may_grant: bool = True, policy: OnUnknown = OnUnknown.HOLD) -> Act:
    """Take under the token."""
    return lambda bench, _: bench.worker(min_replicas_acked=ACKED, on_unknown=policy).take(
        TOKEN, may_grant=may_grant
    )


def settling(kind: str) -> Act:
    """Settle that outcome of the grant."""
    return settling_outcome(OUTCOMES[kind])


def settling_outcome(outcome: Outcome) -> Act:
    """Settle an outcome of the grant, which took three requests."""

    def act(bench: StoreDriver, given: Grant | None) -> None:
        assert given is not None
        bench.worker(min_replicas_acked=ACKED).settle(given, outcome, requests=3)

    return act


def reporting(problem: str | None) -> Act:
    """Report what the probe found."""
    return lambda bench, _: bench.worker().report_probe(TOKEN, problem=problem)


def releasing(bench: StoreDriver, _: Grant | None) -> None:
    """Give back what is under the token."""
    bench.worker().release(TOKEN)


def looking_up(bench: StoreDriver, _: Grant | None) -> None:
    """Look an event up."""
    bench.intake(min_replicas_acked=ACKED).find("e1")


def operating(decide: Callable[[Operations], object]) -> Act:
    """Carry out an operator's command."""
    return lambda bench, _: decide(operations(bench))


def forgetting(person: Person) -> Act:
    """Remove the event for its person."""
    return operating(lambda o: o.forget("e1", person=person, token="of-the-command"))


def suppressed(decide: Callable[[], object]) -> None:
    """Carry out a command that may be refused."""
    with suppress(NothingDone):
        decide()


def operations(bench: StoreDriver) -> Operations:
    """Return the operator's commands."""
    scripts = Scripts(bench.client.relay, bench.keys, min_replicas_acked=ACKED)
    return Operations(scripts, record_ttl_seconds=TTL_SECONDS)


REFUSED = Refused(FailureCode.REJECTED, "No.", 422)
NOT_FOUND = NotFound("Not there.")
COMMON: list[Outcome] = [
    *(OUTCOMES["throttled"], OUTCOMES["denied"], OUTCOMES["not_sent"], LookFailed("No answer.")),
]
NO_USER = Refused(FailureCode.USER_NOT_FOUND, "None.", 404, has_acted=False)
TASK_OUTCOMES: dict[Callable[[StoreDriver], None], list[Outcome]] = {
    await_resolve: [*COMMON, Resolved("u1"), NO_USER],
    await_message: [*COMMON, SENT, LOST, NO_BOT],
    await_open: [*COMMON, SENT, LOST, REFUSED],
    await_look: [SENT, NOT_FOUND],
}

SCENARIOS: dict[str, tuple[Setup, Act]] = {
    "accept": (nothing, accepting()),
    "accept-duplicate": (accept, accepting()),
    "accept-reused": (accept, accepting(user_id="u2")),
    "accept-too-old": (nothing, accepting(occurred_at="2001-01-01T00:00:00Z")),
    "take": (accept, taking()),
    "take-repeated": (grant, taking()),
    "take-trial": (half_open, taking()),
    "take-probe-of-way": (change_way, taking()),
    "take-probe-of-breaker": (cool_down, taking()),
    "take-lost": (lose, taking()),
    "take-lost-without-slot": (lose, taking(may_grant=False)),
    "take-lost-by-consent": (lose, taking(policy=OnUnknown.RECREATE)),
    "take-expired": (expire, taking()),
    "take-stale-entries": (leave_stale, taking(may_grant=False)),
    "take-of-another-release": (release_by_another, taking()),
    "take-clock-back": (set_clock_back, taking()),
    "take-idle": (nothing, taking()),
    **{
        f"settle-{kind}-{before.__name__}": (before, settling(kind))
        for kind in OUTCOMES
        for before in (grant, hold, consent, publish_another, give_up, flush, live_again)
    },
    "settle-denied-own": (deny, settling("denied")),
    "settle-refused-twice": (refuse, settling("refused")),
    "accept-with-tasks": (nothing, accepting(member_id="m1", **TASKS)),
    **{
        f"take-{before.__name__}": (before, taking())
        for before in (await_resolve, await_kept_user, await_message, await_open, await_look)
    },
    **{
        f"take-{before.__name__}": (before, taking(may_grant=False))
        for before in (lose_text, expire_message, leave_text)
    },
    **{
        f"take-overdue-{before.__name__}": (overdue(before), taking(may_grant=False))
        for before in (await_resolve, await_message, await_open, await_look)
    },
    **{
        f"settle-{outcome.kind}-{made.__name__}-{before.__name__}": (
            made(before),
            settling_outcome(outcome),
        )
        for before, outcomes in TASK_OUTCOMES.items()
        for outcome in outcomes
        for made in (granted, lost, unlinked)
    },
    "settle-refused-kept-user": (granted(await_kept_user), settling("refused")),
    "redrive-message": (fail_message, operating(lambda o: o.redrive("e1", by="anna"))),
    "redrive-tasks": (refuse_with_tasks, operating(lambda o: o.redrive("e1", by="anna"))),
    "cancel-message": (await_message, operating(lambda o: o.cancel("e1", by="anna"))),
    "cancel-resolve": (await_resolve, operating(lambda o: o.cancel("e1", by="anna"))),
    "resolve-chat-tasks": (
        hold_with_tasks,
        operating(lambda o: o.resolve_with_chat("e1", "chat-9", by="anna")),
    ),
    "resolve-recreate-tasks": (
        hold_with_tasks,
        operating(lambda o: o.recreate("e1", by="anna")),
    ),
    "resolve-give-up-tasks": (hold_with_tasks, operating(lambda o: o.give_up("e1", by="anna"))),
    **{
        f"forget-member-{before.__name__}": (
            before,
            operating(lambda o: o.forget("e1", person=MEMBER, token="of-the-command")),
        )
        for before in (await_kept_user, refuse_with_tasks, hold_with_tasks)
    },
    **{
        f"forget-open_for_member-{person.field}": (
            open_for_member,
            forgetting(person),
        )
        for person in (U1, MEMBER)
    },
    "release-message": (granted(await_message), releasing),
    "release-resolve": (granted(await_resolve), releasing),
    "release": (grant, releasing),
    "release-held": (hold, releasing),
    "release-unknown-token": (nothing, releasing),
    "release-probe": (lease_probe, releasing),
    "probe-of-way-good": (lease_probe, reporting(None)),
    "probe-of-way-bad": (lease_probe, reporting("answered 503")),
    "probe-of-breaker-good": (lease_breaker, reporting(None)),
    "probe-of-breaker-bad": (lease_breaker, reporting("answered 503")),
    "resolve-chat": (hold, operating(lambda o: o.resolve_with_chat("e1", "chat-9", by="anna"))),
    "resolve-recreate": (hold, operating(lambda o: o.recreate("e1", by="anna"))),
    "resolve-give-up": (hold, operating(lambda o: o.give_up("e1", by="anna"))),
    "redrive": (refuse, operating(lambda o: o.redrive("e1", by="anna"))),
    "cancel": (accept, operating(lambda o: o.cancel("e1", by="anna"))),
    "pause": (nothing, operating(lambda o: o.pause(by="anna"))),
    "resume": (pause, operating(lambda o: o.resume(by="anna"))),
    "pause-again": (pause, operating(lambda o: suppressed(lambda: o.pause(by="bert")))),
    **{
        f"forget-{before.__name__}": (
            before,
            operating(
                lambda o: o.forget("e1", person=Person("user_id", "u1"), token="of-the-command")
            ),
        )
        for before in (nothing, accept, grant, hold, refuse, publish_another, leave_stale_mark)
    },
    "forget-not-theirs": (
        accept,
        operating(lambda o: o.forget("e1", person=Person("user_id", "u2"), token="t")),
    ),
    "list": (
        hold,
        operating(lambda o: list(o.pages(Status.UNKNOWN, person=U1))),
    ),
    "explain": (hold, operating(lambda o: o.event_history("e1"))),
    "opened-events": (
        publish_another,
        operating(lambda o: o.opened_events(Person("user_id", "u1"))),
    ),
    "look-up": (accept, looking_up),
}


@pytest.mark.parametrize(("before", "act"), SCENARIOS.values(), ids=SCENARIOS)
def test_a_repeat_leaves_what_an_undisturbed_run_leaves(
    relay: StoreDriver, before: Setup, act: Act
) -> None:
    """Whichever of the script's commands Redis refused the first time."""
    given = before(relay)

    command = recorded(relay, lambda copy: act(copy, given))

    commands = Interrupted(relay.client, relay, command, relay.now_ms()).check()
    assert commands > 0


# Without the record that Redis lost nothing can end with it.
KEPT = {name: scenario for name, scenario in SCENARIOS.items() if "-unlinked-" not in name}


@pytest.mark.parametrize(("before", "act"), KEPT.values(), ids=KEPT)
def test_texts_and_chats_end_with_their_records(
    relay: StoreDriver, before: Setup, act: Act
) -> None:
    """Also without a repeat of the script: a worker that finds the event tidies up."""
    given = before(relay)

    command = recorded(relay, lambda copy: act(copy, given))

    assert [] == Interrupted(relay.client, relay, command, relay.now_ms()).check_unrepeated()
