"""The words of ``make run`` once the relay serves: a sample, what the data holds, how to go on."""

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

SAMPLE_USER = "sample-user"
GUIDE = """\
The relay is at {url}. Try:

  curl -i {url}/v1/events -H 'Authorization: Bearer {submit}' \\
    -H 'Content-Type: application/json' \\
    -d '{{"event_id": "refund-7731", "user_id": "6606508eaa71575f1e8c"}}'
  curl {url}/v1/events/{event_id} -H 'Authorization: Bearer {read}'
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
"""


def describe_sample(environ: Mapping[str, str], response: requests.Response) -> str:
    """Show the sample's record and, while it has no chat, the relay's own account of it."""
    answer = response.json()
    posted = "A sample event was posted, and"
    if not response.ok:
        return f"{posted} refused with {response.status_code}: {answer['detail']}\n"
    text = f"{posted} this is its record:\n\n{json.dumps(answer, indent=2)}\n"
    if response.status_code == requests.codes.accepted:
        explained = operate(environ, "explain", answer["event_id"])
        text += (
            f"\nIt waits, and `explain` gives the reason:\n\n{explained.stdout}{explained.stderr}"
        )
    return text


def describe_leftovers(environ: Mapping[str, str], data: Path) -> str:
    """Name what earlier runs left unfinished, each with the command that explains it."""
    status = operate(environ, "status", "--json")
    if status.returncode:
        return f"`status` reports: {status.stderr}"
    counts: Json = json.loads(status.stdout)
    command = operate_command(environ)
    lines = []
    if counts["waiting"] and (record := _find_waiting(environ)):
        event_id, user_id = record["event_id"], record["user_id"]
        option = "-- " if event_id.startswith("-") else ""
        lines.append(f"an event that waits for its call, {event_id} for {user_id}:")
        lines.append(f"  {command} explain {option}{shlex.quote(event_id)}")
    if counts["held"]:
        lines += [f"{counts['held']} held, since their calls had no answer:", f"  {command} list"]
    if counts["unreadable"]:
        lines += [f"{counts['unreadable']} of another release:", f"  {command} status"]
    if not lines:
        return ""
    is_ours = not os.environ.get("REDIS_URL")
    title = f"{short(data) if is_ours else 'This Redis'} holds events of an earlier run:"
    end = [f"To begin without them: {fresh_command(data)}"] if is_ours else []
    return "\n".join([title, *(f"  {line}" for line in lines), *end, ""])


def _find_waiting(environ: Mapping[str, str]) -> Json | None:
    """Return the record of the first event in line that is no sample."""
    listed = operate(environ, "list", "--status", "accepted", "--limit", "20", "--json")
    records: list[Json] = json.loads(listed.stdout or "[]")
    return next((record for record in records if record["user_id"] != SAMPLE_USER), None)


def format_cards() -> str:
    """Format the users for whom the stand-in does something worth a try."""
    width = max(len(card.user_id) for card in CARDS)
    rows = [f"  {card.user_id:{width}}  {card.channel_io}" for card in CARDS]
    title = "For some users the stand-in of Channel.io has its own ways (docs/integrating.md):"
    return "\n".join([title, "", *(row.replace("`", "") for row in rows), ""])


def operate_command(environ: Mapping[str, str]) -> str:
    """The operator's command as one pastes it; an address that the shell has is not shown."""
    command = f"{short(Path(sys.executable))} -m app.operate"
    url = environ["REDIS_URL"]
    return command if os.environ.get("REDIS_URL") else f"REDIS_URL={url} {command}"


def fresh_command(data: Path) -> str:
    """The command that begins on empty data."""
    if data == DATA:
        return "make run ARGS=--fresh"
    return f"make run ARGS={shlex.quote(f'--fresh --data {shlex.quote(short(data))}')}"


def short(path: Path) -> str:
    """The path from the current directory, where it is below that."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
