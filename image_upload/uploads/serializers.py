"""Plans as the JSON of their routes. `schemas.py` describes it for the OpenAPI document."""

from typing import Any, Final

from image_upload.domain.purposes import ANY_TYPE, Purpose
from image_upload.languages.purpose_texts import texts_of
from image_upload.s3.bucket import Validity
from image_upload.uploads.multipart import Completed, Progress
from image_upload.uploads.plans import (
    MultipartPlan,
    PartPage,
    Plan,
    PostPlan,
    ProxyPlan,
    PutPlan,
    ResumablePlan,
    SignedRequest,
    Strategy,
)
from image_upload.uploads.tickets import Ticket

# What `resumable` speaks.
RESUMABLE_PROTOCOLS: Final = ("tus-1.0.0", "ietf-8")


def as_plan(plan: Plan, *, compact: bool = False) -> dict[str, Any]:
    """Return a plan in the JSON of `POST /uploads`. `compact`: part URLs as a template and signatures."""
    match plan:
        case PutPlan():
            length = {"contentLength": plan.content_length, "sizeEnforced": plan.size_enforced}
            return _one(plan, "put", "PUT") | {"headers": dict(plan.headers)} | length
        case PostPlan():
            return _one(plan, "post", "POST") | {"fields": dict(plan.fields), "sizeEnforced": True}
        case ProxyPlan():
            form = {"formUrl": plan.path, "fields": {"uploadUrl": plan.put.url}}
            return _one(plan.put, "proxy", "POST") | form | {"sizeEnforced": plan.put.size_enforced}
        case MultipartPlan():
            return _multipart(plan, compact=compact)
        case ResumablePlan():
            return _resumable(plan)


def _one(plan: PutPlan | PostPlan, strategy: Strategy, method: str) -> dict[str, Any]:
    return {
        "presignedUrl": plan.url,
        "objectKey": plan.key,
        "strategy": strategy,
        "method": method,
        "headers": {},
        **as_validity(plan.valid),
        "cdnUrl": plan.cdn_url,
        "maxBytes": plan.max_bytes,
    }


def _multipart(plan: MultipartPlan, *, compact: bool) -> dict[str, Any]:
    ticket = plan.ticket
    return {
        **as_page(plan.page, ticket, plan.ticket_text, compact=compact),
        "presignedUrl": None,
        "objectKey": ticket.key,
        "strategy": "multipart",
        "method": "PUT",
        "headers": {},
        "cdnUrl": plan.cdn_url,
        "ticket": plan.ticket_text,
        "uploadId": ticket.upload_id,
        "size": ticket.size_bytes,
        "maxBytes": ticket.size_bytes,
        "sizeEnforced": True,
        "partSize": ticket.part_bytes,
        "partCount": ticket.part_count,
        "complete": _request(plan.complete),
        "abort": _request(plan.abort),
        "list": _request(plan.list_parts),
    }


def _resumable(plan: ResumablePlan) -> dict[str, Any]:
    ticket = plan.ticket.upload
    return {
        "presignedUrl": None,
        "uploadUrl": plan.path,
        "objectKey": ticket.key,
        "strategy": "resumable",
        "method": "PATCH",
        "headers": {},
        **as_validity(plan.valid),
        "cdnUrl": plan.cdn_url,
        "ticket": plan.ticket_text,
        "protocols": list(RESUMABLE_PROTOCOLS),
        "chunkSize": plan.append_max_bytes,
        "size": ticket.size_bytes,
        "maxBytes": ticket.max_bytes if ticket.size_bytes is None else ticket.size_bytes,
        "sizeEnforced": True,
    }


def _request(request: SignedRequest) -> dict[str, Any]:
    return {"method": request.method, "url": request.url, "headers": dict(request.headers)}


def as_validity(valid: Validity) -> dict[str, Any]:
    """Return the end of the URLs, as a moment and in seconds."""
    # It is in UTC. `strftime` would take 2 % of a mint.
    ends_at = valid.ends_at.isoformat(timespec="seconds").removesuffix("+00:00")
    return {"expiresAt": f"{ends_at}Z", "expiresIn": valid.seconds}


def as_page(page: PartPage, ticket: Ticket, text: str, *, compact: bool) -> dict[str, Any]:
    """Return the URLs of some parts: complete ones, or a template and signatures."""
    urls = page.urls
    if compact:
        listed: dict[str, Any] = {
            "template": f"{urls.head}{{partNumber}}{urls.tail}{{signature}}",
            "signatures": list(urls.signatures),
        }
    else:
        listed = {
            "parts": [
                {"partNumber": number, "url": url, "size": ticket.part_length(number)}
                for number, url in page.by_number()
            ]
        }
    following = f"/uploads/{text}/parts?from={page.following}" if page.following else None
    return {**listed, "next": following, **as_validity(page.valid)}


def as_progress(progress: Progress) -> dict[str, Any]:
    """Return the parts that S3 has, and the numbers of those that are missing."""
    ticket = progress.ticket
    stored = {part.number for part in progress.parts}
    wanted = () if progress.is_complete else range(1, (ticket.part_count or 0) + 1)
    return {
        "objectKey": ticket.key,
        "completed": progress.is_complete,
        "size": ticket.size_bytes,
        "partSize": ticket.part_bytes,
        "partCount": ticket.part_count,
        "parts": [{"partNumber": part.number, "size": part.size_bytes, "etag": part.etag} for part in progress.parts],
        "missing": [number for number in wanted if number not in stored],
    }


def as_completed(done: Completed) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Return a stored object with the status and headers of the answer: 202 while it is not verified yet."""
    content = {"objectKey": done.key, "size": done.size_bytes, "etag": done.etag, "cdnUrl": done.cdn_url}
    if done.is_checking:
        return {**content, "state": "checking"}, 202, {"Retry-After": "2"}
    return content, 200, {}


def bytes_on_lambda(body: bytes | memoryview) -> int:
    """Return the length of a JSON body inside Lambda's JSON, which escapes its quotes and backslashes."""
    text = bytes(body)
    return len(text) + text.count(b'"') + text.count(b"\\")


def as_purpose(purpose: Purpose) -> dict[str, Any]:
    """Return a purpose in the JSON of `GET /purposes`."""
    extensions = list(dict.fromkeys(ext for each in purpose.types.values() for ext in each))
    takes_any = ANY_TYPE.keys() <= purpose.types.keys()
    return {
        "name": purpose.name,
        "types": list(purpose.types),
        "extensions": extensions,
        # Browsers take `.jpg` and `image/*` there, but not `*/*`.
        # https://html.spec.whatwg.org/multipage/input.html#attr-input-accept
        "accept": "" if takes_any else ",".join([*purpose.types, *(f".{each}" for each in extensions)]),
        "maxBytes": purpose.max_bytes,
        "keptDays": purpose.kept_days,
        "metadata": ["class_id"] if "{class_id}" in purpose.key else [],
        "checked": purpose.checked,
        "variants": [each._asdict() for each in purpose.variants],
        "filesPerDay": purpose.files_per_day,
        "texts": texts_of(purpose.types, purpose.max_bytes, purpose.kept_days),
    }
