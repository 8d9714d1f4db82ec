"""Lead to the routes of resumable uploads, and build what they need at the first request."""

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter
from starlette.types import Scope

from image_upload.auth.dependencies import PrincipalOf
from image_upload.completion.context import CompletionContext
from image_upload.settings.resumable import ResumableSettings
from image_upload.uploads.plans import ResumablePlan
from image_upload.uploads.service import UploadService
from image_upload.uploads.validation import ValidatedUpload
from image_upload.usage.addresses import AddressOf
from image_upload.web.routing import ErrorAnswer, LazyRouter, Routes

if TYPE_CHECKING:
    from image_upload.resumable.service import ResumableUploads

_OVERRIDE: Final = b"x-http-method-override"


class Resumable:
    """The room of resumable uploads, which plans those of `POST /uploads` too, unless the settings switch it off."""

    def __init__(self, settings: ResumableSettings, upload_service: UploadService, context: CompletionContext) -> None:
        self._settings = settings
        self._upload_service = upload_service
        self._context = context
        if settings.resumable:
            upload_service.resumable = self

    @cached_property
    def uploads(self) -> "ResumableUploads":
        """The uploads of this process."""
        from image_upload.resumable.service import ResumableUploads  # with httpx, 60 ms

        return ResumableUploads(self._settings, self._upload_service, self._context)

    async def plan(self, upload: ValidatedUpload) -> ResumablePlan:
        """See `ResumableRoom`."""
        return await self.uploads.plan(upload)

    def router(self, principal_of: PrincipalOf, address_of: AddressOf, uploads_per_address: int) -> LazyRouter:
        """Return the router of the protocols. Where the settings switch them off, it has no routes."""

        def build() -> APIRouter:
            if not self._settings.resumable:
                return Routes()
            from image_upload.resumable import routes  # see `uploads`; http_sf is 8 ms more
            from image_upload.resumable.receiving import Receiver

            receiver = Receiver(self.uploads, address_of, uploads_per_address)
            return routes.router(receiver, self._upload_service, principal_of)

        return _ResumableRouter(("/resumable",), build, self._formed if self._settings.resumable else None)

    def _formed(self, scope: Scope, answer: ErrorAnswer) -> ErrorAnswer:
        from image_upload.resumable import error_form  # see `uploads`

        return error_form.formed(scope, answer, self.uploads)


class _ResumableRouter(LazyRouter):
    """Take the method from `X-HTTP-Method-Override`, for clients that can send GET and POST alone.

    tus: "The actual method of the request MUST be ignored."
    """

    def lead(self, scope: Scope) -> dict[str, Any] | None:
        """See `LazyRouter.lead`."""
        changes = super().lead(scope)
        for name, value in scope["headers"] if changes is not None else ():
            if name == _OVERRIDE:
                return {"method": value.decode("latin-1")}
        return changes
