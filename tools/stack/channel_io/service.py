"""Routes of Channel.io that the relay uses."""

import math
import re
from dataclasses import dataclass
from threading import Event
from types import MappingProxyType
from urllib.parse import parse_qsl, unquote, urlsplit

from tools.stack.channel_io.answers import error_answer, html_answer
from tools.stack.channel_io.barrier import Barrier
from tools.stack.channel_io.behaviours import Operation, behave
from tools.stack.channel_io.channel import ApiRequest, Channel, RefusedRequest
from tools.stack.channel_io.exchange import Exchange
from tools.stack.channel_io.http_server import Arrival
from tools.stack.channel_io.ledger import Ledger, Request
from tools.stack.channel_io.rate_limit import LeakyBucket
from tools.stack.channel_io.script import Script
from tools.stack.channel_io.throttles import TOO_MANY
from tools.stack.channel_io.versions import VERSIONS

BASE = r"/open(?:/(?P<version>v[45]))?"
ROUTES = {
    re.compile(BASE + path): operations
    for path, operations in {
        "/(?P<subject>channel)": {"GET": Operation.PROBE},
        "/users/(?P<subject>[^/]+)": {"GET": Operation.RESOLVE},
        "/users/(?P<subject>[^/]+)/user-chats": {
            "POST": Operation.CREATE,
            "GET": Operation.LIST_CHATS,
        },
        "/user-chats/(?P<subject>[^/]+)": {"GET": Operation.GET_CHAT},
        "/user-chats/(?P<subject>[^/]+)/messages": {
            "GET": Operation.LIST_MESSAGES,
            "POST": Operation.MESSAGE,
        },
        "/user-chats/(?P<subject>[^/]+)/open": {"PUT": Operation.OPEN},
    }.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """Request of a known path; ``operation`` is None if the path has no such method."""

    operation: Operation | None
    request: ApiRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class StandInService:
    """Service that answers by the script, and records requests in the ledger."""

    keys: tuple[str, str]
    bucket: LeakyBucket
    sends_retry_after: bool
    latency_seconds: float
    ledger: Ledger
    channel: Channel
    script: Script
    barrier: Barrier
    stopping: Event

    def answer(self, arrival: Arrival) -> None:
        """Answer one request, in the order: unknown path, wrong keys, rate limit, behaviour."""
        self.ledger.note(_request_of(arrival))
        routed = _route(arrival)
        exchange = self._exchange(arrival)
        exchange.pause(self.latency_seconds)
        if routed is None:
            exchange.answer(404, html_answer(404))
        elif self._keys_of(arrival) != self.keys:
            exchange.answer(401, error_answer("x-access-key", "is wrong or missing"))
        elif exchange.level.is_over:
            self._throttle(exchange)
        elif routed.operation is None:
            exchange.answer(405, html_answer(405))
        else:
            self._follow_script(routed.operation, routed.request, exchange)
        arrival.close_connection |= not exchange.keeps_connection

    def _follow_script(self, operation: Operation, request: ApiRequest, exchange: Exchange) -> None:
        user_id = self.channel.user_of(operation, request.subject)
        line = self.script.next_for(operation, user_id)
        exchange.perform = lambda: self.channel.perform(operation, request)
        exchange.seconds = line.seconds
        exchange.retry_after = line.retry_after
        exchange.withheld = line.withheld
        try:
            behave(line.behaviour, exchange)
        except RefusedRequest as refused:
            exchange.answer(refused.status, refused.content)

    def _exchange(self, arrival: Arrival) -> Exchange:
        return Exchange(
            path=arrival.path,
            connection=arrival.connection,
            barrier=self.barrier,
            stopping=self.stopping,
            level=self.bucket.pour(),
        )

    def _throttle(self, exchange: Exchange) -> None:
        headers = [("Retry-After", str(math.ceil(exchange.level.wait_seconds)))]
        exchange.answer(429, TOO_MANY, headers if self.sends_retry_after else [])

    def _keys_of(self, arrival: Arrival) -> tuple[str, str]:
        names = ("x-access-key", "x-access-secret")
        key, secret = (arrival.headers.get(name, "") for name in names)
        return key, secret


def _route(arrival: Arrival) -> Routed | None:
    """Return None if the path is unknown."""
    url = urlsplit(arrival.path)
    for path, operations in ROUTES.items():
        if found := path.fullmatch(url.path):
            request = ApiRequest(
                version=VERSIONS[found["version"]],
                subject=unquote(found["subject"]),
                query=dict(parse_qsl(url.query, keep_blank_values=True)),
                body=arrival.body,
            )
            return Routed(operation=operations.get(arrival.command), request=request)
    return None


def _request_of(arrival: Arrival) -> Request:
    return Request(
        method=arrival.command,
        path=arrival.path,
        headers=MappingProxyType({name.lower(): arrival.headers[name] for name in arrival.headers}),
        body=arrival.body,
        client_port=arrival.client_address[1],
    )
