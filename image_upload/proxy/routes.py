"""Routes that take a form and store its file through a presigned URL."""

import functools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from image_upload import keys
from image_upload.errors import (
    BodyTooLarge,
    EmptyFile,
    ExpiredUploadUrl,
    InvalidFilename,
    InvalidRequest,
    InvalidUploadUrl,
    MalformedForm,
    NeedsHeaders,
    NotAForm,
    OutOfTime,
    RefusedTarget,
    UpstreamRedirected,
    UpstreamRefused,
    UpstreamUnavailable,
)
from image_upload.limits import RETRIES_MAX
from image_upload.openapi import documented
from image_upload.proxy.deadline import Deadline, deadline_of
from image_upload.s3.bucket import Bucket
from image_upload.settings import Settings

if TYPE_CHECKING:
    from image_upload.proxy.form import Form
    from image_upload.proxy.send import Sent
    from image_upload.proxy.target import TargetRule

PLAIN_PATH = "/upload-with-presigned"
RETRY_PATH = "/upload-with-presigned-retry"
PATHS = frozenset({PLAIN_PATH, RETRY_PATH})
RETRIES_DEFAULT = 3

_FORM_FIELDS: dict[str, Any] = {
    "file": {"type": "string", "format": "binary", "description": "The file, with its name and type."},
    "uploadUrl": {"type": "string", "description": "The presignedUrl of POST /uploads, unchanged."},
}
_RETRY_FIELDS: dict[str, Any] = {
    "max_retries": {
        "type": "integer",
        "minimum": 0,
        "maximum": RETRIES_MAX,
        "default": RETRIES_DEFAULT,
        "description": "Attempts beyond the first.",
    }
}
_PROBLEMS = (
    InvalidRequest,
    NotAForm,
    MalformedForm,
    EmptyFile,
    InvalidFilename,
    BodyTooLarge,
    InvalidUploadUrl,
    ExpiredUploadUrl,
    NeedsHeaders,
    RefusedTarget,
    UpstreamRefused,
    UpstreamRedirected,
    UpstreamUnavailable,
    OutOfTime,
)


def _form(fields: dict[str, Any]) -> dict[str, Any]:
    """The form in OpenAPI: it is read from the stream, so FastAPI cannot see its fields."""
    return {"type": "object", "required": ["file", "uploadUrl"], "properties": fields}


class Proxy:
    """Takes a form, checks it and its target, and sends the file."""

    def __init__(self, settings: Settings, bucket: Bucket) -> None:
        self._bucket = bucket
        self._settings = settings
        self._timeout_s = settings.timeout_s

    @functools.cached_property
    def _rule(self) -> "TargetRule":
        from image_upload.proxy.target import TargetRule  # noqa: PLC0415  its patterns are not minting's to pay

        return TargetRule(
            self._bucket.address,
            self._bucket.public_address,
            buckets={self._bucket.name, *self._settings.proxy_allowed_buckets},
            hosts=self._settings.proxy_allowed_hosts,
        )

    async def handle(self, request: Request, *, retrying: bool) -> tuple["Form", "Sent"]:
        """The whole way of one request. Raises a problem before any byte leaves, or S3's own."""
        # httpx, tenacity and the form parser cost 60 ms of import that minting need not pay.
        from image_upload.proxy import form as forms  # noqa: PLC0415

        deadline = deadline_of(request.scope, self._timeout_s)
        form = await forms.receive_within(request.stream(), request.headers.get("content-type"), deadline)
        try:
            return form, await self._send(form, deadline, retrying=retrying)
        finally:
            form.close()

    async def _send(self, form: "Form", deadline: Deadline, *, retrying: bool) -> "Sent":
        from image_upload.proxy.send import Sender  # noqa: PLC0415

        missing = [
            name for name, there in (("file", form.file), ("uploadUrl", form.fields.get("uploadUrl"))) if not there
        ]
        if missing:
            raise InvalidRequest(
                f"The form lacks: {', '.join(missing)}. Send file (the picture) and uploadUrl (the presignedUrl of "
                "POST /uploads).",
                errors=[{"field": name, "message": "missing"} for name in missing],
            )
        keys.check_filename(form.filename)
        max_retries = _max_retries(form.fields.get("max_retries")) if retrying else 0
        target = self._rule.check(form.fields["uploadUrl"].strip(), datetime.now(UTC))
        if form.size_bytes == 0:
            raise EmptyFile("The file is empty; nothing was stored. Choose a file with content.")
        return await Sender(self._bucket.client).send(form, target, max_retries=max_retries, deadline=deadline)


def _max_retries(text: str | None) -> int:
    if text is None or not text.strip():
        return RETRIES_DEFAULT
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and int(text) <= RETRIES_MAX):  # noqa: PLR2004
        raise InvalidRequest(
            f"max_retries is a whole number from 0 to {RETRIES_MAX}.",
            errors=[{"field": "max_retries", "message": f"not a whole number from 0 to {RETRIES_MAX}"}],
        )
    return int(text)


def router(proxy: Proxy) -> APIRouter:
    """The two proxy routes. They need no token: the presigned URL is the permission."""
    routes = APIRouter(tags=["Proxy"])

    # expects: form with file and uploadUrl, in either order
    # returns: 200 after S3's 2xx; one attempt
    # codes: 400, 403 for the form and its URL · 413 · 415 · 422 · 400, 502, 504 for S3
    @routes.post(
        PLAIN_PATH,
        summary="Store a form's file, one attempt",
        openapi_extra=documented(*_PROBLEMS, answer="proxy.answers:Stored", form=_form(_FORM_FIELDS)),
    )
    async def upload(request: Request) -> JSONResponse:
        """For clients that cannot talk to S3 themselves. Reports success only after S3 has confirmed the file."""
        form, sent = await proxy.handle(request, retrying=False)
        return JSONResponse(_stored(form, sent))

    # expects: the same and max_retries, 0 to 10
    # returns: the same and attempts; at most max_retries + 1 of them
    # codes: the same
    @routes.post(
        RETRY_PATH,
        summary="Store a form's file, with retry",
        openapi_extra=documented(
            *_PROBLEMS, answer="proxy.answers:StoredWithRetry", form=_form(_FORM_FIELDS | _RETRY_FIELDS)
        ),
    )
    async def upload_with_retry(request: Request) -> JSONResponse:
        """Tries again after connection errors, time-outs, 408, 429 and 5xx, with growing random pauses."""
        form, sent = await proxy.handle(request, retrying=True)
        return JSONResponse(_stored(form, sent) | {"attempts": sent.attempts})

    return routes


def _stored(form: "Form", sent: "Sent") -> dict[str, Any]:
    return {
        "success": True,
        "message": "The file is stored.",
        "status": sent.status,
        "file_size": form.size_bytes,
        "filename": form.filename,
    }
