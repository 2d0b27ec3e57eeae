"""Parser of the pause that a 429 demands.

``Retry-After`` where it is there, else ``x-ratelimit-reset``. Instants are compared with the
answer's own ``Date``, since our clock may differ from theirs; without it a date of ``Retry-After``
is compared with our clock.
"""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

DEFAULT_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 120.0

_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
# Several headers of a name arrive as one text with commas; a date's own is behind its weekday.
_BETWEEN_VALUES = re.compile(r"(?<!mon|tue|wed|thu|fri|sat|sun|day),", re.IGNORECASE)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_HTTP_DATES = (
    # Sun, 06 Nov 1994 08:49:37 GMT, and Sunday, 06-Nov-94 08:49:37 GMT as in RFC 850
    re.compile(
        r"[a-z]+, *(?P<day>[0-9]{1,2})[ -](?P<month>[a-z]{3})[ -](?P<year>[0-9]{4}|[0-9]{2}) +"
        rf"{_TIME} +GMT",
        re.IGNORECASE,
    ),
    # Sun Nov  6 08:49:37 1994, as C's asctime writes it
    re.compile(
        rf"[a-z]+ +(?P<month>[a-z]{{3}}) +(?P<day>[0-9]{{1,2}}) +{_TIME} +(?P<year>[0-9]{{4}})",
        re.IGNORECASE,
    ),
)
_FIFTY_YEARS = timedelta(days=50 * 365.2425)


def parse_pause_ms(headers: Mapping[str, str]) -> int:
    """Milliseconds, 0 to 120,000; one second without a readable header.

    Of a header that came several times the longest readable pause counts.
    """
    dates = [_read_date(value) for value in _values(headers, "Date")]
    answered_at = next((date for date in dates if date is not None), None)
    retry_after = [_read_pause(value, answered_at) for value in _values(headers, "Retry-After")]
    pauses = [pause for pause in retry_after if pause is not None]
    if not pauses and answered_at is not None:
        resets = [_read_number(value) for value in _values(headers, "x-ratelimit-reset")]
        pauses = [reset - answered_at for reset in resets if reset is not None]
    seconds = max(pauses, default=DEFAULT_PAUSE_SECONDS)
    return round(1000 * min(max(seconds, 0.0), MAX_PAUSE_SECONDS))


def _values(headers: Mapping[str, str], name: str) -> list[str]:
    return [value.strip() for value in _BETWEEN_VALUES.split(headers.get(name, ""))]


def _read_pause(value: str, answered_at: float | None) -> float | None:
    """Seconds from ``answered_at``, or by our clock; ``None`` for an unreadable value."""
    date = _read_date(value)
    if date is None:
        return _read_number(value)
    return date - (time.time() if answered_at is None else answered_at)


def _read_number(value: str) -> float | None:
    return float(value) if _NUMBER.fullmatch(value) else None


def _read_date(value: str) -> float | None:
    """Epoch seconds, https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7.

    Without ``strptime``, whose names of months are those of the process's locale.
    """
    matches = (form.fullmatch(value) for form in _HTTP_DATES)
    parts = next((match.groupdict() for match in matches if match), None)
    if parts is None or parts["month"].lower() not in _MONTHS:
        return None
    now = datetime.now(UTC)
    century = now.year // 100 * 100 if len(parts["year"]) == len("94") else 0
    try:
        date = datetime(
            century + int(parts["year"]),
            _MONTHS.index(parts["month"].lower()) + 1,
            int(parts["day"]),
            int(parts["hour"]),
            int(parts["minute"]),
            min(int(parts["second"]), 59),  # a leap second is the sixtieth
            tzinfo=UTC,
        )
        if century and date - now > _FIFTY_YEARS:
            date = date.replace(year=date.year - 100)
    except ValueError:
        return None
    return date.timestamp()
