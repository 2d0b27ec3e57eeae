"""Local stack, ``make run``: the relay's two commands under a small supervisor.

It starts an embedded Valkey unless ``REDIS_URL`` is set, and a stand-in for Channel.io unless
``CHANNEL_ACCESS_KEY`` is set. Data and logs are in ``.data``, or in the directory of ``--data``;
``--fresh`` empties it first.
"""

import argparse
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import requests

from tools.stack.channel_io import ChannelIo
from tools.stack.data import DATA, DataError, make_directory, remove_data
from tools.stack.greeting import (
    GUIDE,
    METRICS_PORT,
    SAMPLE_MEMBER,
    describe_leftovers,
    describe_metrics_port,
    describe_sample,
    format_cards,
    fresh_command,
    operate_command,
    short,
)
from tools.stack.processes import free_port, stop_child, wait_until
from tools.stack.relay import Process, RelayClient, start_process
from tools.stack.valkey import Valkey, ValkeyEndedError, ValkeyError, lock_directory

LOOPBACK = "127.0.0.1"
READY_TIMEOUT_SECONDS = 30
WORKER_TIMEOUT_SECONDS = 10
SAMPLE_SECONDS = 5
STOP_TIMEOUT_SECONDS = 40
MAX_PORT = 65_535
WATCH_SECONDS = 0.2
TAIL_LINES = 15
STAND_IN_BOT = "Relay"  # the stand-in knows it, so that examples with `open` work

# Fixed tokens, so that examples can be pasted; they are safe because web listens on loopback only.
TOKENS = {
    "SUBMIT_TOKENS": "local:local-submit-token",
    "READ_TOKENS": "local:local-read-token",
    "OPERATE_TOKENS": "local:local-operate-token",
}

ANOTHER = 'for a second relay: make run PORT=8010 ARGS="--data .data-2"'
REPEATED = {requests.codes.accepted, requests.codes.unavailable}


_signals: list[int] = []  # signals received so far


class StackError(RuntimeError):
    """Failure of the stack; the message has the reason and the remedy."""


class StopRequested(Exception):
    """Request to stop, by a signal."""


def main(data: Path, *, is_fresh: bool) -> None:
    """Run the stack until Ctrl-C or SIGTERM, or until one of its processes ends by itself."""
    _record_signals()
    make_directory(data)
    environ = _build_environ(data)
    port = _check_web_port(environ)
    with ExitStack() as stack:
        is_stand_in = _start_services(environ, data, stack, is_fresh=is_fresh)
        processes = [
            start_process("web", environ, data / "web.log", "--bind", f"{LOOPBACK}:{port}"),
            start_process("worker", environ, data / "worker.log"),
        ]
        stack.enter_context(_stop_on_exit(processes))
        _print_guide(f"http://{LOOPBACK}:{port}", environ, data, processes, is_stand_in=is_stand_in)
        _watch_processes(processes)


def _record_signals() -> None:
    """Record stop signals. A handler that raised could be swallowed, or keep a lock locked."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # SIGINT too: a shell that starts the stack in the background ignores it.
        signal.signal(number, lambda number, _: _signals.append(number))


def _build_environ(data: Path) -> dict[str, str]:
    """Return this process's environment with defaults for what is unset or empty."""
    is_taken = os.environ.get("PORT") == str(METRICS_PORT) or _is_taken(METRICS_PORT)
    missing = {
        **TOKENS,
        "PORT": "8000",
        "METRICS_PORT": str(free_port() if is_taken else METRICS_PORT),
        "BIND": LOOPBACK,
        "SPOOL_DIR": str(data / "spool"),
    }
    return {**os.environ, **{k: v for k, v in missing.items() if not os.environ.get(k, "").strip()}}


def _check_web_port(environ: Mapping[str, str]) -> int:
    port = environ["PORT"]
    if not (port.isascii() and port.isdecimal() and 1 <= int(port) <= MAX_PORT):
        raise StackError("PORT: must be a whole number from 1 to 65535")
    if _is_taken(int(port)):
        raise StackError(f"port {port} is in use; {ANOTHER}")
    return int(port)


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def _start_services(
    environ: dict[str, str], data: Path, stack: ExitStack, *, is_fresh: bool
) -> bool:
    """Start each service that ``environ`` lacks; return whether Channel.io is the stand-in."""
    if environ.get("REDIS_URL"):
        if is_fresh:
            raise StackError("--fresh empties the data of `make run`, not the Redis of REDIS_URL")
        stack.enter_context(lock_directory(data))
    else:
        if is_fresh:
            remove_data(data)
        environ["REDIS_URL"] = stack.enter_context(_run_valkey(data)).url
    if environ.get("CHANNEL_ACCESS_KEY"):
        return False
    stand_in = stack.enter_context(ChannelIo())
    environ["CHANNEL_API_URL"] = stand_in.url
    # A proxy of this machine would not reach the stand-in.
    others = environ.get("no_proxy") or environ.get("NO_PROXY", "")
    environ["no_proxy"] = f"{others},{LOOPBACK}" if others else LOOPBACK
    environ["CHANNEL_ACCESS_KEY"], environ["CHANNEL_ACCESS_SECRET"] = "key", "secret"
    environ["BOT_NAME"] = environ.get("BOT_NAME") or STAND_IN_BOT
    return True


@contextmanager
def _run_valkey(data: Path) -> Iterator[Valkey]:
    """Run a server with the data of earlier runs."""
    valkey = Valkey(data)
    try:
        valkey.start()
    except ValkeyEndedError as error:
        raise StackError(f"{error}\nTo start with empty data: {fresh_command(data)}") from error
    try:
        yield valkey
    finally:
        valkey.stop()


@contextmanager
def _stop_on_exit(processes: list[Process]) -> Iterator[None]:
    """On exit, stop the relay's processes and wait until their calls are finished."""
    try:
        yield
    finally:
        _print("\nStopping: calls in progress are finished first.")
        for process in processes:
            process.child.terminate()
        for process in processes:
            stop_child(process.child, STOP_TIMEOUT_SECONDS)


def _print_guide(
    url: str,
    environ: Mapping[str, str],
    data: Path,
    processes: list[Process],
    *,
    is_stand_in: bool,
) -> None:
    """Wait until web and worker serve, open a sample chat, and print how to go on."""
    submit, read, operator = (environ[name].split(",")[0].partition(":")[2] for name in TOKENS)
    caller = RelayClient(url, submit_token=submit, read_token=read)
    worker = RelayClient(
        f"http://{LOOPBACK}:{environ['METRICS_PORT']}", submit_token="", read_token=""
    )
    wait_until(
        lambda: _check_running(processes) and caller.answers("/livez"),
        READY_TIMEOUT_SECONDS,
        "the relay",
    )
    # With an own METRICS_PORT or BIND, the worker may serve elsewhere, or not at all.
    with suppress(TimeoutError, requests.RequestException):
        wait_until(
            lambda: _check_running(processes) and worker.answers("/livez"),
            WORKER_TIMEOUT_SECONDS,
            "the worker",
        )
    ids = {name: name.upper() for name in ("event_id", "member_id", "user_id", "chat_id")}
    if is_stand_in:
        response = _post_sample(caller, processes)
        _print(describe_sample(environ, response))
        if response.ok:
            sample = response.json()
            ids |= {"event_id": sample["event_id"], "member_id": sample["member_id"]}
            ids |= {"user_id": sample["user_id"]} if sample["user_id"] else {}
            ids |= {"chat_id": sample["chat"]["id"]} if sample["chat"] else {}
    if leftovers := describe_leftovers(environ, data):
        _print(leftovers)
    if any(environ[name] != tokens for name, tokens in TOKENS.items()):
        submit, read, operator = "YOUR_SUBMIT_TOKEN", "YOUR_READ_TOKEN", "YOUR_OPERATE_TOKEN"
    tokens = {"submit": submit, "read": read, "operator": operator}
    operate = operate_command(environ)
    _print(GUIDE.format(url=url, worker_url=worker.url, operate=operate, **tokens, **ids))
    if is_stand_in:
        _print(format_cards())
    if notice := describe_metrics_port(environ):
        _print(notice)
    _print(f"Logs: tail -f {' '.join(short(process.log) for process in processes)}")
    _print("Ctrl-C stops everything.")


def _post_sample(caller: RelayClient, processes: list[Process]) -> requests.Response:
    """Post an event until it is complete, held or refused, or the time is up."""
    event = {
        "event_id": f"sample-{secrets.token_hex(4)}",
        "member_id": SAMPLE_MEMBER,
        "message": {"text": "Hello from make run."},
        "open": True,
    }
    until = time.monotonic() + SAMPLE_SECONDS
    response = caller.post(event, Prefer="wait=1")
    while response.status_code in REPEATED and time.monotonic() < until:
        time.sleep(WATCH_SECONDS)
        _check_running(processes)
        response = caller.post(event, Prefer="wait=1")
    return response


def _watch_processes(processes: list[Process]) -> None:
    while _check_running(processes):
        time.sleep(WATCH_SECONDS)


def _check_running(processes: list[Process]) -> bool:
    """Return true. Raises ``StopRequested`` after a signal, ``StackError`` after a part ended."""
    if _signals:
        raise StopRequested
    for process in processes:
        if process.child.poll() is not None:
            lines = process.last_lines(TAIL_LINES)
            ended = f"{process.log.stem} ended with code {process.child.returncode}"
            raise StackError("\n".join([f"{ended}; its last lines:", *lines]))
    return True


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools.stack", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="default: .data")
    parser.add_argument("--fresh", action="store_true", help="remove data of earlier runs first")
    return parser


if __name__ == "__main__":
    given = _arguments().parse_args()
    try:
        main(given.data.absolute(), is_fresh=given.fresh)
    except StopRequested:
        _print("Stopped.")
    except (StackError, DataError, ValkeyError, OSError) as error:
        sys.exit(str(error))
