"""How long a 429 makes everybody pause."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.channel.throttle import pause_ms
from app.chats.outcome import Throttled
from tests.channel.calls import http, open_chat
from tests.channel.raw_server import RawServer, say

# Far from our clock: only their difference may count.
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
DATE_SECONDS = 784111777

ABSURD = ("", " ", "-5", "+5", "5 s", "5, 10", "0x7", "1e400", "NaN", "inf", "\u0667")


@pytest.mark.parametrize(
    ("retry_after", "expected_ms"),
    [
        ("0", 0),
        ("7", 7000),
        ("1.5", 1500),
        ("120", 120_000),
        ("121", 120_000),
        ("9" * 20, 120_000),
        ("Sun, 06 Nov 1994 08:49:40 GMT", 3000),
        ("Sun, 06 Nov 1994 08:49:30 GMT", 0),
        ("Sun, 06 Nov 2094 08:49:30 GMT", 120_000),
    ],
)
def test_retry_after_is_heeded(retry_after: str, expected_ms: int) -> None:
    """Seconds, or a date that is compared with the answer's own; at most two minutes."""
    headers = {"Retry-After": retry_after, "Date": DATE, "x-ratelimit-reset": "1"}

    assert expected_ms == pause_ms(headers)


@pytest.mark.parametrize(
    ("reset", "expected_ms"),
    [(5, 5000), (0, 0), (-5, 0), (0.25, 250), (1000, 120_000)],
)
def test_the_reset_counts_where_there_is_no_retry_after(reset: float, expected_ms: int) -> None:
    """It is an instant of their clock, and so is the answer's date."""
    headers = {"Date": DATE, "x-ratelimit-reset": str(DATE_SECONDS + reset)}

    assert expected_ms == pause_ms(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Retry-After": DATE},
        {"x-ratelimit-reset": "99999999999"},
        {"x-ratelimit-reset": "99999999999", "Date": "yesterday"},
        {"x-ratelimit-reset": "NaN", "Date": DATE},
        *(
            {"Retry-After": absurd, "Date": DATE}
            for absurd in (
                "",
                "-5",
                "+5",
                "5, 10",
                "1e400",
                "NaN",
                "inf",
                "\u0667",
                "0x7",
                "5 s",
                " ",
            )
        ),
        {"Retry-After": "9" * 5000},
        {"Retry-After": "Sun, 31 Feb 1994 08:49:37 GMT", "Date": DATE},
    ],
)
def test_absurd_headers_mean_one_second(headers: dict[str, str]) -> None:
    """So does an instant that there is no date to compare with: never our clock."""
    assert 1000 == pause_ms(headers)


def test_an_absurd_retry_after_leaves_the_reset() -> None:
    """The next best source is heard."""
    headers = {"Retry-After": "soon", "x-ratelimit-reset": str(DATE_SECONDS + 9), "Date": DATE}

    assert 9000 == pause_ms(headers)


@given(st.dictionaries(st.sampled_from(["Retry-After", "x-ratelimit-reset", "Date"]), st.text()))
@example({"Retry-After": DATE, "Date": DATE})
def test_no_header_breaks_the_pause(headers: dict[str, str]) -> None:
    """It is always between nothing and two minutes."""
    assert 0 <= pause_ms(headers) <= 120_000


@pytest.mark.parametrize(
    ("lines", "expected_ms"),
    [
        (["retry-after: 3"], 3000),
        (["Retry-After: 3", "Retry-After: 4"], 1000),
        ([f"date: {DATE}", f"X-RateLimit-Reset: {DATE_SECONDS + 2}"], 2000),
    ],
)
def test_the_pause_comes_with_the_outcome(lines: list[str], expected_ms: int) -> None:
    """Names of headers have no case; one that is told twice tells nothing."""
    with RawServer(say(http(429, b"", *lines))) as server:
        outcome = open_chat(server.url)

    assert Throttled(expected_ms) == outcome


def test_any_header_values_are_an_outcome() -> None:
    """Whatever bytes they are made of."""
    lines = [b""]

    @given(
        st.lists(
            st.sampled_from([b"Retry-After", b"Date", b"Set-Cookie", b"Content-Type"]).flatmap(
                lambda name: st.binary().map(lambda value: name + b": " + value)
            )
        )
    )
    def check(headers: list[bytes]) -> None:
        lines[0] = b"\r\n".join([b"HTTP/1.1 429 Said", *headers, b"", b""])
        assert open_chat(server.url).kind in {"throttled", "unknown"}

    with RawServer(lambda connection: connection.sendall(lines[0])) as server:
        check()
