"""Take from this process what decoding a picture does not need: memory, time, files, and most of the kernel.

Everything must be imported before. https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

import contextlib
import ctypes
import errno
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterable
from typing import Final

_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
_RET_ALLOW: Final = 0x7FFF0000
_RET_EPERM: Final = 0x00050000 | errno.EPERM
_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_IF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
# Machine → its AUDIT_ARCH, and the numbers of: read write close fstat lseek mmap mprotect munmap brk rt_sigaction
# rt_sigprocmask rt_sigreturn mremap madvise getpid sendto recvfrom exit futex clock_gettime exit_group getrandom
# sched_yield.
_CALLS: Final = {
    "x86_64": (0xC000003E, (0, 1, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 25, 28, 39, 44, 45, 60, 202, 228, 231, 318, 24)),
    "aarch64": (
        0xC00000B7,
        (63, 64, 57, 80, 62, 222, 226, 215, 214, 134, 135, 139, 216, 233, 172, 206, 207, 93, 98, 113, 94, 278, 124),
    ),
}


def enter(memory_bytes: int, cpu_s: int) -> None:
    """Limit address space and processor time, and allow no file, no process and no further connection.

    What a system does not have is left out: macOS limits no address space and knows no filter of system calls.
    """
    for limit, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (most, most))
    if sys.platform == "linux" and platform.machine() in _CALLS:
        _filter(*_CALLS[platform.machine()])


def _filter(architecture: int, allowed: Iterable[int]) -> None:
    """Let the kernel answer EPERM to all system calls but these. A kernel without filters is left as it is."""
    numbers = tuple(allowed)
    program = [
        (_LOAD, 0, 0, 4),
        (_JUMP_IF_EQUAL, 0, len(numbers) + 1, architecture),
        (_LOAD, 0, 0, 0),
        *((_JUMP_IF_EQUAL, len(numbers) - n, 0, number) for n, number in enumerate(numbers)),
        (_RETURN, 0, 0, _RET_EPERM),
        (_RETURN, 0, 0, _RET_ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in program))
    described = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(described), 0, 0)


def prepare() -> None:
    """Load what `enter` needs of the system, while that is possible."""
    platform.machine()
    ctypes.CDLL(None)
    os.getpid()
