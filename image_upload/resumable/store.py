"""The calls of the engine, made to S3."""

from collections.abc import Mapping, Sequence
from typing import Final

from image_upload.domain import keys
from image_upload.resumable.engine import Part
from image_upload.s3 import multipart, objects, time_limits, transfer
from image_upload.s3.bucket import Bucket
from image_upload.s3.checksums import digest_of
from image_upload.s3.errors import S3Failure
from image_upload.s3.multipart import UploadPart
from image_upload.uploads.multipart import completion_headers
from image_upload.uploads.tickets import Ticket

# S3's answers to a conditional PUT whose object exists, or is being written by another request.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
_LOST: Final = frozenset({409, 412})
# The answers to completing what was completed or aborted already. Some stores answer 500: AWS, 404.
_OVERTAKEN: Final = frozenset({404, 409, 412, 500})
_ONCE: Final = {"If-None-Match": "*"}


def folder_of(key: str) -> str:
    """Return the folder of an upload. No key is the begin of another one, so it holds nothing else."""
    return f"{keys.RESUMABLE}{key}/"


class S3Store:
    """The objects of one upload in a bucket. Its methods raise `S3Failure`."""

    def __init__(self, bucket: Bucket, ticket: Ticket) -> None:
        self._bucket = bucket
        self._ticket = ticket
        self._folder = folder_of(ticket.key)

    async def listed(self, after: str, most: int) -> Sequence[tuple[str, int]]:
        """See `Store`. One request."""
        behind = self._folder + after if after else ""
        page = await objects.page(self._bucket, self._folder, after=behind, max_keys=most)
        return [(each.key.removeprefix(self._folder), each.size_bytes) for each in page.objects]

    async def put_new(self, name: str, data: bytes | memoryview) -> bool:
        """See `Store`."""
        return await self._put(self._folder + name, data, {"Content-Type": "application/octet-stream"})

    async def _put(self, key: str, data: bytes | memoryview, headers: Mapping[str, str]) -> bool:
        every = {**headers, **self._bucket.storage_headers(key), **_ONCE}
        try:
            await transfer.put(self._bucket, key, data, await digest_of(data), every)
        except S3Failure as failure:
            if failure.status in _LOST:
                return False
            raise
        return True

    async def get(self, name: str) -> bytes | None:
        """See `Store`."""
        return await objects.get(self._bucket, self._folder + name)

    async def delete(self, names: Sequence[str]) -> None:
        """See `Store`. One request; what it leaves expires by the bucket's rules."""
        try:
            await objects.delete_each(self._bucket, [self._folder + name for name in names])
        except S3Failure:
            return

    async def upload_part(self, number: int, data: bytes | memoryview) -> Part | None:
        """See `Store`."""
        ticket = self._ticket
        try:
            etag = await multipart.put_part(self._bucket, ticket.upload_key, ticket.upload_id, number, data)
        except S3Failure:
            return None
        return Part(number, etag, len(data))

    async def list_parts(self) -> Mapping[int, Part] | None:
        """See `Store`. One request for each thousand parts."""
        ticket = self._ticket
        try:
            listed = await multipart.list_parts(self._bucket, ticket.upload_key, ticket.upload_id)
        except S3Failure as failure:
            if failure.is_missing:
                return None
            raise
        return {part.number: Part(part.number, part.etag, part.size_bytes or 0) for part in listed}

    async def complete(self, parts: Sequence[Part], length: int) -> bool:
        """See `Store`."""
        ticket = self._ticket
        try:
            await multipart.complete(
                self._bucket,
                ticket.upload_key,
                ticket.upload_id,
                [UploadPart(part.number, part.etag) for part in parts],
                completion_headers(length, no_overwrite=ticket.no_overwrite),
                limit=time_limits.COMPLETE_OWN,
            )
        except S3Failure as failure:
            if failure.status in _OVERTAKEN or failure.code == "InvalidPart":
                return False
            raise
        return True

    async def put_object(self, data: bytes | memoryview) -> None:
        """See `Store`."""
        await self._put(self._ticket.upload_key, data, {"Content-Type": self._ticket.content_type})

    async def exists(self) -> bool:
        """See `Store`. What arrived to be verified may have been published, or kept out, in the meantime."""
        ticket = self._ticket
        taken_on = (ticket.key, keys.REJECTED + ticket.key, keys.QUARANTINE + ticket.key) if ticket.verified else ()
        for key in (ticket.upload_key, *taken_on):
            if await objects.head(self._bucket, key) is not None:
                return True
        return False

    async def abort(self) -> None:
        """See `Store`."""
        if self._ticket.upload_id:
            await multipart.abort_each(self._bucket, self._ticket.upload_key, [self._ticket.upload_id])
