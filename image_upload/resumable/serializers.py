"""The JSON of resumable uploads. `schemas.py` describes it for the OpenAPI document."""

from typing import Any

from image_upload.resumable.service import Progress


def as_resumable(progress: Progress) -> dict[str, Any]:
    """Return how far an upload is."""
    upload, stored = progress.ticket.upload, progress.stored
    return {
        "objectKey": None if progress.ticket.kind == "partial" else upload.key,
        "offset": progress.offset,
        "length": progress.length,
        "completed": progress.is_complete,
        "state": "checking" if stored is not None and stored.is_checking else None,
        "cdnUrl": None if stored is None else stored.cdn_url,
        "expiresAt": upload.ends_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
