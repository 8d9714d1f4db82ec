"""What a process holds open, and waiting for it to let go."""

import time
from collections.abc import Callable
from pathlib import Path

_POLL_S = 0.01


def held(pid: int | str = "self") -> frozenset[str]:
    """Sockets and nameless files that a process has open, each by its inode."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            link = str(entry.readlink())
        except OSError:  # closed meanwhile, such as that of this listing
            continue
        if link.startswith("socket:") or link.endswith("(deleted)"):
            found.add(link)
    return frozenset(found)


def peak_rss_bytes(pid: int) -> int:
    """The most memory that a process ever had."""
    return _status_bytes(pid, "VmHWM:")


def rss_bytes(pid: int) -> int:
    """The memory that a process has now."""
    return _status_bytes(pid, "VmRSS:")


def _status_bytes(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel does not say")


def eventually(holds: Callable[[], bool], what: str, within_s: float = 5.0) -> None:
    """Wait until something holds; fail if it does not in time."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(_POLL_S)  # before it is looked at again
