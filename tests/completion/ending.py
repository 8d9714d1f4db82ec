"""A process that ends at a call to S3, for tests of what the next one finds."""

from itertools import count
from typing import Any

from image_upload.s3.bucket import Bucket


class Killed(BaseException):
    """The process ends here."""


def end_at(bucket: Bucket, call: int, *, before: bool = False) -> None:
    """Let the process end at its nth call from now on: before S3 has it, or before its answer arrives."""
    made_so_far, real = count(1), bucket.call

    async def made(*arguments: Any, **options: Any) -> Any:
        is_last = next(made_so_far) == call
        if is_last and before:
            raise Killed
        try:
            return await real(*arguments, **options)
        finally:
            if is_last:
                raise Killed

    bucket.call = made
