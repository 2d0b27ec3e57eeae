"""The gate: one breaker, one pause, one token bucket for all workers, and probes before calls."""

from dataclasses import replace

import pytest

from app.chats.grant import Grant, NoWork, Probe, new_token
from app.chats.outcome import Outcome, Throttled
from app.store.grants import GrantStore
from tools.model.outcomes import (
    CREATED,
    NOT_SENT,
    REFUSED,
    THROTTLED,
    UNKNOWN,
    created,
)
from tools.model.store_driver import COOLDOWN_MS, HOUR_MS, LEASE_MS, LIMITS, THRESHOLD, StoreDriver

MINUTE_MS = 60_000
MAX_WAIT_MS = 1000
POLL_MS = 200
OTHER_WAY = "way-2"


def fill(bench: StoreDriver, number: int = 10) -> None:
    """Let that many events wait."""
    for index in range(number):
        bench.accept(f"e{index}")


def settle_next(bench: StoreDriver, outcome: Outcome) -> str | None:
    """Take the next call, settle it, and return the breaker's change."""
    return bench.worker().settle(bench.grant(), outcome).breaker


def trip(bench: StoreDriver) -> None:
    """Open the breaker by as many failures as it takes."""
    changes = [settle_next(bench, NOT_SENT) for _ in range(THRESHOLD)]
    assert changes == [None] * (THRESHOLD - 1) + ["open"]


def cool_down(bench: StoreDriver) -> None:
    """Let the breaker's cool-down be over."""
    bench.set_gate(open_until=1)


def half_open(bench: StoreDriver) -> None:
    """Trip the breaker, and let a probe find the reads good."""
    trip(bench)
    cool_down(bench)
    assert probe(bench, problem=None) == "half_open"


def probe(bench: StoreDriver, *, problem: str | None) -> str:
    """Take, which must return a probe, and report its finding."""
    taken = bench.take()
    assert isinstance(taken, Probe), taken
    return bench.worker().report_probe(taken.token, problem=problem)


def is_shut(bench: StoreDriver, *, longest_ms: int = MAX_WAIT_MS) -> bool:
    """Return whether a take makes the worker sleep because of the gate."""
    taken = bench.take()
    return isinstance(taken, NoWork) and not taken.is_idle and 0 < taken.wait_ms <= longest_ms


# The breaker


@pytest.mark.parametrize("outcome", [NOT_SENT, UNKNOWN], ids=lambda outcome: outcome.kind)
def test_failures_in_a_row_open_the_breaker(bench: StoreDriver, outcome: Outcome) -> None:
    """As many as the threshold, of all workers together."""
    fill(bench)

    changes = [settle_next(bench, outcome) for _ in range(THRESHOLD)]

    assert changes == [None, None, "open"]
    assert is_shut(bench)
    left_ms = int(bench.gate()["open_until"]) - bench.now_ms()
    assert COOLDOWN_MS - 1000 < left_ms <= COOLDOWN_MS * 1.2


@pytest.mark.parametrize("outcome", [CREATED, REFUSED], ids=lambda outcome: outcome.kind)
def test_a_success_resets_the_count(bench: StoreDriver, outcome: Outcome) -> None:
    """The endpoint worked, also where it refused."""
    fill(bench)
    for _ in range(THRESHOLD - 1):
        settle_next(bench, NOT_SENT)

    changes = [settle_next(bench, kind) for kind in (outcome, *[NOT_SENT] * THRESHOLD)]

    assert changes == [None, None, None, "open"]


def test_throttled_is_neutral(bench: StoreDriver) -> None:
    """It neither adds to the failures nor takes them back."""
    fill(bench)
    for _ in range(THRESHOLD - 1):
        settle_next(bench, NOT_SENT)

    settle_next(bench, Throttled(0))

    assert int(bench.gate()["failures"]) == THRESHOLD - 1


def test_a_lost_worker_is_neutral(bench: StoreDriver) -> None:
    """A worker's end proves nothing about Channel.io."""
    fill(bench)
    bench.set_gate(failures=THRESHOLD - 1)
    bench.grant()
    bench.lose_worker("e0")

    reply = bench.reply()

    assert reply.lost_event_ids == ["e0"]
    assert int(bench.gate()["failures"]) == THRESHOLD - 1
    assert isinstance(reply.decision, Grant)


def test_an_outcome_without_a_transition_is_neutral(bench: StoreDriver) -> None:
    """A late answer that counts for nothing counts for nothing here either."""
    fill(bench)
    bench.set_gate(failures=THRESHOLD - 1)
    grant = bench.grant()
    bench.lose_worker("e0")
    bench.reply()

    settled = bench.worker().settle(grant, UNKNOWN)

    assert (settled.effect, settled.breaker) == ("ignored", None)
    assert int(bench.gate()["failures"]) == THRESHOLD - 1


def test_a_duplicate_chat_is_neutral(bench: StoreDriver) -> None:
    """It is an answer to a call of long ago, and no proof that creates work now."""
    fill(bench)
    grant = bench.grant()
    bench.worker().settle(grant, CREATED)
    bench.set_gate(failures=THRESHOLD - 1)

    settled = bench.worker().settle(grant, created("chat-2"))

    assert (settled.effect, settled.breaker) == ("duplicate", None)
    assert int(bench.gate()["failures"]) == THRESHOLD - 1


def test_after_the_cool_down_one_worker_probes(bench: StoreDriver) -> None:
    """The others go on waiting, until its lease is over; the same token gets the same probe."""
    fill(bench)
    trip(bench)
    cool_down(bench)
    token = new_token()

    first = bench.worker().take(token).decision

    assert first == Probe(token)
    assert is_shut(bench, longest_ms=POLL_MS)
    assert bench.worker().take(token).decision == first
    assert LEASE_MS - 5000 < int(bench.gate()["probe_until:breaker"]) - bench.now_ms() <= LEASE_MS
    bench.set_gate(**{"probe_until:breaker": 1})
    assert isinstance(bench.take(), Probe)


def test_nobody_probes_for_want_of_work(bench: StoreDriver) -> None:
    """An open breaker with nothing due is left as it is."""
    bench.set_gate(state="open", open_until=1)

    assert bench.take() == NoWork(MAX_WAIT_MS, is_idle=True)


def test_a_good_probe_admits_one_create_at_a_time(bench: StoreDriver) -> None:
    """Reads that work prove nothing of creates: the trial does."""
    fill(bench)
    half_open(bench)

    trial = bench.grant()

    assert bench.gate()["trial"] == trial.token
    assert LEASE_MS - 5000 < int(bench.gate()["trial_until"]) - bench.now_ms() <= LEASE_MS
    assert is_shut(bench, longest_ms=POLL_MS)
    assert bench.gate()["state"] == "half_open"


@pytest.mark.parametrize("outcome", [CREATED, REFUSED], ids=lambda outcome: outcome.kind)
def test_the_trials_success_closes_the_breaker(bench: StoreDriver, outcome: Outcome) -> None:
    """And resets the count and the cool-down."""
    fill(bench)
    half_open(bench)

    assert settle_next(bench, outcome) == "closed"

    left = {"state", "reason", "failures", "open_until", "cooldown_ms", "trial", "trial_until"}
    assert bench.gate().keys() & left == set()
    assert all(isinstance(bench.take(), Grant) for _ in range(3))
    assert "trial" not in bench.gate()


@pytest.mark.parametrize("outcome", [NOT_SENT, UNKNOWN], ids=lambda outcome: outcome.kind)
def test_the_trials_failure_opens_the_breaker_again(bench: StoreDriver, outcome: Outcome) -> None:
    """One is enough, and the cool-down has doubled."""
    fill(bench)
    half_open(bench)

    assert settle_next(bench, outcome) == "open"

    assert is_shut(bench)
    assert bench.gate().keys().isdisjoint({"trial", "trial_until", "failures"})
    left_ms = int(bench.gate()["open_until"]) - bench.now_ms()
    assert 2 * COOLDOWN_MS - 1000 < left_ms <= 2 * COOLDOWN_MS * 1.2


def test_the_trials_neutral_end_lets_another_begin(bench: StoreDriver) -> None:
    """Throttled: neither closed nor opened again."""
    fill(bench)
    half_open(bench)

    assert settle_next(bench, Throttled(0)) is None

    bench.client.hdel(bench.key("gate"), "tat")
    assert bench.gate()["state"] == "half_open"
    assert isinstance(bench.take(), Grant)


@pytest.mark.parametrize("state", ["open", "half_open"])
@pytest.mark.parametrize("outcome", [CREATED, NOT_SENT, UNKNOWN], ids=lambda o: o.kind)
def test_only_the_trials_outcome_counts_while_not_closed(
    bench: StoreDriver, state: str, outcome: Outcome
) -> None:
    """Calls from before it opened neither close it, nor keep it open, nor end the trial."""
    fill(bench)
    earlier = bench.grant()
    half_open(bench)
    if state == "half_open":
        bench.grant()
    else:
        settle_next(bench, NOT_SENT)
    before = bench.gate()

    settled = bench.worker().settle(earlier, outcome)

    assert settled.breaker is None
    after = {name: text for name, text in bench.gate().items() if "successes" not in name}
    assert after == before


def test_a_lost_trial_lets_another_begin(bench: StoreDriver) -> None:
    """Found as a lost worker, its trial is over, without a verdict."""
    fill(bench)
    half_open(bench)
    trial = bench.grant()
    bench.lose_worker(trial.event_id)

    reply = bench.reply()

    assert reply.lost_event_ids == [trial.event_id]
    assert isinstance(reply.decision, Grant)
    assert bench.gate()["trial"] == reply.decision.token


def test_an_unfinished_trial_ends_with_its_lease(bench: StoreDriver) -> None:
    """Its event may have been opened by a late answer, so that no lost worker is ever found."""
    fill(bench)
    half_open(bench)
    bench.grant()
    bench.set_gate(trial_until=1)

    assert isinstance(bench.take(), Grant)


def test_a_bad_probe_opens_the_breaker_again(bench: StoreDriver) -> None:
    """For twice as long, and the next worker may probe after that."""
    fill(bench)
    trip(bench)
    cool_down(bench)

    assert probe(bench, problem="refused") == "blocked"

    assert (bench.gate()["state"], bench.gate()["reason"]) == ("open", "probe")
    assert is_shut(bench)
    cool_down(bench)
    assert isinstance(bench.take(), Probe)


def test_the_cool_down_doubles_up_to_a_minute(bench: StoreDriver) -> None:
    """With at most a fifth of jitter on top."""
    fill(bench)
    trip(bench)
    lefts = []
    for _ in range(6):
        lefts.append(int(bench.gate()["open_until"]) - bench.now_ms())
        cool_down(bench)
        probe(bench, problem="refused")

    expected = [5000, 10_000, 20_000, 40_000, MINUTE_MS, MINUTE_MS]
    assert all(ms - 1000 < left <= ms * 1.2 for left, ms in zip(lefts, expected, strict=True))


def test_a_configured_cool_down_above_a_minute_is_kept(bench: StoreDriver) -> None:
    """It does not double, and is not cut."""
    worker = bench.worker(limits=replace(LIMITS, cooldown_ms=2 * MINUTE_MS, threshold=1))
    fill(bench)
    for _ in range(2):
        bench.client.hdel(bench.key("gate"), "state")
        worker.settle(bench.grant(worker), NOT_SENT)

        left_ms = int(bench.gate()["open_until"]) - bench.now_ms()
        assert 2 * MINUTE_MS - 1000 < left_ms <= 2.4 * MINUTE_MS


@pytest.mark.parametrize("problem", [None, "refused"])
def test_a_probe_whose_lease_went_to_another_is_ignored(
    bench: StoreDriver, problem: str | None
) -> None:
    """Only the holder's finding counts, and only once."""
    fill(bench)
    trip(bench)
    cool_down(bench)
    late, current = new_token(), new_token()
    bench.worker().take(late)
    bench.set_gate(**{"probe_until:breaker": 1})
    bench.worker().take(current)

    assert bench.worker().report_probe(late, problem=problem) == "ignored"
    assert bench.gate()["state"] == "open"
    assert bench.worker().report_probe(current, problem=None) == "half_open"
    assert bench.worker().report_probe(current, problem=problem) == "ignored"
    assert bench.gate()["state"] == "half_open"


# The base URL


def test_a_worker_with_an_unseen_base_url_probes_first(new_bench: StoreDriver) -> None:
    """A wrong path would fail every event as an unknown user: nothing is taken until it is good."""
    new_bench.accept()

    assert probe(new_bench, problem=None) == "seen"

    assert isinstance(new_bench.take(), Grant)
    assert [name for name in new_bench.gate() if name.startswith("probe")] == []


def test_it_probes_while_it_is_idle(new_bench: StoreDriver) -> None:
    """So that the first event does not wait for it."""
    assert isinstance(new_bench.take(), Probe)


def test_a_bad_probe_keeps_its_base_url_out_for_a_cool_down(new_bench: StoreDriver) -> None:
    """Then it may be probed again; the breaker, which is for all, stays as it is."""
    new_bench.accept()

    assert probe(new_bench, problem="404") == "blocked"

    assert new_bench.take() == NoWork(MAX_WAIT_MS, is_idle=False)
    [(name, until)] = [
        pair for pair in new_bench.gate().items() if pair[0].startswith("probe_until")
    ]
    assert COOLDOWN_MS - 1000 < int(until) - new_bench.now_ms() <= COOLDOWN_MS
    new_bench.set_gate(**{name: 1})
    assert isinstance(new_bench.take(), Probe)
    assert "state" not in new_bench.gate()


def test_others_are_not_held_up_by_an_unseen_base_url(bench: StoreDriver) -> None:
    """A rolling change of version: the old workers go on, the new ones wait for one probe."""
    fill(bench)
    changed = bench.worker(way=OTHER_WAY)
    token = new_token()

    assert changed.take(token).decision == Probe(token)
    waiting = bench.take(changed)
    assert isinstance(waiting, NoWork)
    assert not waiting.is_idle
    assert isinstance(bench.take(), Grant)
    assert changed.report_probe(token, problem=None) == "seen"
    assert isinstance(bench.take(changed), Grant)
    assert isinstance(bench.take(), Grant)


def test_a_good_base_url_wakes_the_idle(new_bench: StoreDriver) -> None:
    """Events that came before the probe are called at once."""
    probe(new_bench, problem=None)

    assert new_bench.client.llen(new_bench.keys.bell) == 1


def test_a_probe_of_the_base_url_leaves_an_open_breaker_open(bench: StoreDriver) -> None:
    """The two findings are apart."""
    fill(bench)
    trip(bench)
    changed = bench.worker(way=OTHER_WAY)
    taken = bench.take(changed)
    assert isinstance(taken, Probe)

    changed.report_probe(taken.token, problem=None)

    assert bench.gate()["state"] == "open"
    assert is_shut(bench)


# The pause


def test_a_throttled_call_pauses_everybody(bench: StoreDriver) -> None:
    """All events wait until then, also those that were never refused."""
    fill(bench)

    settle_next(bench, THROTTLED)

    left_ms = int(bench.gate()["pause_until"]) - bench.now_ms()
    assert THROTTLED.retry_after_ms - 5000 < left_ms <= THROTTLED.retry_after_ms
    assert is_shut(bench)


def test_the_pause_only_grows(bench: StoreDriver) -> None:
    """A later, shorter one does not cut it."""
    fill(bench)
    first, second, third = bench.grant(), bench.grant(), bench.grant()
    pauses = []
    for grant, delay_ms in ((first, 20_000), (second, 1000), (third, 40_000)):
        bench.worker().settle(grant, Throttled(delay_ms))
        pauses.append(int(bench.gate()["pause_until"]))

    assert pauses[0] == pauses[1]
    assert 15_000 < pauses[2] - pauses[1] < 25_000


def test_a_pause_is_at_most_two_minutes(bench: StoreDriver) -> None:
    """Any requested pause is bounded."""
    fill(bench)

    settle_next(bench, Throttled(HOUR_MS))

    assert 0 < int(bench.gate()["pause_until"]) - bench.now_ms() <= 120_000


def test_after_a_pause_there_is_no_second_burst(bench: StoreDriver) -> None:
    """The bucket is empty up to its end: one call, and then the rate."""
    worker = bench.worker(limits=replace(LIMITS, rate_per_second=0.1, burst=5))
    fill(bench)
    worker.settle(bench.grant(worker), Throttled(30_000))
    paused_ms = int(bench.gate()["pause_until"]) - bench.now_ms()
    bench.set_gate(pause_until=1, tat=float(bench.gate()["tat"]) - paused_ms)

    assert isinstance(bench.take(worker), Grant)
    assert isinstance(bench.take(worker), NoWork)


def test_without_a_pause_the_bucket_stays_empty(bench: StoreDriver) -> None:
    """A 429 that asks for no pause gives none of the burst back."""
    worker = bench.worker(limits=replace(LIMITS, rate_per_second=0.1, burst=2))
    fill(bench)
    grants = bench.grant(worker), bench.grant(worker)

    for grant in grants:
        worker.settle(grant, Throttled(0))

    assert isinstance(bench.take(worker), NoWork)


# The rate


def test_a_burst_is_granted_at_once_and_no_more(bench: StoreDriver) -> None:
    """All workers share one bucket; the reply names when it next holds a call."""
    limits = replace(LIMITS, rate_per_second=0.5, burst=3)
    workers = [bench.worker(limits=limits) for _ in range(5)]
    fill(bench)

    taken = [bench.take(worker) for worker in workers]

    assert [isinstance(each, Grant) for each in taken] == [True, True, True, False, False]
    assert taken[3] == NoWork(MAX_WAIT_MS, is_idle=False)


def test_the_bucket_fills_at_the_rate(bench: StoreDriver) -> None:
    """One call an interval, not a new burst."""
    worker = bench.worker(limits=replace(LIMITS, rate_per_second=0.1, burst=3))
    fill(bench)
    for _ in range(3):
        bench.grant(worker)

    bench.set_gate(tat=float(bench.gate()["tat"]) - 10_000)

    assert isinstance(bench.take(worker), Grant)
    assert isinstance(bench.take(worker), NoWork)


def test_an_idle_hour_saves_up_no_more_than_a_burst(bench: StoreDriver) -> None:
    """The bucket's depth is its bound."""
    worker = bench.worker(limits=replace(LIMITS, rate_per_second=0.1, burst=2))
    fill(bench)
    bench.set_gate(tat=bench.now_ms() - HOUR_MS)

    taken = [bench.take(worker) for _ in range(3)]

    assert [isinstance(each, Grant) for each in taken] == [True, True, False]


def test_take_returns_how_long_the_bucket_needs(bench: StoreDriver) -> None:
    """So that it neither spins nor sleeps past its turn."""
    worker = bench.worker(limits=replace(LIMITS, rate_per_second=2, burst=1))
    fill(bench)
    bench.grant(worker)

    taken = bench.take(worker)

    assert isinstance(taken, NoWork)
    assert 0 < taken.wait_ms <= 500


@pytest.mark.parametrize("rate_per_second", [0.7, 3, 7, 9, 11, 13])
def test_a_bucket_of_one_call_gives_it(bench: StoreDriver, rate_per_second: float) -> None:
    """However the interval rounds beside today's instants: it is never a hair too long for ever."""
    worker = bench.worker(limits=replace(LIMITS, rate_per_second=rate_per_second, burst=1))
    fill(bench)

    assert isinstance(bench.take(worker), Grant)


def test_a_blocked_take_costs_no_token(bench: StoreDriver) -> None:
    """A shut breaker does not drain the bucket."""
    fill(bench)
    trip(bench)
    before = bench.gate()["tat"]

    assert is_shut(bench)
    assert bench.gate()["tat"] == before


# The rate after a 429


def interval_ms(bench: StoreDriver, worker: GrantStore) -> float:
    """Return how long the bucket takes to make up for one call."""
    bench.set_gate(pause_until=1, tat=1)
    grant = bench.grant(worker)
    granted_at = bench.queue("calling")[grant.event_id] - LEASE_MS
    return float(bench.gate()["tat"]) - granted_at


def slowed_worker(bench: StoreDriver, *retry_after_ms: int) -> GrantStore:
    """One that keeps to ten calls a second, after so many 429s in a row."""
    worker = bench.worker(limits=replace(LIMITS, rate_per_second=10, burst=1))
    fill(bench, 20)
    grants = []
    for _ in retry_after_ms:
        bench.client.hdel(bench.key("gate"), "tat")
        grants.append(bench.grant(worker))
    for grant, pause_ms in zip(grants, retry_after_ms, strict=True):
        worker.settle(grant, Throttled(pause_ms))
    return worker


def pass_time(bench: StoreDriver, *, ms: int) -> None:
    """Let the last 429 be so much longer ago."""
    bench.set_gate(slow_until=int(bench.gate()["slow_until"]) - ms)


def test_a_429_halves_the_rate(bench: StoreDriver) -> None:
    """The limit is lower than configured: the pause alone would end in the next 429."""
    worker = slowed_worker(bench, 0)

    assert 190 < interval_ms(bench, worker) <= 200


@pytest.mark.parametrize("pauses", [(20_000, 0, 0), (0, 0, 0)])
def test_calls_that_were_under_way_do_not_halve_it_again(
    bench: StoreDriver, pauses: tuple[int, ...]
) -> None:
    """Their 429s come while the pause lasts or, without one, just after the first."""
    worker = slowed_worker(bench, *pauses)

    assert 190 < interval_ms(bench, worker) <= 200


def test_the_next_429_halves_what_is_left(bench: StoreDriver) -> None:
    """Until the calls keep to the limit, whatever it is."""
    worker = slowed_worker(bench, 0)
    pass_time(bench, ms=2000)
    bench.client.hdel(bench.key("gate"), "tat")

    worker.settle(bench.grant(worker), Throttled(0))

    assert 350 < interval_ms(bench, worker) <= 400


def test_the_rate_grows_back_over_a_minute(bench: StoreDriver) -> None:
    """Linearly, to what is configured."""
    worker = slowed_worker(bench, 0)

    intervals = []
    for _ in range(2):
        pass_time(bench, ms=MINUTE_MS // 2)
        intervals.append(interval_ms(bench, worker))

    assert 125 < intervals[0] <= 134
    assert intervals[1] == pytest.approx(100)


def test_the_rate_does_not_fall_below_one_call_in_ten_seconds(bench: StoreDriver) -> None:
    """However many 429s there are."""
    slowed_worker(bench, 0)
    bench.set_gate(slow_rate=0.1, slow_until=bench.now_ms() + MINUTE_MS - 2000)
    worker = bench.worker(limits=replace(LIMITS, rate_per_second=0.1, burst=1))
    bench.client.hdel(bench.key("gate"), "tat")

    worker.settle(bench.grant(worker), Throttled(0))

    assert float(bench.gate()["slow_rate"]) == 0.1


def test_a_lower_configured_rate_is_kept_to(bench: StoreDriver) -> None:
    """A replica with other settings does not speed up because another one was slowed down."""
    slowed_worker(bench, 0)
    slower = bench.worker(limits=replace(LIMITS, rate_per_second=2, burst=1))

    assert interval_ms(bench, slower) == pytest.approx(500)


def test_slowed_down_a_burst_is_no_larger(bench: StoreDriver) -> None:
    """Idle time fills the configured bucket; each call now costs more of it."""
    worker = bench.worker(limits=replace(LIMITS, rate_per_second=0.5, burst=6))
    fill(bench, 10)
    worker.settle(bench.grant(worker), Throttled(0))
    bench.set_gate(pause_until=1, tat=1)

    taken = [bench.take(worker) for _ in range(4)]

    assert [isinstance(each, Grant) for each in taken] == [True, True, True, False]


def test_a_clock_that_was_ahead_slows_down_for_a_minute_at_most(bench: StoreDriver) -> None:
    """The instant is pulled in, and passes as any other."""
    worker = slowed_worker(bench, 0)
    bench.set_gate(slow_until=bench.now_ms() + HOUR_MS)

    interval_ms(bench, worker)

    assert int(bench.gate()["slow_until"]) - bench.now_ms() <= MINUTE_MS


# Clocks that were ahead

OPEN = {"state": "open", "open_until": "1", "probe:breaker": "other"}
ON_TRIAL = {"state": "half_open", "trial": "other"}
# Each instant of the gate, what else makes it count, and how far ahead it may legally be.
INSTANTS = [
    ("pause_until", {}, 120_000),
    ("open_until", OPEN, 2 * MINUTE_MS),
    ("probe_until:breaker", OPEN, 305_000),
    ("trial_until", ON_TRIAL, 305_000),
    ("tat", {}, 1000 * LIMITS.burst / LIMITS.rate_per_second),
]


@pytest.mark.parametrize(("field", "gate", "longest_ms"), INSTANTS)
def test_the_gate_is_not_shut_longer_than_is_legal(
    bench: StoreDriver, field: str, gate: dict[str, str], longest_ms: float
) -> None:
    """An instant from a host whose clock was ahead is pulled in, and then passes as any other."""
    fill(bench)
    bench.set_gate(**gate | {field: bench.now_ms() + HOUR_MS})

    assert is_shut(bench)

    left_ms = float(bench.gate()[field]) - bench.now_ms()
    assert longest_ms - 1000 < left_ms <= longest_ms


@pytest.mark.parametrize(("field", "gate", "longest_ms"), INSTANTS[:-1])
def test_the_gates_legal_instants_are_not_moved(
    bench: StoreDriver, field: str, gate: dict[str, str], longest_ms: float
) -> None:
    """Only what no clock of ours can have meant is pulled in."""
    fill(bench)
    until = bench.now_ms() + longest_ms - 1000
    bench.set_gate(**gate | {field: until})

    assert is_shut(bench)

    assert float(bench.gate()[field]) == until


def test_while_paused_an_idle_worker_probes_nothing(new_bench: StoreDriver) -> None:
    """An operator's pause is of all that goes to Channel.io."""
    new_bench.operations().pause(by="anna")

    taken = new_bench.take()

    assert isinstance(taken, NoWork)
    assert taken.is_idle
