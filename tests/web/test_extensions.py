"""Flask extensions work: what they register runs, and they read bodies in Flask's ways."""

import json
import sys
from collections.abc import Iterator

import pytest
from flask import Flask, Response, abort, got_request_exception

from tests.web.raw import Web
from tests.web.raw import serve as run
from tests.web.service import serve, slug
from tools.stack.redis_client import Client
from tools.stack.valkey import Valkey

HEAD = b"POST %b HTTP/1.1\r\nHost: relay\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
ALIVE = b"GET /livez HTTP/1.1\r\nHost: relay\r\n\r\n"


@pytest.fixture
def app(client: Client) -> Flask:
    """An application that has not served yet, so that more can be registered."""
    return serve(client).caller.application


@pytest.fixture(scope="module")
def extended(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A web process that serves the relay with an extension."""
    directory = tmp_path_factory.mktemp("extended")
    with run("tests.web.extended:application", valkey.url, directory) as web:
        yield web


@pytest.mark.parametrize("path", ["/livez", "/v1/events/e", "/nowhere"])
def test_hooks_run_for_each_request(app: Flask, path: str) -> None:
    """Also for one that is refused."""
    seen = []

    @app.before_request
    def begin() -> None:
        seen.append("before")

    @app.after_request
    def finish(response: Response) -> Response:
        seen.append("after")
        response.headers["Extended"] = "yes"
        return response

    @app.teardown_request
    def tear_down(_error: BaseException | None) -> None:
        seen.append("teardown")

    response = app.test_client().get(path)

    assert {"after", "teardown"} <= set(seen)
    assert ("before" in seen) == (path != "/v1/events/e")  # refused by a hook before it
    assert "yes" == response.headers["Extended"]


def test_a_route_of_an_extension_is_served_and_counted(app: Flask) -> None:
    """Its label is its rule, as with the relay's own."""
    app.add_url_rule("/more/<name>", "more", lambda name: name)

    response = app.test_client().get("/more/e1")

    assert (200, "e1") == (response.status_code, response.text)
    assert 'relay_request_seconds_count{route="/more/<name>"} 1.0' in (
        app.test_client().get("/metrics").text
    )


def test_a_status_of_an_extension_is_answered_as_it_is(app: Flask) -> None:
    """An extension's error without a problem of the relay keeps its status."""
    app.before_request(lambda: abort(429))

    assert 429 == app.test_client().get("/livez").status_code


def test_a_fault_reaches_error_reporters(app: Flask) -> None:
    """By the signal that they listen to; the caller gets a problem."""
    reported: list[Exception] = []

    def report(_sender: Flask, exception: Exception) -> None:
        reported.append(exception)

    app.add_url_rule("/fault", "fault", lambda: str(1 / 0))
    with got_request_exception.connected_to(report, app):
        response = app.test_client().get("/fault")

    assert "internal-error" == slug(response)
    assert [ZeroDivisionError] == [type(error) for error in reported]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        (b"/data", b"[1,\n2]", b"[1,\n2]"),
        (b"/data", b" " * 65_536, b" " * 65_536),
        (b"/json", b"[1,\n2]", b"[1, 2]"),
        (b"/lines", b"[1,\n2]", b"[1,\n|2]"),
    ],
)
def test_a_body_is_read_under_gunicorn(
    extended: Web, path: bytes, body: bytes, answer: bytes
) -> None:
    """Whole, however it is framed; hooks run there as well."""
    with extended.client() as client:
        client.send(HEAD % path + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        status, headers, content = client.answer()
        assert (200, "before, after", answer) == (status, headers["Extended"], content)
    with extended.client() as client:
        client.send(HEAD % path + CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        status, headers, content = client.answer()
        assert (200, "before, after", answer) == (status, headers["Extended"], content)


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 5\r\n\r\nhello", CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"]
)
def test_a_connection_is_kept_where_the_body_was_read(extended: Web, framing: bytes) -> None:
    """And ends where a view has left it: the next request's beginning is not known then."""
    with extended.client() as client:
        assert 200 == client.send(HEAD % b"/data" + framing).status()
        assert 200 == client.send(ALIVE).status()

        status, headers, _ = client.send(HEAD % b"/nothing" + framing).answer()
        assert (200, "close") == (status, headers["Connection"])
        assert b"" == client.rest()


def test_a_too_large_body_is_refused_in_a_view_of_an_extension(extended: Web) -> None:
    """With the relay's own limit and problem."""
    with extended.client() as client:
        client.send(HEAD % b"/data" + b"Content-Length: 65537\r\n\r\n")

        status, headers, content = client.answer()

        assert (413, "close") == (status, headers["Connection"])
        assert "/problems/too-large" == json.loads(content)["type"]
