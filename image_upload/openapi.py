"""What `/docs` says about errors: one entry a status, one example a code."""

from typing import Any

from image_upload.errors import MEDIA_TYPE, InternalError, Problem, as_document

TITLE = "Image upload service"

DESCRIPTION = """
Files from browsers and scripts into S3, without running servers.

1. `POST /uploads` tells what you want to store and returns a presigned URL.
2. `PUT` the file to that URL: it goes straight to S3, which enforces size, type and checksum.
3. `GET /images/{key}` returns a URL to read it.

A client that cannot reach S3 sends a form with `file` and `uploadUrl` to
`POST /upload-with-presigned` instead.

Every error is an RFC 9457 problem document (`application/problem+json`) with a `code` for programs,
a `detail` that tells people what to do next, and a `request_id` to quote when asking for help.
`GET /errors` lists all codes.
"""

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "Where the code is explained."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened and what to do next."},
        "code": {"type": "string", "description": "Stable, for programs."},
        "request_id": {"type": "string", "description": "Quote it when you ask for help."},
    },
}


def problems(*kinds: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """The `responses` argument of a FastAPI route for the problems that it can answer with."""
    responses: dict[int | str, dict[str, Any]] = {}
    every: tuple[type[Problem], ...] = (*kinds, InternalError)
    for kind in every:
        document = as_document(kind, (kind.__doc__ or "").strip(), "5f0c9be1a4d34d0a8f5b1d9c7e2a6b30")
        entry = responses.setdefault(
            kind.status,
            {
                "description": "",
                "content": {MEDIA_TYPE: {"schema": PROBLEM_SCHEMA, "examples": {}}},
            },
        )
        entry["description"] = ", ".join(filter(None, [entry["description"], f"`{kind.code}`"]))
        entry["content"][MEDIA_TYPE]["examples"][kind.code] = {"summary": kind.title, "value": document}
    return responses
