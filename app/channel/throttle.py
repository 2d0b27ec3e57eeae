"""The pause that a 429 demands.

``Retry-After`` where it is there, else ``x-ratelimit-reset``. Instants are compared with the
answer's own ``Date``, never with our clock, which may differ from theirs.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

DEFAULT_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 120.0

_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_HTTP_DATE = "%a, %d %b %Y %H:%M:%S GMT"


def pause_ms(headers: Mapping[str, str]) -> int:
    """Milliseconds, 0 to 120,000; one second without a readable header."""
    seconds = _first_told(
        _decimal(headers.get("Retry-After")),
        _until(_http_date(headers.get("Retry-After")), headers),
        _until(_decimal(headers.get("x-ratelimit-reset")), headers),
    )
    return round(1000 * min(max(seconds, 0.0), MAX_PAUSE_SECONDS))


def _first_told(*pauses: float | None) -> float:
    return next((pause for pause in pauses if pause is not None), DEFAULT_PAUSE_SECONDS)


def _until(instant: float | None, headers: Mapping[str, str]) -> float | None:
    answered_at = _http_date(headers.get("Date"))
    return None if instant is None or answered_at is None else instant - answered_at


def _decimal(text: str | None) -> float | None:
    return float(text) if text is not None and _DECIMAL.fullmatch(text) else None


def _http_date(text: str | None) -> float | None:
    """Epoch seconds, https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7."""
    try:
        return datetime.strptime(text or "", _HTTP_DATE).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
