"""What `/docs` says about errors: one entry a status, one example a code."""

import functools
import importlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from image_upload.errors import MEDIA_TYPE, InternalError, Problem, as_document

_KEY = "x-documented"

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


class DirectRoute(Route):
    """A route without what FastAPI does for each request (dependencies, exit stacks: 27 us), for the hot path.

    Its endpoint takes the request and returns the response. In the document it looks like any other route.
    """

    def __init__(
        self, path: str, endpoint: Callable[[Request], Awaitable[Response]], method: str, **facts: Any
    ) -> None:
        super().__init__(path, endpoint, methods=[method])
        self._method = method
        self._facts = facts

    def as_documented(self) -> APIRoute:
        """The route as FastAPI would have made it."""
        return APIRoute(self.path, self.endpoint, methods=[self._method], **self._facts)


class LateRoutes(BaseRoute):
    """Routes that are built by the first request for one of them: a route costs a start of the service 0.2 ms.

    `prefixes` are what their paths begin with.
    """

    def __init__(self, prefixes: tuple[str, ...], build: Callable[[], Sequence[BaseRoute]]) -> None:
        self._prefixes = prefixes
        self._build = build

    @functools.cached_property
    def routes(self) -> Sequence[BaseRoute]:
        """The routes themselves."""
        return self._build()

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """The best match among them, as a router finds it; the route that matched is handed on in the scope."""
        best: tuple[Match, Scope] = (Match.NONE, {})
        if scope["type"] != "http" or not scope["path"].startswith(self._prefixes):
            return best
        for route in self.routes:
            match, child = route.matches(scope)
            if match.value > best[0].value:
                best = (match, {**child, "late_route": route})
        return best

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application: the route that matched."""
        await scope["late_route"].handle(scope, receive, send)


def documented(
    *kinds: type[Problem], answer: str | None = None, body: str | None = None, form: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The `openapi_extra` of a route: what it takes, answers, and can go wrong with.

    `answer` and `body` name a pydantic model as `room.module:Model`. They are imported when somebody asks for the
    document, not when the service starts: building the models costs a millisecond each.
    """
    return {_KEY: {"problems": (*kinds, InternalError), "answer": answer, "body": body, "form": form}}


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the app, made once."""
    if app.openapi_schema is None:
        built = [each for route in app.routes for each in (route.routes if isinstance(route, LateRoutes) else [route])]
        routes = [route.as_documented() if isinstance(route, DirectRoute) else route for route in built]
        told = {
            (method, route.path_format): route.openapi_extra.pop(_KEY)
            for route in routes
            if isinstance(route, APIRoute) and route.openapi_extra and _KEY in route.openapi_extra
            for method in route.methods or ()
        }
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=routes)
        schemas: dict[str, Any] = {}
        for (method, path), facts in told.items():
            _fill(document["paths"][path][method.lower()], facts, schemas)
        # FastAPI's own form of validation errors, which no route answers with.
        document["components"] = {"schemas": schemas}
        app.openapi_schema = document
    return app.openapi_schema


def _fill(operation: dict[str, Any], facts: dict[str, Any], schemas: dict[str, Any]) -> None:
    responses = {status: response for status, response in operation["responses"].items() if status != "422"}
    if facts["answer"]:
        success = next(response for status, response in responses.items() if status.startswith("2"))
        success["content"] = {"application/json": {"schema": _reference(facts["answer"], schemas, "serialization")}}
    if facts["body"]:
        schema = _reference(facts["body"], schemas, "validation")
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if facts["form"]:
        operation["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": facts["form"]}}}
    operation["responses"] = responses | problems(*facts["problems"])


def _reference(name: str, schemas: dict[str, Any], mode: Literal["validation", "serialization"]) -> dict[str, str]:
    """A reference to a model's schema, which is added to the components."""
    module, _, model_name = name.partition(":")
    model: type[BaseModel] = getattr(importlib.import_module(f"image_upload.{module}"), model_name)
    schema = model.model_json_schema(mode=mode, ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs", {}))
    schemas[model_name] = schema
    return {"$ref": f"#/components/schemas/{model_name}"}


def problems(*kinds: type[Problem]) -> dict[str, dict[str, Any]]:
    """OpenAPI responses for the problems that a route can answer with: one entry a status, one example a code."""
    responses: dict[str, dict[str, Any]] = {}
    for kind in kinds:
        document = as_document(kind, (kind.__doc__ or "").strip(), "5f0c9be1a4d34d0a8f5b1d9c7e2a6b30")
        entry = responses.setdefault(
            str(kind.status),
            {
                "description": "",
                "content": {MEDIA_TYPE: {"schema": PROBLEM_SCHEMA, "examples": {}}},
            },
        )
        entry["description"] = ", ".join(filter(None, [entry["description"], f"`{kind.code}`"]))
        entry["content"][MEDIA_TYPE]["examples"][kind.code] = {"summary": kind.title, "value": document}
    return responses
