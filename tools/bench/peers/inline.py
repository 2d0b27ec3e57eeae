"""A Flask view that calls Channel.io itself, while its caller waits."""

import os

import requests
from flask import Flask, Response, jsonify, request

application = Flask("inline", static_folder=None)
_URL = os.environ["CHANNEL_API_URL"]


@application.post("/v1/events")
def post_event() -> Response:
    """Open a chat, and answer with its id."""
    event = request.get_json()
    answer = requests.post(f"{_URL}/users/{event['user_id']}/user-chats", timeout=15)
    answer.raise_for_status()
    return jsonify(event_id=event["event_id"], chat=answer.json()["userChat"]["id"])
