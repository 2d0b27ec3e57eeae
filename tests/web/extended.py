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
    response.headers["Extended"] = f"{request.environ.get('extended')}, after"
    return response


@application.after_request
def break_answer(response: Response) -> Response:
    """Fail on one address, as a hook with a fault does."""
    if request.path == "/fault/hook":
        raise FileNotFoundError(request.path)
    return response


@application.teardown_request
def break_end(_error: BaseException | None) -> None:
    """Fail on one address once the answer is made."""
    if request.path == "/fault/end":
        raise FileNotFoundError(request.path)


@application.get("/fault/<where>")
def answer_fault(where: str) -> str:
    """Fail, or leave that to a hook."""
    if where == "view":
        raise BrokenPipeError(where)
    return where


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
