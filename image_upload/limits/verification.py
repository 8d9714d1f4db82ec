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
