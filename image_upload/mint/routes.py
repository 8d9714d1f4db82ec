"""Routes that mint."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from image_upload.accounts.dependencies import PrincipalOf
from image_upload.accounts.tokens import Principal
from image_upload.errors import (
    BodyTooLarge,
    CredentialsUnavailable,
    FileTooLarge,
    InvalidFilename,
    InvalidMetadata,
    InvalidRequest,
    InvalidToken,
    NotSignedIn,
    UnsupportedFileType,
)
from image_upload.mint.minting import Mint
from image_upload.mint.plans import PutPlan, Wish
from image_upload.openapi import problems
from image_upload.purposes import Purpose

# The contract's JSON names are camelCase in this family; the rest of the code is not.
# ruff: noqa: N815


class UploadRequest(BaseModel):
    """What a client wants to store."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"filename": "cat.jpg", "contentType": "image/jpeg", "size": 123456}]}
    )

    filename: str = Field(description="The bare file name, in any script.")
    contentType: str = Field(description="Its media type; the PUT must send exactly this.")
    size: int = Field(
        ge=1,
        # Above S3's own limit there is no upload at all; below, the purpose decides (400 file-too-large).
        lt=2**63,
        strict=True,
        description="Its size in bytes; S3 refuses a body of any other length.",
    )
    purpose: str = Field("upload", description="What it is for; decides key, types, size and life time.")
    sha256: str | None = Field(None, description="Its SHA-256, hexadecimal or base64: S3 then refuses other bytes.")
    metadata: dict[str, str] | None = Field(
        None,
        description="Stored with the object, together with user_id, original_filename, content_type and "
        "upload_timestamp. Send {} for just those. The PUT must then send all `headers`.",
    )


class MintedUpload(BaseModel):
    """How to store it."""

    presignedUrl: str = Field(description="PUT the file's bytes here.")
    objectKey: str = Field(description="Pass it to GET /images/{key} later.")
    strategy: str = Field(examples=["put"])
    method: str = Field(examples=["PUT"])
    headers: dict[str, str] = Field(
        description="Send all of them, unchanged. Every HTTP client sets Content-Length by itself."
    )
    expiresAt: datetime
    expiresIn: int = Field(description="Seconds.", examples=[300])
    cdnUrl: str | None = Field(description="Where the CDN will serve it; null without a CDN.")


def as_minted_upload(plan: PutPlan) -> dict[str, Any]:
    """A plan in the JSON of `POST /uploads`."""
    return {
        "presignedUrl": plan.url,
        "objectKey": plan.key,
        "strategy": plan.strategy,
        "method": plan.method,
        "headers": dict(plan.headers),
        "expiresAt": plan.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "expiresIn": plan.expires_s,
        "cdnUrl": plan.cdn_url,
    }


def router(mint: Mint, purposes: Mapping[str, Purpose], principal_of: PrincipalOf) -> APIRouter:
    """The minting routes."""
    routes = APIRouter(tags=["Minting"])

    # expects: JSON filename, contentType, size; purpose, sha256, metadata
    # returns: 200 with a presigned PUT that enforces type and length (and sha256, metadata if given)
    # codes: 400 file-too-large, unsupported-file-type, invalid-filename, invalid-metadata · 401 · 422 · 503
    @routes.post(
        "/uploads",
        summary="A URL to upload one file",
        response_model=MintedUpload,
        responses=problems(
            FileTooLarge,
            UnsupportedFileType,
            InvalidFilename,
            InvalidMetadata,
            NotSignedIn,
            InvalidToken,
            InvalidRequest,
            BodyTooLarge,
            CredentialsUnavailable,
        ),
    )
    async def mint_upload(
        wanted: UploadRequest, principal: Annotated[Principal, Depends(principal_of)]
    ) -> JSONResponse:
        """Returns a presigned PUT URL. Nothing is stored until the file is sent to it."""
        purpose = purposes.get(wanted.purpose)
        if purpose is None:
            raise InvalidRequest(
                f"There is no such purpose. The purposes are: {', '.join(purposes)}.",
                errors=[{"field": "purpose", "message": "unknown"}],
            )
        plan = await mint.put(
            Wish(
                filename=wanted.filename,
                content_type=wanted.contentType,
                size_bytes=wanted.size,
                purpose=purpose,
                user_id=principal.user_id,
                sha256=wanted.sha256,
                metadata=wanted.metadata,
            )
        )
        return JSONResponse(as_minted_upload(plan))

    return routes
