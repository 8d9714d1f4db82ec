"""docs/routes.md: the table of all routes, and the head of each one's section, from the OpenAPI document."""

import re
import textwrap
from typing import Any, Final

from generate.blocks import fill, names, table
from image_upload.app import create_app
from image_upload.settings import load

_EXAMPLE: Final = {"ENVIRONMENT": "test", "S3_BUCKET_NAME": "bucket", "AWS_REGION": "eu-north-1"}
_LINE_CHARS: Final = 120
_ERRORS_FROM: Final = 400


def page(text: str) -> str:
    """docs/routes.md. A route that has no section yet gets one at the end."""
    document = create_app(load(_EXAMPLE)).openapi()
    operations = {
        operation["operationId"]: (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    for name in [each for each in operations if each not in names(text)]:
        text += f"\n<!-- generated: {name} -->\n<!-- end -->\n"
    rows = [
        (f"[`{route}`](#{_anchor(route)})", operation["summary"], _token(operation))
        for route, operation in (operations[name] for name in names(text) if name in operations)
    ]
    heads = {name: _head(route, operation, document) for name, (route, operation) in operations.items()}
    return fill(text, {"routes": table(("Route", "What it does", "Token"), rows), **heads})


def _head(route: str, operation: dict[str, Any], document: dict[str, Any]) -> str:
    codes = ", ".join(f"`{code}`" for code in _codes(operation, document))
    lines = [
        f"{operation['summary']}. {operation['description']}",
        f"- Token: {_token(operation)}",
        f"- Codes: {codes}",
    ]
    said, *facts = (
        textwrap.fill(" ".join(line.split()), _LINE_CHARS, subsequent_indent=indent, break_on_hyphens=False)
        for line, indent in zip(lines, ("", "  ", "  "), strict=True)
    )
    return "\n".join(["", f"## `{route}`", "", said, "", *facts, "", ""])


def _token(operation: dict[str, Any]) -> str:
    """Whether a route needs one: by the settings of the example, which require none."""
    if not operation["security"]:
        return "none"
    return "where `AUTH_REQUIRED` is true" if {} in operation["security"] else "always"


def _codes(operation: dict[str, Any], document: dict[str, Any]) -> list[str]:
    shared = document["components"]["responses"]
    problems = [
        shared[response["$ref"].rpartition("/")[2]]["content"]["application/problem+json"]
        for status, response in sorted(operation["responses"].items())
        if int(status) >= _ERRORS_FROM
    ]
    return [code for problem in problems for code in problem["examples"]]


def _anchor(route: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", route.lower()).replace(" ", "-")
