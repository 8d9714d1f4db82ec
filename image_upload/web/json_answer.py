"""JSON answers, readable in a terminal."""

from typing import Any

import starlette.responses
from pydantic_core import to_json


def encode(content: Any) -> bytes:
    """Encode JSON as UTF-8 with a final newline, so that a shell's prompt is on its own line after curl's output.

    JSON allows white space there (RFC 8259 section 2). pydantic's encoder takes a fifth of the time of `json`'s.
    """
    return to_json(content) + b"\n"


class JSONResponse(starlette.responses.JSONResponse):
    """Starlette's response, with the newline. Every route answers with it."""

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return encode(content)
