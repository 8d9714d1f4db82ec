"""How a plan's bytes are sent: a function for each strategy. What is in `SENDERS` is what the service may choose."""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import islice
from typing import Any, Final

from image_upload.cli.put import Failed
from image_upload.cli.put.connection import Body, Count, Signed, member, strange
from image_upload.cli.put.upload import Upload
from image_upload.limits import LAMBDA_APPEND_MAX_BYTES, PUT_SIGN_PARTS

Sender = Callable[[Upload, dict[str, Any]], Awaitable[None]]


async def send_put(upload: Upload, plan: dict[str, Any]) -> None:
    """Send the file as one PUT."""
    size_bytes = upload.source.size_bytes

    def signed(plan: dict[str, Any]) -> Signed:
        return Signed("PUT", member(plan, "presignedUrl", str), member(plan, "headers", dict), size_bytes)

    async def renew() -> Signed:
        return signed(await upload.begin(["put"]))

    await upload.send(signed(plan), renew, _range(upload, 0, size_bytes))


async def send_form(upload: Upload, plan: dict[str, Any]) -> None:
    """Send the file as the last field of a form: to the store (`post`), or to the service, to pass it on (`proxy`).

    https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html
    """
    strategy, boundary = member(plan, "strategy", str), secrets.token_hex(16)
    file_head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n'
    file_head += f"Content-Type: {upload.content_type}\r\n\r\n"
    head, tail = b"", f"\r\n--{boundary}--\r\n".encode()

    def signed(plan: dict[str, Any]) -> Signed:
        nonlocal head
        fields = member(plan, "fields", dict).items()
        parts = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields
        )
        head = "".join([*parts, file_head]).encode()
        url = (
            upload.service_url + member(plan, "formUrl", str)
            if strategy == "proxy"
            else member(plan, "presignedUrl", str)
        )
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return Signed("POST", url, headers, len(head) + upload.source.size_bytes + len(tail))

    async def renew() -> Signed:
        return signed(await upload.begin([strategy]))

    async def body(sent: Count) -> AsyncIterator[bytes]:
        yield head
        async for chunk in upload.source.chunks(0, upload.source.size_bytes, sent):
            yield chunk
        yield tail

    await upload.send(signed(plan), renew, body)


async def send_parts(upload: Upload, plan: dict[str, Any]) -> None:
    """Send the parts that the store lacks, several at once, and have them joined.

    `plan` is a new one, with the URLs of its parts, or `GET /uploads/{ticket}` of an upload that goes on, with the
    numbers of those that are `missing`.
    """
    parts = _Parts(upload, plan)
    upload.progress(parts.there_bytes)
    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(upload.parallel):
                workers.create_task(parts.send_waiting())
    except BaseExceptionGroup as group:
        # The first failure ended the group, so it is the one for the caller.
        raise group.exceptions[0] from None
    upload.source.check()
    await upload.ask("POST", f"{upload.path}/complete", parts.named())


async def send_appends(upload: Upload, plan: dict[str, Any]) -> None:
    """Append the bytes that the service lacks, each request at most 4 MiB, and have the last one make the file.

    `plan` is a new one, or `GET /resumable/{ticket}` of an upload that goes on. What arrives before a break counts, so
    the service is asked where it ends. The IETF's protocol, because its errors are problem documents:
    https://datatracker.ietf.org/doc/draft-ietf-httpbis-resumable-upload/ sections 4.3 and 4.4
    """
    size_bytes, path = upload.source.size_bytes, str(upload.path)
    offset = _offset(plan, size_bytes) if "offset" in plan else 0
    upload.progress(offset)
    while offset < size_bytes:
        length = min(LAMBDA_APPEND_MAX_BYTES, size_bytes - offset)

        async def sign(offset: int = offset, length: int = length) -> Signed:
            headers = {
                "Content-Type": "application/partial-upload",
                "Upload-Offset": str(offset),
                "Upload-Complete": "?1" if offset + length == size_bytes else "?0",
            }
            return Signed("PATCH", upload.service_url + path, {**headers, **upload.authorization}, length)

        try:
            await upload.send(None, sign, _range(upload, offset, length))
            reached = offset + length
        except Failed as failed:
            if failed.code != "offset-mismatch":
                raise
            reached = _offset((await upload.ask("GET", path)).body, size_bytes)
            if reached <= offset:  # nothing that was acknowledged is lost, so this would not end
                raise
            upload.progress(reached - offset)
        offset = reached


def _offset(found: dict[str, Any], size_bytes: int) -> int:
    offset = member(found, "offset", int)
    if not 0 <= offset <= size_bytes:
        raise strange("An answer has an offset outside the file")
    return offset


class _Parts:
    """The parts of an upload that are still to be sent."""

    def __init__(self, upload: Upload, plan: dict[str, Any]) -> None:
        self._upload = upload
        self._part_bytes, count = member(plan, "partSize", int), member(plan, "partCount", int)
        size_bytes = upload.source.size_bytes
        goes_on = "missing" in plan
        numbers = range(1, count + 1)
        waiting = member(plan, "missing", list) if goes_on else numbers
        fits = (
            plan.get("size") == size_bytes and (count - 1) * self._part_bytes < size_bytes <= count * self._part_bytes
        )
        if not fits or (goes_on and not all(each in numbers for each in waiting)):
            raise strange("An answer has parts that do not make up the file")
        self._urls = {} if goes_on else _urls_of(plan)
        self._waiting = deque(waiting)
        self.there_bytes = size_bytes - sum(map(self._length, self._waiting))
        self._signing = asyncio.Lock()
        # A store may list a part twice that two connections have sent, so the parts to join are named.
        there = member(plan, "parts", list) if goes_on else []
        self._etags: dict[int, str | None] = {member(part, "partNumber", int): part.get("etag") for part in there}

    async def send_waiting(self) -> None:
        """Send parts until none waits."""
        while self._waiting:
            number = self._waiting.popleft()
            length = self._length(number)

            async def sign(number: int = number, length: int = length) -> Signed:
                return Signed("PUT", await self._url(number), {}, length)

            body = _range(self._upload, (number - 1) * self._part_bytes, length)
            self._etags[number] = await self._upload.send(None, sign, body)

    def named(self) -> Any:
        """Return the parts as `complete` takes them; None, for all that the store has, if one has no ETag."""
        if not self._etags or not all(self._etags.values()):
            return None
        return {"parts": [{"partNumber": number, "etag": etag} for number, etag in sorted(self._etags.items())]}

    async def _url(self, number: int) -> str:
        """Return the URL of a part, once; then another one, and those of the parts that follow."""
        async with self._signing:
            if number not in self._urls:
                numbers = [number, *islice(self._waiting, PUT_SIGN_PARTS - 1)]
                answer = await self._upload.ask("POST", f"{self._upload.path}/parts", {"partNumbers": numbers})
                self._urls |= _urls_of(answer.body)
            return self._urls.pop(number)

    def _length(self, number: int) -> int:
        return min(self._part_bytes, self._upload.source.size_bytes - (number - 1) * self._part_bytes)


def _urls_of(page: dict[str, Any]) -> dict[int, str]:
    return {member(part, "partNumber", int): member(part, "url", str) for part in member(page, "parts", list)}


def _range(upload: Upload, start: int, size_bytes: int) -> Body:
    return lambda sent: upload.source.chunks(start, size_bytes, sent)


SENDERS: Final[dict[str, Sender]] = {
    "put": send_put,
    "post": send_form,
    "multipart": send_parts,
    "resumable": send_appends,
    "proxy": send_form,
}
