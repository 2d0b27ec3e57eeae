"""The view that the peers on Flask share: ``SET NX``, then enqueue, then 202."""

from collections.abc import Callable

from flask import Flask, Response, jsonify, request
from pydantic import ValidationError
from redis import Redis

from tools.bench.peers.common import (
    MAX_CONNECTIONS,
    REDIS_URL,
    TTL_SECONDS,
    Event,
    answer_to,
    is_known,
    key_of,
)


def create_app(enqueue: Callable[[Event], object]) -> Flask:
    """Build the application over its queue."""
    app = Flask("peer", static_folder=None)
    client = Redis.from_url(REDIS_URL, max_connections=MAX_CONNECTIONS)

    @app.post("/v1/events")
    def post_event() -> tuple[Response, int]:
        if not is_known(request.headers.get("Authorization")):
            return jsonify(error="unauthorized"), 401
        try:
            event = Event.model_validate_json(request.get_data())
        except ValidationError:
            return jsonify(error="invalid"), 422
        if not client.set(key_of(event), "accepted", nx=True, ex=TTL_SECONDS):
            return jsonify(answer_to(event)), 200
        enqueue(event)
        return jsonify(answer_to(event)), 202

    return app
