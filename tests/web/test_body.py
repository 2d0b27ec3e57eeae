"""A body that is not JSON in UTF-8 is refused, and so is one that is too large to be an event."""

import json
from contextlib import ExitStack

import pytest
from flask import Request
from gunicorn.http.errors import InvalidChunkSize, NoMoreData
from werkzeug.test import TestResponse

from app.web.problems import ProblemError
from app.web.reading import MAX_BODY_BYTES, BodyMemory, read_body
from tests.web.service import EVENT, SUBMIT_TOKEN, WebService, problem, slug

TEXT = json.dumps(EVENT)


def padded(size_bytes: int) -> bytes:
    """The event, with spaces behind it up to that size."""
    return TEXT.encode().ljust(size_bytes)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/json; profile=x",
        "application/json; charset=utf8",
        "application/json; charset=us-ascii",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
        "application/json; charset*=utf-8''utf-16",
        "application/json; charset=",
        "application/json; charset",
        'application/json; charset="',
        "application/json; charset=utf-8; charset=none",
        "application/json; Charset=\xe9",
    ],
)
def test_json_is_declared(service: WebService, content_type: str) -> None:
    """As ``application/json``, whatever parameters follow: RFC 8259 has none, and only UTF-8."""
    assert service.post(Content_Type=content_type).status_code == 202


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        ";",
        "json",
        "text/json",
        "text/plain",
        "application/*",
        "application/jsonp",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/problem+json",
        "application/json, application/json",
        "text/plain; charset=utf-8; application/json",
        "\xe9",
    ],
)
def test_another_media_type_is_refused(service: WebService, content_type: str | None) -> None:
    """A form that happens to hold JSON is what a browser can be made to send."""
    assert slug(service.post(Content_Type=content_type)) == "unsupported-media-type"
    assert not service.stored()


def test_a_charset_changes_nothing_of_the_body(service: WebService) -> None:
    """It is UTF-8, whatever it is said to be."""
    event = {**EVENT, "metadata": {"a": "é"}}
    as_declared = json.dumps(event, ensure_ascii=False).encode("latin-1")

    declared = service.post(as_declared, Content_Type="application/json; charset=latin-1")
    utf_8 = service.post(event, Content_Type="application/json; charset=latin-1")

    assert "malformed-json" == slug(declared)
    assert (202, "é") == (utf_8.status_code, utf_8.get_json()["metadata"]["a"])


def test_a_byte_order_mark_is_passed_over(service: WebService) -> None:
    """One before the body, as some editors write it; and a repeat without it is a duplicate."""
    marked, plain = service.post(TEXT.encode("utf-8-sig")), service.post(TEXT.encode())

    assert (202, "true") == (marked.status_code, plain.headers["Idempotent-Replayed"])


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity", "\xe9"])
def test_an_encoded_body_is_refused(service: WebService, encoding: str) -> None:
    """No bomb is ever unpacked."""
    assert slug(service.post(Content_Encoding=encoding)) == "unsupported-media-type"


def test_identity_is_no_encoding(service: WebService) -> None:
    """It may be said."""
    assert service.post(Content_Encoding="identity").status_code == 202


def test_64_kib_are_read_and_not_one_byte_more(service: WebService) -> None:
    """The limit is the contract's."""
    assert MAX_BODY_BYTES == 65_536
    assert slug(service.post(padded(65_537))) == "too-large"
    assert not service.stored()
    assert service.post(padded(65_536)).status_code == 202


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "Expecting value at line 1, column 1."),
        (b"   ", "Expecting value at line 1, column 4."),
        (b"nonsense", "Expecting value at line 1, column 1."),
        (b'{"event_id":\n"a" 1}', "Expecting ',' delimiter at line 2, column 5."),
        (b'{"event_id":"a",}', None),
        (b'{"event_id"', "Expecting ':' delimiter at line 1, column 12."),
        (b'{"event_id', "Unterminated string starting at line 1, column 2."),
        (b"{'event_id': 1}", None),
        (b'{"a":"\n"}', "Invalid control character at line 1, column 7."),
        (b'{"a":"\\x"}', "Invalid \\escape at line 1, column 7."),
        (b'{"a":"\\u12"}', None),
        (b'{"a":01}', None),
        (b'{"a":0x1}', None),
        (b'{"a":1}{"b":2}', "Extra data at line 1, column 8."),
        (b'{"a":1}\x00', "Extra data at line 1, column 8."),
        (b"\x00", "Expecting value at line 1, column 1."),
        (b'{"a":NaN}', "NaN is not JSON."),
        (b'{"a":Infinity}', "Infinity is not JSON."),
        (b'{"a":[-Infinity]}', "-Infinity is not JSON."),
        (b"NaN", "NaN is not JSON."),
        (b"\xef\xbb\xbf", "Expecting value at line 1, column 1."),
        (b"\xef\xbb\xbf" + TEXT.encode("utf-8-sig"), "Expecting value at line 1, column 1."),
        (b"\xef\xbb" + TEXT.encode(), "The body is not UTF-8 at byte 0."),
        (b" " + TEXT.encode("utf-8-sig"), "Expecting value at line 1, column 2."),
        (b'\xef\xbb\xbf{"a":"\xe9"}', "The body is not UTF-8 at byte 9."),
        (TEXT.encode("utf-16"), "The body is not UTF-8 at byte 0."),
        (TEXT.encode("utf-16-le"), None),
        (TEXT.encode("utf-32"), None),
        (b'{"a":"\xe9"}', "The body is not UTF-8 at byte 6."),
        (b'{"a":"\xed\xa0\x80"}', "The body is not UTF-8 at byte 6."),
        (b'{"a":"\xc0\x80"}', "The body is not UTF-8 at byte 6."),
        (b"[" * 65_536, "The body is nested too deeply."),
        (b'{"a":' * 13_000, "The body is nested too deeply."),
    ],
)
def test_a_body_that_is_not_json_is_refused(
    service: WebService, body: bytes, detail: str | None
) -> None:
    """``detail`` has the place of the fault, and quotes nothing of the body."""
    content = problem(service.post(body))

    assert content["type"] == "/problems/malformed-json"
    assert detail in {None, content["detail"]}
    assert not service.stored()


@pytest.mark.parametrize(
    "body", [b'{"a":' * 9_000 + b"1" + b"}" * 9_000, b"[" * 32_000 + b"]" * 32_000]
)
def test_deep_nesting_is_refused(service: WebService, body: bytes) -> None:
    """As too deep, or as no event where this Python can read it: how deep it goes differs."""
    assert slug(service.post(body)) in {"malformed-json", "invalid-event"}
    assert not service.stored()


class UnreadableBody:
    """A body that cannot be read to its end: reading it fails as gunicorn's does."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def read(self, _size_bytes: int) -> bytes:
        """Fail."""
        raise self.error


def post_stream(service: WebService, stream: object, *, length: str | None) -> TestResponse:
    """Post what a server would read from a connection, announced as ``length`` or in chunks."""
    return service.caller.post(
        "/v1/events",
        headers={"Authorization": f"Bearer {SUBMIT_TOKEN}", "Content-Type": "application/json"},
        environ_overrides={"wsgi.input": stream, "wsgi.input_terminated": True}
        | ({"HTTP_TRANSFER_ENCODING": "chunked"} if length is None else {"CONTENT_LENGTH": length}),
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError("timed out"), "body-timeout"),
        (BlockingIOError(11, "Resource temporarily unavailable"), "body-timeout"),
        (ConnectionResetError(104, "Connection reset by peer"), "malformed-json"),
        (NoMoreData(), "malformed-json"),
        (InvalidChunkSize(b"zz"), "malformed-json"),
    ],
)
def test_a_body_that_does_not_come_is_given_up(
    service: WebService, error: Exception, expected: str
) -> None:
    """408 where time ran out, and 400 where it was cut off."""
    response = post_stream(service, UnreadableBody(error), length="100")

    assert expected == slug(response)
    assert not service.stored()


def test_bodies_under_way_have_a_limit_together() -> None:
    """The body that would pass it is refused; one that is over, however it ended, makes room."""
    memory = BodyMemory(limit_bytes=100)

    with memory.reserve(60), memory.reserve(40):
        with pytest.raises(ProblemError) as refused, memory.reserve(1):
            pass
        with memory.reserve(0):
            pass
    with pytest.raises(TimeoutError), memory.reserve(100):
        raise TimeoutError

    assert "unavailable" == refused.value.problem.slug
    with memory.reserve(100):
        pass


def test_the_limit_of_bodies_under_way_is_the_contracts() -> None:
    """32 MiB a process."""
    with ExitStack() as bodies:
        memory = BodyMemory()
        for _ in range(512):
            bodies.enter_context(memory.reserve(MAX_BODY_BYTES))

        with pytest.raises(ProblemError), memory.reserve(1):
            pass


@pytest.mark.parametrize(("length", "size_bytes"), [("100", 100), (None, 65_536)])
def test_a_body_reserves_its_length(length: str | None, size_bytes: int) -> None:
    """Or as much as a body may have, where its length is not known."""
    headers = {} if length is None else {"CONTENT_LENGTH": length}
    request = Request({"wsgi.input": UnreadableBody(AssertionError("it was read")), **headers})

    with pytest.raises(ProblemError) as refused:
        read_body(request, BodyMemory(limit_bytes=size_bytes - 1))
    with pytest.raises(AssertionError):
        read_body(request, BodyMemory(limit_bytes=size_bytes))

    assert "unavailable" == refused.value.problem.slug
