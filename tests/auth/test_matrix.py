"""Who may do what: every route of the app, asked by every kind of caller, against the table in docs/security.md.

A new route needs a request here, which the owner of what it names could send, and a row there.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import jwt
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from image_upload.app import create_app
from image_upload.database.migration import migrate
from image_upload.jobs.job import Job
from image_upload.jobs.store import JobStore
from image_upload.s3.bucket import Bucket
from image_upload.settings import Settings, load
from image_upload.settings.storage import StorageSettings
from image_upload.web.routing import every_route
from local.embedded_s3 import EmbeddedS3
from local.ports import claim_port
from local.service import local_environ, running
from tests.database.databases import settings_with
from tests.jobs.queues import sqs
from tests.test_docs import code_in, table

SECRET = "a-secret-of-more-than-thirty-two-bytes"
CALLERS = ("anonymous", "owner", "other", "mint", "admin", "expired")
_SPEC = {"filename": "a.jpg", "contentType": "image/jpeg", "size": 5}


class World:
    """The service, and what the owner has there. Whatever is asked for is made anew: a request may use it up."""

    def __init__(self, url: str, web: httpx.Client, storage: StorageSettings) -> None:
        self.url = url
        self._storage = storage
        self.web = web
        self._tickets: list[str] = []
        self._resumable: list[str] = []

    def _made(self, path: str, **request: Any) -> dict[str, Any]:
        response = self.web.post(self.url + path, headers=signed_in("owner"), **request)
        assert response.is_success, response.text
        made: dict[str, Any] = response.json()
        return made

    def _sent(self, url: str, headers: dict[str, str]) -> None:
        assert self.web.put(url, content=b"12345", headers=headers).status_code == 200

    @property
    def script(self) -> str:
        """A script of the page with the routes."""
        *_, script = re.findall(r'<script src="([^"]+)"', self.web.get(f"{self.url}/docs").text)
        return str(script)

    @property
    def key(self) -> str:
        """The key of a stored file."""
        plan = self._made("/uploads", json=_SPEC)
        self._sent(plan["presignedUrl"], plan["headers"])
        return quote(plan["objectKey"])

    @property
    def presigned_url(self) -> str:
        """A URL to upload to."""
        return str(self._made("/uploads", json=_SPEC)["presignedUrl"])

    @property
    def ticket(self) -> str:
        """The ticket of an upload whose only part was sent."""
        plan = self._made("/uploads", json={**_SPEC, "accepts": ["multipart"]})
        self._sent(plan["parts"][0]["url"], {})
        self._tickets.append(plan["ticket"])
        return self._tickets[-1]

    def tidy(self) -> None:
        """Give up what is unfinished: other tests look at what is left in S3."""
        for ticket in self._tickets:
            self.web.delete(f"{self.url}/uploads/{ticket}", headers=signed_in("owner"))
        for location in self._resumable:
            self.web.delete(self.url + location, headers=signed_in("owner"))

    @property
    def resumable(self) -> str:
        """The ticket of a resumable upload that has no bytes yet."""
        headers = {**signed_in("owner"), **_RESUMABLE}
        location: str = self.web.post(f"{self.url}/resumable", headers=headers).headers["location"]
        self._resumable.append(location)
        return location

    @property
    def parts(self) -> dict[str, Any]:
        """What Uppy says of the parts of `ticket`: moto's ETag of b"12345"."""
        return {"parts": [{"PartNumber": 1, "ETag": '"827ccb0eea8a706c4c34a16891f84e7b"'}]}

    @property
    def job(self) -> str:
        """A job of the owner."""
        job = Job.new("test", "owner")
        asyncio.run(_created(self._storage, job))
        return job.id

    @property
    def post(self) -> int:
        """A post whose image was sent."""
        made = self._made("/posts", json=_SPEC)
        self._sent(made["presignedUrl"], made["headers"])
        return int(made["id"])

    @property
    def file(self) -> int:
        """A file record whose file was sent."""
        made = self._made("/files/upload-url", params={"filename": "a.txt"})
        self._sent(made["presigned_url"], made["headers"])
        return int(made["file_id"])


async def _created(storage: StorageSettings, job: Job) -> None:
    bucket = Bucket(storage)
    try:
        assert await JobStore(bucket).create(job) is not None
    finally:
        await bucket.aclose()


class Asked(NamedTuple):
    """A request: the path behind the route's method, and what goes with it."""

    path: str
    given: dict[str, Any] = {}  # noqa: RUF012  it is never changed


# What tus says of a file `a.jpg` of five bytes.
_RESUMABLE = {"Tus-Resumable": "1.0.0", "Upload-Length": "5", "Upload-Metadata": "filename YS5qcGc="}
_APPEND = {"Upload-Offset": "0", "Upload-Complete": "?0", "Content-Type": "application/partial-upload"}

_IMAGE = {"json": {"content_type": "image/jpeg"}}


def _form(world: World) -> dict[str, Any]:
    return {"data": {"uploadUrl": world.presigned_url}, "files": {"file": ("a.jpg", b"12345", "image/jpeg")}}


# A request for each route, as the owner would send it.
REQUESTS: dict[str, Callable[[World], Asked]] = {
    "GET /": lambda _: Asked("/"),
    "GET /docs": lambda _: Asked("/docs"),
    "GET /docs/{version}/{name}": lambda world: Asked(f"/{world.script}"),
    "GET /openapi.json": lambda _: Asked("/openapi.json"),
    "GET /llms.txt": lambda _: Asked("/llms.txt"),
    "GET /favicon.ico": lambda _: Asked("/favicon.ico"),
    "GET /.well-known/jwks.json": lambda _: Asked("/.well-known/jwks.json"),
    "GET /client.js": lambda _: Asked("/client.js"),
    "GET /metrics": lambda _: Asked("/metrics"),
    "GET /errors": lambda _: Asked("/errors"),
    "GET /errors/{code}": lambda _: Asked("/errors/not-found"),
    "GET /purposes": lambda _: Asked("/purposes"),
    "POST /uploads": lambda _: Asked("/uploads", {"json": _SPEC}),
    "POST /uploads/batch": lambda _: Asked("/uploads/batch", {"json": {"uploads": [_SPEC]}}),
    # The job fails: the address is not public.
    "POST /uploads/from-url": lambda _: Asked(
        "/uploads/from-url", {"json": {"url": "https://localhost/a.jpg", "wait": 0}}
    ),
    "GET /uploads/{ticket}": lambda world: Asked(f"/uploads/{world.ticket}"),
    "GET /uploads/{ticket}/parts": lambda world: Asked(f"/uploads/{world.ticket}/parts"),
    "POST /uploads/{ticket}/parts": lambda world: Asked(
        f"/uploads/{world.ticket}/parts", {"json": {"partNumbers": [1]}}
    ),
    "POST /uploads/{ticket}/complete": lambda world: Asked(f"/uploads/{world.ticket}/complete"),
    "DELETE /uploads/{ticket}": lambda world: Asked(f"/uploads/{world.ticket}"),
    "OPTIONS /resumable": lambda _: Asked("/resumable"),
    "POST /resumable": lambda _: Asked("/resumable", {"headers": _RESUMABLE}),
    "HEAD /resumable/{ticket}": lambda world: Asked(world.resumable),
    "GET /resumable/{ticket}": lambda world: Asked(world.resumable),
    "PATCH /resumable/{ticket}": lambda world: Asked(world.resumable, {"headers": _APPEND, "content": b"123"}),
    "DELETE /resumable/{ticket}": lambda world: Asked(world.resumable),
    "POST /images/presigned-url": lambda _: Asked("/images/presigned-url", _IMAGE),
    "POST /images/presigned-url/scan": lambda _: Asked("/images/presigned-url/scan", _IMAGE),
    "POST /images/presigned-url/profile": lambda _: Asked("/images/presigned-url/profile", _IMAGE),
    "POST /images/presigned-url/chat": lambda _: Asked("/images/presigned-url/chat", _IMAGE),
    "POST /files/upload-url": lambda _: Asked("/files/upload-url", {"params": {"filename": "a.txt"}}),
    "POST /upload-with-presigned": lambda world: Asked("/upload-with-presigned", _form(world)),
    "POST /upload-with-presigned-retry": lambda world: Asked("/upload-with-presigned-retry", _form(world)),
    "POST /api/v1/s3/upload": lambda _: Asked("/api/v1/s3/upload", {"files": {"file": ("a.jpg", b"12345")}}),
    "GET /images/{key}": lambda world: Asked(f"/images/{world.key}"),
    "GET /images/{key}/metadata": lambda world: Asked(f"/images/{world.key}/metadata"),
    "POST /images/{key}/complete": lambda world: Asked(f"/images/{world.key}/complete"),
    "POST /images/{key}/scan": lambda world: Asked(f"/images/{world.key}/scan"),
    "DELETE /images/{key}": lambda world: Asked(f"/images/{world.key}"),
    "GET /api/v1/s3/files": lambda _: Asked("/api/v1/s3/files", {"params": {"prefix": "uploads/"}}),
    "GET /api/v1/s3/file/{key}/url": lambda world: Asked(f"/api/v1/s3/file/{world.key}/url"),
    "GET /api/v1/s3/file/{key}/metadata": lambda world: Asked(f"/api/v1/s3/file/{world.key}/metadata"),
    "GET /api/v1/s3/file/{key}/exists": lambda world: Asked(f"/api/v1/s3/file/{world.key}/exists"),
    "DELETE /api/v1/s3/file/{key}": lambda world: Asked(f"/api/v1/s3/file/{world.key}"),
    "GET /jobs/{job_id}": lambda world: Asked(f"/jobs/{world.job}"),
    "POST /jobs/{job_id}/result": lambda world: Asked(f"/jobs/{world.job}/result", {"json": {"state": "done"}}),
    "POST /posts": lambda _: Asked("/posts", {"json": _SPEC}),
    "GET /posts/{post_id}": lambda world: Asked(f"/posts/{world.post}"),
    "POST /posts/{post_id}/complete": lambda world: Asked(f"/posts/{world.post}/complete"),
    "GET /files/{file_id}/download-url": lambda world: Asked(f"/files/{world.file}/download-url"),
    "POST /files/{file_id}/complete": lambda world: Asked(f"/files/{world.file}/complete"),
    # Signing in needs no token: these routes are for users without one.
    "GET /auth/oauth/google": lambda _: Asked("/auth/oauth/google"),
    "GET /auth/oauth/google/callback": lambda _: Asked("/auth/oauth/google/callback"),
    "GET /auth/oauth/github": lambda _: Asked("/auth/oauth/github"),
    "GET /auth/oauth/github/callback": lambda _: Asked("/auth/oauth/github/callback"),
    "POST /auth/token": lambda _: Asked(
        "/auth/token", {"json": {"grant_type": "refresh_token", "refresh_token": "unknown"}}
    ),
    "POST /auth/logout": lambda _: Asked("/auth/logout", {"json": {"refresh_token": "unknown"}}),
    "POST /auth/verify": lambda _: Asked("/auth/verify"),
    "GET /auth/me": lambda _: Asked("/auth/me"),
    "GET /s3/params": lambda _: Asked("/s3/params", {"params": {"filename": "a.jpg", "type": "image/jpeg"}}),
    "POST /s3/multipart": lambda _: Asked("/s3/multipart", {"json": {"filename": "a.jpg", "type": "image/jpeg"}}),
    "GET /s3/multipart/{upload_id}": lambda world: Asked(f"/s3/multipart/{world.ticket}"),
    "GET /s3/multipart/{upload_id}/{number}": lambda world: Asked(f"/s3/multipart/{world.ticket}/1"),
    "GET /s3/multipart/{upload_id}/batch": lambda world: Asked(
        f"/s3/multipart/{world.ticket}/batch", {"params": {"partNumbers": "1"}}
    ),
    "POST /s3/multipart/{upload_id}/complete": lambda world: Asked(
        f"/s3/multipart/{world.ticket}/complete", {"json": world.parts}
    ),
    "DELETE /s3/multipart/{upload_id}": lambda world: Asked(f"/s3/multipart/{world.ticket}"),
}


def signed_in(caller: str) -> dict[str, str]:
    """The headers of a caller. `mint` and `expired` are the owner, with another token."""
    if caller == "anonymous":
        return {}
    claims = {
        "sub": caller if caller in ("other", "admin") else "owner",
        "exp": int(time.time()) + (-3600 if caller == "expired" else 3600),
        "scope": caller if caller in ("mint", "admin") else "",
    }
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


@pytest.fixture(scope="module")
def settings(s3: EmbeddedS3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """As in production, but for a database, an S3 and a queue that need no TLS."""
    given = {**local_environ({}, s3.environ), "JWT_SECRET": SECRET, "ENVIRONMENT": "production"}
    given |= {"METRICS": "on", "METRICS_TOKEN": SECRET[::-1]}
    strict = load({name: value for name, value in given.items() if not name.startswith("AWS_S3_")})
    database = f"sqlite:///{tmp_path_factory.mktemp('matrix') / 'records.sqlite3'}"
    migrate(settings_with(database))
    with sqs(s3) as queue:
        yield strict.replaced(
            s3_endpoint_url=s3.endpoint_url,
            database_url=SecretStr(database),
            queue_url=SecretStr(queue.url),
            # GitHub's way begins without a question to GitHub; Google's would ask its discovery document.
            github_client_id="client",
            github_client_secret=SecretStr("secret"),
            session_secret=SecretStr(SECRET),
            oauth_redirect_base_url="https://upload.example.com",
            frontend_callback_url="https://app.example.com/callback",
        )


@pytest.fixture(scope="module")
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture(scope="module")
def world(app: FastAPI, settings: Settings, web: httpx.Client) -> Iterator[World]:
    with running(app, claim_port("127.0.0.1", 0, "PORT")) as url:
        world = World(url, web, settings.storage)
        yield world
        world.tidy()


def routes_of(app: FastAPI) -> set[str]:
    """`METHOD /path` of everything the app answers, also what it builds late. HEAD comes with many a GET."""
    found = set()
    for route in every_route(app.routes):
        path = getattr(route, "path_format", None)
        assert path is not None, f"it is not known what {route!r} answers"
        methods: set[str] = getattr(route, "methods", set())
        if methods != {"HEAD"} or getattr(route, "include_in_schema", True):
            found |= {f"{method} {path}" for method in (methods - {"HEAD"} or methods)}
    return found


def documented() -> dict[str, dict[str, int]]:
    """The statuses of the table, by route and caller."""
    return {
        code_in(row[0])[0]: dict(zip(CALLERS, map(int, row[1:]), strict=True))
        for row in table("docs/security.md", "Asked")
    }


def test_every_route_has_a_row_and_every_row_a_route(app: FastAPI) -> None:
    assert set(documented()) == routes_of(app)


def test_every_route_has_a_request(app: FastAPI) -> None:
    assert set(REQUESTS) == routes_of(app)


@pytest.mark.parametrize("route", sorted(REQUESTS))
def test_every_caller_gets_the_answer_of_the_table(world: World, route: str) -> None:
    method = route.partition(" ")[0]
    answers: dict[str, int] = {}
    for caller in CALLERS:
        asked = REQUESTS[route](world)
        given = asked.given | {"headers": {**asked.given.get("headers", {}), **signed_in(caller)}}
        response = world.web.request(method, world.url + asked.path, **given)
        answers[caller] = response.status_code
    assert answers == documented()[route]


def test_uppys_routes_are_no_weaker_with_the_token_in_the_path(world: World) -> None:
    for caller, status in documented()["GET /s3/multipart/{upload_id}"].items():
        token = signed_in(caller).get("Authorization", "").removeprefix("Bearer ")
        path = f"/u/{token}" if token else ""
        assert world.web.get(f"{world.url}{path}/s3/multipart/{world.ticket}").status_code == status, caller
