"""Program starter: the kernel kills the program when its parent ends (Linux).

Run as ``tied.py PARENT_PID COMMAND ...``, between the fork and the program: ``preexec_fn`` would
run Python code in the fork of a process with threads. It imports little, as every child runs it.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # prctl(2)
SIGINT, SIGKILL, SIGPIPE, SIGXFSZ = 2, 9, 13, 25  # signal(7), on x86 and ARM
SIG_DFL = None


def run_tied(parent_pid: int, command: list[str]) -> None:
    """Replace this process with ``command``; SIGKILL ends it when ``parent_pid`` ends."""
    system = ctypes.CDLL(None)
    system.prctl(PR_SET_PDEATHSIG, SIGKILL)
    if os.getppid() != parent_pid:
        sys.exit("the parent ended before its child could be tied to it")
    # The program would inherit ignored signals: Python ignores two, and a shell ignores SIGINT in
    # the processes that it starts in the background.
    for number in (SIGPIPE, SIGXFSZ, SIGINT):
        system.signal(number, SIG_DFL)
    os.execvp(command[0], command)  # noqa: S606 - no shell is needed


if __name__ == "__main__":
    run_tied(int(sys.argv[1]), sys.argv[2:])
