"""The audit log: a line for each mint, deletion and refusal, and no secret in any."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import jwt
import pytest

from image_upload.app import create_app
from image_upload.domain import keys
from image_upload.telemetry import logs
from image_upload.telemetry.audit import hashed
from local.embedded_s3 import EmbeddedS3
from tests.conftest import settings_for

SECRET = "a-secret-of-more-than-thirty-two-bytes"
ADDRESS = "203.0.113.77"
SPEC = {"filename": "a.jpg", "contentType": "image/jpeg", "size": 5}

Line = dict[str, Any]
Work = Callable[[httpx.AsyncClient], Awaitable[Any]]
Run = Callable[..., tuple[list[Line], Any]]


def token(user_id: str = "alice", scope: str = "", exp_s: int = 86_400) -> str:
    return jwt.encode({"sub": user_id, "exp": int(time.time()) + exp_s, "scope": scope}, SECRET, "HS256")


def bearer(user_id: str = "alice", scope: str = "", exp_s: int = 86_400) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(user_id, scope, exp_s)}"}


@pytest.fixture
def run(s3: EmbeddedS3, caplog: pytest.LogCaptureFixture) -> Run:
    """Do something with a service in this process; the audit lines, and what it returned."""
    caplog.set_level(logging.DEBUG)

    def do(work: Work, **environ: str) -> tuple[list[Line], Any]:
        settings = settings_for(s3, **{"JWT_SECRET": SECRET, "AUTH_REQUIRED": "true", **environ})
        app = create_app(settings)

        async def inside() -> Any:
            transport = httpx.ASGITransport(app, client=(ADDRESS, 40_000))
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=transport, base_url="http://service") as client,
            ):
                return await work(client)

        caplog.clear()
        done = asyncio.run(inside())
        written = [logs.JsonFormatter().format(record) for record in caplog.records]
        return [json.loads(line) for line in written if '"logger":"audit"' in line], done

    return do


async def minted(client: httpx.AsyncClient, user_id: str = "alice", **fields: Any) -> dict[str, Any]:
    answer = await client.post("/uploads", json=SPEC | fields, headers=bearer(user_id))
    assert answer.status_code == 200, answer.text
    plan: dict[str, Any] = answer.json()
    return plan


def test_a_mint_leaves_a_line_that_says_who_what_and_how_it_ended(run: Run) -> None:
    (line,), plan = run(minted)
    assert {name: line[name] for name in line if name not in ("timestamp", "request_id", "address")} == {
        "level": "INFO",
        "logger": "audit",
        "message": "audit",
        "who": "alice",
        "outcome": "done",
        "status": 200,
        "action": "mint",
        "purpose": "upload",
        "keys": [hashed(plan["objectKey"])],
        "count": 1,
        "size_bytes": 5,
    }
    assert len(line["request_id"]) == 32
    assert line["address"].startswith("hmac:")


MINTS: list[tuple[str, dict[str, Any], str]] = [
    ("/uploads", {"json": {**SPEC, "accepts": ["post"]}}, "upload"),
    ("/uploads", {"json": {**SPEC, "accepts": ["proxy"]}}, "upload"),
    ("/uploads", {"json": {**SPEC, "accepts": ["multipart"], "purpose": "file"}}, "file"),
    ("/images/presigned-url/scan", {"json": {"content_type": "image/jpeg"}}, "scan"),
    ("/files/upload-url", {"params": {"filename": "a.txt"}}, "user-file"),
    ("/s3/multipart", {"json": {"filename": "a.jpg", "type": "image/jpeg"}}, "upload"),
]


@pytest.mark.parametrize(("path", "request_", "purpose"), MINTS, ids=range(len(MINTS)))
def test_every_way_to_mint_leaves_a_line(run: Run, path: str, request_: dict[str, Any], purpose: str) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        assert (await client.post(path, headers=bearer(), **request_)).status_code == 200

    (line,), _ = run(work)
    assert (line["action"], line["purpose"], line["count"], line["outcome"]) == ("mint", purpose, 1, "done")


def test_a_batch_leaves_one_line_with_every_key_and_a_refused_one_says_that_it_failed(run: Run) -> None:
    async def work(client: httpx.AsyncClient) -> list[dict[str, Any]]:
        files = [SPEC, {**SPEC, "size": 7}]
        plans = (await client.post("/uploads/batch", json={"uploads": files}, headers=bearer())).json()["uploads"]
        wrong = [SPEC, {**SPEC, "contentType": "text/html"}]
        assert (await client.post("/uploads/batch", json={"uploads": wrong}, headers=bearer())).status_code == 400
        return list(plans)

    (good, bad), plans = run(work)
    assert (good["count"], good["size_bytes"], good["outcome"]) == (2, 12, "done")
    assert good["keys"] == [hashed(plan["objectKey"]) for plan in plans]
    assert (bad["count"], bad["outcome"], bad["status"]) == (1, "failed", 400)


def test_storing_completing_giving_up_and_deleting_leave_lines(run: Run) -> None:
    async def work(client: httpx.AsyncClient) -> tuple[str, str, str]:
        kept = await client.post("/api/v1/s3/upload", files={"file": ("a.jpg", b"123", "image/jpeg")}, headers=bearer())
        key: str = kept.json()["key"]
        assert (await client.delete(f"/images/{key}", headers=bearer())).status_code == 204
        assert (await client.delete(f"/api/v1/s3/file/{key}", headers=bearer("root", "admin"))).status_code == 204
        plan = await minted(client, accepts=["multipart"])
        async with httpx.AsyncClient() as s3:
            assert (await s3.put(plan["parts"][0]["url"], content=b"12345")).status_code == 200
        assert (await client.post(f"/uploads/{plan['ticket']}/complete", headers=bearer())).status_code == 200
        other = await minted(client, accepts=["multipart"])
        assert (await client.delete(f"/uploads/{other['ticket']}", headers=bearer())).status_code == 204
        return key, plan["objectKey"], other["objectKey"]

    lines, (key, completed, given_up) = run(work)
    assert [(line["action"], line["who"], line["keys"], line.get("size_bytes")) for line in lines] == [
        ("store", "alice", [hashed(key)], 3),
        ("delete", "alice", [hashed(key)], None),
        ("delete", "root", [hashed(key)], None),
        ("mint", "alice", [hashed(completed)], 5),
        ("complete", "alice", [hashed(completed)], 5),
        ("mint", "alice", [hashed(given_up)], 5),
        ("abort", "alice", [hashed(given_up)], 5),
    ]


FOREIGN = f"profiles/alice/{keys.new_id('alice')}"
# What is refused, with which status and code, and who the line says it was.
REFUSED: list[tuple[str, str, dict[str, str], int, str, str | None]] = [
    ("POST", "/uploads", {}, 401, "token-missing", None),
    ("POST", "/uploads", bearer(exp_s=-600), 401, "token-invalid", None),
    ("GET", f"/images/{FOREIGN}", bearer(scope="mint"), 403, "scope-missing", "alice"),
    ("GET", "/uploads/upl1.abcdefgh.abcdefgh", bearer(), 403, "ticket-invalid", "alice"),
    ("GET", f"/images/{FOREIGN}", bearer("mallory"), 404, "object-missing", "mallory"),
    ("DELETE", f"/api/v1/s3/file/{FOREIGN}", bearer("mallory"), 404, "object-missing", "mallory"),
]


@pytest.mark.parametrize(("method", "path", "headers", "status", "code", "who"), REFUSED, ids=range(len(REFUSED)))
def test_a_refusal_leaves_a_line(
    run: Run, method: str, path: str, headers: dict[str, str], status: int, code: str, who: str | None
) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        assert (await client.request(method, path, headers=headers)).status_code == status

    (line,), _ = run(work)
    assert (line["action"], line["outcome"], line["status"], line["code"]) == ("refuse", "refused", status, code)
    assert line.get("who") == who
    assert line.get("keys") == ([hashed(FOREIGN)] if status == 404 else None)


def test_another_users_upload_and_a_rate_limit_leave_lines(run: Run) -> None:
    async def work(client: httpx.AsyncClient) -> str:
        plan = await minted(client, accepts=["multipart"])
        path = f"/s3/multipart/{plan['ticket']}"
        assert (await client.get(path, headers=bearer("mallory"))).status_code == 404
        assert (await client.get(path, headers=bearer("mallory"))).status_code == 429
        return str(plan["objectKey"])

    (_, hidden, limited), key = run(work, RATE_LIMIT_PER_USER="1/hour")
    assert (hidden["who"], hidden["code"], hidden["keys"]) == ("mallory", "upload-not-found", [hashed(key)])
    assert (limited["who"], limited["code"], limited["status"]) == ("mallory", "too-many-requests", 429)


def test_what_is_merely_missing_or_wrong_is_no_refusal(run: Run) -> None:
    async def work(client: httpx.AsyncClient) -> None:
        for path, status in (("/nowhere", 404), (f"/images/{FOREIGN}/metadata", 404), ("/images/..%2f", 400)):
            assert (await client.get(path, headers=bearer())).status_code == status

    assert run(work)[0] == []


def test_no_line_holds_a_secret(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    mail = "jane.doe@example.com"
    tokens = [token(mail), token("mallory"), token(mail, exp_s=-600)]

    async def work(client: httpx.AsyncClient) -> list[str]:
        made = []
        for given in tokens:
            headers = {"Authorization": f"Bearer {given}"}
            answer = await client.post("/uploads", json={**SPEC, "accepts": ["multipart"]}, headers=headers)
            made.append(answer.json())
        first = made[0]
        for given in tokens:
            for path in (f"/images/{first['objectKey']}", f"/uploads/{first['ticket']}", f"/u/{given}/s3/params"):
                await client.get(path, headers={"Authorization": f"Bearer {given}"})
        url = first["parts"][0]["url"]
        await client.post("/upload-with-presigned", data={"uploadUrl": url}, files={"file": ("a.jpg", b"1")})
        signature = url.partition("X-Amz-Signature=")[2][:64]
        return [first["ticket"], first["objectKey"], signature, first["uploadId"]]

    lines, secrets = run(work)
    assert {line["action"] for line in lines} == {"mint", "refuse"}
    written = "".join(json.dumps(line) for line in lines)
    for secret in (*secrets, *tokens, mail, "jane.doe", ADDRESS, SECRET):
        assert secret not in written
    assert len({line["who"] for line in lines if line.get("who", "").startswith("hmac:")}) == 1
    # Nor does the line of the request name a person.
    every = "".join(logs.JsonFormatter().format(record) for record in caplog.records)
    for secret in (secrets[0], secrets[2], *tokens, mail, SECRET):
        assert secret not in every


def test_an_address_and_a_mail_cannot_be_found_out_by_trying(run: Run) -> None:
    first = run(minted)[0][0]["address"]
    again = run(minted)[0][0]["address"]
    other = run(lambda client: client.post("/uploads", json=SPEC), JWT_SECRET=SECRET[::-1], AUTH_REQUIRED="false")[0][
        0
    ]["address"]
    assert first == again
    assert first != other
