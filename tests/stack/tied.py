"""Becomes another program that the kernel kills as soon as its parent is gone (Linux).

Run as a script, ``tied.py PARENT_PID COMMAND ...``, between the fork and the program. Doing it here
and not in ``preexec_fn`` keeps Python code out of the fork of a process that has threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # prctl(2)


def become(parent_pid: int, command: list[str]) -> None:
    """Replace this process by ``command``, which ends by SIGKILL when ``parent_pid`` ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        sys.exit("the parent ended before its child could be tied to it")
    _undo_what_is_ignored()
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


def _undo_what_is_ignored() -> None:
    """Give the program default signals: what is ignored here, exec passes on.

    Python ignores the first two, and a shell that starts us in the background ignores SIGINT.
    """
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
