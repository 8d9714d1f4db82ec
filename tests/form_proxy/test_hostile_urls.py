"""Thousands of hostile upload URLs, three ways each: none leads to a connection, and each answer says why."""

import asyncio
import base64
import json
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from mangum import Mangum

from image_upload.app import create_app
from image_upload.aws.endpoints import locate
from image_upload.aws.sigv4 import Credentials, Signer
from image_upload.limits import STREAM_FROM_BYTES
from image_upload.settings import load
from image_upload.web.function_url import FunctionUrl
from local.replay import Context
from tests.form_proxy.hostile_urls import hostile_urls
from tests.form_proxy.stores import form

FILE = 'name="file"; filename="cat.jpg"\r\nContent-Type: image/jpeg'
URL = 'name="uploadUrl"'
REFUSALS = {"upload-url-invalid", "upload-url-expired", "upload-target-refused", "upload-url-needs-headers"}
GIVEN = {
    "ENVIRONMENT": "production",
    "AUTH_REQUIRED": "false",
    "RATE_LIMIT_PER_ADDRESS": "off",
    "S3_BUCKET_NAME": "photos",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
}


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A listener on loopback that nothing may connect to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server
        with pytest.raises(BlockingIOError):
            server.accept()


def good_url() -> str:
    return Signer(locate("photos", "us-east-1"), Credentials("key", "secret")).presign(
        "PUT", "uploads/a.jpg", now=datetime.now(UTC), expires_s=300, headers={"Content-Type": "image/jpeg"}
    )


def _over_asgi(app: FastAPI, urls: list[str], bodies: Callable[[str], tuple[bytes, dict[str, str]]]) -> list[Any]:
    async def ask() -> list[Any]:
        answers = []
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as web:
            for url in urls:
                body, headers = bodies(url)
                response = await web.post("/upload-with-presigned-retry", content=body, headers=headers)
                answers.append((response.status_code, response.json()))
        return answers

    return asyncio.run(ask())


def as_it_arrives(app: FastAPI, urls: list[str]) -> list[Any]:
    """The URL before a file that is long enough to be passed on while it arrives."""
    file = bytes(STREAM_FROM_BYTES)
    return _over_asgi(app, urls, lambda url: form((URL, url.encode()), (FILE, file)))


def after_the_file(app: FastAPI, urls: list[str]) -> list[Any]:
    """The URL behind the file."""
    return _over_asgi(app, urls, lambda url: form((FILE, b"x"), (URL, url.encode())))


def on_lambda(app: FastAPI, urls: list[str]) -> list[Any]:
    """As a Function URL hands it over."""
    with asyncio.Runner() as runner:
        # Mangum asks for the thread's loop.
        asyncio.set_event_loop(runner.get_loop())
        try:
            return _invoked(app, urls)
        finally:
            asyncio.set_event_loop(None)


def _invoked(app: FastAPI, urls: list[str]) -> list[Any]:
    handler = Mangum(app, lifespan="off", custom_handlers=[FunctionUrl])
    answers = []
    for url in urls:
        body, headers = form((URL, url.encode()), (FILE, b"x"))
        http = {"method": "POST", "path": "/upload-with-presigned", "sourceIp": "203.0.113.9", "protocol": "HTTP/1.1"}
        event = {
            "version": "2.0",
            "rawPath": http["path"],
            "rawQueryString": "",
            "headers": {name.lower(): value for name, value in headers.items()} | {"host": "x.lambda-url.on.aws"},
            "requestContext": {"http": http, "domainName": "x.lambda-url.on.aws", "stage": "$default"},
            "body": base64.b64encode(body).decode(),
            "isBase64Encoded": True,
        }
        said = handler(event, Context("id"))  # type: ignore[arg-type]  # as much of a context as is read
        text = base64.b64decode(said["body"]) if said["isBase64Encoded"] else said["body"]
        answers.append((said["statusCode"], json.loads(text)))
    return answers


@pytest.mark.full
@pytest.mark.parametrize("way", [as_it_arrives, after_the_file, on_lambda])
def test_no_hostile_url_leads_to_a_connection(
    silent: socket.socket, way: Callable[[FastAPI, list[str]], list[Any]]
) -> None:
    urls = hostile_urls(good_url(), silent.getsockname()[1])
    assert len(urls) >= 1_000
    more = {"AWS_LAMBDA_FUNCTION_NAME": "f"} if way is on_lambda else {}
    app = create_app(load(GIVEN | more))
    answers = way(app, urls)
    passed = [
        (url, status, said)
        for url, (status, said) in zip(urls, answers, strict=True)
        if not (status in {400, 403} and said["code"] in REFUSALS) and said["code"] != "validation-failed"
    ]
    assert [(url[60:], status, said["code"]) for url, status, said in passed] == []
    codes = Counter(said["code"] for _, said in answers)
    assert min(codes[code] for code in ("upload-url-invalid", "upload-target-refused")) > 100, codes
    assert codes["validation-failed"] <= 1, "only the empty URL is no URL"


def test_the_good_url_of_the_corpus_passes_the_rule() -> None:
    """Without this, every refusal could have another reason. Its host cannot be reached from a test."""
    ((status, said),) = after_the_file(create_app(load(GIVEN | {"TIMEOUT_SECONDS": "2"})), [good_url()])
    assert (status, said["code"]) in {(502, "upstream-unavailable"), (504, "upload-timed-out")}
