"""Send a file to S3 while it arrives. It is not stored here, unless the caller wants retries."""

import time
from collections.abc import AsyncIterator

from image_upload.errors import MalformedForm, TooManyUploads, UploadTargetRefused, UpstreamRefused, UpstreamUnavailable
from image_upload.form_proxy.form import Incoming
from image_upload.form_proxy.outcome import has_arrived, unknown
from image_upload.form_proxy.sender import Sent, forwarded, judge, patience, put_headers
from image_upload.form_proxy.spool import Form, Spool
from image_upload.form_proxy.target import Target
from image_upload.outbound.client import AddressRefused
from image_upload.outbound.deadline import Deadline
from image_upload.outbound.retry import RetryableError
from image_upload.outbound.streaming_put import LengthError, StreamingPutError
from image_upload.s3.bucket import Bucket
from image_upload.s3.errors import error_code

_NOT_KEPT = (
    "S3 failed while the file was passing through, and the service keeps no copy of it. Send it again, or let the "
    "service repeat it: POST /upload-with-presigned-retry with max_retries from 1 on."
)


class Broken(Exception):
    """The first attempt failed, but the file is (or will be) in the spool and can be sent again."""

    def __init__(self, cause: RetryableError | None) -> None:
        super().__init__(str(cause))
        self.cause = cause


class StreamingUpload:
    """One file that is streamed. With a `spool` every byte is written there too, so that it can be sent again.

    If the spool is full, streaming continues without a copy.
    """

    def __init__(
        self,
        bucket: Bucket,
        incoming: Incoming,
        target: Target,
        length: int,
        *,
        spool: Spool | None,
        deadline: Deadline,
    ) -> None:
        self._bucket = bucket
        self._incoming = incoming
        self._target = target
        self._length = length
        self._spool = spool
        self._deadline = deadline
        self._broken_off = False

    async def send(self) -> Sent:
        """PUT the file as the client sends it; return only after S3's 2xx and a valid end of the form.

        Raises `Broken` if there is a spool and a retry may succeed; else the problem.
        """
        began = time.monotonic()
        headers = put_headers(self._target, self._incoming.content_type)
        try:
            with forwarded():
                reply = await self._bucket.streaming_put.put(
                    self._target.url,
                    headers,
                    self._length,
                    self._chunks(),
                    idle_s=lambda: patience(self._deadline, another=self._spool is not None),
                )
                status = judge(reply.status, reply.headers, error_code(reply.body), 1)
                if reply.sent_bytes != self._length:
                    raise RetryableError(f"{reply.status} before the whole file was sent", status=reply.status)
        except AddressRefused:
            raise UploadTargetRefused(
                "The URL's host leads to an address that is not public. Pass the presignedUrl of POST /uploads "
                "unchanged."
            ) from None
        except LengthError:
            if self._spool is not None:
                raise Broken(None) from None
            raise MalformedForm(
                "Something follows the file in the form; nothing was stored. Put the file last, or in front of "
                "uploadUrl."
            ) from None
        except StreamingPutError as error:
            ambiguous = error.sent_bytes == self._length
            if ambiguous and await has_arrived(self._bucket, self._target, self._length, began):
                status = 200
            else:
                raise self._broken(RetryableError(str(error), ambiguous=ambiguous)) from None
        except RetryableError as transient:
            raise self._broken(transient) from None
        return Sent(status, 1)

    def _broken(self, transient: RetryableError) -> Exception:
        if self._spool is not None:
            return Broken(transient)
        return unknown(1) if transient.ambiguous else _not_repeated(transient)

    async def _keep(self, chunk: memoryview) -> None:
        assert self._spool is not None  # asked before
        try:
            await self._spool.write(chunk)
        except TooManyUploads:
            if self._broken_off:  # without the copy the file is lost
                raise
            self._spool.close()
            self._spool = None

    async def rest(self) -> Form:
        """Receive the rest of the form; return the whole form with its spooled file."""
        assert self._spool is not None  # `Broken` is raised with a spool only
        self._broken_off = True
        async for _ in self._chunks():
            pass
        incoming = self._incoming
        return Form(incoming.fields, self._spool, incoming.filename, incoming.content_type, incoming.size_bytes)

    async def _chunks(self) -> AsyncIterator[memoryview]:
        """Yield the file's bytes, the last of them only after a valid end of the form.

        S3 stores a complete body, so a file whose form is cut off or malformed must stay incomplete.
        """
        held: memoryview | None = None
        passed = 0
        async for chunk in self._incoming.chunks():
            if self._spool is not None:
                await self._keep(chunk)
            if held is not None:
                passed += len(held)
                if passed >= self._length and not self._broken_off:
                    self._broken_off = True
                    raise LengthError(f"more than {self._length} bytes")
                yield held
            held = chunk
        await self._incoming.finish()
        if held is not None:
            yield held


def _not_repeated(transient: RetryableError) -> UpstreamUnavailable | UpstreamRefused:
    """Return the problem for a failed upload of a file without a copy."""
    if transient.status is not None and 400 <= transient.status < 500:
        return UpstreamRefused(_NOT_KEPT, upstream_status=transient.status, upstream_code=transient.code, attempts=1)
    return UpstreamUnavailable(_NOT_KEPT, upstream_status=transient.status, upstream_code=transient.code, attempts=1)
