"""The client of Channel.io: the only place that calls it."""

import ssl
from collections.abc import Callable
from functools import cached_property, partial
from urllib.parse import quote

from requests import PreparedRequest, Request

from app.channel.answers import outcome_of, problem_of
from app.channel.call import Call, Ending
from app.channel.threads import CallThreads
from app.channel.transport import speak, trusted_authorities
from app.chats.outcome import Outcome


class ChannelClient:
    """Opens chats at one channel of Channel.io. Safe to share between threads.

    ``base_url`` has no trailing path of a call (``https://api.channel.io/open/v4``); ``tls`` says
    whom to trust where that is not the public authorities.
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
        self._threads = CallThreads()
        self._speak = partial(
            speak, tls=tls or trusted_authorities(), connect_timeout_seconds=connect_timeout_seconds
        )

    def open_chat(
        self, user_id: str, *, deadline: float, traceparent: str | None = None
    ) -> Outcome:
        """Ask once for a new chat, and return by ``deadline`` (on ``time.monotonic``).

        ``traceparent`` names this call to Channel.io: https://www.w3.org/TR/trace-context/
        Whatever happens is an outcome: nothing is raised, repeated, or sent after the deadline.
        """
        create = partial(self._create, user_id, traceparent)
        return outcome_of(self._call(create, deadline))

    def probe(self, *, deadline: float) -> str | None:
        """Ask for the channel, which changes nothing: what is wrong, or ``None`` if nothing is."""
        return problem_of(self._call(partial(self._prepare, "GET", "/channel"), deadline))

    def _call(self, prepare: Callable[[], PreparedRequest], deadline: float) -> Ending:
        call = Call(deadline)
        try:
            self._threads.run(partial(call.run, lambda call: self._speak(prepare(), call)))
        except RuntimeError as error:
            return Ending(sent=False, fault=type(error).__name__)
        return call.wait()

    def _create(self, user_id: str, traceparent: str | None) -> PreparedRequest:
        request = self._any_create.copy()
        request.url = f"{request.url}/{quote(user_id, safe='')}/user-chats"
        if traceparent is not None:
            request.headers["traceparent"] = traceparent
        return request

    @cached_property
    def _any_create(self) -> PreparedRequest:
        """What all of them share: to prepare a request takes three times as long as to copy it."""
        return self._prepare("POST", "/users")

    def _prepare(self, method: str, path: str) -> PreparedRequest:
        return Request(method, self._base_url + path, headers=self._headers).prepare()


def _headers(access_key: str, access_secret: str, api_version: str | None) -> dict[str, str]:
    """Every header of a request, in full: nothing is added from elsewhere."""
    headers = {
        "x-access-key": access_key,
        "x-access-secret": access_secret,
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "User-Agent": "chat-relay",
    }
    return headers if api_version is None else {**headers, "Channel-Version": api_version}
