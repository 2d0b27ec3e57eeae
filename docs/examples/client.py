"""Open a chat with a first message: python client.py EVENT_ID MEMBER_ID TEXT"""

import os
import sys
import time

import requests

URL = os.environ["RELAY"] + "/v1/events"
TOKEN = os.environ["SUBMIT_TOKEN"]
GIVE_UP_SECONDS = 24 * 3600


def open_chat(event, wait_seconds=10):
    """Post the event until it is complete or held; return its record."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Prefer": f"wait={wait_seconds}"}
    until, pause = time.monotonic() + GIVE_UP_SECONDS, 0.5
    while time.monotonic() < until:
        try:
            response = requests.post(URL, json=event, headers=headers, timeout=wait_seconds + 5)
            status, retry_after = response.status_code, response.headers.get("Retry-After", "")
        except requests.RequestException:
            status, retry_after = None, ""  # the event may be stored or not: repeat it
        if status == 200:
            return response.json()
        if status and status < 500 and status not in {202, 408, 429}:
            raise ValueError(response.text)  # a repeat would be refused too
        pause = int(retry_after) if retry_after.isdigit() else min(2 * pause, 60)
        print(f"{status or 'no answer'}: again in {pause:g} s", file=sys.stderr)
        time.sleep(pause)
    raise TimeoutError("gave up: look the event up later")


if __name__ == "__main__":
    _, event_id, member_id, text = sys.argv
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    event = {"event_id": event_id, "member_id": member_id, "occurred_at": now}
    print(open_chat({**event, "message": {"text": text}}))
