"""Routes of Channel.io that the relay uses."""

import math
import re
from dataclasses import dataclass
from threading import Event
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

from tools.stack.channel_io.answers import Json, error_answer, html_answer
from tools.stack.channel_io.barrier import Barrier
from tools.stack.channel_io.behaviours import behave
from tools.stack.channel_io.exchange import Exchange
from tools.stack.channel_io.http_server import Arrival
from tools.stack.channel_io.ledger import Ledger, Request
from tools.stack.channel_io.rate_limit import LeakyBucket
from tools.stack.channel_io.script import Script, ScriptLine
from tools.stack.channel_io.throttles import TOO_MANY

CHATS_PATH = re.compile(r"/open(?:/v[45])?/users/(?P<user_id>[^/]+)/user-chats")
CHANNEL_PATH = re.compile(r"/open(?:/v[45])?/channel")
EMPTY_LIST: Json = {"userChats": [], "sessions": [], "users": []}


@dataclass(frozen=True, slots=True, kw_only=True)
class StandInService:
    """Service that answers by the script, and records requests in the ledger."""

    keys: tuple[str, str]
    bucket: LeakyBucket
    sends_retry_after: bool
    latency_seconds: float
    ledger: Ledger
    script: Script
    barrier: Barrier
    stopping: Event

    def answer(self, arrival: Arrival) -> None:
        """Answer one request, in the order: unknown path, wrong keys, rate limit, behaviour."""
        self.ledger.note(_request_of(arrival))
        exchange = self._exchange(arrival)
        exchange.pause(self.latency_seconds)
        if not _is_known(arrival.path):
            exchange.answer(404, html_answer(404))
        elif self._keys_of(arrival) != self.keys:
            exchange.answer(401, error_answer("x-access-key", "is wrong or missing"))
        elif exchange.level.is_over:
            self._throttle(exchange)
        else:
            self._serve(arrival, exchange)
        arrival.close_connection |= not exchange.keeps_connection

    def _serve(self, arrival: Arrival, exchange: Exchange) -> None:
        match arrival.command, exchange.user_id:
            case "POST", str(user_id):
                _follow(self.script.next_for(user_id), exchange)
            case "GET", None:
                _follow(self.script.probe, exchange)
            case "GET", _:
                exchange.answer(200, EMPTY_LIST)  # a chat made by the API is in no list
            case _:
                exchange.answer(405, html_answer(405))

    def _exchange(self, arrival: Arrival) -> Exchange:
        chats = CHATS_PATH.fullmatch(urlsplit(arrival.path).path)
        return Exchange(
            user_id=unquote(chats["user_id"]) if chats else None,
            path=arrival.path,
            connection=arrival.connection,
            create=self.ledger.create,
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


def _is_known(path: str) -> bool:
    plain = urlsplit(path).path
    return bool(CHATS_PATH.fullmatch(plain) or CHANNEL_PATH.fullmatch(plain))


def _follow(line: ScriptLine, exchange: Exchange) -> None:
    exchange.seconds = line.seconds
    exchange.retry_after = line.retry_after
    exchange.withheld = line.withheld
    behave(line.behaviour, exchange)


def _request_of(arrival: Arrival) -> Request:
    return Request(
        method=arrival.command,
        path=arrival.path,
        headers=MappingProxyType({name.lower(): arrival.headers[name] for name in arrival.headers}),
        body=arrival.body,
        client_port=arrival.client_address[1],
    )
