"""What surrounds a route, what it declares, and what is built late."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from image_upload.app import create_app
from image_upload.limits import JSON_BODY_MAX_BYTES
from image_upload.settings import load
from image_upload.web.routing import ErrorAnswer, LazyRouter, Routes, documented
from tests.in_process import InProcess

GIVEN = {"ENVIRONMENT": "test", "S3_BUCKET_NAME": "bucket", "AWS_REGION": "eu-north-1"}
ORIGIN = "https://app.example.com"
JSON = ((b"content-type", b"application/json"),)


@pytest.fixture
def app() -> FastAPI:
    return create_app(load(GIVEN | {"CORS_ALLOW_ORIGINS": ORIGIN, "RATE_LIMIT_PER_ADDRESS": "1000/minute"}))


@pytest.fixture
def client(app: FastAPI) -> Iterator[InProcess]:
    with contextlib.closing(InProcess(app)) as client:
        yield client


def layers(app: Any) -> list[str]:
    """The names of what a request passes on its way to a route."""
    found = []
    while app is not None:
        found.append(type(app).__name__)
        inner = getattr(app, "_app", None) or getattr(app, "app", None)
        app = inner if hasattr(inner, "__dict__") and not callable(getattr(inner, "__func__", None)) else None
    return found


def test_a_request_is_wrapped_at_most_five_times_with_all_that_can_be_switched_on(app: FastAPI) -> None:
    around = layers(app.build_middleware_stack())
    assert around == ["RequestLog", "Cors", "Problems", "APIRouter"]
    assert len([*around, "the route"]) <= 5


def test_a_room_that_is_not_asked_for_is_not_built(app: FastAPI, client: InProcess) -> None:
    assert client.ask("GET", b"/errors").status == 200
    assert client.ask("GET", b"/nothing").status == 404
    lazy = [route for route in app.routes if isinstance(route, LazyRouter)]
    assert len(lazy) == 14
    assert [route for route in lazy if "routes" in vars(route)] == []


@pytest.mark.parametrize("target", [b"/s3/multipart", b"//s3/multipart", b"/u/token/s3/multipart", b"/s3/multipart/"])
def test_uppy_is_told_in_its_own_words_what_went_wrong_in_front_of_its_routes(client: InProcess, target: bytes) -> None:
    large = b" " * (JSON_BODY_MAX_BYTES + 1)
    for method, path, body, code in (
        ("POST", target, large, "body-too-large"),
        ("PUT", target, b"", "method-not-allowed"),
        ("GET", target + b"/a/b/c/d", b"", "not-found"),
    ):
        said = json.loads(client.ask(method, path, headers=JSON, body=body).body)
        assert (said["code"], said["error"]) == (code, code)
        assert said["message"] == said["detail"]
    assert "error" not in json.loads(client.ask("POST", b"/uploads", headers=JSON, body=large).body)


def test_a_protocol_answers_errors_of_its_paths_with_its_own_status_headers_and_text(
    app: FastAPI, client: InProcess
) -> None:
    def format_error(scope: Scope, answer: ErrorAnswer) -> ErrorAnswer:
        headers = {**answer.headers, "X-Method": scope["method"]}
        return answer._replace(status=410, headers=headers, text=f"{answer.document['code']}\n")

    app.router.routes.insert(0, LazyRouter(("/protocol",), Routes, format_error))
    said = client.ask("GET", b"/protocol/none")
    assert (said.status, said.body) == (410, b"not-found\n")
    assert said.headers[b"content-type"] == b"text/plain; charset=utf-8"
    assert (said.headers[b"x-method"], said.headers[b"content-length"]) == (b"GET", b"10")
    assert client.ask("HEAD", b"/protocol/none").body == b""
    assert client.ask("GET", b"/elsewhere").status == 404


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("POST", b"/uploads/", 422),
        ("POST", b"/images/presigned-url/", 422),
        ("GET", b"/errors/", 200),
        ("PUT", b"/uploads/", 405),
        ("GET", b"/uploads//", 404),
        ("PUT", b"/images/", 405),
    ],
)
def test_a_slash_too_many_leads_to_the_route_without_it(
    client: InProcess, method: str, target: bytes, status: int
) -> None:
    assert client.ask(method, target, headers=JSON, body=b"{").status == status


def test_what_a_route_exposes_may_be_read_by_pages_of_allowed_origins(app: FastAPI, client: InProcess) -> None:
    @app.get("/exposing", openapi_extra=documented(exposes=("Upload-Offset",)))
    async def exposing() -> Response:
        return Response(headers={"Upload-Offset": "5"})

    def exposed(path: bytes) -> list[str]:
        answer = client.ask("GET", path, headers=[(b"origin", ORIGIN.encode())])
        return answer.headers[b"access-control-expose-headers"].decode().split(", ")

    assert "Upload-Offset" in exposed(b"/exposing")
    assert "X-Request-Id" in exposed(b"/exposing")
    assert "Upload-Offset" not in exposed(b"/errors")


def test_a_route_takes_as_much_as_it_declares(app: FastAPI, client: InProcess) -> None:
    @app.post("/small", openapi_extra=documented(max_body_bytes=3))
    async def small(request: Request) -> Response:
        await request.body()
        return Response()

    assert client.ask("POST", b"/small", body=b"123").status == 200
    announced, unannounced = (b"content-length", b"4"), (b"content-length", b"")
    for length in (announced, unannounced):
        assert json.loads(client.ask("POST", b"/small", headers=[length], body=b"1234").body)["max_bytes"] == 3
