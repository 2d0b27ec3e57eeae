"""Error replies of Redis in its own words: redis-py takes their codes away."""

from redis.exceptions import AskError, RedisError, ResponseError


def error_reply(error: RedisError) -> str | None:
    """Return what Redis replied, code and sentence; None where the error is no reply."""
    if isinstance(error, AskError):  # MOVED as well; its sentence is an address
        return f"{error.status_code or 'MOVED'} to another node, which serves the relay's slot"
    if error.status_code:
        return f"{error.status_code} {error}"
    # A code that the library does not know is still in its text.
    return str(error) if isinstance(error, ResponseError) else None
