"""The client of Channel.io: the only place that calls it."""

import json
import ssl
from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from gevent import Timeout
from requests import Request

from app.channel.answers import classify_create, probe_problem
from app.channel.attempt import CallAttempt, CallContext
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
    """Sends requests to one channel of Channel.io. Safe to share between greenlets.

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
        self.base_url = base_url.rstrip("/")
        self._headers = _headers(access_key, access_secret, api_version)
        self._route = Route(tls or trusted_authorities(), proxy, connect_timeout_seconds)

    def open_chat(self, user_id: str, call: CallContext) -> Outcome:
        """Send one request for a new chat: the create, after which nothing may be sent again."""
        path = f"/users/{quote(user_id, safe='')}/user-chats"
        return classify_create(self.send("POST", path, call))

    def probe(self, *, deadline: float) -> str | None:
        """Probe: read the channel, and return the problem or ``None``."""
        return probe_problem(self.send("GET", "/channel", CallContext(deadline)))

    def send(
        self,
        method: str,
        path: str,
        call: CallContext,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> CallAttempt:
        """Send one request, with DNS, TLS and the answer's last byte within ``call``'s deadline.

        Every end is an attempt: nothing is raised, repeated, or sent after the deadline (I2).
        """
        attempt = CallAttempt(call.deadline)
        timeout = Timeout.start_new(max(attempt.seconds_left, 0))
        try:
            url = self.base_url + path
            if query:
                url += "?" + urlencode(query, quote_via=quote)  # a space as %20, not as a plus
            host = {"Host": urlsplit(url).netloc}  # http.client would name a proxy instead
            headers = {**host, **self._headers, **call.headers}
            request = Request(method, url, headers=headers, json=body)
            send_request(request.prepare(), attempt, self._route)
        except Timeout as fired:
            if fired is not timeout:
                raise
            attempt.error_class = "TimeoutError"
        except Exception as error:  # noqa: BLE001 - a lost exception would be a lost call
            attempt.error_class = _root_cause(error)
        finally:
            timeout.close()
            call.requests += attempt.is_sent
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
