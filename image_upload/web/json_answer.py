"""JSON answers, in bytes that a terminal shows well."""

from typing import Any

import starlette.responses
from pydantic_core import to_json


def encode(content: Any) -> bytes:
    """JSON as UTF-8 with a newline behind it, so that a shell's prompt stands on its own line after curl's output.

    JSON allows white space there (RFC 8259 section 2). pydantic's encoder takes a fifth of the time of `json`'s.
    """
    return to_json(content) + b"\n"


class JSONResponse(starlette.responses.JSONResponse):
    """Starlette's, with the newline. Every route answers with this one."""

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return encode(content)
