"""One file on its way: the plan that it has now, and sending a range of it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from image_upload.cli.put import Failed
from image_upload.cli.put.connection import Answer, Body, Connection, Count, Signed, member
from image_upload.cli.put.source import Source
from image_upload.cli.put.state import Entry, Kept
from image_upload.limits import MULTIPART_FROM_BYTES

# The plans that can sign a digest.
_WITH_SHA256: Final = frozenset({"put", "post"})
# What a ticket or key of an earlier run is answered with that works no more.
_GONE: Final = frozenset({"ticket-invalid", "ticket-expired", "upload-not-found", "upload-gone", "object-missing"})


class Upload:
    """The upload of one file. `room` bounds the requests with a body; `entry` is None for one that does not resume.

    `path` is the route of what was begun, in parts or appends; None for a file that is sent whole.
    """

    def __init__(
        self,
        connection: Connection,
        source: Source,
        *,
        content_type: str,
        purpose: str | None,
        metadata: Mapping[str, str],
        entry: Entry | None,
        room: asyncio.Semaphore,
        parallel: int,
        progress: Count,
    ) -> None:
        self.source = source
        self.content_type = content_type
        self.parallel = parallel
        self.progress = progress
        self.key: str | None = None
        self.path: str | None = None
        self.sha256: str | None = None
        self._connection = connection
        self._spec: dict[str, Any] = {
            "filename": source.name,
            "contentType": content_type,
            "size": source.size_bytes,
            **({"purpose": purpose} if purpose else {}),
            **({"metadata": dict(metadata)} if metadata else {}),
        }
        self._entry = entry
        self._room = room

    @property
    def service_url(self) -> str:
        """The base URL of the service."""
        return self._connection.url

    @property
    def authorization(self) -> dict[str, str]:
        """The header with the token; empty without one."""
        return self._connection.authorization

    @property
    def resumes(self) -> bool:
        """Whether a later run can go on with it."""
        return self._entry is not None

    async def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """Ask the service. Raises `Failed`."""
        return await self._connection.ask(method, path, body)

    async def begin(self, accepts: list[str]) -> dict[str, Any]:
        """Return a new plan; `key` and `path` are its own. Raises `Failed`.

        Where hashing is cheap, the store is asked to refuse other bytes.
        """
        spec = {**self._spec, "accepts": accepts}
        if self._is_hashed and not _WITH_SHA256.isdisjoint(accepts):
            self.sha256 = spec["sha256"] = self.sha256 or await self.source.sha256()
        try:
            answer = await self.ask("POST", "/uploads", spec)
        except Failed as failed:
            # A service whose store compares no digest (S3_CHECKSUMS) refuses it.
            if "sha256" not in spec or "sha256" not in str(failed.facts.get("errors")):
                raise
            answer = await self.ask("POST", "/uploads", {**spec, "sha256": None})
        plan: dict[str, Any] = answer.body
        self.key, ticket = member(plan, "objectKey", str), plan.get("ticket")
        routes = "resumable" if plan.get("strategy") == "resumable" else "uploads"
        self.path = None if ticket is None else f"/{routes}/{ticket}"
        if self._entry is not None:
            with contextlib.suppress(OSError):  # a full disk: it is stored all the same
                self._entry.keep(Kept(self.source.size_bytes, self.source.mtime_ns, self.key, self.path))
        return plan

    async def recall(self) -> dict[str, Any] | None:
        """Return what the service has of an earlier run's upload of this file, None if it has none. Raises `Failed`.

        It is as `GET /uploads/{ticket}` or `GET /resumable/{ticket}` returns it. A file that was sent whole: `{}`.
        """
        kept = self._entry.kept if self._entry is not None else None
        if kept is None:
            return None
        self.key, self.path = kept.key, kept.path
        if (kept.size_bytes, kept.mtime_ns) != (self.source.size_bytes, self.source.mtime_ns):
            await self.give_up()
            return None
        try:
            if self.path is not None:
                found: dict[str, Any] = (await self.ask("GET", self.path)).body
                return found
            await self.ask("POST", f"/images/{quote(self.key)}/complete")
        except Failed as failed:
            if failed.code in _GONE:
                return None
            raise
        self.sha256 = await self.source.sha256() if self._is_hashed else None
        self.progress(self.source.size_bytes)
        return {}

    @property
    def _is_hashed(self) -> bool:
        """Whether hashing is cheap: the file fits one request, and memory keeps it until it is read again."""
        return 0 < self.source.size_bytes < MULTIPART_FROM_BYTES

    async def send(self, first: Signed | None, renew: Callable[[], Awaitable[Signed]], body: Body) -> str | None:
        """Send a body as `Connection.send` does, once there is room."""
        async with self._room:
            return await self._connection.send(first, renew, body, self.progress)

    async def give_up(self) -> None:
        """Abort what was begun, as far as the service answers, and forget it."""
        if self.path is not None:
            with contextlib.suppress(Failed):
                await self.ask("DELETE", self.path)
        self.forget()

    def forget(self) -> None:
        """Keep nothing to go on with."""
        if self._entry is not None:
            self._entry.forget()
