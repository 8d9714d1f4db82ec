"""Read JSON bodies into models, and report their faults without repeating the input."""

from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ValidationError
from starlette.requests import ClientDisconnect, Request

from image_upload.errors import ValidationFailed
from image_upload.limits import FAULTS_LISTED_MAX, JSON_BRACKETS_MAX

Model = TypeVar("Model", bound=BaseModel)

# The location of a fault has names that the client chose.
_PLACE_MAX_CHARS = 100


def at_most(limit: int) -> BeforeValidator:
    """Limit the members of an object before they are validated. pydantic's max_length counts them afterwards."""

    def counted(value: Any) -> Any:
        if isinstance(value, dict) and len(value) > limit:
            raise ValueError(f"holds {len(value)} members, and at most {limit} are taken")
        return value

    return BeforeValidator(counted)


async def read_json(request: Request, model: type[Model], *, empty: Model | None = None) -> Model:
    """Return the request's JSON body as a model; for no body, or null, return `empty`. Raises `ValidationFailed`.

    The Content-Type must be JSON, because a page of another site can send text/plain without a preflight.
    """
    body = await _body(request)
    if empty is not None and body.strip() in (b"", b"null"):
        return empty
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ValidationFailed(
            "The body is not JSON. Send it with Content-Type: application/json.",
            errors=[{"field": "body", "message": "not application/json"}],
        )
    # Brackets in strings count too, because telling them apart needs the parser.
    if body.count(b"[") + body.count(b"{") > JSON_BRACKETS_MAX:
        raise ValidationFailed(
            f"The body opens more than {JSON_BRACKETS_MAX} lists and objects. Send less at a time.",
            errors=[{"field": "body", "message": "too many lists and objects"}],
        )
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise invalid_request(error.errors(include_url=False, include_input=False)) from None


async def _body(request: Request) -> bytes:
    """Return the whole body, in a third of the time of Starlette's generators. Raises `ClientDisconnect`."""
    pieces: list[bytes] = []
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(pieces)


def invalid_request(faults: Iterable[Any], *, skip: int = 0) -> ValidationFailed:
    """Return validation faults as a problem, without the refused input, which may have a signed URL.

    The first `skip` elements of each fault's location (body, query) are left out.
    """
    found = list(faults)
    listed = [{"field": _place(fault["loc"][skip:]), "message": fault["msg"]} for fault in found[:FAULTS_LISTED_MAX]]
    sentence = "; ".join(f"{fault['field']}: {fault['message']}" for fault in listed)
    if len(found) > len(listed):
        sentence += f"; and {len(found) - len(listed)} more"
    return ValidationFailed(f"Correct these fields and send the request again. {sentence}.", errors=listed)


def _place(loc: Iterable[Any]) -> str:
    return ".".join(str(part)[:_PLACE_MAX_CHARS] for part in loc)[:_PLACE_MAX_CHARS] or "body"
