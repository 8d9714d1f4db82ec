"""What the requests of both protocols share: their fields, the limits they are told, and bodies as they arrive."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from starlette.requests import Request
from starlette.types import Scope

from image_upload.auth.principals import Principal
from image_upload.resumable.service import Progress, ResumableUploads
from image_upload.uploads.tickets import ResumableTicket
from image_upload.usage.addresses import AddressOf
from image_upload.web.min_rate import ConcurrencyLimit, enforce_min_rate
from image_upload.web.routing import length_of

LIMIT_HEADER: Final = "Upload-Limit"


def is_tus(scope: Scope) -> bool:
    """Return whether a request speaks tus: the one protocol with a header that each of its requests carries."""
    return any(name == b"tus-resumable" for name, _ in scope["headers"])


def field(request: Request, name: str) -> str | None:
    """Return a header field, lines of the same name joined (RFC 9110 section 5.3); None without one."""
    values = request.headers.getlist(name)
    return ", ".join(values) if values else None


def announced_bytes(request: Request) -> int | None:
    """Return the length of the body; None if it is not known before its end."""
    value = request.headers.get("content-length")
    if value is None:
        return None if "transfer-encoding" in request.headers else 0
    return length_of(value.encode("latin-1"))


def limit_of(uploads: ResumableUploads, ticket: ResumableTicket | None = None) -> dict[str, str]:
    """Return the field `Upload-Limit` for an upload, or for one that would begin now.

    draft-ietf-httpbis-resumable-upload section 4.1.4. tus has no such field; a client that knows it keeps to it.
    """
    most_bytes, age_s = uploads.max_bytes, uploads.expires_s
    if ticket is not None:
        most_bytes = min(most_bytes, ticket.upload.max_bytes)
        age_s = max(0, int(ticket.upload.expires_at_s - time.time()))
    members = {"max-size": most_bytes, "max-append-size": uploads.max_append_bytes, "max-age": age_s}
    return {LIMIT_HEADER: ", ".join(f"{name}={number}" for name, number in members.items() if number is not None)}


class Receiver:
    """Append the bodies of requests: so many at once of a client, each at a least rate."""

    def __init__(self, uploads: ResumableUploads, address_of: AddressOf, uploads_per_address: int) -> None:
        self.uploads = uploads
        self._address_of = address_of
        self._slots = ConcurrencyLimit(uploads_per_address)

    async def append(
        self, request: Request, principal: Principal, ticket: ResumableTicket, offset: int, **declared: Any
    ) -> Progress:
        """Append the body; `declared` and what is raised are those of `ResumableUploads.append`.

        Raises `TooManyUploads`, `ClientTooSlow` too.
        """
        client = f"user {principal.user_id}" if principal.signed_in else self._address_of(request.scope)
        with self._slots.slot(client, signed_in=principal.signed_in):
            async with aclosing(self._chunks(request)) as chunks:
                return await self.uploads.append(
                    ticket, offset, chunks, announced_bytes=announced_bytes(request), **declared
                )

    async def append_first(
        self, request: Request, principal: Principal, ticket: ResumableTicket, **declared: Any
    ) -> Progress:
        """Append the body of the request that begins an upload. If that fails, the client never learns its URL."""
        try:
            return await self.append(request, principal, ticket, 0, **declared)
        except BaseException:
            await asyncio.shield(self.uploads.cancel(ticket))
            raise

    async def _chunks(self, request: Request) -> AsyncGenerator[memoryview, None]:
        async for chunk in enforce_min_rate(request.stream(), lambda: self._slots.are_scarce):
            yield memoryview(chunk)
