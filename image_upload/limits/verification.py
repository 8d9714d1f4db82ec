"""The inspection of files that arrived: how much of them is read, and what a child process may use."""

from typing import Final

from image_upload.limits.storage import KIB, MIB

# --- Verification ---------------------------------------------------------------------------------

VERIFY_HEAD_BYTES: Final = 64 * KIB - 1
"""What is read of every file first. Less: a second request for most pictures of phones, whose Exif has up to 64 KiB.

our own choice; the type is in the first 8 KiB
"""
VERIFY_READS_MAX: Final = 6
"""Further reads of one file, each four times as long as the one before: they cover 16 MiB. Above: `undecodable`."""
VERIFY_WHOLE_MAX_BYTES: Final = 16 * MIB
"""Above, a picture is not read whole: it is published as it is, without variants and with its location, and its facts
say so. More: one picture takes the memory of several.

our own choice; purposes for images take 10 MiB
"""
VERIFY_DECODERS: Final = 2
"""Pictures that one process has decoded at once; the others wait. More: as many pictures in memory.

our own choice; one for each processor of a usual function
"""
VERIFY_CPU_S: Final = 10
"""Processor time of one child. Above: the kernel ends it, and the verdict is `undecodable`.

our own choice; 50 million pixels of the slowest format take less than half
"""
VERIFY_TIMEOUT_S: Final = 20.0
"""The same in time that passes, with waiting for the processor."""
VERIFY_START_TIMEOUT_S: Final = 20.0
"""The longest wait for the process that children are forked from, on a busy machine. Above, twice in turn: 503
`verification-unavailable`."""
VERIFY_CHILD_BASE_BYTES: Final = 384 * MIB
"""Address space of a child beside the picture: the interpreter and its libraries. Above: `undecodable`."""
VERIFY_CHILD_PIXEL_BYTES: Final = 16
"""Address space of a child for each pixel that the header says. Less: large pictures fail. More: a bomb takes more."""
VERIFY_CHILD_FILES: Final = 200
"""After so many files the process from which children are forked is replaced: all of one have the same layout in
memory, which an attacker could learn by failing."""
VERIFY_MADE_MAX_BYTES: Final = 64 * MIB
"""Above, all pictures that a child returns for one file together are not read, and the verdict is `undecodable`."""

# --- Scans for malware ----------------------------------------------------------------------------

SCAN_WAIT_S: Final = 20.0
"""A client waits so long for the scan of its file. Above: it is told that the file is `checking`, and the file is
scanned again when it is asked for, or by an event or the sweep.

our own choice; less than the 30 s after which some proxies give up
"""
SCAN_MAX_S: Final = 150.0
"""An event and the sweep wait so long. Less: files that clamd takes long for are never published.

our own choice; above clamd's own `MaxScanTime` of 120 s, after which it has a verdict
"""
CLAMD_CONNECT_TIMEOUT_S: Final = 3.0
"""Longest wait for a connection to clamd. Above: the file waits."""
CLAMD_SCANS_AT_ONCE: Final = 4
"""One process has clamd scan so many files at once; more wait for their turn, within the time above.

our own choice; clamd has 10 threads by default
"""
CLAMD_ANSWER_MAX_BYTES: Final = 4 * KIB
"""Longest answer of clamd. Above: the file waits.

our own choice; an answer is a line with the name of a signature
"""
