"""A script, never imported: it becomes a server that ends with the process that started it.

``launch.py start PARENT USER PROGRAM ARGUMENT…`` changes to the numeric USER (``-`` keeps the
current user), asks the kernel for SIGKILL at the end of PARENT, and becomes PROGRAM under the same
process id. ``launch.py read USER PATH…`` succeeds if that user can read every file and enter every
folder that is named.

It is a script of its own for two reasons. ``preexec_fn`` is unsafe in a process with threads. And
the unprivileged user may not be able to read the interpreter: root loads it, then changes the user.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2)


def main(arguments: list[str]) -> int:
    """Run the command line; return an exit status if no program was started."""
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
    os.execv(command[0], command)  # noqa: S606 - a shell is not wanted


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
        sys.exit("the process that started this server has ended")


def _restore_signals() -> None:
    """Undo signal settings of Python and of its parent that `exec` would pass on."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _readable(path: str) -> bool:
    folder = os.path.isdir(path)  # noqa: PTH112 - importing pathlib would double the start time
    return os.access(path, os.R_OK | os.X_OK if folder else os.R_OK)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
