"""``traceparent`` as https://www.w3.org/TR/trace-context/ has it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.telemetry.trace_context import Trace

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN_ID = "00f067aa0ba902b7"
GOOD = f"00-{TRACE_ID}-{SPAN_ID}-01"
FORM = re.compile("00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]")


@pytest.mark.parametrize(
    "traceparent", [GOOD, f"01-{TRACE_ID}-{SPAN_ID}-01", f"cc-{TRACE_ID}-{SPAN_ID}-01-what-else"]
)
def test_a_step_follows_the_one_that_is_named(traceparent: str) -> None:
    """In the same trace, with an id of its own; what a later version adds is left aside."""
    trace = Trace.from_traceparent(traceparent)

    assert (TRACE_ID, SPAN_ID) == (trace.trace_id, trace.parent_id)
    assert f"00-{TRACE_ID}-{trace.span_id}-01" == trace.traceparent
    assert SPAN_ID != trace.span_id


@pytest.mark.parametrize(
    ("flags", "expected"), [("00", "00"), ("01", "01"), ("02", "00"), ("ff", "01")]
)
def test_the_sampled_flag_is_passed_on(flags: str, expected: str) -> None:
    """Of the flags only that one is known."""
    assert Trace.from_traceparent(GOOD[:-2] + flags).traceparent.endswith(f"-{expected}")


@pytest.mark.parametrize(
    "traceparent",
    [
        None,
        "",
        "nonsense",
        GOOD.upper(),
        GOOD[:-1],
        GOOD + "-",
        GOOD + "-more",
        GOOD + "0",
        f" {GOOD}",
        f"{GOOD}, {GOOD}",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID[:-1]}g-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-0x",
        f"01-{TRACE_ID}-{SPAN_ID}-01more",
        GOOD.replace("-", "_"),
    ],
)
def test_an_unreadable_traceparent_begins_a_trace(traceparent: str | None) -> None:
    """A new one each time, which is passed on in good form."""
    first, second = Trace.from_traceparent(traceparent), Trace.from_traceparent(traceparent)

    assert (None, None) == (first.parent_id, second.parent_id)
    assert 3 == len({first.trace_id, second.trace_id, TRACE_ID})
    assert FORM.fullmatch(first.traceparent)


@given(st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}.*"))
def test_any_traceparent_gives_a_valid_one(traceparent: str) -> None:
    """And the step that follows is in the same trace."""
    trace = Trace.from_traceparent(traceparent)

    assert FORM.fullmatch(trace.traceparent)
    assert (trace.trace_id, trace.span_id) == (
        Trace.from_traceparent(trace.traceparent).trace_id,
        Trace.from_traceparent(trace.traceparent).parent_id,
    )
