"""Take from this process what decoding a picture does not need: memory, time, files, and most of the kernel.

Everything must be imported before. https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

import contextlib
import ctypes
import errno
import platform
import resource
import struct
import sys
from typing import Final, NamedTuple

_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
_RET_ALLOW: Final = 0x7FFF0000
_RET_ERROR: Final = 0x00050000
_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_IF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_IF_ANY: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_CLONE3: Final = 435  # on both
_CLONE_THREAD: Final = 0x10000


class _System(NamedTuple):
    """The numbers of a machine: its AUDIT_ARCH, clone, and the calls that a child may make."""

    architecture: int
    clone: int
    allowed: tuple[int, ...]


# The calls: read write close fstat lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn mremap
# madvise getpid sendto recvfrom exit futex; clock_gettime exit_group getrandom sched_yield gettid sched_getaffinity
# clock_nanosleep set_robust_list rseq.
_SYSTEMS: Final = {
    "x86_64": _System(
        0xC000003E,
        56,
        (
            *(0, 1, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 25, 28, 39, 44, 45, 60, 202),
            *(228, 231, 318, 24, 186, 204, 230, 273, 334),
        ),
    ),
    "aarch64": _System(
        0xC00000B7,
        220,
        (
            *(63, 64, 57, 80, 62, 222, 226, 215, 214, 134, 135, 139, 216, 233, 172, 206, 207, 93, 98),
            *(113, 94, 278, 124, 178, 123, 115, 99, 293),
        ),
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
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (most, most))
    system = _SYSTEMS.get(platform.machine()) if sys.platform == "linux" else None
    if system is None or not _filter(system):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def _filter(system: _System) -> bool:
    """Let the kernel refuse all system calls but those listed; return whether it does.

    A thread may be begun, which the decoder of HEIC does, and no process. The C library begins one by clone3, whose
    flags a filter cannot see; told that there is none, it uses clone.
    """
    allowed = len(system.allowed)
    deny, none, thread, allow = (5 + allowed + n for n in (0, 1, 2, 5))
    program = [
        (_LOAD, 0, 0, 4),
        (_JUMP_IF_EQUAL, 0, deny - 2, system.architecture),
        (_LOAD, 0, 0, 0),
        (_JUMP_IF_EQUAL, thread - 4, 0, system.clone),
        (_JUMP_IF_EQUAL, none - 5, 0, _CLONE3),
        *((_JUMP_IF_EQUAL, allow - at - 1, 0, number) for at, number in enumerate(system.allowed, 5)),
        (_RETURN, 0, 0, _RET_ERROR | errno.EPERM),
        (_RETURN, 0, 0, _RET_ERROR | errno.ENOSYS),
        (_LOAD, 0, 0, 16),  # the flags of clone
        (_JUMP_IF_ANY, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, _RET_ERROR | errno.EPERM),
        (_RETURN, 0, 0, _RET_ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in program))
    described = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(described), 0, 0) == 0)


def prepare() -> None:
    """Load what `enter` needs of the system, while that is possible."""
    platform.machine()
    ctypes.CDLL(None)
