"""Routes that read what was stored."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse

from image_upload import keys
from image_upload.accounts.dependencies import PrincipalOf
from image_upload.errors import (
    CredentialsUnavailable,
    InvalidFilename,
    InvalidKey,
    InvalidRequest,
    InvalidToken,
    NotSignedIn,
    ScopeMissing,
)
from image_upload.library.disposition import content_disposition
from image_upload.openapi import documented
from image_upload.s3.bucket import Bucket

READ_URL_EXPIRES_S = 900


def router(bucket: Bucket, principal_of: PrincipalOf) -> APIRouter:
    """The library's routes over one bucket."""
    routes = APIRouter(tags=["Reading"])

    # expects: a key with slashes; as_download, filename
    # returns: 200 with a presigned GET, whether or not the object exists (S3 answers that)
    # codes: 400 invalid-key, invalid-filename · 401 · 422 · 503
    @routes.get(
        "/images/{key:path}",
        summary="A URL to read a stored file",
        openapi_extra=documented(
            InvalidKey,
            InvalidFilename,
            NotSignedIn,
            InvalidToken,
            ScopeMissing,
            InvalidRequest,
            CredentialsUnavailable,
            answer="library.answers:ReadUrl",
        ),
        dependencies=[Depends(principal_of.needs("read"))],
    )
    async def image_url(
        key: str,
        *,
        as_download: Annotated[bool, Query(description="Make browsers save the file instead of showing it.")] = False,
        filename: Annotated[
            str | None, Query(description="The name under which it is saved, in any script.", examples=["고양이.jpg"])
        ] = None,
    ) -> JSONResponse:
        """Returns a presigned GET URL that is valid for 15 minutes."""
        keys.check(key)
        name = keys.check_filename(filename) if filename is not None else None
        disposition = content_disposition(name, attachment=as_download)
        query = {"response-content-disposition": disposition} if disposition else None
        pen = await bucket.pen(READ_URL_EXPIRES_S)
        url = pen.url("GET", key, query=query)
        return JSONResponse({"url": url, "key": key, "expiresIn": pen.validity.seconds, "download": as_download})

    return routes
