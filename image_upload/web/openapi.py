"""The OpenAPI document: bodies, answers, problems and security of all routes."""

import importlib
from collections.abc import Sequence
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from image_upload.errors import MEDIA_TYPE, Problem, as_document
from image_upload.web.routing import Declared, DeclaredRoute, DirectRoute, TokenDependency, every_route

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

# The routes' tags and their descriptions, in the order in which `/docs` shows them.
TAGS = {
    "Service": "Health, the error codes, and this service in plain text.",
    "Minting": "Presigned URLs for uploads, and multipart uploads from begin to end.",
    "Resumable uploads": "Files in any number of requests, by tus 1.0.0 or the IETF's protocol.",
    "Proxy": "Forms for clients that cannot reach S3 themselves.",
    "Reading and managing": "List, read, describe and delete stored files.",
    "Jobs": "Work that takes longer than a request.",
    "Records": "Posts and file records in the database beside the objects. They need `DATABASE_URL`.",
    "Accounts": "Sign in at a provider, and the tokens of this service.",
    "Uppy": "The protocol of Uppy's Companion for `@uppy/aws-s3`.",
}

BEARER = "bearer"
_SECURITY_SCHEMES = {
    BEARER: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A JWT with `sub` and `exp`, signed with `JWT_SECRET` or by your identity provider.",
    }
}

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A new UUID for each upload, the same one for its retries: they get the same key and row.",
    "schema": {"type": "string", "minLength": 1},
    "example": '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
}

_PROBLEM = "Problem"
PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "An error (RFC 9457). Members beside these depend on `code`.",
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


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of the app, made once."""
    if app.openapi_schema is None:
        built = every_route(app.routes)
        made = [route.as_documented() if isinstance(route, DirectRoute) else route for route in built]
        routes = [route for route in made if isinstance(route, DeclaredRoute) and route.include_in_schema]
        document = get_openapi(title=TITLE, version=app.version, description=DESCRIPTION, routes=routes)
        # Instead of FastAPI's own, which describe validation errors that no route answers with.
        document["components"] = components = {
            "schemas": {_PROBLEM: PROBLEM_SCHEMA},
            "responses": {},
            "examples": {kind.code: _example(kind) for route in routes for kind in route.declared.problems},
            "securitySchemes": _SECURITY_SCHEMES,
        }
        for route in routes:
            for method in route.methods or ():
                operation = document["paths"][route.path_format][method.lower()]
                operation["security"] = _security(route)
                _fill(operation, route.declared, components)
        document["info"]["license"] = {"name": "MIT", "identifier": "MIT"}
        document["servers"] = [{"url": "/"}]
        document["tags"] = [{"name": name, "description": meaning} for name, meaning in TAGS.items()]
        app.openapi_schema = document
    return app.openapi_schema


def _security(route: APIRoute) -> list[dict[str, list[str]]]:
    """Return the security requirement of the route's dependency. An empty requirement makes it optional.

    https://spec.openapis.org/oas/v3.1.1.html#security-requirement-object
    """
    calls: list[Any] = [dependency.call for dependency in route.dependant.dependencies]
    asks = [call.requires_token for call in calls if isinstance(call, TokenDependency)]
    if not asks:
        return []
    return [{BEARER: []}] if any(asks) else [{}, {BEARER: []}]


def _fill(operation: dict[str, Any], facts: Declared, components: dict[str, Any]) -> None:
    schemas = components["schemas"]
    responses = {status: response for status, response in operation["responses"].items() if status != "422"}
    if facts.answer:
        success = next(response for status, response in responses.items() if status.startswith("2"))
        found = [_reference(name, schemas, "serialization") for name in facts.answer]
        success["content"] = {"application/json": {"schema": found[0] if len(found) == 1 else {"allOf": found}}}
    if facts.body:
        schema = _reference(facts.body, schemas, "validation")
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if facts.form:
        operation["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": facts.form}}}
    if facts.repeatable:
        operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
    operation["responses"] = responses | _problems(facts.problems, components["responses"])


class _Untitled(GenerateJsonSchema):
    """Schemas without titles of members, which would only repeat their names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _reference(name: str, schemas: dict[str, Any], mode: Literal["validation", "serialization"]) -> dict[str, str]:
    """Add a model's schema to the components; return a reference to it."""
    module, _, model_name = name.partition(":")
    model: type[BaseModel] = getattr(importlib.import_module(f"image_upload.{module}"), model_name)
    schema = model.model_json_schema(mode=mode, ref_template="#/components/schemas/{model}", schema_generator=_Untitled)
    schemas.update(schema.pop("$defs", {}))
    schemas[model_name] = schema
    return {"$ref": f"#/components/schemas/{model_name}"}


def _problems(kinds: Sequence[type[Problem]], shared: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return references to the responses for a route's problems, by status. Add the responses to `shared`.

    A shared response is named by its codes, so that routes with the same problems share it.
    """
    by_status: dict[str, dict[str, None]] = {}
    for kind in kinds:
        by_status.setdefault(str(kind.status), {})[kind.code] = None
    references = {}
    for status, codes in by_status.items():
        name = "_".join(codes)
        shared[name] = {
            "description": ", ".join(f"`{code}`" for code in codes),
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": f"#/components/schemas/{_PROBLEM}"},
                    "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
                }
            },
        }
        references[status] = {"$ref": f"#/components/responses/{name}"}
    return references


def _example(kind: type[Problem]) -> dict[str, Any]:
    meaning = " ".join((kind.__doc__ or "").split())
    return {"summary": kind.title, "value": as_document(kind, meaning, "5f0c9be1a4d34d0a8f5b1d9c7e2a6b30")}
