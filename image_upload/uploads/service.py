"""What every minting route calls: the specification of an upload, the strategy it gets, the plan as JSON."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from image_upload.auth.principals import Principal
from image_upload.database.values import ExpectedObject
from image_upload.domain import checks, keys
from image_upload.domain.purposes import Purpose
from image_upload.errors import BatchRefused, Problem, QuotaExceeded, ValidationFailed
from image_upload.limits import FAULTS_LISTED_MAX, S3_OBJECT_MAX_BYTES
from image_upload.uploads import serializers
from image_upload.uploads.multipart import MultipartUploads
from image_upload.uploads.plans import MultipartPlan, PostPlan, ProxyPlan, PutPlan, Strategy, UploadSpec
from image_upload.uploads.requests import UploadRequest
from image_upload.uploads.single_put import SinglePutPlanner, approve
from image_upload.uploads.strategy import choose, part_length

Plan = PutPlan | PostPlan | ProxyPlan | MultipartPlan


class UploadService:
    """Turns requests into specifications and plans. `form_path` is the route that a proxy plan leads to.

    `form_post` and `sha256`: whether the store takes presigned forms, and compares a SHA-256.
    """

    def __init__(
        self,
        mint: SinglePutPlanner,
        uploads: MultipartUploads,
        table: Mapping[str, Purpose],
        *,
        form_path: str,
        form_max_bytes: int,
        form_post: bool = True,
        sha256: bool = True,
    ) -> None:
        self.mint = mint
        self.uploads = uploads
        self.table = table
        self._form_path = form_path
        self._form_max_bytes = form_max_bytes
        self.form_post = form_post
        self._sha256 = sha256

    def purpose(self, name: str, among: Sequence[str] | None = None) -> Purpose:
        """The purpose of a name. Raises `ValidationFailed`."""
        return checks.purpose(name, {each: self.table[each] for each in among} if among else self.table)

    def spec(self, wanted: UploadRequest, principal: Principal) -> UploadSpec:
        """The request as a specification. Raises `UnsupportedFileType` if it has no type and its name does not say one.

        Raises `ValidationFailed` for a SHA-256 that the store would not compare.
        """
        if wanted.sha256 is not None and not self._sha256:
            raise ValidationFailed(
                "The store of this service compares no SHA-256. Leave sha256 out.",
                errors=[{"field": "sha256", "message": "not possible here"}],
            )
        purpose = self.purpose(wanted.purpose)
        return UploadSpec(
            filename=wanted.filename,
            content_type=checks.content_type(purpose, wanted.contentType, wanted.filename),
            size_bytes=wanted.size,
            purpose=purpose,
            user_id=principal.user_id,
            sha256=wanted.sha256,
            metadata=wanted.metadata,
            once=wanted.ifNoneMatch,
        )

    def strategy(self, wanted: UploadRequest) -> Strategy:
        """How the file will go."""
        return choose(
            wanted.size,
            wanted.accepts,
            form_max_bytes=self._form_max_bytes,
            has_sha256=wanted.sha256 is not None,
            has_metadata=wanted.metadata is not None,
            once=wanted.ifNoneMatch,
            form_post=self.form_post,
        )

    async def plan(self, wanted: UploadRequest, principal: Principal) -> dict[str, Any]:
        """The plan of one upload as JSON."""
        return _json(await self._plan(wanted, self.spec(wanted, principal)), wanted)

    async def expected_object(
        self, wanted: UploadRequest, principal: Principal
    ) -> tuple[ExpectedObject, dict[str, Any]]:
        """The same, and what a record has to remember of it."""
        spec = self.spec(wanted, principal)._replace(recorded=True)
        plan = await self._plan(wanted, spec)
        key, ends_at = _key_and_end(plan)
        return expected_object_of(spec, key, ends_at), _json(plan, wanted)

    async def _plan(self, wanted: UploadRequest, spec: UploadSpec) -> Plan:
        match self.strategy(wanted):
            case "put":
                return await self.mint.put(spec)
            case "post":
                return await self.mint.post(spec)
            case "proxy":
                return await self.mint.proxy(spec, self._form_path)
            case "multipart":
                return await self.uploads.plan(spec, part_length(wanted.size), compact=wanted.compact)

    async def batch(self, wanted: Sequence[UploadRequest], principal: Principal) -> list[dict[str, Any]]:
        """The plans of many uploads, all of them or none. A multipart upload is minted alone."""
        plans: list[dict[str, Any]] = []
        refused = []
        for index, each in enumerate(wanted):
            try:
                if self.strategy(each) == "multipart":
                    approve(self.spec(each, principal), S3_OBJECT_MAX_BYTES)
                    raise ValidationFailed("This file needs a multipart upload. Mint it alone with POST /uploads.")
                plans.append(await self.plan(each, principal))
            except Problem as problem:
                if problem.status >= 500 or isinstance(problem, QuotaExceeded):
                    await self.forget(plans)
                    raise
                refused.append({"index": index, "code": problem.code, "detail": problem.detail})
        if refused:
            await self.forget(plans)
            raise BatchRefused(
                "{count} of {total} files are not allowed, so nothing was minted. Correct or drop them. "
                "File {index}: {detail}",
                facts={"count": len(refused), "total": len(wanted), **refused[0]},
                errors=refused[:FAULTS_LISTED_MAX],
            )
        return plans

    async def forget(self, plans: Sequence[Mapping[str, Any]]) -> None:
        """Plans that nobody gets hold no quota."""
        if self.mint.quotas is not None:
            for plan in plans:
                await self.mint.quotas.settle(plan["objectKey"], None)


def expected_object_of(spec: UploadSpec, key: str, ends_at: datetime) -> ExpectedObject:
    """What a record has to remember of an upload that was planned."""
    return ExpectedObject(
        user_id=spec.user_id,
        key=key,
        filename=keys.check_filename(spec.filename or ""),
        content_type=spec.content_type,
        size_bytes=spec.size_bytes,
        sha256=None if spec.sha256 is None else checks.sha256(spec.sha256),
        ends_at=ends_at,
    )


def _key_and_end(plan: Plan) -> tuple[str, datetime]:
    match plan:
        case MultipartPlan():
            return plan.ticket.key, datetime.fromtimestamp(plan.ticket.expires_at_s, UTC)
        case ProxyPlan():
            return plan.put.key, plan.put.valid.ends_at
        case _:
            return plan.key, plan.valid.ends_at


def _json(plan: Plan, wanted: UploadRequest) -> dict[str, Any]:
    if isinstance(plan, MultipartPlan):
        return serializers.as_multipart(plan, compact=wanted.compact)
    return serializers.as_upload(plan)
