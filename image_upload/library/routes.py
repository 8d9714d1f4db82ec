"""Routes that read and manage stored files, under /images and under /api/v1/s3.

A key may contain slashes, and its last part may be a word that ends one of these paths. The word then belongs to the
route: `GET /images/a/metadata` describes `a`. Read the object `a/metadata` by
`GET /api/v1/s3/file/a/metadata/url`. Paths of DELETE end in no such word.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from starlette.convertors import PathConvertor, register_url_convertor

from image_upload import errors
from image_upload.auth import permissions
from image_upload.auth.dependencies import PrincipalOf
from image_upload.auth.principals import Principal
from image_upload.completion.context import CompletionContext
from image_upload.domain import keys
from image_upload.domain.metadata import FACTS, facts_in
from image_upload.library.access import Access
from image_upload.library.objects import FILE_URL_EXPIRES_S, LIST_DEFAULT_KEYS, Library
from image_upload.library.pages import PageTokens
from image_upload.limits import COMPLETE_WAIT_MAX_S, LIST_MAX_KEYS, PRESIGN_MAX_S
from image_upload.s3.objects import StoredObject
from image_upload.settings.auth import AuthSettings
from image_upload.telemetry import audit
from image_upload.web.json_answer import JSONResponse
from image_upload.web.routing import Routes, documented

READ_URL_EXPIRES_S = 900


class _Key(PathConvertor):
    """The framework's `path`, with line breaks: an invalid key is refused as one, and not as an unknown path."""

    regex = "(?s:.*)"


register_url_convertor("key", _Key())

_CALLER = (
    errors.InvalidKey,
    errors.TokenMissing,
    errors.TokenInvalid,
    errors.ScopeMissing,
    errors.ValidationFailed,
)
_LISTING = (
    *_CALLER,
    errors.StorageDenied,
    errors.StorageUnavailable,
    errors.StorageTimedOut,
    errors.CredentialsUnavailable,
)
_ASKING = (*_LISTING, errors.ObjectMissing, errors.FileTooLarge)
_VERIFIED = (errors.UploadRejected, errors.VerificationUnavailable)
_SIGNING = (*_ASKING, *_VERIFIED, errors.InvalidFilename)
_METADATA = documented(*_ASKING, *_VERIFIED, answer="library.schemas:ObjectMetadata")

_Download = Annotated[bool, Query(description="Make browsers save the file instead of showing it.")]
_Name = Annotated[
    str | None, Query(description="The name under which it is saved, in any script.", examples=["고양이.jpg"])
]


def router(settings: AuthSettings, context: CompletionContext, principal_of: PrincipalOf) -> APIRouter:
    """Return the library's routes for one bucket."""
    routes = Routes(tags=["Reading and managing"])
    reader = Annotated[Principal, Depends(principal_of.needs("read"))]
    manager = Annotated[Principal, Depends(principal_of.needs("manage"))]
    library = Library(context, PageTokens(settings))
    access = Access(settings, library)

    minter = Annotated[Principal, Depends(principal_of.needs("mint"))]
    _images(routes, library, access, reader, manager)
    _completion(routes, library, access, minter)
    _scanning(routes, library, access, minter)
    _files(routes, library, access, reader, manager)
    return routes


def _described(key: str, stored: StoredObject, library: Library) -> dict[str, Any]:
    facts = facts_in(stored.metadata)
    variants = {name: keys.variant(key, name, ext) for name, ext in facts.pop("variants", {}).items()}
    return {
        "key": key,
        "size": stored.size_bytes,
        "content_type": stored.content_type,
        "etag": stored.etag,
        "last_modified": stored.last_modified.isoformat(),
        "storage_class": stored.storage_class,
        "encryption": stored.encryption,
        "checksum_sha256": stored.sha256,
        "metadata": {name: value for name, value in stored.metadata.items() if name != FACTS},
        "missing_metadata": stored.missing_metadata,
        "cdn_url": library.cdn_url(key),
        "facts": facts or None,
        "variants": {name: library.cdn_url(each) for name, each in variants.items()},
        "variant_keys": variants,
    }


def _images(routes: APIRouter, library: Library, access: Access, reader: Any, manager: Any) -> None:
    @routes.get(
        "/images/{key:key}/metadata",
        summary="What is known of a stored file",
        operation_id="getImageMetadata",
        openapi_extra=_METADATA,
    )
    async def image_metadata(key: str, principal: reader) -> JSONResponse:
        """Size, type, ETag, time, user metadata, and where the CDN serves it."""
        key = await access.check(principal, "read", key)
        return JSONResponse(_described(key, await library.get_file_metadata(key), library))

    @routes.get(
        "/images/{key:key}",
        summary="A URL to read a stored file",
        operation_id="getImageUrl",
        openapi_extra=documented(*_SIGNING, answer="library.schemas:ReadUrl"),
    )
    async def image_url(
        key: str, principal: reader, *, as_download: _Download = False, filename: _Name = None
    ) -> JSONResponse:
        """Returns a presigned GET URL that is valid for 15 minutes, also for a key without an object.

        The file of a checked purpose is published on the way, if it has arrived; `state` says whether it is there.
        """
        key = await access.check(principal, "read", key)
        state = await library.published(key)
        made = await library.get_file_url(key, READ_URL_EXPIRES_S, as_download=as_download, filename=filename)
        answer = {"url": made.url, "key": key, "expiresIn": made.expires_s, "download": as_download}
        return JSONResponse(answer if state is None else {**answer, "state": state})

    @routes.delete(
        "/images/{key:key}",
        summary="Delete a stored file",
        operation_id="deleteImage",
        status_code=204,
        response_class=Response,
        openapi_extra=documented(*_ASKING),
    )
    async def delete_image(key: str, principal: manager) -> Response:
        """Safe to repeat. In a versioned bucket earlier versions stay."""
        key = await access.check(principal, "delete", key)
        audit.record("delete", key)
        await library.delete_file(key)
        return Response(status_code=204)


def _completion(routes: APIRouter, library: Library, access: Access, minter: Any) -> None:
    @routes.post(
        "/images/{key:key}/complete",
        summary="A file was sent",
        operation_id="completeImage",
        openapi_extra=documented(*_ASKING, *_VERIFIED, answer="library.schemas:Arrival"),
    )
    async def complete_image(
        key: str,
        principal: minter,
        wait: Annotated[
            int, Query(ge=0, le=COMPLETE_WAIT_MAX_S, description="Seconds to wait while the file is verified.")
        ] = 0,
    ) -> JSONResponse:
        """Answers what S3 has. A file of a checked purpose is verified and published; 202: that is not over yet."""
        key = await access.check(principal, "complete", key)
        confirmation = await library.arrival(key, wait)
        if confirmation.is_checking or confirmation.stored is None:
            return JSONResponse({"key": key, "state": "checking"}, 202, {"Retry-After": "2"})
        audit.record("complete", key, size_bytes=confirmation.stored.size_bytes)
        described = _described(key, confirmation.stored, library)
        url = described["cdn_url"]
        if url is None and permissions.has(principal, "read"):
            url = (await library.get_file_url(key, READ_URL_EXPIRES_S)).url
        return JSONResponse({"state": "stored", **described, "url": url, "receipt": library.receipt(confirmation)})


def _scanning(routes: APIRouter, library: Library, access: Access, minter: Any) -> None:
    @routes.post(
        "/images/{key:key}/scan",
        summary="Let a worker look at a file",
        operation_id="scanImage",
        status_code=202,
        openapi_extra=documented(
            *_ASKING,
            errors.UploadRejected,
            errors.QueueNotConfigured,
            errors.QueueUnavailable,
            answer="library.schemas:StartedJob",
            exposes=("Location",),
        ),
    )
    async def scan_image(key: str, principal: minter) -> JSONResponse:
        """Queues the `task` of the file's purpose, or `SCAN_TASK`. Safe to repeat: a file has one job for a task."""
        key = await access.check(principal, "complete", key)
        job_id = await library.scan(key, principal.user_id)
        audit.record("scan", key)
        return JSONResponse({"job_id": job_id}, 202, {"Location": f"/jobs/{job_id}"})


def _files(routes: APIRouter, library: Library, access: Access, reader: Any, manager: Any) -> None:
    @routes.get(
        "/api/v1/s3/files",
        summary="List stored files",
        operation_id="listFiles",
        openapi_extra=documented(*_LISTING, answer="library.schemas:FileList"),
    )
    async def list_files(
        principal: manager,
        prefix: Annotated[str, Query(description="How the keys begin; empty for all.", examples=["audio/"])] = "",
        max_keys: Annotated[
            int, Query(ge=1, le=LIST_MAX_KEYS, description="Objects of one page at most.")
        ] = LIST_DEFAULT_KEYS,
        continuation_token: Annotated[str | None, Query(description="The next_token of the page before.")] = None,
    ) -> JSONResponse:
        """Lists the caller's own files, for an admin all files, in the order of the keys' UTF-8 bytes."""
        prefix = access.check_listing(principal, prefix)
        if permissions.sees_all(principal):
            page = await library.list_files(prefix, max_keys, continuation_token)
        else:
            page = await library.list_own(
                principal.user_id, prefix, max_keys, continuation_token, with_untagged=access.shares_the_rest
            )
        files = [
            {
                "key": each.key,
                "size": each.size_bytes,
                "etag": each.etag,
                "last_modified": each.last_modified,
                "storage_class": each.storage_class,
            }
            for each in page.files
        ]
        return JSONResponse({"files": files, "prefix": prefix, "next_token": page.next_token})

    @routes.get(
        "/api/v1/s3/file/{key:key}/url",
        summary="A URL to read a stored file, for a time of your choice",
        operation_id="getFileUrl",
        openapi_extra=documented(*_SIGNING, answer="library.schemas:FileReadUrl"),
    )
    async def file_url(
        key: str,
        principal: reader,
        expires_in: Annotated[
            int, Query(ge=1, le=PRESIGN_MAX_S, description="Seconds, up to seven days.")
        ] = FILE_URL_EXPIRES_S,
        *,
        as_download: _Download = False,
        filename: _Name = None,
    ) -> JSONResponse:
        """Returns a presigned GET URL, also without an object. It expires earlier if the service's credentials do."""
        key = await access.check(principal, "read", key)
        state = await library.published(key)
        made = await library.get_file_url(key, expires_in, as_download=as_download, filename=filename)
        answer = {"url": made.url, "key": key, "expires_in": made.expires_s, "download": as_download}
        return JSONResponse(answer if state is None else {**answer, "state": state})

    @routes.get(
        "/api/v1/s3/file/{key:key}/metadata",
        summary="The same as GET /images/{key}/metadata",
        operation_id="getFileMetadata",
        openapi_extra=_METADATA,
    )
    async def file_metadata(key: str, principal: reader) -> JSONResponse:
        """Size, type, ETag, time, user metadata, and where the CDN serves it."""
        key = await access.check(principal, "read", key)
        return JSONResponse(_described(key, await library.get_file_metadata(key), library))

    @routes.get(
        "/api/v1/s3/file/{key:key}/exists",
        summary="Whether there is such a file",
        operation_id="checkFile",
        openapi_extra=documented(*_ASKING, errors.VerificationUnavailable, answer="library.schemas:Exists"),
    )
    async def file_exists(key: str, principal: reader) -> JSONResponse:
        """False only if S3 answers that the object does not exist; an error of S3 is an error."""
        key = await access.check(principal, "read", key)
        return JSONResponse({"key": key, "exists": await library.file_exists(key)})

    @routes.delete(
        "/api/v1/s3/file/{key:key}",
        summary="The same as DELETE /images/{key}",
        operation_id="deleteFile",
        status_code=204,
        response_class=Response,
        openapi_extra=documented(*_ASKING),
    )
    async def delete_file(key: str, principal: manager) -> Response:
        """Safe to repeat. In a versioned bucket earlier versions stay."""
        key = await access.check(principal, "delete", key)
        audit.record("delete", key)
        await library.delete_file(key)
        return Response(status_code=204)
