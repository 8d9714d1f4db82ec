"""Answers of the server itself, before or instead of the app's."""

import logging
import uuid
from collections.abc import Iterable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from image_upload.errors import MEDIA_TYPE, HeadTooLarge, Problem, TooManyConnections, as_document
from image_upload.languages.wording import human_bytes
from image_upload.limits import HEAD_FIELDS_MAX, HEAD_MAX_BYTES
from image_upload.web.json_answer import encode

log = logging.getLogger("image_upload.requests")

_RETRY_AFTER_S = 2


def refusal(problem: Problem, default_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Log a problem and return it as a complete HTTP/1.1 answer, which ends the connection.

    It is in English, because the client's preference is in a head that is invalid or was not read.
    """
    request_id = uuid.uuid4().hex
    document = encode(as_document(type(problem), problem.detail, request_id, **problem.extras))
    headers = {
        "content-type": MEDIA_TYPE,
        "content-length": str(len(document)),
        "content-language": "en",
        "cache-control": "no-store",
        "connection": "close",
        "x-request-id": request_id,
        "x-content-type-options": "nosniff",
        **problem.headers,
    }
    fields = [*default_headers, *((name.lower().encode(), value.encode()) for name, value in headers.items())]
    log.info("request", extra={"fields": {"request_id": request_id, "status": problem.status, "code": problem.code}})
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    return b"%b%b\r\n%b" % (STATUS_LINE[problem.status], lines, document)


def head_too_large() -> HeadTooLarge:
    """Return the problem for a head above the limits of bytes or fields."""
    return HeadTooLarge(
        "A request's head has at most {limit} and {fields} fields. Send less in it.",
        facts={"limit": human_bytes(HEAD_MAX_BYTES), "fields": HEAD_FIELDS_MAX},
        max_bytes=HEAD_MAX_BYTES,
    )


def too_many_connections() -> TooManyConnections:
    """Return the problem for a connection above the limit."""
    return TooManyConnections(
        "The service holds as many connections as it may. Try again in a few seconds.",
        headers={"Retry-After": str(_RETRY_AFTER_S)},
    )
