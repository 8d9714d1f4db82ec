"""Records as the JSON of their routes. `schemas.py` describes it for the OpenAPI document."""

from datetime import datetime
from typing import Any

from image_upload.completion.confirmation import Confirmation
from image_upload.completion.rejection import rejection
from image_upload.database.values import Record
from image_upload.errors import NotArrived


def as_post(record: Record) -> dict[str, Any]:
    """Return the row of a post. `size` is S3's, and before the upload the expected one."""
    expected_object = record.expected_object
    return {
        "id": record.id,
        "imageKey": expected_object.key,
        "state": record.state,
        "fault": record.fault,
        "filename": expected_object.filename,
        "contentType": expected_object.content_type,
        "size": expected_object.size_bytes if record.size_bytes is None else record.size_bytes,
        "createdAt": _text(record.created_at),
        "updatedAt": _text(record.updated_at),
        "storedAt": _text(record.stored_at),
    }


def as_file(record: Record) -> dict[str, Any]:
    """Return the row of a file record."""
    expected_object = record.expected_object
    return {
        "file_id": record.id,
        "filename": expected_object.filename,
        "object_key": expected_object.key,
        "state": record.state,
        "size": record.size_bytes,
        "created_at": _text(record.created_at),
        "stored_at": _text(record.stored_at),
    }


def check_stored(record: Record, confirmation: Confirmation) -> Record:
    """Return the record as it was confirmed, if its object is stored. Raises `NotArrived`, `UploadRejected`."""
    record = confirmation.record or record
    match record.state:
        case "stored":
            return record
        case "rejected" | "quarantined":
            assert record.fault is not None  # the table checks it
            raise rejection(record.fault)
        case "expired":
            raise NotArrived("The upload's time is over, and S3 has nothing. Start a new one.", state=record.state)
        case "pending" if confirmation.is_checking:
            raise NotArrived("The file has arrived, and is not verified yet. Ask again in a moment.", state="checking")
        case "pending":
            raise NotArrived("S3 has no such object yet. Send the file, then complete.", state=record.state)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
