"""The client of Channel.io: the only place that calls it."""

import ssl
from urllib.parse import quote

from gevent import Timeout
from requests import Request

from app.channel.answers import outcome_of, problem_of
from app.channel.attempt import CallAttempt
from app.channel.transport import send_request, trusted_authorities
from app.chats.outcome import Outcome


class ChannelClient:
    """Opens chats at one channel of Channel.io. Safe to share between greenlets.

    ``base_url`` has no trailing path of a call (``https://api.channel.io/open/v4``); ``tls`` names
    other trusted authorities than the public ones.
    """

    def __init__(
        self,
        *,
        base_url: str,
        access_key: str,
        access_secret: str,
        api_version: str | None,
        connect_timeout_seconds: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = _headers(access_key, access_secret, api_version)
        self._connect_timeout_seconds = connect_timeout_seconds
        self._tls = tls or trusted_authorities()

    def open_chat(
        self, user_id: str, *, deadline: float, traceparent: str | None = None
    ) -> Outcome:
        """Send one request for a new chat, and return by ``deadline`` (on ``time.monotonic``).

        ``traceparent`` names this call to Channel.io: https://www.w3.org/TR/trace-context/
        Whatever happens is an outcome: nothing is raised, repeated, or sent after the deadline.
        """
        path = f"/users/{quote(user_id, safe='')}/user-chats"
        headers = {} if traceparent is None else {"traceparent": traceparent}
        return outcome_of(self._send("POST", path, deadline, headers))

    def probe(self, *, deadline: float) -> str | None:
        """Read the channel, which changes nothing; return the problem, if there is one."""
        return problem_of(self._send("GET", "/channel", deadline, {}))

    def _send(
        self, method: str, path: str, deadline: float, headers: dict[str, str]
    ) -> CallAttempt:
        """Send one request (I2), with DNS, TLS and the answer's last byte within ``deadline``."""
        attempt = CallAttempt(deadline)
        timeout = Timeout.start_new(max(attempt.seconds_left, 0))
        try:
            request = Request(method, self._base_url + path, headers={**self._headers, **headers})
            send_request(
                request.prepare(),
                attempt,
                tls=self._tls,
                connect_timeout_seconds=self._connect_timeout_seconds,
            )
        except Timeout as fired:
            if fired is not timeout:
                raise
            attempt.error_class = "TimeoutError"
        except Exception as error:  # noqa: BLE001 - a lost exception would be a lost call
            attempt.error_class = _root_cause(error)
        finally:
            timeout.close()
        return attempt


def _headers(access_key: str, access_secret: str, api_version: str | None) -> dict[str, str]:
    """Return every header of a request, in full: nothing is added from elsewhere."""
    headers = {
        "x-access-key": access_key,
        "x-access-secret": access_secret,
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "User-Agent": "chat-relay",
    }
    return headers if api_version is None else {**headers, "Channel-Version": api_version}


def _root_cause(error: BaseException) -> str:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return type(error).__name__
