"""Lead to the routes of jobs, and build them at the first request."""

from fastapi import APIRouter

from image_upload.auth.dependencies import PrincipalOf
from image_upload.notify.notifier import Notifier
from image_upload.s3.bucket import Bucket
from image_upload.settings.auth import AuthSettings
from image_upload.web.routing import LazyRouter


def router(settings: AuthSettings, bucket: Bucket, notifier: Notifier, principal_of: PrincipalOf) -> LazyRouter:
    """Return the router that shows jobs, and takes the results of workers."""

    def build() -> APIRouter:
        from image_upload.jobs import routes  # 2 ms with its models, and most services have no jobs

        return routes.router(settings, bucket, notifier, principal_of)

    return LazyRouter(("/jobs/",), build)
