"""Channel.io's forms of 429; none creates anything."""

import time
from email.utils import formatdate

from tools.stack.channel_io.answers import http_bytes, operation_error_answer
from tools.stack.channel_io.exchange import Exchange

RESET_SECONDS = 2.0
OTHER_CLOCK_SECONDS = 3600
TOO_MANY = operation_error_answer(429, "tooManyRequests", "Too many requests")


def throttled(exchange: Exchange) -> None:
    """Send 429 with ``Retry-After`` in seconds."""
    retry_after = exchange.retry_after or "1"
    exchange.answer(429, TOO_MANY, [("Retry-After", retry_after)])


def throttled_bare(exchange: Exchange) -> None:
    """Send 429 without headers; the end of the connection ends the body."""
    exchange.send(http_bytes(429, [], b""))
    exchange.hang_up()


def throttled_reset(exchange: Exchange) -> None:
    """Send 429 with reset and date of a clock that is an hour behind."""
    now = time.time() - OTHER_CLOCK_SECONDS
    reset_at = int(now + (exchange.seconds or RESET_SECONDS))
    headers = [
        ("Date", formatdate(int(now), usegmt=True)),
        ("x-ratelimit-reset", str(reset_at)),
        ("Content-Length", "0"),
    ]
    exchange.send(http_bytes(429, headers, b""))


def throttled_absurd(exchange: Exchange) -> None:
    """Send an unreadable ``Retry-After``."""
    headers = [
        ("Date", "yesterday"),
        ("x-ratelimit-reset", "NaN"),
        ("Retry-After", exchange.retry_after or "-99999999999999999999"),
        ("Content-Length", "0"),
    ]
    exchange.send(http_bytes(429, headers, b""))
