"""Post an event, signed by Standard Webhooks: python signed.py EVENT_ID MEMBER_ID TEXT"""

import base64
import hmac
import json
import os
import sys
import time
from email.utils import parsedate_to_datetime

import requests

URL = os.environ["RELAY"] + "/v1/events"
KEY = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))


def sign(event_id, body, now):
    """Return the three headers; sign each request anew, since they expire after five minutes."""
    signed = f"{event_id}.{now:.0f}.".encode() + body
    signature = base64.b64encode(hmac.digest(KEY, signed, "sha256")).decode()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": f"{now:.0f}",
        "webhook-signature": f"v1,{signature}",
    }


def post(event_id, event):
    """Post the event; after a 401 sign it once more with the relay's time."""
    body, now = json.dumps(event).encode(), time.time()
    for _ in range(2):
        headers = {"Content-Type": "application/json", **sign(event_id, body, now)}
        response = requests.post(URL, data=body, headers=headers, timeout=15)
        if response.status_code != 401:
            break
        now = parsedate_to_datetime(response.headers["Date"]).timestamp()
    return response


_, event_id, member_id, text = sys.argv
response = post(event_id, {"member_id": member_id, "message": {"text": text}})
print(response.status_code, response.text)
