"""The directory of web's metrics: in memory, and gone with its processes."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tools.stack.relay import ROOT

PREFIX = "chat-relay-metrics-"
PROGRAM = """
import os, sys
from pathlib import Path
from config.runtime_dirs import metrics_directory
memory = Path(sys.argv[1])
directory = metrics_directory(memory)
assert directory == metrics_directory(memory)
print(directory, flush=True)
if os.fork() == 0:  # as a web process that outlives a killed master
    sys.stdin.read()
    os._exit(0)
os._exit(0)
"""


@contextmanager
def started(memory: Path, temporary: Path | None = None) -> Iterator[Path]:
    """Make a directory in ``memory``, whose process has ended and left another that lives."""
    environ = {"TMPDIR": str(temporary or memory)}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(memory)],
        env=environ, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        made = Path(process.stdout.readline().strip())
        process.wait(30)
        yield made


def test_leftovers_are_removed_and_what_lives_stays(tmp_path: Path) -> None:
    """A killed process removes nothing: the next start does, unless one of its kind still runs."""
    planted = tmp_path / "planted"
    planted.mkdir()
    (planted / "kept").touch()
    (tmp_path / f"{PREFIX}link").symlink_to(planted)
    (tmp_path / f"{PREFIX}file").touch()
    os.mkfifo(tmp_path / f"{PREFIX}fifo")
    leftover = tmp_path / f"{PREFIX}dead"
    leftover.mkdir()
    (leftover / "counter_1.db").touch()
    (leftover / "link").symlink_to(planted)

    with started(tmp_path) as living, started(tmp_path) as second:
        assert [True, True] == [living.is_dir(), second.is_dir()]
        assert living.parent == second.parent == tmp_path
        assert 0o700 == living.stat().st_mode & 0o777
        assert not leftover.exists()
    with started(tmp_path) as third:
        assert {third.name, f"{PREFIX}link", f"{PREFIX}file", f"{PREFIX}fifo"} == {
            path.name for path in tmp_path.glob(f"{PREFIX}*")
        }
    assert (planted / "kept").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_another_users_directory_is_left_alone(tmp_path: Path) -> None:
    """It may be anything that has such a name."""
    theirs = tmp_path / f"{PREFIX}theirs"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)

    with started(tmp_path):
        assert theirs.is_dir()


def test_directory_that_another_start_locks_is_left_to_it(tmp_path: Path) -> None:
    """Two that start together remove nothing of each other."""
    theirs = tmp_path / f"{PREFIX}theirs"
    theirs.mkdir()
    descriptor = os.open(theirs, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)

    with started(tmp_path):
        assert theirs.is_dir()
    os.close(descriptor)


@pytest.mark.parametrize("memory", ["/nonexistent", "/proc"])
def test_without_room_in_memory_it_is_where_temporary_files_are(
    memory: str, tmp_path: Path
) -> None:
    """Without ``/dev/shm``, and in a full one: a mapped file there would end a process.

    ``/proc`` has no room at all.
    """
    with started(Path(memory), tmp_path) as made:
        assert tmp_path == made.parent


def test_without_any_room_it_ends_with_what_to_do() -> None:
    """One line and code 2: a container whose root cannot be written has no ``/tmp`` by itself."""
    apart = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system makes no namespaces")
    script = """
    for place in /dev/shm /tmp /var/tmp /usr/tmp; do
        [ -d $place ] || continue
        mount --bind $place $place && mount -o remount,bind,ro $place || exit
    done
    cd /proc && exec "$0" -c "from config.runtime_dirs import runtime_dir; runtime_dir()"
    """

    ran = subprocess.run(
        [*apart, "sh", "-c", script, sys.executable],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert 2 == ran.returncode, ran.stderr
    (line,) = ran.stderr.splitlines()
    assert line.endswith("mount a tmpfs at /dev/shm or /tmp")
