"""The OpenAPI document: short, without repetition, and true of every route, plan and token."""

import re
from collections.abc import Iterator
from typing import Any, get_args

import httpx
import jsonschema_rs
import pytest
from fastapi.routing import APIRoute

from image_upload.app import create_app
from image_upload.settings import load
from image_upload.uploads.plans import Strategy
from image_upload.web import openapi
from image_upload.web.routing import DirectRoute, every_route
from local.database import local_database
from local.embedded_s3 import EmbeddedS3
from tests.conftest import Mint, Start, problem, serving, settings_for
from tests.test_docs import code_in, fields_of, operations, resolved, table
from tests.test_docs import openapi as document

GIVEN = {"S3_BUCKET_NAME": "bucket", "AWS_REGION": "eu-north-1", "JWT_SECRET": "s" * 32}
DOCUMENT_MAX_BYTES = 150_000
REQUIRED: list[Any] = [{"bearer": []}]
OPTIONAL: list[Any] = [{}, {"bearer": []}]
NONE: list[Any] = []


def nodes(found: Any) -> Iterator[dict[str, Any]]:
    """Every object inside a JSON value, itself first."""
    if isinstance(found, dict):
        yield found
    if isinstance(found, dict | list):
        for each in found.values() if isinstance(found, dict) else found:
            yield from nodes(each)


def validator(schema: dict[str, Any]) -> Any:
    return jsonschema_rs.Draft202012Validator({**schema, "components": document()["components"]})


def security_of(**environ: str) -> dict[str, list[Any]]:
    paths = create_app(load(GIVEN | environ)).openapi()["paths"]
    return {
        f"{method.upper()} {path}": operation["security"]
        for path, methods in paths.items()
        for method, operation in methods.items()
    }


# --- its form -------------------------------------------------------------------------------------


def test_the_document_is_short(service: str, web: httpx.Client) -> None:
    assert len(web.get(f"{service}/openapi.json").content) < DOCUMENT_MAX_BYTES


def test_every_operation_has_a_short_readable_id_of_its_own() -> None:
    found = [operation["operationId"] for operation in operations().values()]
    assert len(set(found)) == len(found)
    assert [each for each in found if not re.fullmatch(r"[a-z]+([A-Z][a-z]+)+", each) or len(each) > 25] == []


def test_no_operation_id_follows_from_the_name_of_a_function() -> None:
    app = create_app(load(GIVEN | {"ENVIRONMENT": "test"}))
    every = every_route(app.routes)
    made = [each.as_documented() if isinstance(each, DirectRoute) else each for each in every]
    routes = [route for route in made if isinstance(route, APIRoute) and route.include_in_schema]
    assert len(routes) == len(operations())
    assert [route.path for route in routes if route.operation_id is None] == []


def test_every_tag_is_described_and_used() -> None:
    used = {tag for operation in operations().values() for tag in operation["tags"]}
    assert {tag["name"] for tag in document()["tags"] if tag["description"]} == used == set(openapi.TAGS)


def test_errors_are_references_and_their_form_is_written_once() -> None:
    errors = [
        response
        for operation in operations().values()
        for status, response in operation["responses"].items()
        if int(status) >= 400
    ]
    assert [response for response in errors if not response["$ref"].startswith("#/components/responses/")] == []
    shapes = [each for each in nodes(document()) if "request_id" in each.get("properties", ())]
    assert shapes == [document()["components"]["schemas"]["Problem"]]
    contents = [response["content"]["application/problem+json"] for response in map(resolved, errors)]
    assert [content for content in contents if content["schema"] != {"$ref": "#/components/schemas/Problem"}] == []


def test_every_reference_leads_somewhere_and_every_component_is_referred_to() -> None:
    references = {each["$ref"] for each in nodes(document()) if isinstance(each.get("$ref"), str)}
    for reference in references:
        resolved({"$ref": reference})
    components = {
        f"#/components/{kind}/{name}"
        for kind, named in document()["components"].items()
        if kind != "securitySchemes"
        for name in named
    }
    assert components == references


def test_every_example_and_every_default_is_valid() -> None:
    checked = 0
    for each in nodes(document()):
        # A schema's own are a list, those of a media type have names.
        schema, values = each, each["examples"] if isinstance(each.get("examples"), list) else []
        if isinstance(each.get("schema"), dict):
            schema, named = each["schema"], each.get("examples")
            values = [resolved(example)["value"] for example in named.values()] if isinstance(named, dict) else []
        if isinstance(each.get("type"), str) and "default" in each:
            values = [*values, each["default"]]
        for value in values:
            validator(schema).validate(value)
            checked += 1
    assert checked > 100


# --- plans ----------------------------------------------------------------------------------------


def test_the_discriminator_names_every_plan_there_is() -> None:
    union = document()["components"]["schemas"]["MintedUpload"]
    mapping = union["discriminator"]["mapping"]
    assert union["discriminator"]["propertyName"] == "strategy"
    assert set(mapping) == set(get_args(Strategy))
    assert {form["$ref"] for form in union["oneOf"]} == set(mapping.values())
    for strategy, reference in mapping.items():
        plan = resolved({"$ref": reference})
        assert plan["properties"]["strategy"]["const"] == strategy
        assert {"strategy", "method", "presignedUrl", "objectKey"} <= set(plan["required"])


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("strategy", get_args(Strategy))
def test_a_minted_plan_is_the_one_described_member_by_member(mint: Mint, strategy: str, compact: bool) -> None:
    plan = mint(accepts=[strategy], compact=compact)
    assert plan["strategy"] == strategy
    validator({"$ref": "#/components/schemas/MintedUpload"}).validate(plan)
    described = resolved(
        {"$ref": document()["components"]["schemas"]["MintedUpload"]["discriminator"]["mapping"][strategy]}
    )
    assert set(described["required"]) <= set(plan) <= set(described["properties"])


def test_a_new_post_is_the_row_and_the_plan_that_are_described(s3: EmbeddedS3, web: httpx.Client) -> None:
    schema = operations()["POST /posts"]["responses"]["201"]["content"]["application/json"]["schema"]
    with local_database() as database, serving(settings_for(s3, **database)) as service:
        spec = {"filename": "a.jpg", "contentType": "image/jpeg", "size": 5}
        for strategy in get_args(Strategy):
            response = web.post(f"{service}/posts", json={**spec, "accepts": [strategy]})
            assert response.status_code == 201, response.text
            validator(schema).validate(response.json())
            assert set(response.json()) <= fields_of(schema)


# --- tokens ---------------------------------------------------------------------------------------


def test_a_route_asks_for_a_token_in_the_document_if_it_does_so_in_the_table_of_rights() -> None:
    """tests/auth/test_matrix.py holds the service to the same table."""
    anonymous = {code_in(row[0])[0]: row[1] for row in table("docs/security.md", "Asked")}
    # POST /auth/token answers 400 there, POST /auth/oauth/test-token is not in production.
    security = security_of(ENVIRONMENT="production")
    assert security == {route: REQUIRED if anonymous[route] == "401" else NONE for route in security}
    assert REQUIRED in security.values()
    assert NONE in security.values()


def test_where_no_token_is_required_it_is_optional_but_where_the_answer_is_the_user() -> None:
    strict = security_of(ENVIRONMENT="test", AUTH_REQUIRED="true")
    loose = security_of(ENVIRONMENT="test", AUTH_REQUIRED="false")
    always = {"GET /auth/me", "POST /auth/verify", "POST /jobs/{job_id}/result"}
    assert {route: strict[route] for route in loose if loose[route] != OPTIONAL} == {
        route: security for route, security in strict.items() if security == NONE or route in always
    }


def test_in_production_without_required_tokens_listing_and_deleting_need_one() -> None:
    found = security_of(ENVIRONMENT="production", AUTH_REQUIRED="false")
    assert {route for route, security in found.items() if security == REQUIRED} == {
        "GET /auth/me",
        "POST /auth/verify",
        "POST /jobs/{job_id}/result",
        "GET /api/v1/s3/files",
        "DELETE /api/v1/s3/file/{key}",
        "DELETE /images/{key}",
    }


def test_routes_about_the_user_refuse_a_request_without_a_token_everywhere(start: Start, web: httpx.Client) -> None:
    service = start(AUTH_REQUIRED="false")
    problem(web.get(f"{service}/auth/me"), 401, "token-missing")
    problem(web.post(f"{service}/auth/verify"), 401, "token-missing")


def test_the_scheme_is_a_bearer_jwt() -> None:
    (scheme,) = document()["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
    assert {name for each in operations().values() for need in each["security"] for name in need} == set(
        document()["components"]["securitySchemes"]
    )
