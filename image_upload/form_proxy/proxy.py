"""Handle a form: choose how its file is sent, within the deadline, and answer the client."""

import asyncio
import functools
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from starlette.requests import Request

from image_upload.auth.principals import Principal
from image_upload.completion.context import CompletionContext
from image_upload.domain import checks, keys
from image_upload.domain.purposes import USER_FILE
from image_upload.errors import ChunksNotSupported, EmptyFile, Problem, UploadTimedOut, ValidationFailed
from image_upload.form_proxy import spool as spools
from image_upload.form_proxy.form import SUCCESS_URL_FIELD, Incoming
from image_upload.form_proxy.form_store import StoredFile, store_form
from image_upload.form_proxy.outcome import is_stored
from image_upload.form_proxy.sender import Sender, Sent, judge, put_headers
from image_upload.form_proxy.spool import Form, SpoolBudgets
from image_upload.form_proxy.streaming_upload import Broken, StreamingUpload
from image_upload.form_proxy.target import Target, TargetRule
from image_upload.limits import (
    RETRIES_MAX,
    STREAM_FROM_BYTES,
    SUCCESS_URL_MAX_CHARS,
)
from image_upload.outbound.budget import ByteBudget
from image_upload.outbound.deadline import Deadline, upload_deadline
from image_upload.settings import origins
from image_upload.settings.proxy import ProxySettings
from image_upload.usage.addresses import AddressOf
from image_upload.web.min_rate import ConcurrencyLimit, enforce_min_rate
from image_upload.web.routing import length_of

if TYPE_CHECKING:
    from image_upload.auth.authorization import Authorization

RETRIES_DEFAULT = 3

_ANY_TYPE = "application/octet-stream"
# RFC 9110 section 14.4. jQuery File Upload sends it with each chunk of a file.
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})", re.ASCII)


class Done(NamedTuple):
    """A stored file."""

    filename: str
    size_bytes: int
    sent: Sent
    elapsed_ms: int
    success_url: str | None = None


class Proxy:
    """Check a form and its target, and send its file.

    A form's `success_url` may lead to one of `front_ends`, which are origins.
    """

    def __init__(
        self,
        settings: ProxySettings,
        context: CompletionContext,
        *,
        authorization: "Authorization | None",
        address_of: AddressOf,
        front_ends: Sequence[str],
    ) -> None:
        self._context = context
        self._authorization = authorization
        self._bucket = context.bucket
        self._settings = settings
        self._slots = ConcurrencyLimit(settings.uploads_per_address)
        self._address_of = address_of
        self._front_ends = front_ends
        self._disk = ByteBudget(settings.spool_bytes)

    @functools.cached_property
    def _rule(self) -> TargetRule:
        return TargetRule(
            self._bucket.address,
            self._bucket.public_address,
            buckets=self._settings.proxy_allowed_buckets,
            hosts=self._settings.proxy_allowed_hosts,
            storage_headers=self._bucket.storage_headers,
        )

    async def handle(self, request: Request, *, retrying: bool) -> Done:
        """Send a form's file to its target. Raises a problem of the form before any byte is sent, or S3's own."""
        started = time.monotonic()
        with self._slots.slot(self._address_of(request.scope), signed_in=False):
            deadline, incoming = self._arriving(request)
            try:
                sent = await self._pass_on(incoming, deadline, retrying=retrying)
            except Problem as problem:
                if "attempts" in problem.extras:
                    problem.extras["elapsed_ms"] = _elapsed_ms(started)
                raise
        return Done(incoming.filename, incoming.size_bytes, sent, _elapsed_ms(started), _success_url(incoming))

    def cdn_url(self, key: str) -> str | None:
        """Return the key's URL on the CDN."""
        return self._bucket.cdn_url(key)

    async def store(self, request: Request, principal: Principal) -> StoredFile:
        """Store the form's file in the service's bucket; see `form_store.store_form`."""
        # The prefix keeps user ids apart from addresses.
        client = f"user {principal.user_id}" if principal.signed_in else self._address_of(request.scope)
        with self._slots.slot(client, signed_in=principal.signed_in):
            deadline, incoming = self._arriving(request)
            async with _until(deadline):
                stored = await store_form(self._context, incoming, principal, self._authorization, self._budgets())
                return stored._replace(success_url=_success_url(incoming))

    def _sender(self) -> Sender:
        return Sender(self._bucket.client, self._bucket.streaming_put, functools.partial(is_stored, self._bucket))

    def _budgets(self) -> SpoolBudgets | None:
        """Return the budgets for spooled files; None if the whole body is in memory already."""
        return None if self._settings.on_lambda else SpoolBudgets(self._bucket.buffers, self._disk)

    def _is_busy(self) -> bool:
        return self._slots.are_scarce or self._bucket.buffers.is_waited_for

    def _arriving(self, request: Request) -> tuple[Deadline, Incoming]:
        _refuse_piece(request.headers.get("content-range", ""))
        incoming = Incoming(
            enforce_min_rate(request.stream(), self._is_busy),
            request.headers.get("content-type"),
            length_of(request.headers.get("content-length", "").encode("latin-1")),
            {SUCCESS_URL_FIELD: self._check_success_url},
        )
        return upload_deadline(self._settings.timeout_s), incoming

    def _check_success_url(self, url: str) -> None:
        """Raise `ValidationFailed` unless the URL is one of the operator's front ends, to prevent open redirects."""
        if not url:
            return
        origin = origins.of_url(url) if len(url) <= SUCCESS_URL_MAX_CHARS else None
        if origin is None or not origins.matches(origin, self._front_ends):
            raise ValidationFailed(
                "success_url leads to no front end of this service, so nothing was stored. Send an absolute URL of an "
                "origin that the operator names in CORS_ALLOW_ORIGINS (* names none) or FRONTEND_CALLBACK_URL.",
                errors=[{"field": "success_url", "message": "not at an allowed origin"}],
            )

    async def _pass_on(self, incoming: Incoming, deadline: Deadline, *, retrying: bool) -> Sent:
        length = None
        async with _until(deadline):
            if await incoming.reach_file() and "uploadUrl" in incoming.fields:
                # Check the URL before any of the file is read or spooled.
                self._target(incoming.fields)
                if not self._settings.on_lambda:
                    length = incoming.length_if_last()
        if length is not None and length >= STREAM_FROM_BYTES:
            return await self._through(incoming, length, deadline, retrying=retrying)
        async with _until(deadline):
            form = await spools.receive(incoming, self._budgets())
        try:
            return await self._send(form, deadline, retrying=retrying)
        finally:
            form.close()

    def _target(self, fields: Mapping[str, str]) -> Target:
        return self._rule.check(fields["uploadUrl"].strip(), datetime.now(UTC))

    def _check_size(self, target: Target, size_bytes: int) -> None:
        """Raise `FileTooLarge` if the file is larger than a key of the service's bucket allows."""
        max_bytes = keys.max_bytes_in(target.key) if target.bucket == self._bucket.name else None
        if max_bytes is not None and size_bytes > max_bytes:
            raise checks.too_large(size_bytes, max_bytes)

    async def _check_signature(self, target: Target, content_type: str | None, length: int) -> None:
        """Refuse a wrong signature for the service's bucket before the first byte. S3 would after the last one."""
        headers = {**put_headers(target, content_type), "Content-Length": str(length), "Host": target.host}
        if target.bucket == self._bucket.name and await self._bucket.refuses("PUT", target.url, headers):
            judge(HTTPStatus.FORBIDDEN, {}, "SignatureDoesNotMatch", 0)

    async def _through(self, incoming: Incoming, length: int, deadline: Deadline, *, retrying: bool) -> Sent:
        """Send the file as it arrives. For retries, spool a copy at the same time."""
        keys.check_filename(incoming.filename)
        target, budgets = self._target(incoming.fields), self._budgets()
        self._check_size(target, length)
        incoming.content_type = incoming.content_type or _type_of(target, incoming.filename)
        await self._check_signature(target, incoming.content_type, length)
        retries = _max_retries(incoming.fields.get("max_retries")) if retrying else 0
        spool = spools.Spool(budgets) if budgets is not None and retries else None
        through = StreamingUpload(self._bucket, incoming, target, length, spool=spool, deadline=deadline)
        try:
            async with _until(deadline, attempts=1):
                try:
                    return await through.send()
                except Broken as broken:
                    cause = broken.cause
                    form = await through.rest()
            max_retries = _max_retries(form.fields.get("max_retries"))
            return await self._sender().again(form, target, after=cause, max_retries=max_retries, deadline=deadline)
        finally:
            if spool is not None:
                spool.close()

    async def _send(self, form: Form, deadline: Deadline, *, retrying: bool) -> Sent:
        missing = [
            name for name, there in (("file", form.file), ("uploadUrl", form.fields.get("uploadUrl"))) if not there
        ]
        if missing:
            raise ValidationFailed(
                f"The form lacks: {', '.join(missing)}. Send file (the picture) and uploadUrl (the presignedUrl of "
                "POST /uploads).",
                errors=[{"field": name, "message": "missing"} for name in missing],
            )
        keys.check_filename(form.filename)
        max_retries = _max_retries(form.fields.get("max_retries")) if retrying else 0
        target = self._target(form.fields)
        if form.size_bytes == 0:
            raise EmptyFile
        self._check_size(target, form.size_bytes)
        form.content_type = form.content_type or _type_of(target, form.filename)
        return await self._sender().send(form, target, max_retries=max_retries, deadline=deadline)


@asynccontextmanager
async def _until(deadline: Deadline, *, attempts: int = 0) -> AsyncIterator[None]:
    """Raise `UploadTimedOut` if the deadline passes inside the block."""
    try:
        async with asyncio.timeout(deadline.left_s):
            yield
    except TimeoutError:
        raise UploadTimedOut(
            "The upload did not end in time. Send the file again, or straight to S3 with the presigned URL.",
            attempts=attempts,
        ) from None


def _success_url(incoming: Incoming) -> str | None:
    return incoming.fields.get("success_url") or None


def _refuse_piece(content_range: str) -> None:
    """Raise `ChunksNotSupported` if Content-Range says that the request carries only a chunk of a file."""
    match = _CONTENT_RANGE.fullmatch(content_range)
    if match is None:
        return
    first, last, total = map(int, match.groups())
    if last - first + 1 < total:
        raise ChunksNotSupported(
            "Content-Range says that this form is one chunk of a file; chunks are not put together here, and nothing "
            "was stored. Switch chunking off and send the file in one form, or send it in parts straight to S3 with a "
            "multipart plan of POST /uploads.",
            field="Content-Range",
        )


def _type_of(target: Target, filename: str) -> str:
    """Return the media type of a part that names none, by the key's extension: the signed type cannot be read."""
    if keys.published(target.key).startswith(USER_FILE.prefix):
        return _ANY_TYPE  # POST /files/upload-url always signs this type
    return checks.usual_type(target.key) or checks.usual_type(filename) or _ANY_TYPE


def _elapsed_ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


def _max_retries(text: str | None) -> int:
    if text is None or not text.strip():
        return RETRIES_DEFAULT
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and int(text) <= RETRIES_MAX):
        raise ValidationFailed(
            f"max_retries is not a whole number from 0 to {RETRIES_MAX}. Send one, or leave it out: then it is "
            f"{RETRIES_DEFAULT}.",
            errors=[{"field": "max_retries", "message": f"not a whole number from 0 to {RETRIES_MAX}"}],
        )
    return int(text)
