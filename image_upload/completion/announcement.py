"""What the application is told about an upload: one event for what became of it."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from image_upload.database.values import Record
from image_upload.domain import keys, purposes
from image_upload.domain.faults import Fault
from image_upload.domain.metadata import facts_in
from image_upload.domain.purposes import Purpose, Purposes
from image_upload.s3.objects import StoredObject

if TYPE_CHECKING:
    from image_upload.notify.event import Event, StoredFacts


def facts_of(found: StoredObject, record: Record | None, among: Purposes) -> "StoredFacts":
    """Return what is known of a stored object, from S3, its row, and what verification found."""
    from image_upload.notify.event import StoredFacts  # services that tell nothing need none of it

    purpose = purposes.of_key(found.key, among.every())
    checked = facts_in(found.metadata)
    return StoredFacts(
        key=found.key,
        owner=_owner(found, record, purpose),
        purpose=purpose.name if purpose else "",
        size=found.size_bytes,
        type=found.content_type,
        stored_at=found.last_modified,
        sha256=found.whole_sha256,
        width=checked.get("width"),
        height=checked.get("height"),
    )


def kept_out(
    found: StoredObject, record: Record | None, fault: Fault, among: Purposes, *, quarantined: bool
) -> "Event":
    """Return the event of an upload that was not kept. `found` is the object as it arrived."""
    from image_upload.notify.event import Event  # see `facts_of`

    key = keys.published(found.key)
    purpose = purposes.of_key(key, among.every())
    return Event.about(
        key,
        "upload.quarantined" if quarantined else "upload.rejected",
        datetime.now(UTC),
        owner=_owner(found, record, purpose),
        purpose=purpose.name if purpose else "",
        size=found.size_bytes,
        type=found.content_type,
        fault=fault,
    )


def owner_of(found: StoredObject, record: Record | None, among: Purposes) -> str | None:
    """Return the user's id, as far as the row, the metadata or the key tell it."""
    return _owner(found, record, purposes.of_key(keys.published(found.key), among.every()))


def _owner(found: StoredObject, record: Record | None, purpose: Purpose | None) -> str | None:
    if record is not None:
        return record.expected_object.user_id
    named = found.metadata.get("user_id")
    return named if named is not None or purpose is None else keys.user_in(keys.published(found.key), purpose)
