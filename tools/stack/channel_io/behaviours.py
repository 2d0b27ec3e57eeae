"""Behaviours of the stand-in: their names, and one table of what they do."""

from enum import StrEnum, auto

from tools.stack.channel_io import acts, throttles
from tools.stack.channel_io.answers import (
    EMAIL,
    encode,
    error_answer,
    html_answer,
    operation_error_answer,
)
from tools.stack.channel_io.exchange import Exchange


class Operation(StrEnum):
    """Operations of Channel.io that the stand-in serves."""

    PROBE = auto()
    RESOLVE = auto()
    CREATE = auto()
    LIST_CHATS = auto()
    LIST_MESSAGES = auto()
    MESSAGE = auto()
    GET_CHAT = auto()
    OPEN = auto()


class Behaviour(StrEnum):
    """Names of behaviours; ``stand-in-`` and the name with dashes is a test user."""

    CREATE = auto()
    # Nothing is created, and the answer reports it.
    USER_NOT_FOUND = auto()
    USER_NOT_FOUND_422 = auto()
    REJECTED_422 = auto()
    BAD_REQUEST = auto()
    UNAUTHORIZED = auto()
    FORBIDDEN = auto()
    METHOD_NOT_ALLOWED = auto()
    GONE = auto()
    TOO_LARGE = auto()
    UNSUPPORTED_MEDIA_TYPE = auto()
    TEAPOT = auto()
    REDIRECT = auto()
    REDIRECT_307 = auto()
    THROTTLED = auto()
    THROTTLED_BARE = auto()
    THROTTLED_RESET = auto()
    THROTTLED_ABSURD = auto()
    # Nothing is created, and the answer does not prove it.
    REQUEST_TIMEOUT = auto()
    CONFLICT = auto()
    SERVER_ERROR = auto()
    BAD_GATEWAY_HTML = auto()
    UNAVAILABLE = auto()
    GATEWAY_TIMEOUT = auto()
    HTML_200 = auto()
    SILENCE = auto()
    CLOSE_WITHOUT_CREATE = auto()
    # A chat is created, and the answer is lost or late.
    CREATE_THEN_CLOSE = auto()
    CREATE_THEN_RESET = auto()
    CREATE_THEN_TRUNCATE = auto()
    CREATE_THEN_TRUNCATE_CHUNKED = auto()
    CREATE_THEN_SILENCE = auto()
    CREATE_THEN_GATEWAY_TIMEOUT = auto()
    CREATE_SLOW = auto()
    CREATE_DRIP = auto()
    WAIT_THEN_CREATE = auto()
    CREATE_THEN_WAIT = auto()
    CLOSE_THEN_CREATE = auto()
    # A chat is created, and its id can be read.
    CREATE_201 = auto()
    CREATE_CHUNKED = auto()
    CREATE_GZIP = auto()
    NO_SESSION = auto()
    NO_USER_SESSION = auto()
    ODD_SESSIONS = auto()
    HANDLING_OBJECT = auto()
    # A chat is created, and its id cannot be read.
    NO_CONTENT_204 = auto()
    NO_CHAT_ID = auto()
    NO_USER_CHAT = auto()
    BAD_CHAT_ID = auto()
    BAD_CHAT_ID_EMPTY = auto()
    BAD_CHAT_ID_SLASH = auto()
    BAD_CHAT_ID_LONG = auto()
    BAD_CHAT_ID_SURROGATE = auto()
    BAD_CHAT_ID_CONTROL = auto()
    BROKEN_JSON_200 = auto()
    DEEP_JSON_200 = auto()
    LIST_200 = auto()
    HUGE_BODY = auto()
    GZIP_BOMB = auto()
    HUGE_HEADERS = auto()
    GARBAGE = auto()

    @property
    def user_id(self) -> str:
        """Return the user whose creates have this behaviour by default."""
        return "stand-in-" + self.replace("_", "-")

    def user_id_for(self, operation: Operation) -> str:
        """Return the user with this behaviour in one operation: ``stand-in-message-then-close``."""
        if operation is Operation.CREATE:
            return self.user_id
        return f"stand-in-{operation}-{self.removeprefix('create_')}".replace("_", "-")


def behave(behaviour: Behaviour, exchange: Exchange) -> None:
    """Apply a behaviour to a request."""
    _ACTS[behaviour](exchange)


_ACTS: dict[Behaviour, acts.Act] = {
    Behaviour.CREATE: acts.create,
    Behaviour.USER_NOT_FOUND: acts.refuse(
        404, operation_error_answer(404, "notFound", "사용자를 찾을 수 없습니다")
    ),
    Behaviour.USER_NOT_FOUND_422: acts.refuse(422, error_answer("userId", "User not found")),
    Behaviour.REJECTED_422: acts.refuse(422, error_answer("userId", f"{EMAIL} is blocked")),
    Behaviour.BAD_REQUEST: acts.refuse(400, {"type": "badRequest", "message": "Bad request"}),
    Behaviour.UNAUTHORIZED: acts.refuse(401, {"type": "unauthorized", "message": "Unauthorized"}),
    Behaviour.FORBIDDEN: acts.refuse(403, {"type": "forbidden", "message": "Forbidden"}),
    Behaviour.METHOD_NOT_ALLOWED: acts.refuse(405, html_answer(405)),
    Behaviour.GONE: acts.refuse(410, {"type": "gone", "message": "This version has ended"}),
    Behaviour.TOO_LARGE: acts.refuse(413, html_answer(413)),
    Behaviour.UNSUPPORTED_MEDIA_TYPE: acts.refuse(415, html_answer(415)),
    Behaviour.TEAPOT: acts.refuse(418, html_answer(418)),
    Behaviour.REDIRECT: acts.redirect(302),
    Behaviour.REDIRECT_307: acts.redirect(307),
    Behaviour.THROTTLED: throttles.throttled,
    Behaviour.THROTTLED_BARE: throttles.throttled_bare,
    Behaviour.THROTTLED_RESET: throttles.throttled_reset,
    Behaviour.THROTTLED_ABSURD: throttles.throttled_absurd,
    Behaviour.REQUEST_TIMEOUT: acts.refuse(408, html_answer(408)),
    Behaviour.CONFLICT: acts.refuse(409, {"type": "conflict", "message": "Conflict"}),
    Behaviour.SERVER_ERROR: acts.refuse(500, {"type": "error", "message": "서버 오류"}),
    Behaviour.BAD_GATEWAY_HTML: acts.refuse(502, html_answer(502)),
    Behaviour.UNAVAILABLE: acts.refuse(503, html_answer(503)),
    Behaviour.GATEWAY_TIMEOUT: acts.refuse(504, html_answer(504)),
    Behaviour.HTML_200: acts.refuse(200, html_answer(200)),
    Behaviour.SILENCE: acts.silence,
    Behaviour.CLOSE_WITHOUT_CREATE: acts.close,
    Behaviour.CREATE_THEN_CLOSE: acts.create_then_close,
    Behaviour.CREATE_THEN_RESET: acts.create_then_reset,
    Behaviour.CREATE_THEN_TRUNCATE: acts.create_then_truncate,
    Behaviour.CREATE_THEN_TRUNCATE_CHUNKED: acts.create_then_truncate_chunked,
    Behaviour.CREATE_THEN_SILENCE: acts.create_then_silence,
    Behaviour.CREATE_THEN_GATEWAY_TIMEOUT: acts.create_then_gateway_timeout,
    Behaviour.CREATE_SLOW: acts.create_slow,
    Behaviour.CREATE_DRIP: acts.create_drip,
    Behaviour.WAIT_THEN_CREATE: acts.wait_then_create,
    Behaviour.CREATE_THEN_WAIT: acts.create_then_wait,
    Behaviour.CLOSE_THEN_CREATE: acts.close_then_create,
    Behaviour.CREATE_201: acts.create_201,
    Behaviour.CREATE_CHUNKED: acts.create_chunked,
    Behaviour.CREATE_GZIP: acts.create_gzip,
    Behaviour.NO_SESSION: acts.create_and_answer(lambda body: body | {"session": None}),
    Behaviour.NO_USER_SESSION: acts.without("userSession"),
    Behaviour.ODD_SESSIONS: acts.create_and_answer(
        lambda body: body | {"session": "a string", "userSession": {"id": 7, "key": ["list"]}}
    ),
    Behaviour.HANDLING_OBJECT: acts.with_chat(handling={"type": "user", "step": 1}),
    Behaviour.NO_CONTENT_204: acts.no_content,
    Behaviour.NO_CHAT_ID: acts.create_and_answer(
        lambda body: body | {"userChat": {"state": "initial"}}
    ),
    Behaviour.NO_USER_CHAT: acts.without("userChat"),
    Behaviour.BAD_CHAT_ID: acts.with_chat(id=6263),
    Behaviour.BAD_CHAT_ID_EMPTY: acts.with_chat(id=""),
    Behaviour.BAD_CHAT_ID_SLASH: acts.with_chat(id="6606508e/../aa71575f1e8d"),
    Behaviour.BAD_CHAT_ID_LONG: acts.with_chat(id="6" * 257),
    Behaviour.BAD_CHAT_ID_SURROGATE: acts.with_chat(id="6606508e\ud800"),
    Behaviour.BAD_CHAT_ID_CONTROL: acts.with_chat(id="6606508e\r\naa71575f1e8d"),
    Behaviour.BROKEN_JSON_200: acts.create_and_answer(lambda body: encode(body)[:-1]),
    Behaviour.DEEP_JSON_200: acts.create_and_answer(lambda _: b"[" * 200_000 + b"]" * 200_000),
    Behaviour.LIST_200: acts.create_and_answer(lambda body: [body]),
    Behaviour.HUGE_BODY: acts.create_and_answer(
        lambda body: body | {"padding": "x" * acts.MEBIBYTE}
    ),
    Behaviour.GZIP_BOMB: acts.gzip_bomb,
    Behaviour.HUGE_HEADERS: acts.huge_headers,
    Behaviour.GARBAGE: acts.garbage,
}
