"""Lead to the route of jobs, and build it at the first request."""

from fastapi import APIRouter

from image_upload.auth.dependencies import PrincipalOf
from image_upload.s3.bucket import Bucket
from image_upload.web.routing import LazyRouter


def router(bucket: Bucket, principal_of: PrincipalOf) -> LazyRouter:
    """Return the router that shows jobs."""

    def build() -> APIRouter:
        from image_upload.jobs import routes  # 2 ms with its models, and most services have no jobs

        return routes.router(bucket, principal_of)

    return LazyRouter(("/jobs/",), build)
