"""Look at a file before it is sent, as the service looks at what a client sent: docs/verification.md."""

import asyncio
import os

from image_upload.cli.import_files.tree import OpenFile
from image_upload.completion.rejection import rejection
from image_upload.domain.purposes import Purpose
from image_upload.settings.verification import VerificationSettings
from image_upload.verification.inspection import Wanted, inspect


class _Source:
    """The bytes of an open file."""

    def __init__(self, file: OpenFile) -> None:
        self._fd = file.raw.fileno()
        self.size = file.stat.size_bytes

    async def read(self, first: int, length: int) -> bytes:
        """Return up to `length` bytes from `first` on."""
        return await asyncio.to_thread(os.pread, self._fd, length, first)


async def true_type(file: OpenFile, declared: str, purpose: Purpose, settings: VerificationSettings) -> str:
    """Return the media type that a file is of. Raises `UploadRejected`, `ChangedError`, `OSError`."""
    limits = (settings.image_max_pixels, settings.image_max_frames)
    inspection = await inspect(_Source(file), Wanted(frozenset(purpose.types), declared, *limits))
    file.check()
    if inspection.fault is not None:
        raise rejection(inspection.fault, inspection.why)
    return declared if inspection.facts is None else inspection.facts.media_type
