"""Becomes another program that the kernel kills as soon as its parent is gone (Linux).

Run as a script, ``tied.py PARENT_PID COMMAND ...``, between the fork and the program. Doing it here
and not in ``preexec_fn`` keeps Python code out of the fork of a process that has threads.

Every child passes here, so it imports little.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # prctl(2)
SIGINT, SIGKILL, SIGPIPE, SIGXFSZ = 2, 9, 13, 25  # signal(7), on x86 and ARM
SIG_DFL = None


def become(parent_pid: int, command: list[str]) -> None:
    """Replace this process by ``command``, which ends by SIGKILL when ``parent_pid`` ends."""
    system = ctypes.CDLL(None)
    system.prctl(PR_SET_PDEATHSIG, SIGKILL)
    if os.getppid() != parent_pid:
        sys.exit("the parent ended before its child could be tied to it")
    # What is ignored here, exec passes on. Python ignores two signals, and a shell that starts us
    # in the background ignores SIGINT.
    for number in (SIGPIPE, SIGXFSZ, SIGINT):
        system.signal(number, SIG_DFL)
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    become(int(sys.argv[1]), sys.argv[2:])
