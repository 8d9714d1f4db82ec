"""Lead to the route of imports, and build it at the first request."""

from functools import cached_property
from typing import TYPE_CHECKING

from fastapi import APIRouter

from image_upload.auth.dependencies import PrincipalOf
from image_upload.s3.bucket import Bucket
from image_upload.settings.from_url import FromUrlSettings
from image_upload.uploads.service import UploadService
from image_upload.web.routing import LazyRouter

if TYPE_CHECKING:
    from image_upload.from_url.importer import Importer


class FromUrl:
    """The room of imports. Its importer is made by the first one."""

    def __init__(self, settings: FromUrlSettings, upload_service: UploadService, bucket: Bucket) -> None:
        self._settings = settings
        self._upload_service = upload_service
        self._bucket = bucket

    @cached_property
    def importer(self) -> "Importer":
        """The imports of this process."""
        from image_upload.from_url.importer import Importer  # 60 ms: httpx

        return Importer(self._settings, self._upload_service, self._bucket)

    def router(self, principal_of: PrincipalOf) -> LazyRouter:
        """Return the router of imports."""

        def build() -> APIRouter:
            from image_upload.from_url import routes  # see `importer`

            return routes.router(self, principal_of, on_lambda=self._settings.on_lambda)

        return LazyRouter(("/uploads/from-url",), build)

    async def aclose(self) -> None:
        """End the imports that run, if there are any."""
        if "importer" in vars(self):
            await self.importer.aclose()
