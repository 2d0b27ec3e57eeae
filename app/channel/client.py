"""The client of Channel.io: the only place that calls it."""

import json
import ssl
from hashlib import sha256
from urllib.parse import quote, urlsplit

from gevent import Timeout
from requests import Request

from app.channel.answers import classify_create, probe_problem
from app.channel.attempt import CallAttempt
from app.channel.transport import Route, send_request, trusted_authorities
from app.chats.outcome import Outcome
from config.proxy_url import ProxyUrl

WAY_DIGITS = 16


def compute_way(base_url: str, version: str | None, access_key: str, access_secret: str) -> str:
    """Return the name of a way to Channel.io: 16 hex digits of a hash.

    Not to be logged: it would confirm a guess of the secret.
    """
    way = json.dumps([base_url.rstrip("/"), version, access_key, access_secret])
    return sha256(way.encode()).hexdigest()[:WAY_DIGITS]


class ChannelClient:
    """Opens chats at one channel of Channel.io. Safe to share between greenlets.

    ``base_url`` has no trailing path of a call (``https://api.channel.io/open/v4``). Requests go
    through ``proxy``, if there is one; ``tls`` has other trusted authorities than the public ones.
    """

    def __init__(
        self,
        *,
        base_url: str,
        access_key: str,
        access_secret: str,
        api_version: str | None,
        connect_timeout_seconds: float,
        proxy: ProxyUrl | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = _headers(access_key, access_secret, api_version)
        self._route = Route(tls or trusted_authorities(), proxy, connect_timeout_seconds)

    def open_chat(
        self, user_id: str, *, deadline: float, traceparent: str | None = None
    ) -> Outcome:
        """Send one request for a new chat, and return by ``deadline`` (on ``time.monotonic``).

        ``traceparent`` names this call to Channel.io: https://www.w3.org/TR/trace-context/
        Every end is an outcome: nothing is raised, repeated, or sent after the deadline.
        """
        path = f"/users/{quote(user_id, safe='')}/user-chats"
        headers = {} if traceparent is None else {"traceparent": traceparent}
        return classify_create(self._send("POST", path, deadline, headers))

    def probe(self, *, deadline: float) -> str | None:
        """Probe: read the channel, and return the problem or ``None``."""
        return probe_problem(self._send("GET", "/channel", deadline, {}))

    def _send(
        self, method: str, path: str, deadline: float, headers: dict[str, str]
    ) -> CallAttempt:
        """Send one request (I2), with DNS, TLS and the answer's last byte within ``deadline``."""
        attempt = CallAttempt(deadline)
        timeout = Timeout.start_new(max(attempt.seconds_left, 0))
        try:
            url = self._base_url + path
            host = {"Host": urlsplit(url).netloc}  # http.client would name a proxy instead
            request = Request(method, url, headers={**host, **self._headers, **headers})
            send_request(request.prepare(), attempt, self._route)
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
