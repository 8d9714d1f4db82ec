"""The value of a job: what is done, for which user, how far it is, and how it ended."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

State = Literal["queued", "running", "done", "failed"]

# The code of a job whose worker has written nothing for longer than it may.
INTERRUPTED: Final = "interrupted"

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_OF_KEY: Final = uuid.UUID("6f1d4a3e-6e4c-5d0b-9f61-0b5d2f6f7a10")


def new_id() -> str:
    """Return an id that cannot be guessed."""
    return str(uuid.uuid4())


def id_of(key: str, task: str) -> str:
    """Return the id of the one job of this task for a key: UUIDv5 (RFC 9562 section 5.5)."""
    return str(uuid.uuid5(_OF_KEY, f"{task}\n{key}"))


def is_id(text: str) -> bool:
    """Return whether a text can be the id of a job."""
    return _ID.fullmatch(text) is not None


class Progress(BaseModel):
    """Bytes that are done. `total_bytes` is None where it is not known."""

    model_config = ConfigDict(frozen=True)

    sent_bytes: int = 0
    total_bytes: int | None = None


class Failure(BaseModel):
    """Why a job failed, as a problem document says it."""

    model_config = ConfigDict(frozen=True)

    code: str
    detail: str


class Job(BaseModel):
    """The state of a job, as the bucket keeps it.

    `task` names the kind of work. `owner_id` is the user who may ask for it. `key` is the object that it is about, None
    until there is one. `silent_s`: if nothing was written for so many seconds after `updated_at`, the job's worker has
    died; None: a worker may be silent for ever. `sent_at`: when its message was queued, for tasks of workers.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    task: str
    owner_id: str
    state: State = "queued"
    key: str | None = None
    progress: Progress = Field(default_factory=Progress)
    result: dict[str, Any] | None = None
    error: Failure | None = None
    silent_s: float | None = None
    sent_at: datetime | None = None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None

    @classmethod
    def new(
        cls,
        task: str,
        owner_id: str,
        *,
        job_id: str | None = None,
        key: str | None = None,
        silent_s: float | None = None,
    ) -> "Job":
        """Return a queued job, without `job_id` under a new id."""
        now = datetime.now(UTC)
        return cls(
            id=job_id or new_id(),
            task=task,
            owner_id=owner_id,
            key=key,
            silent_s=silent_s,
            created_at=now,
            updated_at=now,
        )

    @property
    def is_over(self) -> bool:
        """Whether it has ended, well or not."""
        return self.state in ("done", "failed")

    @property
    def awaits_queue(self) -> bool:
        """Whether the message of a task is not known to be queued."""
        return self.state == "queued" and self.sent_at is None

    def sent(self) -> "Job":
        """Return the job with the mark that its message is queued."""
        return self.model_copy(update={"sent_at": datetime.now(UTC)})

    def running(self, progress: Progress | None = None, *, silent_s: float | None = None) -> "Job":
        """Return the job as it is at work, with the progress so far."""
        return self._changed(
            state="running", progress=progress or self.progress, silent_s=silent_s or self.silent_s, finished=False
        )

    def done(self, result: dict[str, Any], *, key: str | None = None) -> "Job":
        """Return the job with its result."""
        return self._changed(state="done", result=result, key=key or self.key, finished=True)

    def failed(self, code: str, detail: str) -> "Job":
        """Return the job with the reason of its failure."""
        return self._changed(state="failed", error=Failure(code=code, detail=detail), finished=True)

    def seen_at(self, now: datetime) -> "Job":
        """Return the job as it is at this time: failed, if its worker has been silent for too long."""
        if self.is_over or self.silent_s is None or now - self.updated_at <= timedelta(seconds=self.silent_s):
            return self
        return self.failed(INTERRUPTED, "The process that did this work ended before it was done. Start it again.")

    def _changed(self, *, finished: bool, **changed: Any) -> "Job":
        now = datetime.now(UTC)
        return self.model_copy(update={**changed, "updated_at": now, "finished_at": now if finished else None})
