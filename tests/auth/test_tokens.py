import base64
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from tests.conftest import Start, problem

ROOT = Path(__file__).resolve().parents[2]

SECRET = "a-secret-of-more-than-thirty-two-bytes"
SPEC = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": 5, "purpose": "profile"}


def token(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode({"sub": "42", "exp": time.time() + 60, **claims}, secret, algorithm)


def unsigned(header: dict[str, str], **claims: Any) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part(header)}.{part({'sub': '42', 'exp': time.time() + 60, **claims})}."


def mint(web: httpx.Client, service: str, bearer: str | None) -> httpx.Response:
    headers = {"Authorization": bearer} if bearer is not None else {}
    return web.post(f"{service}/uploads", json=SPEC, headers=headers)


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
    response = web.request(method, service + path, json=SPEC)
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
        "Bearer " + token(nbf=time.time() + 3600),
        "Bearer " + unsigned({"alg": "none", "typ": "JWT"}),
        "Bearer " + unsigned({"alg": "HS256", "typ": "JWT"}),
    ],
    ids=range(14),  # the same in every worker, whatever the time
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


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value", ['"4102444800"', "1e400", "NaN", "-1e400", "true", "[]", "{}", '"٣"', '"' + "9" * 5000 + '"']
)
def test_a_time_that_is_no_number_is_refused_and_named(start: Start, web: httpx.Client, claim: str, value: str) -> None:
    service = start(AUTH_REQUIRED="true", JWT_SECRET=SECRET)
    payload = json.dumps({"sub": "42", "exp": time.time() + 60} | {claim: "HERE"}).replace('"HERE"', value)
    signed = jwt.api_jws.encode(payload.encode(), SECRET, "HS256")
    refused = problem(mint(web, service, f"Bearer {signed}"), 401, "token-invalid")
    assert "(exp, nbf, iat) is not a number" in refused["detail"], refused


@pytest.mark.parametrize("value", ["-1", "0", "1e-300", "-1e300", "9" * 5000, "null"])
def test_a_time_that_is_over_or_unreadable_is_refused(start: Start, web: httpx.Client, value: str) -> None:
    service = start(AUTH_REQUIRED="true", JWT_SECRET=SECRET)
    signed = jwt.api_jws.encode(f'{{"sub": "42", "exp": {value}}}'.encode(), SECRET, "HS256")
    problem(mint(web, service, f"Bearer {signed}"), 401, "token-invalid")


def test_a_token_without_a_secret_to_verify_it_is_refused(service: str, web: httpx.Client) -> None:
    problem(mint(web, service, f"Bearer {token()}"), 401, "token-invalid")


def test_without_requirement_the_caller_is_anonymous(service: str, web: httpx.Client) -> None:
    assert mint(web, service, None).json()["objectKey"].startswith("profiles/anonymous/")


def test_the_previous_secret_verifies_and_signs_nothing(start: Start, web: httpx.Client) -> None:
    old, new = SECRET, "another-secret-of-more-than-thirty-two-bytes"
    before = start(AUTH_REQUIRED="true", JWT_SECRET=old)
    during = start(AUTH_REQUIRED="true", JWT_SECRET=new, JWT_PREVIOUS_SECRET=old)
    after = start(AUTH_REQUIRED="true", JWT_SECRET=new)
    signed_in = {name: {"Authorization": f"Bearer {token(secret)}"} for name, secret in (("old", old), ("new", new))}
    large = {"filename": "a.bin", "contentType": "application/zip", "size": 200 << 20, "purpose": "file"}

    def ticket(service: str, who: str) -> str:
        answer = web.post(f"{service}/uploads", json=large | {"accepts": ["multipart"]}, headers=signed_in[who])
        assert answer.status_code == 200, answer.text
        return str(answer.json()["ticket"])

    begun_before, begun_during = ticket(before, "old"), ticket(during, "old")
    for begun in (begun_before, begun_during):
        assert web.get(f"{during}/uploads/{begun}", headers=signed_in["new"]).status_code == 200
    # What was begun during the rotation is signed with the new secret already.
    assert web.get(f"{after}/uploads/{begun_during}", headers=signed_in["new"]).status_code == 200
    problem(web.get(f"{after}/uploads/{begun_before}", headers=signed_in["new"]), 403, "ticket-invalid")
    problem(web.get(f"{after}/uploads/{begun_during}", headers=signed_in["old"]), 401, "token-invalid")
    problem(mint(web, after, f"Bearer {token('a-third-secret-of-more-than-thirty-two-bytes')}"), 401, "token-invalid")


def test_a_refusal_says_why_in_the_form_of_rfc_6750(start: Start, web: httpx.Client) -> None:
    service = start(AUTH_REQUIRED="true", JWT_SECRET=SECRET)
    assert mint(web, service, None).headers["www-authenticate"] == "Bearer"
    assert mint(web, service, "Bearer x").headers["www-authenticate"] == 'Bearer error="invalid_token"'
    scoped = web.get(f"{service}/images/a.jpg", headers={"Authorization": f"Bearer {token(scope='mint')}"})
    assert scoped.headers["www-authenticate"] == 'Bearer error="insufficient_scope"'


def test_a_token_with_the_scope_mint_uploads_for_the_user_it_names_and_does_nothing_else(
    start: Start, web: httpx.Client
) -> None:
    service = start(AUTH_REQUIRED="true", JWT_SECRET=SECRET)
    bearer = {"Authorization": f"Bearer {token(sub='alice', scope='mint')}"}
    assert mint(web, service, bearer["Authorization"]).json()["objectKey"].startswith("profiles/alice/")
    large = {"filename": "a.bin", "contentType": "application/zip", "size": 200 << 20, "purpose": "file"}
    ticket = web.post(f"{service}/uploads", json=large | {"accepts": ["multipart"]}, headers=bearer).json()["ticket"]
    assert web.get(f"{service}/uploads/{ticket}", headers=bearer).status_code == 200
    assert web.get(f"{service}/uploads/{ticket}/parts", headers=bearer).status_code == 200
    assert web.delete(f"{service}/uploads/{ticket}", headers=bearer).status_code == 204
    assert web.get(f"{service}/s3/params?filename=a.jpg&type=image/jpeg", headers=bearer).status_code == 200
    problem(web.get(f"{service}/images/profiles/alice/x", headers=bearer), 403, "scope-missing")
    both = {"Authorization": f"Bearer {token(sub='root', scope='mint admin')}"}
    assert web.get(f"{service}/images/profiles/alice/x", headers=both).status_code == 200


# A process that starts, to see what it imports.
@pytest.mark.full
def test_nothing_that_verifies_is_imported_before_the_first_token() -> None:
    """Each of these costs a Lambda start or a first request tens of milliseconds."""
    code = """
import asyncio, sys, upload
async def get(path, bearer=None):
    headers = [(b"authorization", f"Bearer {bearer}".encode())] if bearer else []
    said = []
    async def receive(): return {"type": "http.request", "body": b"", "more_body": False}
    async def send(message): said.append(message)
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
             "headers": headers, "client": ("192.0.2.1", 0), "server": None, "scheme": "https", "root_path": "",
             "http_version": "1.1", "asgi": {"version": "3.0"}}
    await upload.app(scope, receive, send)
    return said[0]["status"]
heavy = ("jwt", "cryptography", "limits", "redis", "deprecated")
loaded = lambda: sorted(name for name in heavy if name in sys.modules)
statuses = [asyncio.run(get(path)) for path in ("/errors", "/images/a.jpg", "/uploads/x")]
print(statuses, loaded(), asyncio.run(get("/images/a.jpg", "x.y.z")), loaded(), "httpx" in sys.modules)
"""
    environ = {
        "PATH": "",
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "S3_BUCKET_NAME": "bucket",
        "AWS_REGION": "eu-north-1",
        "JWT_SECRET": SECRET,
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False, timeout=60,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stdout.split("\n")[0] == "[200, 401, 401] [] 401 ['cryptography', 'jwt'] False", done.stderr


def test_no_client_of_ours_reads_the_challenge_which_a_function_url_renames() -> None:
    """They go by the status and the code; so does the code that the documents show."""
    pages = [ROOT / "README.md", ROOT / "README.ko.md", *(ROOT / "docs").rglob("*.md")]
    shown = {
        page: " ".join(re.findall(r"^```.*?^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)) for page in pages
    }
    clients = [ROOT / "test_local.py", *(ROOT / "local").rglob("*.py"), *(ROOT / "image_upload/cli").rglob("*.py")]
    texts = shown | {client: client.read_text("utf-8") for client in clients}
    assert [path.name for path, text in texts.items() if "www-authenticate" in text.lower()] == []
