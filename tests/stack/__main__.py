"""The local stack, ``make run``: the relay's two commands under a small supervisor.

An embedded Valkey stands in where ``REDIS_URL`` is unset, and a stand-in of Channel.io where no
``CHANNEL_ACCESS_KEY`` is set. Data and logs are in ``.data``, or where ``--data`` says.
"""

import argparse
import json
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.stack.channel_io import ChannelIo
from tests.stack.processes import stop_child, wait_until
from tests.stack.relay import ROOT, Caller, Json, Process, start_process
from tests.stack.valkey import Valkey, ValkeyError

DATA = ROOT / ".data"
LOOPBACK = "127.0.0.1"
READY_TIMEOUT_SECONDS = 30
STOP_TIMEOUT_SECONDS = 40
MAX_PORT = 65_535
WATCH_SECONDS = 0.2
TAIL_LINES = 15

# Plain to read and the same each time, so that the README's examples work as they stand; web
# listens on loopback only.
TOKENS = {"SUBMIT_TOKENS": "local:local-submit-token", "READ_TOKENS": "local:local-read-token"}

ANOTHER = 'for a second relay: make run PORT=8010 ARGS="--data .data-2"'

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
  {operate} status

Logs: tail -f {logs}
Ctrl-C stops everything.
"""


_told: list[int] = []  # the signals that told us to stop


class StackError(RuntimeError):
    """The stack cannot run; the message says why, and what to do."""


class Stopped(Exception):
    """We were told to stop."""


def main(data: Path) -> None:
    """Run the stack until Ctrl-C or SIGTERM, or until one of its processes ends by itself."""
    _heed_signals()
    data.mkdir(parents=True, exist_ok=True)
    environ = _environ(data)
    port = _free_port(environ)
    with ExitStack() as stack:
        is_stand_in = _provide_services(environ, data, stack)
        processes = [
            start_process("web", environ, data / "web.log", "--bind", f"{LOOPBACK}:{port}"),
            start_process("worker", environ, data / "worker.log"),
        ]
        stack.enter_context(_drained(processes))
        _greet(f"http://{LOOPBACK}:{port}", environ, processes, is_stand_in=is_stand_in)
        _watch(processes)


def _heed_signals() -> None:
    """Take note of them. A handler that raised would do so anywhere.

    That may be inside of what swallows it, or before a lock is given back.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        # SIGINT as well: a shell that starts us in the background has that ignored.
        signal.signal(number, lambda number, _: _told.append(number))


def _environ(data: Path) -> dict[str, str]:
    """Ours, with what it lacks; empty is unset."""
    missing = {**TOKENS, "PORT": "8000", "SPOOL_DIR": str(data / "spool")}
    return {**os.environ, **{k: v for k, v in missing.items() if not os.environ.get(k)}}


def _free_port(environ: dict[str, str]) -> int:
    port = environ["PORT"]
    if not (port.isascii() and port.isdecimal() and 1 <= int(port) <= MAX_PORT):
        raise StackError("PORT: must be a whole number from 1 to 65535")
    with socket.socket() as probe:
        if probe.connect_ex((LOOPBACK, int(port))) == 0:
            raise StackError(f"port {port} is in use; {ANOTHER}")
    return int(port)


def _provide_services(environ: dict[str, str], data: Path, stack: ExitStack) -> bool:
    """Start what ``environ`` does not name; whether Channel.io is the stand-in."""
    if not environ.get("REDIS_URL"):
        environ["REDIS_URL"] = stack.enter_context(Valkey(data)).url
    if environ.get("CHANNEL_ACCESS_KEY"):
        return False
    stand_in = stack.enter_context(ChannelIo())
    environ["CHANNEL_API_URL"] = stand_in.url
    environ["CHANNEL_ACCESS_KEY"], environ["CHANNEL_ACCESS_SECRET"] = "key", "secret"
    return True


@contextmanager
def _drained(processes: list[Process]) -> Iterator[None]:
    """Stop the relay's processes, and wait until they have finished what they were doing."""
    try:
        yield
    finally:
        _say("\nStopping: the calls under way are finished first.")
        for process in processes:
            process.child.terminate()
        for process in processes:
            stop_child(process.child, STOP_TIMEOUT_SECONDS)


def _greet(
    url: str, environ: dict[str, str], processes: list[Process], *, is_stand_in: bool
) -> None:
    """Wait until the relay is ready, open a sample chat at the stand-in, and say how to go on."""
    submit, read = (environ[name].split(",")[0].partition(":")[2] for name in TOKENS)
    caller = Caller(url, submit_token=submit, read_token=read)
    wait_until(lambda: _go_on(processes) and caller.is_ready(), READY_TIMEOUT_SECONDS, "the relay")
    ids = {"event_id": "EVENT_ID", "user_id": "USER_ID", "chat_id": "CHAT_ID"}
    if is_stand_in:
        ids = _open_sample(caller, processes)
    if any(environ[name] != tokens for name, tokens in TOKENS.items()):
        submit, read = "YOUR_SUBMIT_TOKEN", "YOUR_READ_TOKEN"
    logs = " ".join(_short(process.log) for process in processes)
    operate = _operate(environ["REDIS_URL"])
    _say(GUIDE.format(url=url, submit=submit, read=read, operate=operate, logs=logs, **ids))


def _operate(redis_url: str) -> str:
    """The operator's command as one pastes it; an address that the shell has is not shown."""
    command = f"{_short(Path(sys.executable))} -m app.operate"
    return command if os.environ.get("REDIS_URL") else f"REDIS_URL={redis_url} {command}"


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _open_sample(caller: Caller, processes: list[Process]) -> dict[str, str]:
    """Have a chat opened as any internal system would, and show its record."""
    event_id = f"sample-{secrets.token_hex(4)}"
    caller.post({"event_id": event_id, "user_id": "sample-user"}).raise_for_status()
    wait_until(lambda: _go_on(processes) and _is_over(caller.record(event_id)), 20, event_id)
    record = caller.record(event_id)
    _say(f"A sample event was posted, and this is its record:\n\n{json.dumps(record, indent=2)}\n")
    return {
        "event_id": event_id,
        "user_id": record["user_id"],
        "chat_id": (record["chat"] or {}).get("id", "CHAT_ID"),
    }


def _is_over(record: Json) -> bool:
    return record["status"] not in {"accepted", "calling"}


def _watch(processes: list[Process]) -> None:
    while _go_on(processes):
        time.sleep(WATCH_SECONDS)


def _go_on(processes: list[Process]) -> bool:
    """Always true; raises Stopped where we are to stop, StackError where a process has ended."""
    if _told:
        raise Stopped
    for process in processes:
        if process.child.poll() is not None:
            lines = process.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
            ended = f"{process.log.stem} ended with code {process.child.returncode}"
            raise StackError("\n".join([f"{ended}; its last lines:", *lines]))
    return True


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests.stack", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="default: .data")
    return parser


if __name__ == "__main__":
    try:
        main(_arguments().parse_args().data.absolute())
    except Stopped:
        _say("Stopped.")
    except (StackError, ValkeyError, TimeoutError) as error:
        sys.exit(str(error))
