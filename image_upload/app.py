"""The table of contents: one line a room."""

from typing import TYPE_CHECKING

from image_upload.auth.dependencies import principal_of
from image_upload.auth.router import router as accounts
from image_upload.companion.router import router as companion
from image_upload.database.database import CompletionContext, Database
from image_upload.database.values import ExpectedObject
from image_upload.domain import purposes
from image_upload.form_proxy import routes as forms
from image_upload.form_proxy.proxy import Proxy
from image_upload.library.routes import router as library
from image_upload.limits import S3_PUT_MAX_BYTES
from image_upload.records.router import router as records
from image_upload.s3.bucket import Bucket
from image_upload.s3.errors import map_s3_errors
from image_upload.settings import Settings
from image_upload.telemetry.audit import Audit
from image_upload.uploads.multipart import MultipartUploads
from image_upload.uploads.routes import router as uploads
from image_upload.uploads.service import UploadService
from image_upload.uploads.single_put import SinglePutPlanner
from image_upload.uploads.v1_routes import router as version_1
from image_upload.usage.addresses import address_of
from image_upload.usage.admission import RateLimit
from image_upload.usage.limiter import Limiter
from image_upload.web.documentation.router import router as documentation
from image_upload.web.health.routes import router as health
from image_upload.web.middleware import middleware
from image_upload.web.service import Service

if TYPE_CHECKING:
    from image_upload.usage.quotas import Quotas


def create_app(settings: Settings) -> Service:
    """The service as an ASGI application. Nothing is connected to before the first request that needs it."""
    bucket, database, limiter = Bucket(settings), Database(settings), Limiter(settings)
    quotas, address = _quotas(settings, bucket), address_of(settings)
    stores = CompletionContext(bucket, database, quotas.settle if quotas is not None else None)
    principal = principal_of(settings, limiter.per_user)
    proxy = Proxy(settings, bucket, quotas)
    service = _upload_service(settings, stores, quotas, proxy)

    async def keep_file(expected_object: ExpectedObject) -> int:
        return (await database.records.insert("file", expected_object)).id

    app = Service(
        middleware(
            settings,
            Audit(settings, address),
            RateLimit(limiter.per_address, address) if limiter.per_address is not None else None,
        ),
        [
            # The first one is asked first: minting is what most requests want.
            uploads(service, principal),
            version_1(service, principal, keep_file if database.is_configured else None),
            library(settings, bucket, principal),
            forms.router(proxy, principal),
            health(settings, bucket),
            records(service, stores, principal),
            accounts(settings, database, principal),
            companion(service, bucket, principal),
            documentation(),
        ],
        closing=[each.aclose for each in (bucket, database, limiter, quotas) if each is not None],
    )
    # For what Lambda calls with beside HTTP: the same connections, and what they were made of.
    app.state.stores, app.state.settings = stores, settings
    return app


def _quotas(settings: Settings, bucket: Bucket) -> "Quotas | None":
    if settings.quota_bytes_per_day is None and settings.quota_files_per_day is None:
        return None
    from image_upload.usage.quotas import Quotas  # most services have none

    async def look(key: str) -> int | None:
        from image_upload.s3 import objects  # asked when a quota is used up

        async with map_s3_errors():
            stored = await objects.head(bucket, key)
        return None if stored is None else stored.size_bytes

    return Quotas(settings, look)


def _upload_service(
    settings: Settings, stores: CompletionContext, quotas: "Quotas | None", proxy: Proxy
) -> UploadService:
    """The one mint, which every family of routes shares."""

    async def notice(key: str) -> None:
        from image_upload.completion import confirmation  # few uploads have a record

        await confirmation.notice(stores, key)

    return UploadService(
        SinglePutPlanner(settings, stores.bucket, quotas),
        MultipartUploads(settings, stores.bucket, notice, quotas),
        purposes.table(allow_gif=settings.allow_gif),
        form_post=settings.s3_form_post,
        sha256=settings.s3_checksums == "sha256",
        form_path=forms.RETRY_PATH,
        form_max_bytes=proxy.file_max_bytes(S3_PUT_MAX_BYTES),
    )
