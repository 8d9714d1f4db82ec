"""A task for a worker: what is to be done with a stored file, and the message that says so."""

import json
from typing import Any, NamedTuple, Self
from uuid import UUID

from image_upload.jobs.job import id_of
from image_upload.telemetry import trace


class Task(NamedTuple):
    """A task with a file. `owner_id` is "" where the file's user is not known. It is a row of the outbox, too."""

    name: str
    key: str
    owner_id: str
    class_id: str | None = None

    @property
    def type(self) -> str:
        """What the outbox calls it."""
        return "task"

    @property
    def id(self) -> UUID:
        """The id of its job: the same for the same task and key."""
        return UUID(id_of(self.key, self.name))

    @property
    def body(self) -> str:
        """The task as the outbox keeps it: no token, no address."""
        return json.dumps(self._asdict(), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def of(cls, body: str) -> Self:
        """Return the task of an outbox's row."""
        return cls(**json.loads(body))

    def message(self, *, url: str, is_picture: bool, token: str, result_url: str) -> str:
        """Return the message for a worker, as JSON. `url` is the file's. With the `traceparent` of a trace."""
        arguments: dict[str, Any] = {
            "image_url" if is_picture else "file_url": url,
            "user_id": self.owner_id or None,
            "class_id": self.class_id,
        }
        document = {
            "id": str(self.id),
            "task": self.name,
            "kwargs": {name: value for name, value in arguments.items() if value is not None},
            "key": self.key,
            "token": token,
            "result_url": result_url,
            **trace.header(),
        }
        return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
