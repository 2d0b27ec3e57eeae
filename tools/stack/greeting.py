"""Output of ``make run``: a sample chat, leftover events, commands to try."""

import json
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import requests

from tools.stack.channel_io.cards import CARDS
from tools.stack.data import DATA
from tools.stack.relay import Json, operate

SAMPLE_MEMBER = "sample-member"
METRICS_PORT = 9100  # the worker's, unless it is in use
GUIDE = """\
The relay is at {url}. Try:

  curl -i {url}/v1/events -H 'Authorization: Bearer {submit}' \\
    -H 'Content-Type: application/json' \\
    -d '{{"event_id": "refund-7731", "member_id": "customer-8841", \
"message": {{"text": "Your refund is on its way."}}}}'
  curl {url}/v1/events/{event_id} -H 'Authorization: Bearer {read}'
  curl {url}/v1/members/{member_id}/chats -H 'Authorization: Bearer {read}'
  curl {url}/v1/users/{user_id}/chats -H 'Authorization: Bearer {read}'
  curl {url}/v1/chats/{chat_id} -H 'Authorization: Bearer {read}'
  curl {url}/livez
  curl {url}/readyz
  curl {url}/problems/event-id-reused
  curl {url}/metrics
  curl {url}/openapi.json
  curl {url}/docs
  curl {worker_url}/metrics
  {operate} status

The operator's page is {url}/operate; its token is {operator}
"""


def describe_sample(environ: Mapping[str, str], response: requests.Response) -> str:
    """Show the sample's record and, while it has no chat, the output of `explain`."""
    answer = response.json()
    if not response.ok:
        return f"A sample event was refused with {response.status_code}: {answer['detail']}\n"
    text = f"A sample event was posted. Its record:\n\n{json.dumps(answer, indent=2)}\n"
    if response.status_code == requests.codes.accepted:
        explained = operate(environ, "explain", answer["event_id"])
        text += f"\nIt waits; `explain` shows why:\n\n{explained.stdout}{explained.stderr}"
    return text


def describe_leftovers(environ: Mapping[str, str], data: Path) -> str:
    """List the unfinished events of earlier runs, each with a command that explains it."""
    status = operate(environ, "status", "--json")
    if status.returncode:
        return f"`status` failed: {status.stderr}"
    counts: Json = json.loads(status.stdout)
    command = operate_command(environ)
    lines = []
    if counts["waiting"] and (record := _find_waiting(environ)):
        event_id, person = record["event_id"], record["user_id"] or record["member_id"]
        option = "-- " if event_id.startswith("-") else ""
        lines.append(f"{event_id} for {person} waits for its call:")
        lines.append(f"  {command} explain {option}{shlex.quote(event_id)}")
    if counts["held"]:
        lines += [f"{counts['held']} held, because their calls had no answer:", f"  {command} list"]
    if counts["unreadable"]:
        lines += [f"{counts['unreadable']} written by another release:", f"  {command} status"]
    if not lines:
        return ""
    is_ours = not os.environ.get("REDIS_URL")
    title = f"{short(data) if is_ours else 'This Redis'} has events of an earlier run:"
    end = [f"To start with empty data: {fresh_command(data)}"] if is_ours else []
    return "\n".join([title, *(f"  {line}" for line in lines), *end, ""])


def _find_waiting(environ: Mapping[str, str]) -> Json | None:
    """Return the record of the first waiting event that is not a sample."""
    listed = operate(environ, "list", "--status", "accepted", "--limit", "20", "--json")
    records: list[Json] = json.loads(listed.stdout or "[]")
    return next((record for record in records if record["member_id"] != SAMPLE_MEMBER), None)


def format_cards() -> str:
    """Format the table of test users."""
    width = max(len(card.id) for card in CARDS)
    rows = [f"  {card.id:{width}}  {card.posted_as}: {card.channel_io}" for card in CARDS]
    title = "Test users, and what the stand-in for Channel.io does for each (docs/integrating.md):"
    return "\n".join([title, "", *(row.replace("`", "") for row in rows), ""])


def describe_metrics_port(environ: Mapping[str, str]) -> str:
    """Report the worker's port if the usual one was in use; empty if it was chosen."""
    port = environ["METRICS_PORT"]
    if os.environ.get("METRICS_PORT", "").strip() or port == str(METRICS_PORT):
        return ""
    return f"Port {METRICS_PORT} is in use: the worker serves its metrics on port {port}.\n"


def operate_command(environ: Mapping[str, str]) -> str:
    """Return the operator's command, ready to paste; a URL with a login is left to the shell."""
    command = f"{shlex.quote(short(Path(sys.executable)))} -m app.operate"
    url = environ["REDIS_URL"]
    return command if "@" in url else f"REDIS_URL={shlex.quote(url)} {command}"


def fresh_command(data: Path) -> str:
    """Return the command that starts with empty data."""
    if data == DATA:
        return "make run ARGS=--fresh"
    return f"make run ARGS={shlex.quote(f'--fresh --data {shlex.quote(short(data))}')}"


def short(path: Path) -> str:
    """Return the path, relative to the current directory if it is below it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
