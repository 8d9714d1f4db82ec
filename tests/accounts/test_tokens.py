import base64
import json
import time
from typing import Any

import httpx
import jwt
import pytest

from tests.conftest import Start, problem

SECRET = "a-secret-of-more-than-thirty-two-bytes"
WISH = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": 5, "purpose": "profile"}


def token(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode({"sub": "42", "exp": time.time() + 60, **claims}, secret, algorithm)


def unsigned(header: dict[str, str], **claims: Any) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part(header)}.{part({'sub': '42', 'exp': time.time() + 60, **claims})}."


def mint(web: httpx.Client, service: str, bearer: str | None) -> httpx.Response:
    headers = {"Authorization": bearer} if bearer is not None else {}
    return web.post(f"{service}/uploads", json=WISH, headers=headers)


def test_a_valid_token_decides_whose_key_it_is(start: Start, web: httpx.Client) -> None:
    service = start(AUTH_REQUIRED="true", JWT_SECRET=SECRET)
    response = mint(web, service, f"Bearer {token()}")
    assert response.status_code == 200, response.text
    assert response.json()["objectKey"].startswith("profiles/42/")
    hostile = mint(web, service, f"bearer {token(sub='../../etc')}").json()["objectKey"]
    assert hostile.startswith("profiles/..~2F..~2Fetc/")


@pytest.mark.parametrize("path", ["/uploads", "/images/uploads/a.jpg"])
def test_minting_and_reading_need_a_token_where_it_is_required(start: Start, web: httpx.Client, path: str) -> None:
    service = start(AUTH_REQUIRED="true", JWT_SECRET=SECRET)
    method = "POST" if path == "/uploads" else "GET"
    response = web.request(method, service + path, json=WISH)
    problem(response, 401, "token-missing")
    assert response.headers["www-authenticate"] == "Bearer"


def test_production_requires_a_token_without_being_told(start: Start, web: httpx.Client) -> None:
    service = start(ENVIRONMENT="production", AWS_S3_ENDPOINT_URL="", JWT_SECRET=SECRET)
    problem(mint(web, service, None), 401, "token-missing")
    assert mint(web, service, f"Bearer {token()}").status_code == 200


def test_the_proxy_needs_no_token(start: Start, web: httpx.Client) -> None:
    service = start(AUTH_REQUIRED="true", JWT_SECRET=SECRET)
    problem(web.post(f"{service}/upload-with-presigned", content=b""), 415, "not-a-form")


@pytest.mark.parametrize(
    "bearer",
    [
        "Bearer",
        "Basic dXNlcjpwdw==",
        "Bearer not-a-token",
        "Bearer " + "x" * 10_000,
        "Bearer " + token(secret="another-secret-of-more-than-thirty-two-bytes"),
        "Bearer " + token(algorithm="HS512", secret=SECRET * 2),
        "Bearer " + token(exp=time.time() - 31),
        "Bearer " + jwt.encode({"sub": "42"}, SECRET),
        "Bearer " + jwt.encode({"exp": time.time() + 60}, SECRET),
        "Bearer " + token(sub=""),
        "Bearer " + token(sub="anonymous"),
        "Bearer " + token(nbf=time.time() + 60),
        "Bearer " + unsigned({"alg": "none", "typ": "JWT"}),
        "Bearer " + unsigned({"alg": "HS256", "typ": "JWT"}),
    ],
)
@pytest.mark.parametrize("required", ["true", "false"])
def test_a_bad_token_is_refused_also_where_none_is_required(
    start: Start, web: httpx.Client, bearer: str, required: str
) -> None:
    response = mint(web, start(AUTH_REQUIRED=required, JWT_SECRET=SECRET), bearer)
    problem(response, 401, "token-invalid")
    assert SECRET not in response.text


def test_issuer_and_audience_are_checked_where_they_are_set(start: Start, web: httpx.Client) -> None:
    service = start(AUTH_REQUIRED="true", JWT_SECRET=SECRET, JWT_ISSUER="us", JWT_AUDIENCE="uploads")
    assert mint(web, service, "Bearer " + token(iss="us", aud="uploads")).status_code == 200
    for claims in ({}, {"iss": "us"}, {"iss": "them", "aud": "uploads"}, {"iss": "us", "aud": "other"}):
        problem(mint(web, service, "Bearer " + token(**claims)), 401, "token-invalid")


def test_a_token_without_a_secret_to_verify_it_is_refused(service: str, web: httpx.Client) -> None:
    problem(mint(web, service, f"Bearer {token()}"), 401, "token-invalid")


def test_without_requirement_the_caller_is_anonymous(service: str, web: httpx.Client) -> None:
    assert mint(web, service, None).json()["objectKey"].startswith("profiles/anonymous/")
