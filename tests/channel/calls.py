"""Calls of the tests: a client with the stand-in's keys and a deadline."""

import json
import ssl
import time
from functools import cache

from app.channel.attempt import CallContext
from app.channel.client import ChannelClient
from app.channel.transport import trusted_authorities
from app.chats.outcome import Outcome
from config.proxy_url import parse_proxy_url

ACCESS_KEY = "key-of-the-stand-in"
ACCESS_SECRET = "sesame-of-the-stand-in"
USER_ID = "6606508eaa71575f1e8c"
CHAT_ID = "6606508eaa71575f1e8d"

# Long enough that no test waits for it, unless a guard is broken.
AMPLE_SECONDS = 30.0
SHORT_SECONDS = 0.5

MADE = json.dumps({"userChat": {"id": CHAT_ID}}).encode()


def client_of(
    base_url: str,
    *,
    access_key: str = ACCESS_KEY,
    access_secret: str = ACCESS_SECRET,
    api_version: str | None = None,
    connect_timeout_seconds: float = AMPLE_SECONDS,
    proxy: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> ChannelClient:
    """A client whose connect timeout is so long that the deadline is what bounds a call."""
    return ChannelClient(
        base_url=base_url,
        access_key=access_key,
        access_secret=access_secret,
        api_version=api_version,
        connect_timeout_seconds=connect_timeout_seconds,
        proxy=None if proxy is None else parse_proxy_url(proxy),
        tls=tls or _authorities(),
    )


def open_chat(base_url: str, *, seconds: float = AMPLE_SECONDS, user_id: str = USER_ID) -> Outcome:
    """One create, due ``seconds`` from now."""
    return client_of(base_url).open_chat(user_id, CallContext(time.monotonic() + seconds))


def probe(base_url: str, *, seconds: float = AMPLE_SECONDS) -> str | None:
    """One probe, due ``seconds`` from now."""
    return client_of(base_url).probe(deadline=time.monotonic() + seconds)


def http(status: int, body: bytes, *headers: str, length: int | None = None) -> bytes:
    """An answer with ``Content-Length`` (of ``body``, unless another is given)."""
    lines = [f"HTTP/1.1 {status} Said", *headers]
    lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@cache
def _authorities() -> ssl.SSLContext:
    """TLS context of a client, built once: it takes 40 ms."""
    return trusted_authorities()
