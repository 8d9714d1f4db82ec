"""Plan many uploads in one call: all or none."""

from collections.abc import Sequence

from image_upload.auth.principals import Principal
from image_upload.errors import BatchRefused, Problem, QuotaExceeded, ValidationFailed
from image_upload.limits import FAULTS_LISTED_MAX
from image_upload.uploads.idempotency import Repeatable
from image_upload.uploads.plans import Plan
from image_upload.uploads.requests import UploadRequest, spec_of
from image_upload.uploads.service import UploadService
from image_upload.uploads.validation import validate


async def plan_batch(
    upload_service: UploadService,
    wanted: Sequence[UploadRequest],
    principal: Principal,
    repeatable: Repeatable | None,
) -> list[Plan]:
    """Return the plans in the order of the requests. Raises `BatchRefused` with the faults of all refused files.

    A fault of the service, or an exceeded quota, is raised as it is. A multipart upload is refused in a batch.
    """
    plans: list[Plan] = []
    refused = []
    try:
        for index, each in enumerate(wanted):
            try:
                plans.append(await _plan(upload_service, each, principal, repeatable and repeatable.item(index)))
            except Problem as problem:
                if problem.status >= 500 or isinstance(problem, QuotaExceeded):
                    raise
                refused.append({"index": index, "code": problem.code, "detail": problem.detail})
        if refused:
            raise BatchRefused(
                "{count} of {total} files are not allowed, so nothing was minted. Correct or drop them. "
                "File {index}: {detail}",
                facts={"count": len(refused), "total": len(wanted), **refused[0]},
                errors=refused[:FAULTS_LISTED_MAX],
            )
    except Problem:
        await upload_service.release(plans, repeatable)
        raise
    return plans


async def _plan(
    upload_service: UploadService, wanted: UploadRequest, principal: Principal, repeatable: Repeatable | None
) -> Plan:
    spec = spec_of(wanted, principal, upload_service, repeatable)
    strategy = upload_service.strategy(spec, wanted.accepts)
    if strategy in ("multipart", "resumable"):
        validate(spec, strategy)
        raise ValidationFailed("This file needs an upload of its own in S3. Mint it alone with POST /uploads.")
    return await upload_service.plan(spec, strategy)
