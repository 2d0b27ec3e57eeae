"""A bare Flask application that echoes JSON: the upper limit of Flask."""

from flask import Flask, Response, jsonify, request

application = Flask("echo", static_folder=None)


@application.post("/v1/events")
def post_event() -> Response:
    """Echo the body."""
    return jsonify(request.get_json())


@application.get("/v1/events/<event_id>")
def get_event(event_id: str) -> Response:
    """Echo the path."""
    return jsonify(event_id=event_id)
