"""Errors as answers: any exception as a problem document, in the client's language and its protocol's form."""

import logging
from typing import Final

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope, Send

from image_upload.errors import (
    MEDIA_TYPE,
    InternalError,
    MethodNotAllowed,
    NotFound,
    Problem,
    ValidationFailed,
    as_document,
)
from image_upload.languages import negotiation
from image_upload.web.json_answer import encode
from image_upload.web.json_body import invalid_request
from image_upload.web.routing import ErrorAnswer, allowed_methods, formatted

log: Final = logging.getLogger("image_upload.requests")

_TEXT: Final = "text/plain; charset=utf-8"


def cause_of(error: Exception) -> Exception:
    """Return what reading the body raised: FastAPI wraps it into an HTTPException."""
    cause = error.__cause__
    return cause if isinstance(error, HTTPException) and isinstance(cause, Problem | ClientDisconnect) else error


def translate(error: Exception, scope: Scope) -> Problem:
    """Return any exception as a problem: ours as they are, the framework's by their meaning, others as a 500."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        # FastAPI's places begin with body, query or path.
        return invalid_request(error.errors(), skip=1)
    if isinstance(error, HTTPException):
        if error.status_code == NotFound.status:
            return NotFound("There is nothing at this path. GET /docs lists the routes.")
        if error.status_code == MethodNotAllowed.status:
            allowed = ", ".join(allowed_methods(scope))
            return MethodNotAllowed(
                f"{scope['method']} is not possible here. This path takes: {allowed}.", headers={"Allow": allowed}
            )
        if error.status_code < 500:  # a body that FastAPI could not read
            return ValidationFailed("The request body could not be read. Send JSON as /docs shows it.", errors=[])
    log.error(
        "unexpected exception",
        exc_info=error,
        extra={"fields": {"request_id": scope.get("request_id")}},
    )
    return InternalError("Something went wrong in this service. Report the request_id to its operator.")


async def answer(scope: Scope, send: Send, problem: Problem) -> None:
    """Send a problem document."""
    scope["problem"] = problem.code
    if problem.concealed_key is not None:
        scope["concealed_key"] = problem.concealed_key
    document, language = negotiation.localized(
        as_document(type(problem), problem.detail, scope.get("request_id", ""), **problem.extras),
        negotiation.preferred(scope["headers"]),
    )
    headers = {**negotiation.headers_of(language), **problem.headers}
    said = formatted(scope, ErrorAnswer(problem.status, headers, document))
    kind, body = (MEDIA_TYPE, encode(said.document)) if said.text is None else (_TEXT, said.text.encode())
    headers = {"content-type": kind, "content-length": str(len(body)), **said.headers}
    await send(
        {
            "type": "http.response.start",
            "status": said.status,
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
