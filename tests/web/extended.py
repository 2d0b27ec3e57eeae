"""The relay with an extension: hooks, and views that read bodies in Flask's own ways."""

from flask import Response, request

from app.wsgi import application


@application.before_request
def begin() -> None:
    """Mark the request, as an extension may."""
    request.environ["extended"] = "before"


@application.after_request
def finish(response: Response) -> Response:
    """Show that both hooks have run."""
    response.headers["Extended"] = f"{request.environ['extended']}, after"
    return response


@application.post("/data")
def answer_data() -> bytes:
    """Answer with the body."""
    return request.get_data()


@application.post("/json")
def answer_json() -> Response:
    """Answer with the body, parsed."""
    return Response(repr(request.get_json()))


@application.post("/lines")
def answer_lines() -> bytes:
    """Answer with the body's lines, read from the server's stream."""
    return b"|".join(request.environ["wsgi.input"])


@application.post("/nothing")
def answer_nothing() -> str:
    """Answer without a look at the body."""
    return ""
