"""JSON answers, in bytes that a terminal shows well."""

import json
from typing import Any

import starlette.responses


def encode(content: Any) -> bytes:
    """JSON as UTF-8 with a newline behind it, so that a shell's prompt stands on its own line after curl's output.

    JSON allows white space there (RFC 8259 section 2).
    """
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


class JSONResponse(starlette.responses.JSONResponse):
    """Starlette's, with the newline. Every route answers with this one."""

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return encode(content)
