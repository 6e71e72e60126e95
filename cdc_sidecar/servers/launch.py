"""Run as a script, never imported: becomes a server that dies with the process that asked for it.

``launch.py start PARENT USER PROGRAM ARGUMENT…`` gives up root for the numeric USER (``-`` keeps
the user), asks the kernel for SIGKILL when the parent is gone, and becomes PROGRAM under the same
process id. ``launch.py read USER PATH…`` succeeds if that user can read each file and enter each
folder named.

A script of its own, because ``preexec_fn`` is unsafe beside threads, and because the interpreter
may lie where the unprivileged user cannot go: root loads it, then it changes who it is.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Obey the command line; returns an exit status only where nothing was started."""
    match arguments:
        case ["start", parent, user, *command]:
            _start(int(parent), user, command)
        case ["read", user, *paths]:
            _become(user)
            return 0 if all(map(_readable, paths)) else 1
        case _:
            pass
    return 2


def _start(parent: int, user: str, command: list[str]) -> None:
    _become(user)
    _die_with(parent)  # after the change of user, which clears the request
    _restore_signals()
    os.execv(command[0], command)  # noqa: S606 - no shell is what we want


def _become(user: str) -> None:
    if user != "-":
        os.setgroups([])
        os.setgid(int(user))
        os.setuid(int(user))


def _die_with(parent: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit("the process that asked for this server is gone")


def _restore_signals() -> None:
    """Undo what Python, and whoever started it, would hand on through exec."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _readable(path: str) -> bool:
    folder = os.path.isdir(path)  # noqa: PTH112 - pathlib would double the time to start
    return os.access(path, os.R_OK | os.X_OK if folder else os.R_OK)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
