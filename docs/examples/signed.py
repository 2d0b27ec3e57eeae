"""Post an event with a signature by Standard Webhooks: python signed.py EVENT_ID USER_ID"""

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
    """Return the three headers: each send needs its own, since they are good for five minutes."""
    signed = f"{event_id}.{now:.0f}.".encode() + body
    signature = base64.b64encode(hmac.digest(KEY, signed, "sha256")).decode()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": f"{now:.0f}",
        "webhook-signature": f"v1,{signature}",
    }


def post(event_id, event):
    """Post the event; if the relay refuses it, sign it once more by the relay's clock."""
    body, now = json.dumps(event).encode(), time.time()
    for _ in range(2):
        headers = {"Content-Type": "application/json", **sign(event_id, body, now)}
        answer = requests.post(URL, data=body, headers=headers, timeout=15)
        if answer.status_code != 401:
            break
        now = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    return answer


answer = post(sys.argv[1], {"user_id": sys.argv[2]})
print(answer.status_code, answer.text)
