"""Answers that Redis could not take, in files that outlive the process.

I4: a received answer is in a durable place before it is forgotten. Each process writes one file of
JSON lines, locked while it lives; whoever runs with the directory adopts the files of the dead.
Settling twice is settling once, so a file may be read again after a crash.
"""

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import IO

import structlog
from pydantic import TypeAdapter, ValidationError

from app.chats.grant import Grant
from app.chats.outcome import Outcome
from app.chats.steps import Step, after, before

log = structlog.get_logger("relay.spool")

# Of a file that only tells whether there is room: some answers of 600 bytes.
PROBE_BYTES = 16_384
ADVICE = (
    "point SPOOL_DIR at a directory that this user can write to, with room; until then an answer"
    " that Redis does not take is in memory and in the log alone, from which"
    " `python -m app.operate recover --from-log FILE` reads it back"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """One call's outcome, with the grant that it belongs to: all that settling it needs."""

    grant: Grant
    outcome: Outcome


_JSON = TypeAdapter(Answer)


class _SpoolFile:
    """One file of answers, locked by this process for as long as it is open."""

    def __init__(self, path: Path, handle: IO[bytes]) -> None:
        self.path = path
        self.unsettled = 0
        self._handle = handle
        self._has_unreadable_lines = False

    @classmethod
    def create(cls, directory: Path) -> "_SpoolFile":
        path = directory / f"{os.getpid()}-{secrets.token_hex(8)}.jsonl"
        unlocked = path.with_suffix(".new")
        handle = unlocked.open("xb", buffering=0)
        fcntl.flock(handle, fcntl.LOCK_EX)
        # Others see it from here on; unlocked it would be taken for a dead process's, and removed.
        unlocked.rename(path)
        _sync_directory(directory)
        return cls(path, handle)

    @classmethod
    def adopt(cls, path: Path) -> "_SpoolFile | None":
        try:
            handle = path.open("rb", buffering=0)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            return None
        if not path.exists():
            # Whoever had it locked until now is done with it.
            handle.close()
            return None
        return cls(path, handle)

    def append(self, answer: Answer) -> None:
        # The line break in front ends whatever a full disk left of an earlier line.
        rest = b"\n" + _JSON.dump_json(answer) + b"\n"
        while rest:
            # A disk that gets full takes a part without a word, and refuses the next one.
            rest = rest[os.write(self._handle.fileno(), rest) :]
        os.fsync(self._handle.fileno())

    def read(self) -> Iterator[Answer]:
        for number, line in enumerate(self._handle.read().split(b"\n"), start=1):
            if not line:
                continue
            try:
                yield _JSON.validate_json(line)
            except ValidationError:
                self._has_unreadable_lines = True
                log.error(  # noqa: TRY400 - the reason would quote the line
                    "spool_line_unreadable", path=str(self.path), line=number
                )

    def discard(self) -> None:
        if self._has_unreadable_lines:
            self.path.replace(self.path.with_suffix(".unreadable"))
        else:
            self.path.unlink(missing_ok=True)
        self._handle.close()


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    answer: Answer
    file: _SpoolFile | None


class Spool:
    """The answers of this process that are not settled yet, and those that dead ones left."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = Lock()
        self._draining = Lock()
        self._held: list[Answer] = []
        self._kept: list[_Kept] = []
        self._own: _SpoolFile | None = None
        self._unreadable: set[Path] = set()
        self._staying: list[_SpoolFile] = []

    def check(self) -> None:
        """Say so where answers could not be written now.

        That ends nothing: the log line of each call still holds the ids, and a volume may come.
        """
        probe = self._directory / f"{os.getpid()}-{secrets.token_hex(8)}.check"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            try:
                _write_through(probe, bytes(PROBE_BYTES))
            finally:
                probe.unlink(missing_ok=True)
        except OSError as error:
            log.error(  # noqa: TRY400 - the reason is all that matters
                "spool_unusable",
                path=str(self._directory),
                reason=error.strerror,
                advice=ADVICE,
            )

    @contextmanager
    def holding(self, answer: Answer) -> Iterator[None]:
        """Keep ``answer`` in a file unless the body, which settles it, ends well."""
        with self._lock:
            self._held.append(answer)
        try:
            yield
        except BaseException:
            self.keep(answer)
            raise
        finally:
            with self._lock:
                self._held.remove(answer)

    def keep(self, answer: Answer) -> None:
        """Write ``answer`` to this process's file, and remember to settle it.

        It comes before those that were refused, perhaps for good: its lease may end soon.
        """
        with self._lock:
            self._kept.insert(0, _Kept(answer, self._write(answer)))

    def keep_held(self) -> None:
        """Write down what is being settled right now: the process ends before that does.

        What no file has yet, since the disk refused it, is tried once more.
        """
        unwritten = [kept.answer for kept in list(self._kept) if kept.file is None]
        for answer in [*self._held, *unwritten]:
            self.keep(answer)

    def drain(self, settle: Callable[[Answer], object]) -> None:
        """Settle what is kept, and what dead processes left. Whatever ``settle`` raises ends it.

        Who comes while another thread drains waits until that is over.
        """
        with self._draining:
            self._adopt()
            for kept in list(self._kept):
                try:
                    settle(kept.answer)
                except Exception:
                    self._put_last(kept)
                    raise
                self._forget(kept)

    def _write(self, answer: Answer) -> _SpoolFile | None:
        try:
            if self._own is None:
                self._directory.mkdir(parents=True, exist_ok=True)
                self._own = _SpoolFile.create(self._directory)
            before(Step.SPOOLED)
            self._own.append(answer)
            after(Step.SPOOLED)
        except OSError as error:
            # The canonical log line still holds the ids, and the answer stays in memory.
            log.error(  # noqa: TRY400 - the reason is all that matters
                "answer_not_spooled", event_id=answer.grant.event_id, reason=str(error)
            )
            return None
        self._own.unsettled += 1
        return self._own

    def _adopt(self) -> None:
        for path in sorted(self._directory.glob("*.jsonl")):
            try:
                with self._lock:
                    if file := _SpoolFile.adopt(path):
                        self._read(file)
            except OSError as error:
                self._say_unreadable(path, error)

    def _say_unreadable(self, path: Path, error: OSError) -> None:
        """Once for each file; it holds up no other."""
        if path not in self._unreadable:
            self._unreadable.add(path)
            log.error("spool_file_unreadable", path=str(path), reason=str(error))

    def _read(self, file: _SpoolFile) -> None:
        kept = [_Kept(answer, file) for answer in file.read()]
        file.unsettled = len(kept)
        self._kept.extend(kept)
        log.info("spool_adopted", path=str(file.path), answers=len(kept))
        if not kept:
            self._discard(file)

    def _put_last(self, kept: _Kept) -> None:
        with self._lock:
            self._kept.remove(kept)
            self._kept.append(kept)

    def _forget(self, kept: _Kept) -> None:
        with self._lock:
            self._kept.remove(kept)
            if kept.file is None:
                return
            kept.file.unsettled -= 1
            if kept.file.unsettled == 0:
                self._discard(kept.file)
                self._own = None if kept.file is self._own else self._own

    def _discard(self, file: _SpoolFile) -> None:
        try:
            file.discard()
        except OSError as error:
            # Kept open, and so locked: else it would be adopted and settled again, every second.
            self._staying.append(file)
            log.warning("spool_file_stays", path=str(file.path), reason=str(error))


def _write_through(path: Path, content: bytes) -> None:
    with path.open("xb", buffering=0) as handle:
        while content:
            content = content[os.write(handle.fileno(), content) :]
        os.fsync(handle.fileno())


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
