"""Tests of the pause after a 429."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.channel.throttle import parse_pause_ms
from app.chats.outcome import Throttled
from tests.channel.calls import http, open_chat
from tests.channel.raw_server import RawServer, say

# Far from our clock: only their difference may count.
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
DATE_SECONDS = 784111777

ABSURD = (
    *("", " ", ",", "-5", "+5", "5 s", "0x7", "1e400", "NaN", "inf", "\u0667", "5.", ".5", "1_0"),
    "Sun, 31 Feb 1994 08:49:37 GMT",
    "Sun, 06 Nov 1994 24:49:37 GMT",
    "Sun, 06 Now 1994 08:49:37 GMT",
    "Sun, 06 Nov 0000 08:49:37 GMT",
    "Sun, 06 Nov 1994 08:49:37 PST",
    "Sunday, 29-Feb-95 08:49:37 GMT",
    "일, 06 11월 1994 08:49:37 GMT",
)


@pytest.mark.parametrize(
    ("retry_after", "expected_ms"),
    [
        ("0", 0),
        ("7", 7000),
        ("1.5", 1500),
        ("120", 120_000),
        ("121", 120_000),
        ("9" * 20, 120_000),
        ("9" * 5000, 120_000),
        ("Sun, 06 Nov 1994 08:49:40 GMT", 3000),
        ("Sun, 06 Nov 1994 08:49:30 GMT", 0),
        ("Sun, 06 Nov 2094 08:49:30 GMT", 120_000),
    ],
)
def test_retry_after_is_heeded(retry_after: str, expected_ms: int) -> None:
    """Seconds, or a date that is compared with the answer's own; at most two minutes."""
    headers = {"Retry-After": retry_after, "Date": DATE, "x-ratelimit-reset": "1"}

    assert expected_ms == parse_pause_ms(headers)


@pytest.mark.parametrize(
    ("reset", "expected_ms"),
    [(5, 5000), (0, 0), (-5, 0), (0.25, 250), (1000, 120_000)],
)
def test_the_reset_counts_where_there_is_no_retry_after(reset: float, expected_ms: int) -> None:
    """It is an instant of their clock, and so is the answer's date."""
    headers = {"Date": DATE, "x-ratelimit-reset": str(DATE_SECONDS + reset)}

    assert expected_ms == parse_pause_ms(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-ratelimit-reset": "99999999999"},
        {"x-ratelimit-reset": "99999999999", "Date": "yesterday"},
        {"x-ratelimit-reset": "NaN", "Date": DATE},
        *({"Retry-After": absurd, "Date": DATE} for absurd in ABSURD),
    ],
)
def test_absurd_headers_mean_one_second(headers: dict[str, str]) -> None:
    """So does a reset that there is no date to compare with: never our clock."""
    assert 1000 == parse_pause_ms(headers)


@pytest.mark.parametrize(
    "form",
    [
        "%a, %d %b %Y %H:%M:%S GMT",
        "%A, %d-%b-%y %H:%M:%S GMT",
        "%a %b %e %H:%M:%S %Y",
        "%a, %d-%b-%Y %H:%M:%S GMT",
        "%a, %e %b %Y %H:%M:%S gmt",
    ],
)
def test_a_date_counts_in_each_form(form: str) -> None:
    """RFC 9110, 5.6.7: today's, RFC 850's and asctime's, in both headers."""
    header = datetime.fromtimestamp(DATE_SECONDS + 4, UTC).strftime(form).replace(",  ", ", ")
    date = datetime.fromtimestamp(DATE_SECONDS, UTC).strftime(form).replace(",  ", ", ")

    assert 4000 == parse_pause_ms({"Retry-After": header, "Date": DATE})
    assert 4000 == parse_pause_ms({"Retry-After": header, "Date": date})


def test_a_date_without_date_is_read_by_our_clock() -> None:
    """It is a fault of theirs to leave it out, and the pause is clamped as always."""
    for headers in ({}, {"Date": "yesterday"}):
        soon = datetime.now(UTC) + timedelta(seconds=60)
        paused = parse_pause_ms({**headers, "Retry-After": format_datetime(soon, usegmt=True)})
        assert 50_000 <= paused <= 60_000
    assert 0 == parse_pause_ms({"Retry-After": DATE})
    assert 120_000 == parse_pause_ms({"Retry-After": "Sun, 06 Nov 2094 08:49:30 GMT"})


@pytest.mark.parametrize(("years", "expected_ms"), [(49, 120_000), (51, 0), (1, 120_000), (-1, 0)])
def test_a_year_of_two_digits_is_no_more_than_fifty_years_ahead(
    years: int, expected_ms: int
) -> None:
    """RFC 9110, 5.6.7: what would be is the past year with these digits."""
    now = datetime.now(UTC)
    header = f"Monday, 15-Jun-{(now.year + years) % 100:02} 08:49:37 GMT"

    assert expected_ms == parse_pause_ms({"Retry-After": header})


def test_a_leap_second_is_a_second() -> None:
    """The grammar has room for it."""
    date = {"Date": "Sat, 31 Dec 2016 23:59:50 GMT"}

    assert 9000 == parse_pause_ms({**date, "Retry-After": "Sat, 31 Dec 2016 23:59:60 GMT"})


@pytest.mark.parametrize(
    "retry_after",
    [
        "3, 7",
        "7 ,3",
        "soon, 7",
        "7, Sun, 06 Nov 1994 08:49:40 GMT",
        "Sunday, 06-Nov-94 08:49:44 GMT, 3",
        "Sun Nov  6 08:49:40 1994, Sun Nov  6 08:49:44 1994",
        "-5, 7",
        " 7 ",
        "\t7",
    ],
)
def test_the_longest_of_several_pauses_counts(retry_after: str) -> None:
    """Headers that are repeated arrive as one, with commas; blanks are nothing."""
    assert 7000 == parse_pause_ms({"Retry-After": retry_after, "Date": f"{DATE}, {DATE}"})


def test_an_absurd_retry_after_leaves_the_reset() -> None:
    """The next best source is used."""
    headers = {"Retry-After": "soon", "x-ratelimit-reset": str(DATE_SECONDS + 9), "Date": DATE}

    assert 9000 == parse_pause_ms(headers)


@given(st.dictionaries(st.sampled_from(["Retry-After", "x-ratelimit-reset", "Date"]), st.text()))
@example({"Retry-After": DATE, "Date": DATE})
def test_no_header_breaks_the_pause(headers: dict[str, str]) -> None:
    """It is always between nothing and two minutes."""
    assert 0 <= parse_pause_ms(headers) <= 120_000


@pytest.mark.parametrize(
    ("lines", "expected_ms"),
    [
        (["retry-after: 3"], 3000),
        (["Retry-After: 3", "Retry-After: 4"], 4000),
        (["Retry-After:   3  "], 3000),
        (["Retry-After: Sunday, 06-Nov-94 08:49:41 GMT", f"Date: {DATE}"], 4000),
        ([f"date: {DATE}", f"X-RateLimit-Reset: {DATE_SECONDS + 2}"], 2000),
    ],
)
def test_the_pause_comes_with_the_outcome(lines: list[str], expected_ms: int) -> None:
    """Names of headers have no case; of one that is repeated the longest pause counts."""
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
