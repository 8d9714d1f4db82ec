"""The specification of an upload after the operator's own check of it."""

from image_upload.auth.authorization import Authorization
from image_upload.uploads.plans import Strategy, UploadSpec
from image_upload.uploads.validation import ValidatedUpload


async def authorized(
    upload: ValidatedUpload, strategy: Strategy, expires_s: int, authorization: Authorization
) -> UploadSpec:
    """Return the specification of a valid upload as the check narrows it; it must be validated again.

    `expires_s` is the validity of a single request, unless the specification has its own. Raises what
    `Authorization.check` raises.
    """
    spec = upload.spec
    expires_s = spec.expires_s or expires_s
    narrowed = await authorization.check(
        spec.principal,
        purpose=spec.purpose.name,
        folder=spec.purpose.prefix.rstrip("/"),
        content_type=spec.content_type,
        filename=spec.filename,
        size_bytes=spec.size_bytes,
        max_bytes=spec.purpose.max_bytes,
        metadata=spec.metadata or {},
        expires_s=None if strategy == "multipart" else expires_s,
    )
    max_bytes = min(spec.purpose.max_bytes, narrowed.max_bytes or spec.purpose.max_bytes)
    return spec._replace(
        purpose=spec.purpose._replace(max_bytes=max_bytes),
        expires_s=min(expires_s, narrowed.expires_s or expires_s),
        metadata=spec.metadata if narrowed.metadata is None else {**(spec.metadata or {}), **narrowed.metadata},
    )
