"""Lead to the routes of resumable uploads, and build what they need at the first request."""

from functools import cached_property
from typing import TYPE_CHECKING

from image_upload.completion.context import CompletionContext
from image_upload.settings.resumable import ResumableSettings
from image_upload.uploads.plans import ResumablePlan
from image_upload.uploads.service import UploadService
from image_upload.uploads.validation import ValidatedUpload

if TYPE_CHECKING:
    from image_upload.resumable.service import ResumableUploads


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
