"""Actions of the stand-in, one for each name in ``behaviours``.

They are named for a create. For another operation read its effect where they say "create a chat":
a message, an open chat, or, for a look-up, none.
"""

import gzip
from collections.abc import Callable

from tools.stack.channel_io.answers import (
    JSON_TYPE,
    Content,
    Json,
    chunked,
    encode,
    gzipped_spaces,
    html_answer,
    http_bytes,
)
from tools.stack.channel_io.exchange import Exchange

Act = Callable[[Exchange], None]

MEBIBYTE = 1 << 20
SLOW_SECONDS = 2.0
DRIP_SECONDS = 0.05


def create(exchange: Exchange) -> None:
    """Create a chat, and answer with it."""
    exchange.answer(200, exchange.perform())


def refuse(status: int, content: Json | bytes) -> Act:
    """Answer with an error, and create nothing."""
    return lambda exchange: exchange.answer(status, content)


def redirect(status: int) -> Act:
    """Redirect the client to the same address."""
    return lambda exchange: exchange.answer(status, b"", [("Location", exchange.path)])


def create_and_answer(change: Callable[[Json], Content]) -> Act:
    """Create a chat, and answer 200 with a changed body."""
    return lambda exchange: exchange.answer(200, change(exchange.perform()))


def with_chat(**fields: object) -> Act:
    """Create a chat, and answer 200 with other ``userChat`` fields."""
    return create_and_answer(lambda body: body | {"userChat": body.get("userChat", {}) | fields})


def without(*names: str) -> Act:
    """Create a chat, and answer 200 without some top-level fields."""
    return create_and_answer(lambda body: {name: body[name] for name in body if name not in names})


def close(exchange: Exchange) -> None:
    """Create nothing, and close the connection."""
    exchange.hang_up()


def silence(exchange: Exchange) -> None:
    """Create nothing, and send nothing."""
    exchange.wait_for_hang_up()


def create_then_close(exchange: Exchange) -> None:
    """Create a chat, and close the connection without an answer."""
    exchange.perform()
    exchange.hang_up()


def create_then_reset(exchange: Exchange) -> None:
    """Create a chat, and reset the connection."""
    exchange.perform()
    exchange.reset()


def create_then_truncate(exchange: Exchange) -> None:
    """Create a chat, and close before the end of the answer."""
    raw = exchange.compose(200, exchange.perform())
    exchange.send(raw[:-10])
    exchange.hang_up()


def create_then_silence(exchange: Exchange) -> None:
    """Create a chat, and send nothing."""
    exchange.perform()
    exchange.wait_for_hang_up()


def create_then_gateway_timeout(exchange: Exchange) -> None:
    """Create a chat, and answer 504, as a gateway does."""
    exchange.perform()
    exchange.answer(504, html_answer(504))


def create_slow(exchange: Exchange) -> None:
    """Create a chat, and answer after ``seconds``."""
    content = exchange.perform()
    exchange.pause(SLOW_SECONDS if exchange.seconds is None else exchange.seconds)
    exchange.answer(200, content)


def create_drip(exchange: Exchange) -> None:
    """Create a chat, and send a byte of the answer every ``seconds``."""
    raw = exchange.compose(200, exchange.perform())
    exchange.send_dripping(raw, exchange.seconds or DRIP_SECONDS)


def wait_then_create(exchange: Exchange) -> None:
    """Create a chat after the next release, and answer with it."""
    exchange.barrier.wait()
    create(exchange)


def close_then_create(exchange: Exchange) -> None:
    """Close the connection, and create a chat after the next release."""
    exchange.hang_up_now()
    exchange.barrier.wait()
    exchange.perform()


def create_then_wait(exchange: Exchange) -> None:
    """Create a chat, and answer after the next release."""
    content = exchange.perform()
    exchange.barrier.wait()
    exchange.answer(200, content)


def create_201(exchange: Exchange) -> None:
    """Create a chat, and answer with another 2xx."""
    exchange.answer(201, exchange.perform())


def create_chunked(exchange: Exchange) -> None:
    """Create a chat, and answer in chunks, without a length."""
    _send_chunked(exchange, chunked(encode(exchange.perform())))


def create_then_truncate_chunked(exchange: Exchange) -> None:
    """Create a chat, and send the whole JSON without the last chunk."""
    _send_chunked(exchange, chunked(encode(exchange.perform())).removesuffix(b"0\r\n\r\n"))
    exchange.hang_up()


def create_gzip(exchange: Exchange) -> None:
    """Create a chat, and answer in gzip, requested or not."""
    _send_gzipped(exchange, gzip.compress(encode(exchange.perform())))


def gzip_bomb(exchange: Exchange) -> None:
    """Create a chat, and answer with a small body that unpacks to 64 MiB."""
    exchange.perform()
    _send_gzipped(exchange, gzipped_spaces(64 * MEBIBYTE))


def no_content(exchange: Exchange) -> None:
    """Create a chat, and answer 204 without a body."""
    exchange.perform()
    exchange.send(http_bytes(204, exchange.usual_headers(), b""))


def huge_headers(exchange: Exchange) -> None:
    """Create a chat, and answer after more headers than clients accept."""
    headers = [(f"x-padding-{number}", "x" * 100) for number in range(500)]
    exchange.answer(200, exchange.perform(), headers)


def garbage(exchange: Exchange) -> None:
    """Create a chat, and send bytes that are not HTTP."""
    exchange.perform()
    exchange.send(b"\x00\xff this is not HTTP\r\n\r\n")
    exchange.hang_up()


def _send_chunked(exchange: Exchange, body: bytes) -> None:
    coding = [("Content-Type", JSON_TYPE), ("Transfer-Encoding", "chunked")]
    exchange.send(http_bytes(200, [*exchange.usual_headers(), *coding], body))


def _send_gzipped(exchange: Exchange, body: bytes) -> None:
    headers = [
        ("Content-Type", JSON_TYPE),
        ("Content-Encoding", "gzip"),
        ("Content-Length", str(len(body))),
    ]
    exchange.send(http_bytes(200, [*exchange.usual_headers(), *headers], body))
