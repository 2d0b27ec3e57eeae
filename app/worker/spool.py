"""The spool: results that Redis or the log could not take, in files that outlive the process.

I4: a received answer is in a durable place before it is forgotten. Each process writes one file of
JSON lines, locked while it lives; a process with the same directory adopts the files of dead ones.
Settling twice is settling once, so a file may be read again after a crash.
"""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import structlog
from gevent.event import AsyncResult
from gevent.lock import BoundedSemaphore
from gevent.threadpool import ThreadPool
from pydantic import TypeAdapter, ValidationError

from app.chats.errors import CommandRefused, StoreUnavailable
from app.chats.grant import Grant
from app.chats.outcome import Outcome
from app.telemetry.trace_context import Trace
from app.worker.spool_file import (
    MAX_LISTED,
    Entry,
    PendingWrite,
    SpoolFile,
    Unfit,
    check_room,
    list_files,
)

log = structlog.get_logger("relay.spool")

# Of a file that only shows that there is room: some results of 600 bytes.
PROBE_BYTES = 16_384
# A call's line in the log has a second, and its line here one more, before the settle goes ahead.
WRITE_SECONDS = 1.0
READ_SECONDS = 10.0
# One writes, one reads, and a few remove files: with all in use a greenlet would wait for one.
DISK_THREADS = 8
NO_RESPONSE = "the disk does not respond"
# Adopted files that Redis refuses stay open. The process has connections to open as well.
MAX_OPEN_FILES = 200
# Of one file; the line `spool_adopted` counts all.
MAX_LINES_LOGGED = 10
OTHERS_MAY_LOOK = 0o077
ADVICE = (
    "point SPOOL_DIR at a directory that this user can write to, with room; until then an answer"
    " that Redis does not take is in memory and in the log alone, from which"
    " `python -m app.operate recover --from-log FILE` reads it back"
)
NARROW = "chmod 700: who may write there may forge results or remove them; files are 0600 anyway"

T = TypeVar("T")


@dataclass(slots=True)
class CallResult:
    """One call's outcome with its grant: all that logging and settling it needs.

    ``seconds``: how long the call took. ``requests``: how many were sent for it. ``is_logged``: the
    log has taken its line.
    """

    grant: Grant
    outcome: Outcome
    trace: Trace
    seconds: float
    requests: int = 1
    is_logged: bool = field(default=False, compare=False)


_JSON = TypeAdapter(CallResult)


@dataclass(slots=True, eq=False)
class _Kept:
    """A result that is not settled; without a ``file`` it is in memory alone.

    ``is_refused``: the last settle failed although Redis responded.
    """

    result: CallResult
    file: SpoolFile | None = None
    is_refused: bool = False

    @property
    def is_unsaved(self) -> bool:
        return self.file is None and not self.result.is_logged


class Spool:
    """The results of this process that are not settled yet, and those that dead ones left.

    ``needs_adoption``: a dead process may have left results since files were last looked for.

    A disk may hang, and a file operation cannot be interrupted, so all of them run in threads of
    their own. One that is given up keeps its thread, and none is begun until it has ended.
    """

    def __init__(self, directory: Path) -> None:
        self.needs_adoption = True
        self._directory = directory
        self._disk = ThreadPool(DISK_THREADS)
        self._given_up: AsyncResult[Any] | None = None
        self._writing = BoundedSemaphore(1)
        self._draining = BoundedSemaphore(1)
        self._settling: list[CallResult] = []
        self._kept: list[_Kept] = []
        self._own: SpoolFile | None = None
        self._late_writes: list[PendingWrite] = []
        self._is_adopting = False
        self._passed_over: dict[Path, Entry | None] = {}
        self._staying: list[SpoolFile] = []

    @property
    def is_behind(self) -> bool:
        """True where results are to be settled before anything is taken.

        That is so unless Redis refuses them, and always for one in none of log, file and Redis.
        """
        return (
            self.needs_adoption
            or self._is_adopting
            or any(
                (kept.is_unsaved or not kept.is_refused) and not self._is_settling(kept)
                for kept in self._kept
            )
        )

    def check(self) -> None:
        """Log an error where results could not be written now.

        It ends nothing: the log line of each call still holds the ids, and a volume may come.
        A directory that others may look into is left so: it may be a volume, or theirs as well.
        """
        path = str(self._directory)
        try:
            mode = self._run_on_disk(
                check_room, self._directory, PROBE_BYTES, seconds=WRITE_SECONDS
            )
        except OSError as error:
            log.error(  # noqa: TRY400 - the reason is all that matters
                "spool_unusable", path=path, reason=error.strerror or str(error), advice=ADVICE
            )
        else:
            if mode & OTHERS_MAY_LOOK:
                log.warning("spool_open_to_others", path=path, mode=f"{mode:04o}", advice=NARROW)

    @contextmanager
    def guard(self, result: CallResult) -> Iterator[None]:
        """Keep ``result`` in a file unless the body, which settles it, ends well."""
        self._settling.append(result)
        try:
            yield
        except BaseException:
            self._settling.remove(result)
            self.keep(result)
            raise
        self._settling.remove(result)
        if kept := self._find(result):
            self._forget(kept)

    def keep(self, result: CallResult) -> None:
        """Write ``result`` to this process's file, if it is not there, and remember to settle it.

        It comes before those that were refused, perhaps for good: its lease may end soon.
        """
        kept = self._find(result)
        if kept is None:
            kept = _Kept(result)
            self._kept.insert(0, kept)
        self._save([kept])

    def keep_all(self) -> None:
        """Write down all results that no file has: the process ends before they are settled."""
        self._kept += [_Kept(result) for result in self._settling if self._find(result) is None]
        self._save(self._kept)

    def drain(self, settle: Callable[[CallResult], object]) -> None:
        """Settle kept results, of this process and of dead ones.

        Raises ``StoreUnavailable`` at the first one that Redis does not confirm. Goes on past those
        that Redis refuses, or that break ``settle``, and raises the first of these errors then.
        One greenlet drains at a time; another one waits until that is over.
        """
        first_error: Exception | None = None
        with self._draining, closing(self._unsettled()) as unsettled:
            for kept in unsettled:
                if kept not in self._kept or self._is_settling(kept):
                    continue
                try:
                    settle(kept.result)
                except Exception as error:
                    kept.is_refused = _is_refusal(error)
                    self._put_last(kept)
                    if not kept.is_refused:
                        raise
                    first_error = first_error or error
                else:
                    self._forget(kept)
        if first_error:
            raise first_error

    def _save(self, wanted: list[_Kept]) -> None:
        """Write down unwritten results; log those of ``wanted`` that stay so."""
        reason = self._write_kept()
        for kept in wanted:
            if kept.file is None:
                # The canonical log line may hold the ids, and the result stays in memory.
                event_id = kept.result.grant.event_id
                log.error("answer_not_spooled", event_id=event_id, reason=reason)

    def _find(self, result: CallResult) -> _Kept | None:
        return next((kept for kept in self._kept if kept.result is result), None)

    def _is_settling(self, kept: _Kept) -> bool:
        return any(result is kept.result for result in self._settling)

    def _put_last(self, kept: _Kept) -> None:
        if kept in self._kept:
            self._kept.remove(kept)
            self._kept.append(kept)
        if kept.is_unsaved:
            self._write_kept()

    def _write_kept(self) -> str:
        """Write all results that no file has, with one sync; return why some are not written."""
        deadline = time.monotonic() + WRITE_SECONDS
        if not self._writing.acquire(timeout=WRITE_SECONDS):
            return NO_RESPONSE
        try:
            batch = [kept for kept in self._kept if kept.file is None]
            if batch:
                self._append(batch, max(deadline - time.monotonic(), 0))
        except OSError as error:
            return str(error)
        finally:
            self._writing.release()
        return ""

    def _append(self, batch: list[_Kept], seconds: float) -> None:
        own = self._own
        if own:
            own.unsettled += len(batch)  # from now on, so that no settle meanwhile removes the file
        lines = b"".join(b"\n" + _JSON.dump_json(kept.result) + b"\n" for kept in batch)
        write = PendingWrite(self._directory, own, lines)
        try:
            file = self._run_on_disk(write.run, seconds=seconds)
        except TimeoutError:
            # The lines may still appear in that file, so it is never removed as settled.
            write.is_given_up = True
            self._late_writes.append(write)
            self._own = None
            raise
        except OSError:
            if own:
                own.unsettled -= len(batch)
            if write.file:
                self._discard_if_settled(write.file)
            raise
        if file is not own:
            file.unsettled = len(batch)
        self._own = file
        for kept in batch:
            kept.file = file
            if kept not in self._kept:  # settled meanwhile
                file.unsettled -= 1
        self._discard_if_settled(file)

    def _unsettled(self) -> Generator[_Kept, None, None]:
        """Yield this process's results, then those of dead processes, file by file."""
        yield from list(self._kept)
        # What a process leaves from now on may be missed.
        self._is_adopting, self.needs_adoption = self.needs_adoption, False
        try:
            for file, lines in self._adopt():
                yield from self._keep_lines(file, lines)
            self._is_adopting = False
        finally:
            self.needs_adoption |= self._is_adopting
            self._is_adopting = False

    def _adopt(self) -> Iterator[tuple[SpoolFile, list[bytes]]]:
        """Lock and read the files of dead processes, one by one."""
        for write in [write for write in self._late_writes if write.has_ended]:
            # Without its lock it is adopted below, as a dead process's.
            self._late_writes.remove(write)
            if write.file:
                write.file.close()
        is_rest = True
        while is_rest:
            is_rest = False
            entries = self._read(self._directory, list_files, self._directory) or []
            for entry in entries:
                if self._passed_over.get(entry.path) == entry:
                    continue
                adopted = self._read(entry.path, SpoolFile.adopt, entry.path, entry=entry)
                if adopted is not None:
                    is_rest = len(entries) == MAX_LISTED
                    yield adopted
                    if len({kept.file for kept in self._kept}) > MAX_OPEN_FILES:
                        return

    def _read(
        self,
        path: Path,
        operation: Callable[..., T],
        *arguments: Any,
        entry: Entry | None = None,
    ) -> T | None:
        """Run an operation on the disk; log the first error of ``path``, and return ``None``."""
        try:
            return self._run_on_disk(operation, *arguments, seconds=READ_SECONDS)
        except (FileNotFoundError, NotADirectoryError):
            return None  # `check` reports that
        except OSError as error:
            if path not in self._passed_over:
                log.error("spool_file_unreadable", path=str(path), reason=str(error))  # noqa: TRY400
            self._passed_over[path] = entry if isinstance(error, Unfit) else None
            return None

    def _keep_lines(self, file: SpoolFile, lines: list[bytes]) -> list[_Kept]:
        path, adopted = str(file.path), []
        for number, line in enumerate(lines, start=1):
            try:
                if line.strip():
                    adopted.append(_Kept(_JSON.validate_json(line), file))
            except ValidationError:
                file.unreadable_lines += 1
                if file.unreadable_lines <= MAX_LINES_LOGGED:
                    # Not the reason, which would quote the line.
                    log.error("spool_line_unreadable", path=path, line=number)  # noqa: TRY400
        file.unsettled = len(adopted)
        self._kept += adopted
        log.info("spool_adopted", path=path, answers=len(adopted), unreadable=file.unreadable_lines)
        self._discard_if_settled(file)
        return adopted

    def _forget(self, kept: _Kept) -> None:
        if kept not in self._kept:
            return
        self._kept.remove(kept)
        if kept.file is not None:
            kept.file.unsettled -= 1
            self._discard_if_settled(kept.file)

    def _discard_if_settled(self, file: SpoolFile) -> None:
        if file.unsettled > 0:
            return
        if file is self._own:
            self._own = None
        try:
            self._run_on_disk(file.discard, seconds=WRITE_SECONDS)
        except OSError as error:
            # Kept open, and so locked: else it would be adopted and settled again, every second.
            self._staying.append(file)
            log.warning("spool_file_stays", path=str(file.path), reason=str(error))

    def _run_on_disk(self, operation: Callable[..., T], *arguments: Any, seconds: float) -> T:
        """Run an operation in a thread. Raises its ``OSError``, or ``TimeoutError`` in the end."""
        if self._given_up is not None and not self._given_up.ready():
            raise TimeoutError(NO_RESPONSE)
        job = self._disk.spawn(_return_error, operation, *arguments)
        job.wait(seconds)
        if not job.ready():
            self._given_up = job
            raise TimeoutError(NO_RESPONSE)
        result: T | OSError = job.get()
        if isinstance(result, OSError):
            raise result
        return result


def _is_refusal(error: Exception) -> bool:
    """Return whether an error concerns one result alone: Redis refused it, or it met a bug."""
    return isinstance(error, CommandRefused) or not isinstance(error, StoreUnavailable)


def _return_error(operation: Callable[..., T], *arguments: Any) -> T | OSError:
    """Run an operation, and return its error: gevent would log a raised one as a bug."""
    try:
        return operation(*arguments)
    except OSError as error:
        return error
