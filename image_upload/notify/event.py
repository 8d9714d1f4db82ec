"""Events: what the application is told about an upload or a job. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple, Self, get_args
from uuid import UUID, uuid5

from image_upload.limits import EVENT_MAX_BYTES

EventType = Literal["upload.stored", "upload.rejected", "upload.quarantined", "job.finished"]
TYPES: Final[tuple[str, ...]] = get_args(EventType)

# A random UUID. With another one, all events would be new to their receivers.
_NAMESPACE: Final = UUID("5b0b61b6-7d8d-4a53-9d2e-3b9a4f5f0c11")


class StoredFacts(NamedTuple):
    """What is known about a stored object. `sha256` is base64; `type` is the true type where it was checked.

    `owner` is a user's id, `anonymous`, or None where it is not known.
    """

    key: str
    owner: str | None
    purpose: str
    size: int
    type: str
    stored_at: datetime
    sha256: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `id` is the same whenever the same thing is settled, so that receivers can drop repetitions.

    `data` is a JSON object. Raises `ValueError` if the body is longer than `EVENT_MAX_BYTES`.
    """

    id: UUID
    type: EventType
    at: datetime
    data: Mapping[str, Any]

    def __post_init__(self) -> None:
        if len(self.body.encode()) > EVENT_MAX_BYTES:
            raise ValueError(f"an event {self.type} of more than {EVENT_MAX_BYTES} bytes")

    @classmethod
    def about(cls, key: str, kind: EventType, at: datetime, *, occurrence: str = "", **facts: Any) -> Self:
        """Return the event of this type about an object's key. Facts that are None are left out.

        `occurrence` tells events of one type about one key apart, such as the id of a job.
        """
        data = {"key": key, **{name: value for name, value in facts.items() if value is not None}}
        return cls(uuid5(_NAMESPACE, json.dumps([kind, key, occurrence])), kind, at, data)

    @classmethod
    def stored(cls, facts: StoredFacts, receipt: str | None = None) -> Self:
        """Return the event of a stored object, with its receipt."""
        known = {name: value for name, value in facts._asdict().items() if name not in ("key", "stored_at")}
        return cls.about(facts.key, "upload.stored", facts.stored_at, **known, receipt=receipt)

    @property
    def body(self) -> str:
        """The event as JSON: what is signed and sent, and EventBridge's `detail`."""
        document = {
            "id": str(self.id),
            "type": self.type,
            "timestamp": self.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "data": self.data,
        }
        return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
