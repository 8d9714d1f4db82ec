"""The upload core: plan, begin, complete, abort. Protocols call it with values, and turn values into their answers."""

import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from image_upload.auth import permissions
from image_upload.auth.principals import Principal
from image_upload.completion.context import CompletionContext
from image_upload.database.values import Kind, Record
from image_upload.domain import checks
from image_upload.domain.purposes import Purpose, Purposes
from image_upload.errors import AlreadyExists, TicketsNotConfigured, ValidationFailed
from image_upload.limits import S3_PUT_MAX_BYTES
from image_upload.settings.auth import AuthSettings
from image_upload.settings.storage import StorageSettings
from image_upload.uploads.idempotency import IdempotencyKeys, Repeatable, already_stored, check_repeated
from image_upload.uploads.multipart import Completed, MultipartUploads, Progress
from image_upload.uploads.plans import BegunUpload, PartPage, Plan, ResumablePlan, Strategy, UploadSpec
from image_upload.uploads.single_put import SinglePutPlanner
from image_upload.uploads.storing import StoredUpload, store
from image_upload.uploads.strategy import choose, part_length
from image_upload.uploads.tickets import RESUMABLE, Ticket, TicketSigner
from image_upload.uploads.validation import ValidatedUpload, validate

if TYPE_CHECKING:
    from image_upload.auth.authorization import Authorization


class ResumableRoom(Protocol):
    """Plans uploads that go on through this service after an interruption: `resumable.router.Resumable`."""

    async def plan(self, upload: ValidatedUpload) -> ResumablePlan:
        """Begin an upload of known size, or of none. Raises `TicketsNotConfigured`, `QuotaExceeded`, those of S3."""


class UploadService:
    """Plan, begin, complete and abort uploads. All protocols use it.

    `form_path` is the route for proxy plans, and `form_max_bytes` the longest file that it takes.
    """

    def __init__(
        self,
        settings: StorageSettings,
        auth: AuthSettings,
        context: CompletionContext,
        *,
        form_path: str,
        form_max_bytes: int,
    ) -> None:
        self._context = context
        self.purposes = context.bucket.purposes
        self._form_path = form_path
        self._form_max_bytes = form_max_bytes
        self._sha256 = settings.s3_checksums == "sha256"
        self._single = SinglePutPlanner(settings, context.bucket, context.quotas)
        secret = auth.jwt_secret.get_secret_value().encode() if auth.jwt_secret else None
        if secret is None and not auth.production:
            # A secret of this process, for development only: its tickets end with it.
            secret = secrets.token_bytes()
        previous = auth.jwt_previous_secret.get_secret_value().encode() if auth.jwt_previous_secret else None
        self._multipart = MultipartUploads(settings, TicketSigner(secret, previous) if secret else None, context)
        self._resumable_tickets = TicketSigner(secret, previous, purpose=RESUMABLE) if secret else None
        # None: this service has no such uploads.
        self.resumable: ResumableRoom | None = None
        self.idempotency_keys = IdempotencyKeys(secret)
        self._expires_s = settings.upload_url_expires_s
        self.authorization: Authorization | None = None
        if auth.authorize is not None:
            from image_upload.auth import authorization  # 1 ms, and most services have none

            self.authorization = authorization.Authorization(auth.authorize)
        # Whether the store takes presigned forms.
        self.form_post = settings.s3_form_post

    @property
    def keeps_records(self) -> bool:
        """Whether there is a database for `plan_recorded`."""
        return self._context.database.is_configured

    def purpose(self, name: str | None, principal: Principal, among: Purposes | None = None) -> Purpose:
        """Return the purpose with this name, for None the first of them. Raises `ValidationFailed`, `ScopeMissing`."""
        return permissions.check_purpose(principal, checks.purpose(name, among or self.purposes))

    def strategy(self, spec: UploadSpec, accepts: Sequence[Strategy] | None) -> Strategy:
        """Return the strategy for a file, of those that the client accepts (None: a version 1 client).

        Raises `NoStrategy`, and `ValidationFailed` for a SHA-256 that the store would not compare.
        """
        if spec.sha256 is not None and not self._sha256:
            raise ValidationFailed(
                "The store of this service compares no SHA-256. Leave sha256 out.",
                errors=[{"field": "sha256", "message": "not possible here"}],
            )
        return choose(
            spec.size_bytes,
            accepts,
            form_max_bytes=self._form_max_bytes,
            has_sha256=spec.sha256 is not None,
            has_metadata=spec.metadata is not None,
            no_overwrite=spec.no_overwrite,
            form_post=self.form_post,
            resumable=self.resumable is not None,
            form_first=spec.size_bytes is None and spec.purpose.max_bytes < S3_PUT_MAX_BYTES,
        )

    async def plan(self, spec: UploadSpec, strategy: Strategy, *, compact: bool = False) -> Plan:
        """Return what a client needs to upload one file. For a multipart plan, begin the upload in S3.

        `compact`: the client takes part URLs as a template, so that all of them fit one answer.

        Raises the problems of `validate`, `UploadRefused`, `AuthorizationUnavailable`, `QuotaExceeded`,
        `CredentialsUnavailable`; for multipart also `TicketsNotConfigured` and those of S3.
        """
        return await self._plan(await self.validated(spec, strategy), strategy, compact=compact)

    async def plan_recorded(
        self, kind: Kind, spec: UploadSpec, strategy: Strategy, *, compact: bool = False
    ) -> tuple[Plan, Record]:
        """Do as `plan` does, and add a pending row to the database, which `completion.confirm` settles.

        A `repeatable` request has one row, which says the key of all its plans. Raises also `DatabaseNotConfigured`,
        `DatabaseUnavailable`; for a repeated request `IdempotencyKeyReused`, `AlreadyExists`, `UploadRejected`.
        """
        records = self._context.database.records
        upload = await self.validated(spec, strategy, recorded=True)
        if spec.repeatable is not None:
            return await self._plan_repeatable(kind, upload, spec.repeatable, strategy, compact=compact)
        plan = await self._plan(upload, strategy, compact=compact)
        try:
            return plan, await records.insert(kind, upload.expected(plan.ends_at))
        except BaseException:
            await self.release([plan])
            raise

    async def _plan_repeatable(
        self, kind: Kind, upload: ValidatedUpload, repeatable: Repeatable, strategy: Strategy, *, compact: bool
    ) -> tuple[Plan, Record]:
        records = self._context.database.records
        record = await records.by_seed(repeatable.row_seed)
        if record is None:
            plan = await self._plan(upload, strategy, compact=compact)
            promised = upload.expected(plan.ends_at)
            record = await records.insert_once(kind, promised, repeatable.row_seed)
            if record.expected_object == promised:
                return plan, record
            # Another request with this key came first.
        key = check_repeated(record, upload.spec.user_id, repeatable)
        upload = upload._replace(key=key, upload_key=self._context.arrivals.upload_key(key))
        try:
            plan = await self._plan(upload, strategy, compact=compact)
        except AlreadyExists:
            raise already_stored(upload.key, id=record.id) from None
        return plan, await records.renew(record, plan.ends_at)

    async def validated(self, spec: UploadSpec, strategy: Strategy, *, recorded: bool = False) -> ValidatedUpload:
        """Return what `validate` returns, once the operator's own check has allowed and narrowed it.

        Raises the problems of `validate`, `UploadRefused`, `AuthorizationUnavailable`.
        """
        upload = validate(spec, strategy, recorded=recorded)
        if self.authorization is not None:
            from image_upload.uploads.authorized import authorized  # with the one above

            spec = await authorized(upload, strategy, self._expires_s, self.authorization)
            upload = validate(spec, strategy, recorded=recorded)
        upload_key = self._context.arrivals.upload_key(upload.key)
        return upload if upload_key == upload.key else upload._replace(upload_key=upload_key)

    async def _plan(self, upload: ValidatedUpload, strategy: Strategy, *, compact: bool) -> Plan:
        match strategy:
            case "put":
                return await self._single.put(upload)
            case "post":
                return await self._single.post(upload)
            case "proxy":
                return await self._single.proxy(upload, self._form_path)
            case "multipart":
                part_bytes = part_length(upload.spec.size_bytes or 0)
                return await self._multipart.plan(upload, part_bytes, compact=compact)
            case "resumable":
                assert self.resumable is not None, "`strategy` returns it only with such a room"
                return await self.resumable.plan(upload)

    async def release(self, plans: Sequence[Plan], repeatable: Repeatable | None = None) -> None:
        """Release the quota of plans that were not returned to the client.

        Those of a `repeatable` request keep it until they end: an earlier answer may have had the same.
        """
        for plan in plans if repeatable is None else ():
            await self._context.quotas.settle(plan.key, None)

    async def begin(self, spec: UploadSpec, part_bytes: int) -> BegunUpload:
        """Begin a multipart upload whose part URLs the client requests later. Raises what `plan` raises."""
        return await self._multipart.begin(await self.validated(spec, "multipart"), part_bytes)

    async def open(self, upload: ValidatedUpload, part_bytes: int) -> Ticket:
        """Begin a multipart upload whose parts this service sends. Raises what `begin` raises."""
        return await self._multipart.open(upload, part_bytes)

    @property
    def resumable_tickets(self) -> TicketSigner:
        """What signs the tickets of resumable uploads. Raises `TicketsNotConfigured`."""
        if self._resumable_tickets is None:
            raise TicketsNotConfigured(
                "Resumable uploads are not configured. The operator sets JWT_SECRET; until then send files up to 5 GiB "
                "with a presigned PUT."
            )
        return self._resumable_tickets

    async def store(
        self,
        spec: UploadSpec,
        chunks: AsyncGenerator[memoryview, None],
        *,
        progress: Callable[[int], None] | None = None,
    ) -> StoredUpload:
        """Store a file whose bytes come through this process, and confirm it. `progress` is told of bytes in S3.

        If this raises, nothing is left of it. Raises the problems of `validate`, `EmptyFile`, `FileTooLarge`,
        `QuotaExceeded`, `UploadRejected`, those of S3, and what the chunks raise.
        """
        return await store(self._context, await self.validated(spec, "multipart"), chunks, progress=progress)

    def ticket(self, text: str, principal: Principal) -> Ticket:
        """Return the ticket of a text, if the principal may continue its upload.

        Raises `TicketInvalid`, `TicketExpired`, `TicketsNotConfigured`, and `UploadNotFound` for another user's ticket.
        """
        return self._multipart.ticket(text, principal)

    async def progress(self, ticket: Ticket) -> Progress:
        """Return the state of the upload in S3.

        Raises `UploadNotFound`, `SizeMismatch`, `FileTooLarge`, the problems of S3.
        """
        return await self._multipart.progress(ticket)

    async def part_page(self, ticket: Ticket, first: int, *, compact: bool) -> PartPage:
        """Return URLs of the parts from `first` on, as many as fit one answer. Raises `PartsInvalid`."""
        return await self._multipart.page(ticket, first, compact=compact)

    async def part_urls(self, ticket: Ticket, numbers: Sequence[int]) -> PartPage:
        """Return fresh URLs of these parts, each once. Raises `PartsInvalid`."""
        return await self._multipart.sign(ticket, numbers)

    async def complete(self, ticket: Ticket, parts: Sequence[tuple[int, str]] | None) -> Completed:
        """Complete the upload with these parts (number, ETag), or with all that S3 has. Safe to repeat.

        Raises `PartsInvalid`, `PartsRefused`, `SizeMismatch`, `FileTooLarge`, `AlreadyExists`, `UploadNotFound`,
        `UploadRejected`, the problems of S3.
        """
        return await self._multipart.complete(ticket, parts)

    async def confirmed(self, ticket: Ticket) -> Completed:
        """Return the object of an upload that was completed; see `completion.confirm`. Safe to repeat.

        Raises `SizeMismatch`, `FileTooLarge`, `UploadNotFound`, `UploadRejected`, the problems of S3.
        """
        return await self._multipart.confirmed(ticket)

    async def abort(self, ticket: Ticket) -> None:
        """Abort the upload. A finished object stays. Raises `UploadNotFound`, the problems of S3."""
        await self._multipart.abort(ticket)
