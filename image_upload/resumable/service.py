"""Resumable uploads as tus and the IETF protocol see them: create, ask, append, cancel, concatenate.

Purpose, owner, type, size, quota and the operator's own check are those of `UploadService`. The bytes go through this
process, and what counts of them is in S3: `engine`. After the last byte `completion.confirm` is called.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

from image_upload.auth import permissions
from image_upload.auth.principals import Principal
from image_upload.completion.context import CompletionContext
from image_upload.domain import keys
from image_upload.domain.purposes import ANY_TYPE, Purpose
from image_upload.errors import ConcatenationInvalid, UploadBusy
from image_upload.limits import (
    LAMBDA_APPEND_MAX_BYTES,
    NOTE_MAX_BYTES,
    PARTIALS_MAX,
    RESUMABLE_KNOWN_MAX,
    RESUMABLE_MAX_BYTES,
    RESUMABLE_PART_BYTES,
    TICKET_EXPIRES_S,
)
from image_upload.outbound.budget import ByteBudget
from image_upload.resumable import concatenation
from image_upload.resumable.bodies import Body, Checksum, too_large
from image_upload.resumable.engine import Engine, State, gone
from image_upload.resumable.store import S3Store
from image_upload.s3 import objects, transfer
from image_upload.s3.bucket import Validity
from image_upload.s3.checksums import digest_of
from image_upload.s3.errors import map_s3_errors
from image_upload.settings.resumable import ResumableSettings
from image_upload.telemetry import audit
from image_upload.uploads.idempotency import Repeatable, already_stored
from image_upload.uploads.multipart import Completed, checked
from image_upload.uploads.plans import ResumablePlan, UploadSpec
from image_upload.uploads.service import UploadService
from image_upload.uploads.tickets import ResumableTicket, Ticket
from image_upload.uploads.validation import ValidatedUpload, validate

# What a partial upload is, whose type and purpose are not known: those of the final one are checked.
_PARTIAL: Final = Purpose(
    "partial", f"{keys.RESUMABLE}{{id}}", None, ANY_TYPE, RESUMABLE_MAX_BYTES, cdn=False, cools=False
)


class Progress(NamedTuple):
    """A resumable upload as S3 has it. `offset`: so many bytes are stored for good.

    `length` is None while the client has not said it. `stored` is the object, once all bytes are there; a partial
    upload has none. `note` is the text that it was created with.
    """

    ticket: ResumableTicket
    offset: int
    length: int | None
    is_complete: bool
    stored: Completed | None
    note: str = ""


class ResumableUploads:
    """The resumable uploads of one service.

    `max_append_bytes` is what one append may hold, None for any number; with a checksum it is never more than
    `max_checked_bytes`, because nothing of it may count before all of it was compared. `max_bytes` bounds every file.
    """

    def __init__(self, settings: ResumableSettings, upload_service: UploadService, context: CompletionContext) -> None:
        self._upload_service = upload_service
        self._context = context
        self._bucket = context.bucket
        self.max_append_bytes = LAMBDA_APPEND_MAX_BYTES if settings.on_lambda else None
        self.max_checked_bytes = self.max_append_bytes or RESUMABLE_PART_BYTES
        self.max_bytes = RESUMABLE_MAX_BYTES
        self.expires_s = TICKET_EXPIRES_S
        # By key, the last one used at the end: states that this process has seen. The next append needs no listing.
        self._known: dict[str, State] = {}

    async def create(self, spec: UploadSpec, *, note: str = "") -> ResumablePlan:
        """Begin an upload; without `size_bytes` its length is declared by an append. Nothing is appended yet.

        `note` is a text of the protocol, which `state` returns.

        Raises what `UploadService.plan` raises.
        """
        return await self.plan(await self._upload_service.validated(spec, "resumable"), note=note)

    async def create_partial(self, principal: Principal, size_bytes: int | None, *, note: str = "") -> ResumablePlan:
        """Begin a partial upload, which `concatenate` joins with others. Its type and purpose are not known yet.

        It may be as long as the longest file of all purposes that the principal may upload for. Raises as `create`.
        """
        purposes = self._upload_service.purposes.named.values()
        allowed = [each.max_bytes for each in purposes if permissions.may_upload_for(principal, each)]
        purpose = _PARTIAL._replace(max_bytes=min(RESUMABLE_MAX_BYTES, max(allowed, default=0)))
        spec = UploadSpec("application/octet-stream", purpose, principal, size_bytes=size_bytes)
        return await self._begun(validate(spec, "resumable"), "partial", note)

    async def plan(self, upload: ValidatedUpload, *, note: str = "") -> ResumablePlan:
        """Begin an upload that was validated. Raises `TicketsNotConfigured`, `QuotaExceeded`, the problems of S3."""
        return await self._begun(upload, "whole", note)

    async def concatenate(
        self, spec: UploadSpec, partials: Sequence[ResumableTicket], *, note: str = ""
    ) -> tuple[ResumablePlan, Progress]:
        """Join complete partial uploads to one object, in their order, and delete them. Safe to repeat.

        `spec` has no size. Raises `ConcatenationInvalid`, `UploadGone` for a partial that was cancelled, what `create`
        raises for the whole file, `UploadRejected`, the problems of S3.
        """
        if not 1 <= len(partials) <= PARTIALS_MAX or any(each.kind != "partial" for each in partials):
            raise ConcatenationInvalid(
                f"Only partial uploads can be joined, from 1 to {PARTIALS_MAX}. Name those that you created so.",
                max_partials=PARTIALS_MAX,
            )
        async with map_s3_errors():
            length = sum([await self._partial_length(each) for each in partials])
        # The same partial uploads lead to the same key, so a client that lost the answer may ask again.
        seed = hashlib.sha256("\0".join(each.upload.key for each in partials).encode()).digest()[: keys.ID_BYTES]
        spec = spec._replace(size_bytes=length, repeatable=Repeatable(seed, seed), no_overwrite=True)
        upload = await self._upload_service.validated(spec, "resumable")
        ticket = upload.ticket(RESUMABLE_PART_BYTES)
        async with map_s3_errors():
            if not await S3Store(self._bucket, ticket).exists():
                ticket = await self._joined(upload, partials)
            whole = ResumableTicket(ticket, "final", await self._noted(upload.key, note))
            await self._engine(whole).record(length)
            for each in partials:
                await objects.delete(self._bucket, each.upload.key)
        progress = await self._progress(whole, State(length, length, committed=True))
        return self._issued(whole), progress

    async def _partial_length(self, partial: ResumableTicket) -> int:
        state = await self._engine(partial).look()
        if not state.is_whole:
            raise ConcatenationInvalid(
                "A partial upload is not complete yet. Send the rest of it, then join them.", offset=state.offset
            )
        return (state if state.committed else await self._engine(partial).head()).offset

    async def _joined(self, upload: ValidatedUpload, partials: Sequence[ResumableTicket]) -> Ticket:
        """Make the object of the partial uploads. They count as it from now on, not by themselves."""
        found = [await objects.head(self._bucket, each.upload.key) for each in partials]
        sources = [each for each in found if each is not None]
        if len(sources) < len(partials):
            raise gone()
        for each in partials:
            await self._context.quotas.settle(each.upload.key, None)
        ticket = await self._upload_service.open(upload, RESUMABLE_PART_BYTES)
        await concatenation.send_parts(self._bucket, ticket, sources)
        store = S3Store(self._bucket, ticket)
        sent = await store.list_parts() or {}
        length = upload.spec.size_bytes or 0
        if not await store.complete([sent[number] for number in sorted(sent)], length) and not await store.exists():
            raise UploadBusy
        return ticket

    def ticket(self, text: str, principal: Principal) -> ResumableTicket:
        """Return the ticket of a text, if the principal may go on with its upload.

        Raises `TicketInvalid`, `TicketExpired`, `TicketsNotConfigured`, and `UploadNotFound` for another user's ticket.
        """
        ticket = self._upload_service.resumable_tickets.read_resumable(text)
        checked(ticket.upload, principal)
        return ticket

    async def state(self, ticket: ResumableTicket) -> Progress:
        """Return the upload as S3 has it. Where all bytes are there its object is, too, before this returns.

        Raises `UploadGone`, `UploadBusy`, `UploadRejected`, the problems of S3.
        """
        async with map_s3_errors():
            state = await self._engine(ticket).head()
            note = ticket.note if ticket.note is not None else await self._kept_note(ticket.upload.key)
        return (await self._progress(ticket, state))._replace(note=note)

    async def append(
        self,
        ticket: ResumableTicket,
        offset: int,
        chunks: AsyncIterator[memoryview],
        *,
        announced_bytes: int | None = None,
        length: int | None = None,
        ends: bool = False,
        checksum: Checksum | None = None,
    ) -> Progress:
        """Append a body, and return how far the upload is. With its last byte the object is made and confirmed.

        `announced_bytes` is the body's Content-Length. `length` declares the upload's, also again. `ends`: it ends
        behind this body, whatever was declared. With a `checksum` nothing of the body counts before all of it was
        compared; else what arrived is kept, also if the client breaks off.

        Raises `OffsetMismatch`, `LengthChanged`, `EmptyFile`, `FileTooLarge`, `AppendTooLarge`, `ChecksumMismatch`,
        `UploadGone`, `UploadBusy`, `UploadRejected`, the problems of S3, and what the chunks raise.
        """
        most_bytes = self.max_append_bytes if checksum is None else self.max_checked_bytes
        if most_bytes is not None and announced_bytes is not None and announced_bytes > most_bytes:
            raise too_large(most_bytes)
        part_bytes = ticket.upload.part_bytes
        # All at once, so that none holds some and waits for more: a piece, and the part that begins before it.
        wanted_bytes = min(announced_bytes or part_bytes, part_bytes) + (part_bytes if offset % part_bytes else 0)
        taken_bytes = await self._bucket.buffers.take(wanted_bytes)
        body = Body(chunks, ByteBudget(wanted_bytes), part_bytes, announced_bytes)
        pieces = body.pieces(offset) if most_bytes is None else body.checked_pieces(offset, most_bytes, checksum)
        try:
            async with aclosing(pieces), map_s3_errors():
                state = await self._engine(ticket).append(
                    offset,
                    pieces,
                    announced_bytes=announced_bytes,
                    length=length,
                    ends=ends,
                    known=self._known.pop(ticket.upload.key, None),
                )
        finally:
            body.free()
            self._bucket.buffers.give_back(taken_bytes)
        self._remember(ticket.upload.key, state)
        return await self._progress(ticket, state)

    def _remember(self, key: str, state: State) -> None:
        if not state.is_whole:
            self._known[key] = state._replace(held=None)
        if len(self._known) > RESUMABLE_KNOWN_MAX:
            del self._known[next(iter(self._known))]

    async def cancel(self, ticket: ResumableTicket) -> bool:
        """Cancel the upload for ever, and return True: nothing of it stays. False: it is complete, and stays.

        A complete partial upload is deleted. Raises `UploadBusy`, the problems of S3.
        """
        key = ticket.upload.key
        self._known.pop(key, None)
        async with map_s3_errors():
            cancelled = await self._engine(ticket).cancel()
            if not cancelled and ticket.kind == "partial":
                await objects.delete(self._bucket, key)
                cancelled = True
        if cancelled:
            audit.record("abort", key, purpose=ticket.upload.purpose, size_bytes=ticket.upload.size_bytes)
            await self._context.quotas.settle(key, None)
        return cancelled

    async def _begun(
        self, upload: ValidatedUpload, kind: Literal["whole", "partial", "final"], note: str
    ) -> ResumablePlan:
        _ = self._upload_service.resumable_tickets  # before S3 is asked
        kept = await self._noted(upload.key, note)
        size_bytes = upload.spec.size_bytes
        # Metadata has no place in the ticket, but in an upload that was begun in S3.
        in_one = size_bytes is not None and size_bytes <= RESUMABLE_PART_BYTES and upload.spec.metadata is None
        begin = self._reserved(upload) if in_one else self._upload_service.open(upload, RESUMABLE_PART_BYTES)
        ticket = await begin
        ticket = ticket._replace(max_bytes=min(ticket.max_bytes, RESUMABLE_MAX_BYTES))
        self._remember(upload.key, State(0, size_bytes))
        return self._issued(ResumableTicket(ticket, kind, kept))

    def _issued(self, ticket: ResumableTicket) -> ResumablePlan:
        text = self._upload_service.resumable_tickets.issue(ticket)
        valid = Validity(datetime.now(UTC), ticket.upload.ends_at, TICKET_EXPIRES_S)
        cdn_url = self._bucket.cdn_url(ticket.upload.key)
        return ResumablePlan(ticket, text, f"/resumable/{text}", self.max_append_bytes, valid, cdn_url)

    async def _reserved(self, upload: ValidatedUpload) -> Ticket:
        """Return the ticket of an upload that one request will store: nothing is begun in S3."""
        ticket = upload.ticket(RESUMABLE_PART_BYTES)
        if upload.spec.repeatable is not None:
            async with map_s3_errors():
                if await S3Store(self._bucket, ticket).exists():
                    raise already_stored(upload.key)
        await self._context.quotas.reserve(upload.key, upload.most_bytes, ticket.ends_at)
        audit.record("mint", upload.key, purpose=ticket.purpose, size_bytes=ticket.size_bytes)
        return ticket

    async def _noted(self, key: str, note: str) -> str | None:
        """Return what the ticket says of a note. A long one is stored."""
        data = note.encode()
        if len(data) <= NOTE_MAX_BYTES:
            return note
        headers = {"Content-Type": "text/plain", **self._bucket.storage_headers(_note_key(key))}
        async with map_s3_errors():
            await transfer.put(self._bucket, _note_key(key), data, await digest_of(data), headers)
        return None

    async def _kept_note(self, key: str) -> str:
        found = await objects.get(self._bucket, _note_key(key))
        if found is None:
            raise gone()
        return found.decode()

    def _engine(self, ticket: ResumableTicket) -> Engine:
        upload = ticket.upload
        return Engine(
            S3Store(self._bucket, upload),
            length=upload.size_bytes,
            part_bytes=upload.part_bytes,
            most_bytes=upload.max_bytes,
            in_parts=bool(upload.upload_id),
        )

    async def _progress(self, ticket: ResumableTicket, state: State) -> Progress:
        stored = None
        if state.committed and ticket.kind != "partial":
            stored = await self._upload_service.confirmed(ticket.upload._replace(size_bytes=state.length))
        return Progress(ticket, state.offset, state.length, state.committed, stored)


def _note_key(key: str) -> str:
    return f"{keys.RESUMABLE}{key}.note"
