"""Routes that take a form and store its file through a presigned URL."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from image_upload.auth.dependencies import PrincipalOf
from image_upload.auth.principals import Principal
from image_upload.errors import (
    AuthorizationUnavailable,
    BodyTooLarge,
    ChunksNotSupported,
    ClientTooSlow,
    CredentialsUnavailable,
    EmptyFile,
    FileTooLarge,
    InvalidFilename,
    InvalidKey,
    InvalidMetadata,
    MalformedForm,
    NotAForm,
    OutcomeUnknown,
    QuotaExceeded,
    ScopeMissing,
    StorageDenied,
    StorageTimedOut,
    StorageUnavailable,
    TokenInvalid,
    TokenMissing,
    TooManyUploads,
    UnsupportedFileType,
    UploadRefused,
    UploadTargetRefused,
    UploadTimedOut,
    UploadUrlExpired,
    UploadUrlInvalid,
    UploadUrlNeedsHeaders,
    UpstreamRedirected,
    UpstreamRefused,
    UpstreamUnavailable,
    ValidationFailed,
)
from image_upload.form_proxy.proxy import RETRIES_DEFAULT, Done, Proxy
from image_upload.form_proxy.router import RETRY_PATH, file_max_bytes
from image_upload.limits import FORM_OVERHEAD_MAX_BYTES, RETRIES_MAX, S3_OBJECT_MAX_BYTES, S3_PUT_MAX_BYTES
from image_upload.settings.proxy import ProxySettings
from image_upload.web.json_answer import JSONResponse
from image_upload.web.routing import Routes, documented

_FORM_FIELDS: dict[str, Any] = {
    "file": {"type": "string", "format": "binary", "description": "The file, with its name and type."},
    "uploadUrl": {"type": "string", "description": "The presignedUrl of POST /uploads, unchanged."},
    "success_url": {
        "type": "string",
        "description": "Where a browser is sent once the file is stored (303): a URL of an allowed origin.",
    },
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
    ValidationFailed,
    NotAForm,
    MalformedForm,
    ChunksNotSupported,
    EmptyFile,
    FileTooLarge,
    InvalidFilename,
    BodyTooLarge,
    UploadUrlInvalid,
    UploadUrlExpired,
    UploadUrlNeedsHeaders,
    UploadTargetRefused,
    UpstreamRefused,
    UpstreamRedirected,
    UpstreamUnavailable,
    UploadTimedOut,
    OutcomeUnknown,
    ClientTooSlow,
    TooManyUploads,
)


def _form(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the form for the OpenAPI document. It is read from the stream, so FastAPI does not know its fields."""
    return {"type": "object", "required": ["file", "uploadUrl"], "properties": fields}


_STORE_PROBLEMS = (
    ValidationFailed,
    NotAForm,
    MalformedForm,
    ChunksNotSupported,
    EmptyFile,
    InvalidFilename,
    InvalidKey,
    FileTooLarge,
    BodyTooLarge,
    TokenMissing,
    TokenInvalid,
    ScopeMissing,
    UploadRefused,
    AuthorizationUnavailable,
    ClientTooSlow,
    TooManyUploads,
    UploadTimedOut,
    StorageDenied,
    StorageUnavailable,
    StorageTimedOut,
    CredentialsUnavailable,
    InvalidMetadata,
    UnsupportedFileType,
    QuotaExceeded,
)
_STORE_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": _FORM_FIELDS["file"],
        "folder": {"type": "string", "default": "uploads", "description": "Where in the bucket; may hold slashes."},
        "purpose": {"type": "string", "description": "In place of folder: decides key, types and size."},
        "class_id": {"type": "string", "description": "Stored with the file; the purpose audio needs it."},
        "success_url": _FORM_FIELDS["success_url"],
    },
}


def router(proxy: Proxy, settings: ProxySettings, principal_of: PrincipalOf) -> APIRouter:
    """Return the form routes. The first two need no token, because the presigned URL is the permission."""
    routes = Routes(tags=["Proxy"])

    def takes(stored_max_bytes: int) -> dict[str, Any]:
        """Return a form's limits: its file and the form around it; `min_rate` watches the client's rate."""
        most = file_max_bytes(stored_max_bytes, settings) + FORM_OVERHEAD_MAX_BYTES
        return {"max_body_bytes": most, "enforces_rate": True}

    @routes.post(
        "/upload-with-presigned",
        summary="Store a form's file, one attempt",
        operation_id="forwardForm",
        openapi_extra=documented(
            *_PROBLEMS,
            answer="form_proxy.schemas:Stored",
            form=_form(_FORM_FIELDS),
            **takes(S3_PUT_MAX_BYTES),
        ),
    )
    async def upload(request: Request) -> JSONResponse:
        """For clients that cannot reach S3. Answers 200, with `success_url` 303, after S3 has confirmed the file."""
        done = await proxy.handle(request, retrying=False)
        return _answer(_stored(done), done.success_url)

    @routes.post(
        RETRY_PATH,
        summary="Store a form's file, with retry",
        operation_id="forwardFormWithRetry",
        openapi_extra=documented(
            *_PROBLEMS,
            answer="form_proxy.schemas:StoredWithRetry",
            form=_form(_FORM_FIELDS | _RETRY_FIELDS),
            **takes(S3_PUT_MAX_BYTES),
        ),
    )
    async def upload_with_retry(request: Request) -> JSONResponse:
        """Repeats the upload after connection errors, timeouts, 408, 429 and 5xx, with growing random pauses."""
        done = await proxy.handle(request, retrying=True)
        content = _stored(done) | {"attempts": done.sent.attempts, "last_failure": done.sent.last_failure}
        return _answer(content, done.success_url)

    @routes.post(
        "/api/v1/s3/upload",
        summary="Store a form's file in the service's bucket",
        operation_id="storeForm",
        openapi_extra=documented(
            *_STORE_PROBLEMS, answer="form_proxy.schemas:KeptFile", form=_STORE_FORM, **takes(S3_OBJECT_MAX_BYTES)
        ),
    )
    async def store(
        request: Request, principal: Annotated[Principal, Depends(principal_of.needs("mint"))]
    ) -> JSONResponse:
        """Outside Lambda a file of any size. With `folder` or `purpose` before `file`, nothing is written to disk."""
        stored = await proxy.store(request, principal)
        content = {
            "key": stored.key,
            "size": stored.stored.size_bytes,
            "content_type": stored.content_type,
            "etag": stored.stored.etag,
            "cdn_url": proxy.cdn_url(stored.key),
        }
        if stored.is_checking:
            return _answer({**content, "state": "checking"}, stored.success_url, 202)
        return _answer(content, stored.success_url)

    return routes


def _answer(content: dict[str, Any], success_url: str | None, status: int = 200) -> JSONResponse:
    """Return the answer, or with `success_url` a redirect for a plain HTML form."""
    if success_url is None:
        return JSONResponse(content, status)
    return JSONResponse(content, status_code=303, headers={"Location": success_url})


def _stored(done: Done) -> dict[str, Any]:
    return {
        "success": True,
        "message": "The file is stored.",
        "status": done.sent.status,
        "file_size": done.size_bytes,
        "filename": done.filename,
        "elapsed_ms": done.elapsed_ms,
    }
