"""Conditional requests: RFC 9110 section 13."""

import hashlib

from starlette.requests import Request
from starlette.responses import Response


def etag_of(content: bytes) -> str:
    """Return a strong ETag: 128 bits of the content's SHA-256."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def unless_known(request: Request, response: Response) -> Response:
    """Return the response; 304 with the same headers, if its ETag is in the request's If-None-Match."""
    known = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
    if response.headers["ETag"] not in known and "*" not in known:
        return response
    headers = {
        name: value for name, value in response.headers.items() if name not in ("content-length", "content-type")
    }
    return Response(status_code=304, headers=headers)
