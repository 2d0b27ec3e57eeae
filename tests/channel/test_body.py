"""Tests of reading response bodies: identifiers found, and no body raises."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.channel.answers import classify_create
from app.channel.attempt import CallAttempt, UpstreamResponse
from app.channel.body import has_channel, is_user_not_found, read_chat
from app.chats.outcome import Created, Outcome, Unknown
from app.chats.record import Chat, Session
from tests.channel.calls import CHAT_ID, http, open_chat
from tests.channel.raw_server import RawServer, say

LONGEST = "x" * 256
NOT_IDENTIFIERS: list[object] = [
    None,
    7,
    1.5,
    True,
    [],
    {},
    "",
    LONGEST + "x",
    "a\n",
    "\x00",
    "\ud800",
    "a\u202e",
]

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
fields = st.fixed_dictionaries(
    {}, optional={"id": anything, "key": anything, "channelId": anything, "state": anything}
)
answers = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("userChat", "session", "userSession"), fields | anything)
)


def chat_of(**answer: Any) -> Chat | None:
    """Read the chat from a body with these top-level fields."""
    return read_chat(json.dumps(answer).encode())


def outcome_of_body(body: bytes | None) -> Outcome:
    """Return the outcome of a 200 with this body."""
    return outcome_of_answer(200, body)


def outcome_of_answer(status: int, body: bytes | None) -> Outcome:
    """Return the outcome of an answer to a sent request."""
    return classify_create(
        CallAttempt(deadline=0, is_sent=True, response=UpstreamResponse(status, {}, body))
    )


def test_identifiers_are_kept_as_they_are() -> None:
    """They are opaque: any printable text of up to 256 characters."""
    chat = chat_of(
        userChat={"id": LONGEST, "channelId": "6263", "state": "처음", "handling": {}},
        session={"id": "s1", "key": "bot-1-userChat-2"},
        userSession={"id": "s2"},
    )

    sessions = Session("s1", "bot-1-userChat-2"), Session("s2", None)
    assert Chat(LONGEST, "6263", "처음", *sessions) == chat


@pytest.mark.parametrize("bad", [*NOT_IDENTIFIERS, "a/b", ".", ".."])
def test_a_chat_without_a_readable_id_is_no_chat(bad: object) -> None:
    """It could not be looked up, or would not fit in a path."""
    assert chat_of(userChat={"id": bad}) is None


@pytest.mark.parametrize("bad", NOT_IDENTIFIERS)
def test_everything_but_the_chats_id_may_be_unreadable(bad: object) -> None:
    """It is then absent, and the chat counts all the same."""
    chat = chat_of(
        userChat={"id": CHAT_ID, "channelId": bad, "state": bad},
        session={"id": bad, "key": "k"},
        userSession={"id": "s", "key": bad},
    )

    assert Chat(CHAT_ID, user_session=Session("s", None)) == chat


@pytest.mark.parametrize(
    "body",
    [
        None,
        b"",
        b"null",
        b"[]",
        b'"userChat"',
        b'{"userChat": {"id": "a"}',
        b'{"userChat": {"id": "\xff"}}',
        '{"userChat": {"id": "a"}}'.encode("utf-16")[:-1],
        b"[" * 100_000,
        b'{"userChat":' * 100_000,
        b'{"userChat": {"id": ' + b"9" * 5000 + b"}}",
        b'{"userChat": {"id": "a\nb"}}',
        b'{"userChat": NaN}',
        b'{"userChat": {"id": "a"}, "userChat": 1}',
    ],
)
def test_a_body_that_is_no_answer_leaves_the_create_unknown(body: bytes | None) -> None:
    """A chat was probably made; that it cannot be read is an outcome, never an exception."""
    assert isinstance(outcome_of_body(body), Unknown)


MADE_FOR_KIM = '{"userChat": {"id": "6606508eaa71575f1e8d"}, "user": {"name": "김"}}'


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        (b'{"userChat": {"id": "%b"}, "version": %b}' % (CHAT_ID.encode(), b"9" * 5000), None),
        (b'{"userChat": {"id": "%b"}, "name": "a\n\tb"}' % CHAT_ID.encode(), None),
        *((MADE_FOR_KIM.encode(name), None) for name in ("utf-8", "utf-8-sig", "utf-16")),
        *((MADE_FOR_KIM.encode(name), None) for name in ("utf-16-le", "utf-16-be", "utf-32")),
        (("\ufeff" + MADE_FOR_KIM).encode("utf-16-le"), "utf-16"),
        (MADE_FOR_KIM.encode("euc-kr"), "euc-kr"),
        (MADE_FOR_KIM.encode("euc-kr"), "ks_c_5601-1987"),
        (MADE_FOR_KIM.encode("euc-kr"), None),
        (MADE_FOR_KIM.encode("euc-kr"), "utf-8"),
        (MADE_FOR_KIM.encode("utf-8"), "euc-kr"),
        (MADE_FOR_KIM.encode("utf-8"), "us-ascii"),
        (MADE_FOR_KIM.encode("utf-8"), "no-such-charset"),
        (MADE_FOR_KIM.encode("utf-8"), "idna\0"),
        (MADE_FOR_KIM.encode("utf-8"), "zlib"),
        (MADE_FOR_KIM.replace("김", "é").encode("latin-1"), "iso-8859-1"),
        (b"\xef\xbb\xbf" + MADE_FOR_KIM.replace("김", "é").encode("latin-1"), None),
        (MADE_FOR_KIM.replace("김", "ソ").encode("shift_jis"), "Shift_JIS"),
        (MADE_FOR_KIM.encode("utf-8").replace("김".encode(), b"\xea\xb9"), None),
    ],
)
def test_nothing_beside_the_id_costs_it(body: bytes, charset: str | None) -> None:
    """Not a byte order mark, a charset, a broken name, nor what Python's JSON is strict about."""
    chat = read_chat(body, charset)

    assert Chat(CHAT_ID) == chat


@pytest.mark.parametrize("charset", ["utf8", '"UTF-8"', "euc-kr", "utf-16", ""])
def test_the_charset_of_an_answer_is_its_headers(charset: str) -> None:
    """The way from the socket to the chat, mark included."""
    name = charset.strip('"') or "utf-8-sig"
    content_type = f"Content-Type: application/json; charset={charset}"
    with RawServer(say(http(200, MADE_FOR_KIM.encode(name), content_type))) as server:
        outcome = open_chat(server.url)

    assert Created(Chat(CHAT_ID)) == outcome


@pytest.mark.parametrize(
    "body",
    [
        b'{"errors": [{"field": "userId", "message": "User not found"}]}',
        b'{"type": "NotFound"}',
        b'{"operationErrorCode": "user_not_found"}',
        b"<h1>Not Found</h1>",
        '{"message": "사용자를 찾을 수 없습니다"}'.encode(),
        json.dumps({"message": "존재하지 않는 사용자입니다"}).encode(),
        b"\xff not found",
    ],
)
def test_user_not_found_is_recognised_in_every_shape(body: bytes) -> None:
    """No error schema is published; messages may be Korean, and escaped."""
    assert is_user_not_found(body)


@pytest.mark.parametrize("charset", ["euc-kr", "cp949", "utf-16", "utf-8-sig"])
def test_user_not_found_is_recognised_in_every_charset(charset: str) -> None:
    """As the answer names it."""
    body = '{"message": "사용자를 찾을 수 없습니다"}'.encode(charset)

    assert is_user_not_found(body, charset)


@pytest.mark.parametrize("body", [None, b"", b"{}", b'{"message": "User is blocked"}'])
def test_other_errors_are_not_taken_for_not_found(body: bytes | None) -> None:
    """They are refusals of another kind."""
    assert not is_user_not_found(body)


@given(st.binary() | anything.map(lambda value: json.dumps(value).encode()))
def test_no_body_makes_reading_raise(body: bytes) -> None:
    """Not for a create, not for an error, not for a probe."""
    for status in (200, 422, 429, 500):
        assert outcome_of_answer(status, body).upstream_status
    assert has_channel(body) in {True, False}


@given(answers)
def test_identifiers_are_short_and_printable(answer: dict[str, Any]) -> None:
    """Nothing of another kind, or of any length, gets into a record or a log line."""
    chat = chat_of(**answer)

    texts = [] if chat is None else [chat.id, chat.channel_id, chat.state]
    for session in (chat.session, chat.user_session) if chat else ():
        texts += [session.id, session.key] if session else []
    assert all(text.isprintable() and 0 < len(text) <= 256 for text in texts if text is not None)


def test_any_bytes_in_place_of_an_answer_are_an_outcome() -> None:
    """Whatever comes back over the socket, the caller gets an outcome."""
    reply = [b""]

    @given(st.binary() | st.binary().map(lambda noise: http(200, noise)))
    def check(said: bytes) -> None:
        reply[0] = said
        assert open_chat(server.url).kind in {"unknown", "created"}

    with RawServer(lambda connection: connection.sendall(reply[0])) as server:
        check()
