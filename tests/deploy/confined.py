"""Runs a program under the restrictions of the systemd unit that a kernel alone can enforce.

`python -m tests.deploy.confined SYSCALLS PROGRAM ...`: of the system calls, only those in the file
SYSCALLS are allowed (the others fail with EPERM), and no memory becomes executable.
"""

import ctypes
import os
import sys
from errno import EPERM
from pathlib import Path
from typing import Final

_ERRNO: Final = 0x0005_0000 | EPERM  # SCMP_ACT_ERRNO(EPERM)
_ALLOW: Final = 0x7FFF_0000  # SCMP_ACT_ALLOW
_SET_MDWE: Final = 65  # PR_SET_MDWE, since Linux 6.3
_REFUSE_EXEC_GAIN: Final = 1  # PR_MDWE_REFUSE_EXEC_GAIN


def main(syscalls: Path, *program: str) -> None:
    """Restrict this process, and become the program."""
    _deny_executable_memory()
    _filter_calls(syscalls.read_text("utf-8").split())
    os.execvp(program[0], program)  # noqa: S606 - without a shell


def _deny_executable_memory() -> None:
    if ctypes.CDLL(None).prctl(_SET_MDWE, _REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
        sys.exit("MemoryDenyWriteExecute needs Linux 6.3")


def _filter_calls(names: list[str]) -> None:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(_ERRNO))
    for name in names:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # the other calls belong to other processors
            assert library.seccomp_rule_add(context, _ALLOW, number, 0) == 0, name
    assert library.seccomp_load(context) == 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
