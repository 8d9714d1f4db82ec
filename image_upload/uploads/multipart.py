"""Multipart uploads from begin to completion, without a database: the ticket holds their state."""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from weakref import WeakValueDictionary

from image_upload.auth import permissions
from image_upload.auth.principals import Principal
from image_upload.completion.confirmation import AllowedSize, RowPolicy, confirm
from image_upload.completion.context import CompletionContext
from image_upload.completion.rejection import rejection
from image_upload.domain import checks
from image_upload.errors import (
    AlreadyExists,
    PartsInvalid,
    PartsRefused,
    SizeMismatch,
    TicketsNotConfigured,
    UploadNotFound,
)
from image_upload.languages.wording import human_bytes
from image_upload.limits import (
    MULTIPART_URL_EXPIRES_S,
    RESPONSE_PAGE_BYTES,
    S3_LOOK_TIMEOUT_S,
    S3_PARTS_MAX,
)
from image_upload.s3 import multipart as s3
from image_upload.s3 import objects
from image_upload.s3.bucket import PartUrls, Presigner
from image_upload.s3.errors import S3Failure, map_s3_errors
from image_upload.s3.multipart import UploadPart
from image_upload.settings.storage import StorageSettings
from image_upload.telemetry import audit
from image_upload.uploads import tickets
from image_upload.uploads.idempotency import already_stored
from image_upload.uploads.plans import BegunUpload, MultipartPlan, PartPage, SignedRequest
from image_upload.uploads.tickets import Ticket, TicketSigner
from image_upload.uploads.validation import ValidatedUpload

_ETAG = r'"?[A-Za-z0-9-]{1,128}"?'
# The bytes of a part in an answer beside its URL: names, number, length, and Lambda's escapes of its quotes.
_PART_JSON_BYTES = 96
_REFUSED_PARTS = frozenset({"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "ValidationFailed"})


class Progress(NamedTuple):
    """The state of an upload in S3: its parts, or with `is_complete` the finished object."""

    ticket: Ticket
    parts: Sequence[UploadPart]
    is_complete: bool


class Completed(NamedTuple):
    """A stored object, as S3 confirmed it. `is_checking`: it has arrived, and is not verified yet."""

    key: str
    size_bytes: int
    etag: str
    cdn_url: str | None
    is_checking: bool = False


class MultipartUploads:
    """Begin, continue, complete and abort multipart uploads in one bucket. Without `ticket_signer` none begins."""

    def __init__(
        self, settings: StorageSettings, ticket_signer: TicketSigner | None, context: CompletionContext
    ) -> None:
        self._context = context
        self._bucket = context.bucket
        self._expires_s = max(settings.upload_url_expires_s, MULTIPART_URL_EXPIRES_S)
        self._ticket_signer = ticket_signer
        # One request for a key at a time: the second finds the upload that the first one has begun.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def _tickets(self) -> TicketSigner:
        if self._ticket_signer is None:
            raise TicketsNotConfigured(
                "Multipart uploads are not configured. The operator sets JWT_SECRET; until then send files up to "
                "5 GiB with a presigned PUT."
            )
        return self._ticket_signer

    def ticket(self, text: str, principal: Principal) -> Ticket:
        """Return the ticket of a text, if the principal may continue its upload.

        Raises `TicketInvalid`, `TicketExpired`, and `UploadNotFound` for another user's ticket.
        """
        return checked(self._tickets.read(text), principal)

    async def begin(self, upload: ValidatedUpload, part_bytes: int) -> BegunUpload:
        """Begin an upload in S3; with `repeatable` return the one that is open already. Raises `AlreadyExists` then."""
        ticket_signer = self._tickets
        ticket = await self.open(upload, part_bytes)
        return BegunUpload(ticket, ticket_signer.issue(ticket))

    async def open(self, upload: ValidatedUpload, part_bytes: int) -> Ticket:
        """Do the same, and leave the ticket unsigned."""
        ticket = upload.ticket(part_bytes)
        # Storage class and encryption are set for the whole upload; parts do not repeat them.
        headers = upload.headers | self._bucket.storage_headers(upload.upload_key)
        begin = self._new if upload.spec.repeatable is None else self._agreed
        ticket = ticket._replace(upload_id=await begin(ticket, upload.most_bytes, headers))
        audit.record("mint", ticket.key, purpose=ticket.purpose, size_bytes=ticket.size_bytes)
        return ticket

    async def _new(self, ticket: Ticket, most_bytes: int, headers: Mapping[str, str]) -> str:
        await self._context.quotas.reserve(ticket.key, most_bytes, ticket.ends_at)
        try:
            async with map_s3_errors():
                return await s3.create(self._bucket, ticket.upload_key, headers)
        except BaseException:
            await self._context.quotas.settle(ticket.key, None)
            raise

    async def _agreed(self, ticket: Ticket, most_bytes: int, headers: Mapping[str, str]) -> str:
        """Return the id of the one upload to which all requests for this key lead; begin it if there is none.

        A failure keeps the reservation: another of these requests may have been answered.
        """
        async with self._turns.setdefault(ticket.key, asyncio.Lock()), map_s3_errors():
            open_ids = await s3.list_uploads(self._bucket, ticket.upload_key)
            # Before gigabytes are sent again, which would be refused at their end.
            for key in () if open_ids else dict.fromkeys((ticket.upload_key, ticket.key)):
                if await objects.head(self._bucket, key) is not None:
                    raise already_stored(ticket.key)
            await self._context.quotas.reserve(ticket.key, most_bytes, ticket.ends_at)
            return open_ids[0] if open_ids else await s3.create_agreed(self._bucket, ticket.upload_key, headers)

    async def plan(self, upload: ValidatedUpload, part_bytes: int, *, compact: bool) -> MultipartPlan:
        """Begin an upload of known size, and sign all requests that the client needs for it."""
        ticket, text = await self.begin(upload, part_bytes)
        presigner = await self._presigner()
        query = {"uploadId": ticket.upload_id}
        complete = completion_headers(ticket.size_bytes, no_overwrite=ticket.no_overwrite)
        return MultipartPlan(
            ticket=ticket,
            ticket_text=text,
            page=self._page(ticket, presigner, 1, compact=compact),
            complete=SignedRequest(
                "POST", presigner.url("POST", ticket.upload_key, query=query, headers=complete), complete
            ),
            abort=SignedRequest("DELETE", presigner.url("DELETE", ticket.upload_key, query=query), {}),
            list_parts=SignedRequest("GET", presigner.url("GET", ticket.upload_key, query=query), {}),
            cdn_url=self._bucket.cdn_url(ticket.key),
        )

    async def page(self, ticket: Ticket, first: int, *, compact: bool) -> PartPage:
        """Return URLs of the parts from `first` on, as many as fit one answer."""
        _check_number(first, ticket)
        return self._page(ticket, await self._presigner(), first, compact=compact)

    async def sign(self, ticket: Ticket, numbers: Sequence[int]) -> PartPage:
        """Return fresh URLs of these parts, each once."""
        if not numbers:
            raise PartsInvalid("No part is named. Send partNumbers such as [1, 2, 3].")
        if len(set(numbers)) != len(numbers):
            raise PartsInvalid("A part number is named twice. Send each one once.")
        for number in numbers:
            _check_number(number, ticket)
        presigner = await self._presigner()
        fits = self._fits(ticket, presigner)
        if len(numbers) > fits:
            raise PartsInvalid(f"At most {fits} parts fit one answer. Name fewer of them.", max_parts=fits)
        chosen = tuple(numbers)
        return PartPage(chosen, self._urls(ticket, presigner, chosen), presigner.validity)

    async def progress(self, ticket: Ticket) -> Progress:
        """Return the state of the upload in S3.

        Raises `UploadNotFound` if neither upload nor object exists, and `SizeMismatch`.
        """
        async with map_s3_errors():
            parts = await self._parts(ticket)
            if parts is not None:
                return Progress(ticket, parts, is_complete=False)
            stored = await objects.head(self._bucket, ticket.upload_key)
            if stored is None and ticket.verified:
                # Published: verification compared its length, and may have changed it.
                if await objects.head(self._bucket, ticket.key) is None:
                    raise _gone()
                return Progress(ticket, (), is_complete=True)
        if stored is None:
            raise _gone()
        _check_length(ticket, stored.size_bytes)
        return Progress(ticket, (), is_complete=True)

    async def _parts(self, ticket: Ticket) -> Sequence[UploadPart] | None:
        """Return the parts that S3 has; None if S3 has no such upload, because it was completed or aborted."""
        try:
            return await s3.list_parts(self._bucket, ticket.upload_key, ticket.upload_id)
        except S3Failure as failure:
            if not failure.is_missing:
                raise
            return None

    async def complete(self, ticket: Ticket, parts: Sequence[tuple[int, str]] | None) -> Completed:
        """Complete the upload with these parts (number, etag), or with all that S3 has.

        Safe to repeat: if S3 has no such upload any more, either the object exists with the right length or the
        upload is lost.
        """
        async with map_s3_errors():
            size_bytes = ticket.size_bytes
            if parts is None or size_bytes is None:
                sent = await self._parts(ticket)
                if sent is None:
                    return await self.confirmed(ticket)
                parts = [(part.number, part.etag) for part in sent] if parts is None else parts
                if size_bytes is None:
                    size_bytes = await self._check_sum(ticket, sent, {number for number, _ in parts})
            listed = _check_parts(parts, ticket)
            headers = completion_headers(size_bytes, no_overwrite=ticket.no_overwrite)
            try:
                await s3.complete(self._bucket, ticket.upload_key, ticket.upload_id, listed, headers)
            except S3Failure as failure:
                return await self._confirmed_after(failure, ticket)
        return await self.confirmed(ticket)

    async def _check_sum(self, ticket: Ticket, sent: Sequence[UploadPart], numbers: set[int]) -> int:
        """Return the size of the object that these parts make. Abort the upload and raise `FileTooLarge` if too large.

        Their lengths were not signed. S3 then completes to this size only, in case a part is replaced meanwhile.
        """
        size_bytes = sum(part.size_bytes or 0 for part in sent if part.number in numbers)
        if size_bytes > ticket.max_bytes:
            await self.abort(ticket)
            raise checks.too_large(size_bytes, ticket.max_bytes)
        return size_bytes

    async def abort(self, ticket: Ticket) -> None:
        """Abort the upload and delete its parts. A finished object stays and counts. Raises `UploadNotFound`."""
        audit.record("abort", ticket.key, purpose=ticket.purpose, size_bytes=ticket.size_bytes)
        async with map_s3_errors():
            try:
                await s3.abort(self._bucket, ticket.upload_key, ticket.upload_id)
            except S3Failure as failure:
                if failure.is_missing:
                    raise _gone() from None
                raise
        if self._context.quotas.enabled:
            # Some stores answer 204 even if the upload was completed by its presigned URL.
            await confirm(self._context, ticket.key, row="none", is_over=True)

    async def _presigner(self) -> Presigner:
        return await self._bucket.presigner(self._expires_s)

    def _urls(self, ticket: Ticket, presigner: Presigner, numbers: Iterable[int]) -> PartUrls:
        return presigner.part_urls(
            ticket.upload_key, ticket.upload_id, [(number, ticket.part_length(number)) for number in numbers]
        )

    def _fits(self, ticket: Ticket, presigner: Presigner) -> int:
        """Return how many complete part URLs fit one answer."""
        sample = self._urls(ticket, presigner, [S3_PARTS_MAX])
        length = len(sample.head) + len(str(S3_PARTS_MAX)) + len(sample.tail) + 64
        return RESPONSE_PAGE_BYTES // (length + _PART_JSON_BYTES)

    def _page(self, ticket: Ticket, presigner: Presigner, first: int, *, compact: bool) -> PartPage:
        count = ticket.part_count or S3_PARTS_MAX
        # A signature has 64 characters, so all parts of the largest upload fit one compact answer.
        last = count if compact else min(count, first - 1 + self._fits(ticket, presigner))
        numbers = range(first, last + 1)
        following = last + 1 if last < count else None
        return PartPage(numbers, self._urls(ticket, presigner, numbers), presigner.validity, following)

    async def _confirmed_after(self, failure: S3Failure, ticket: Ticket) -> Completed:
        """Return the object if it exists although its completion seemed to fail; else raise what S3 refused."""
        if failure.code in _REFUSED_PARTS:
            raise PartsRefused(
                f"S3 refused the parts ({failure.code}). GET /uploads/{{ticket}} lists those it has; send the "
                "missing ones again, then complete.",
                upstream_code=failure.code,
            )
        # After any other answer, or none, the object in S3 decides.
        try:
            async with asyncio.timeout(S3_LOOK_TIMEOUT_S):
                if await self._parts(ticket) is None:
                    return await self.confirmed(ticket)
        except TimeoutError:
            raise failure from None
        if failure.status in (409, 412):
            raise AlreadyExists("There is an object under this key, and it is not overwritten. Start a new upload.")
        raise failure

    async def confirmed(self, ticket: Ticket) -> Completed:
        """Return the object after `confirm`, which removes an object of a wrong length. Raises `UploadNotFound`."""
        row: RowPolicy = "if_reachable" if ticket.recorded else "none"
        allowed = AllowedSize(ticket.size_bytes, ticket.max_bytes)
        confirmation = await confirm(self._context, ticket.key, row=row, allowed=allowed)
        stored, fault = confirmation.stored, confirmation.fault
        if stored is None:
            raise _gone()
        if fault == "size" or not ticket.verified:
            _check_length(ticket, stored.size_bytes)
        if fault is not None:
            raise rejection(fault, confirmation.why)
        audit.record("complete", ticket.key, purpose=ticket.purpose, size_bytes=stored.size_bytes)
        cdn_url = self._bucket.cdn_url(ticket.key)
        return Completed(ticket.key, stored.size_bytes, stored.etag, cdn_url, confirmation.is_checking)


def checked(ticket: Ticket, principal: Principal) -> Ticket:
    """Return the ticket, if the principal may continue its upload now. Raises `UploadNotFound`, `TicketExpired`."""
    if not permissions.may_go_on(principal, ticket.user_id):
        raise _gone(concealed_key=ticket.key)
    return tickets.check_time(ticket)


def completion_headers(size_bytes: int | None, *, no_overwrite: bool) -> dict[str, str]:
    """Return the headers to sign into CompleteMultipartUpload, so that S3 checks length and overwriting.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
    """
    headers = {}
    if size_bytes is not None:
        headers["x-amz-mp-object-size"] = str(size_bytes)
    if no_overwrite:
        headers["If-None-Match"] = "*"
    return headers


def _told_apart(stored_bytes: int, expected_bytes: int) -> dict[str, str]:
    """Return two sizes for a detail, in bytes if they would look the same otherwise."""
    stored, expected = human_bytes(stored_bytes), human_bytes(expected_bytes)
    if stored == expected:
        stored, expected = f"{stored_bytes} bytes", f"{expected_bytes} bytes"
    return {"stored": stored, "expected": expected}


def _check_length(ticket: Ticket, stored_bytes: int) -> None:
    """Raise `SizeMismatch` or `FileTooLarge` for an object of a wrong length."""
    if ticket.size_bytes not in (None, stored_bytes):
        raise SizeMismatch(
            "{stored} arrived where {expected} were announced; they are not kept. Start a new upload with the "
            "right size.",
            facts=_told_apart(stored_bytes, ticket.size_bytes or 0),
            expected_bytes=ticket.size_bytes,
            stored_bytes=stored_bytes,
        )
    if stored_bytes > ticket.max_bytes:
        raise checks.too_large(stored_bytes, ticket.max_bytes)


def _check_number(number: int, ticket: Ticket) -> None:
    last = ticket.part_count or S3_PARTS_MAX
    if not 1 <= number <= last:
        raise PartsInvalid(f"There is no part {number}. This upload's parts are numbered from 1 to {last}.", last=last)


def _check_parts(parts: Sequence[tuple[int, str]], ticket: Ticket) -> list[UploadPart]:
    """Return the parts by ascending number, with quoted ETags. Raises `PartsInvalid` if one is missing or wrong."""
    ordered = sorted(parts)
    numbers = [number for number, _ in ordered]
    for number, etag in ordered:
        _check_number(number, ticket)
        if not re.fullmatch(_ETAG, etag):
            raise PartsInvalid(
                f"What was sent as the ETag of part {number} is not one. Send the ETag header of S3's answer to "
                "that part."
            )
    if len(set(numbers)) != len(numbers):
        raise PartsInvalid("A part number is named twice. Name each part once.")
    wanted = range(1, (ticket.part_count or len(numbers) or 1) + 1)
    missing = sorted(set(wanted) - set(numbers))
    if missing:
        raise PartsInvalid(
            f"{len(missing)} of {len(wanted)} parts are missing, the first is {missing[0]}. Send them, then complete.",
            missing=missing[:100],
        )
    return [UploadPart(number, f'"{etag.strip(chr(34))}"') for number, etag in ordered]


def _gone(concealed_key: str | None = None) -> UploadNotFound:
    return UploadNotFound(
        "There is no such upload of yours: it was aborted, completed, or cleaned up after a day. Start a new one with "
        "POST /uploads.",
        concealed_key=concealed_key,
    )
