"""Compose the service: one line for each room."""

import functools

from image_upload.auth.dependencies import principal_of
from image_upload.auth.router import router as accounts
from image_upload.companion.router import router as companion
from image_upload.completion.backlog import backlog
from image_upload.completion.context import CompletionContext
from image_upload.form_proxy.router import RETRY_PATH, file_max_bytes
from image_upload.form_proxy.router import router as forms
from image_upload.from_url.router import FromUrl
from image_upload.jobs.router import router as jobs
from image_upload.library.router import router as library
from image_upload.limits import S3_PUT_MAX_BYTES
from image_upload.notify.router import router as receipt_keys
from image_upload.records.router import router as records
from image_upload.settings import Settings
from image_upload.telemetry.audit import Audit
from image_upload.uploads.router import router as uploads
from image_upload.uploads.service import UploadService
from image_upload.usage.addresses import address_of
from image_upload.usage.admission import admission
from image_upload.usage.limiter import Limiter
from image_upload.web.documentation.router import router as documentation
from image_upload.web.health.routes import router as health
from image_upload.web.metrics.router import router as metrics
from image_upload.web.middleware import middleware
from image_upload.web.service import Service


def create_app(settings: Settings) -> Service:
    """Return the service as an ASGI application. Nothing is connected to before the first request that needs it."""
    context = CompletionContext(settings)
    bucket = context.bucket
    limiter, address = Limiter(settings.usage), address_of(settings.usage)
    principal = principal_of(settings.auth, limiter.per_user)
    upload_service = UploadService(
        settings.storage,
        settings.auth,
        context,
        form_path=RETRY_PATH,
        form_max_bytes=file_max_bytes(S3_PUT_MAX_BYTES, settings.proxy),
    )
    from_url = FromUrl(settings.from_url, upload_service, bucket)
    app = Service(
        middleware(
            settings.web, Audit(settings.auth, address), context.telemetry, admission(limiter.per_address, address)
        ),
        [
            # Routers are tried in this order, and most requests are for minting.
            uploads(upload_service, principal),
            library(settings.auth, context, principal),
            forms(
                settings.proxy,
                context,
                principal,
                authorization=upload_service.authorization,
                address_of=address,
                front_ends=settings.front_ends,
            ),
            from_url.router(principal),
            jobs(settings.auth, bucket, context.notifier, principal),
            health(settings.service, bucket),
            records(context, upload_service, principal),
            accounts(settings.sign_in, settings.auth, context.database, principal),
            companion(upload_service, bucket, principal),
            receipt_keys(settings.auth),
            metrics(settings.telemetry.metrics_token, context.telemetry.recorder, functools.partial(backlog, context)),
            documentation(),
        ],
        closing=[from_url.aclose, context.aclose, limiter.aclose],
    )
    # For Lambda's events other than HTTP: the same connections and settings.
    app.state.context, app.state.settings, app.state.from_url = context, settings, from_url
    return app
