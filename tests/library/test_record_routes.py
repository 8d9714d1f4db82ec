"""The routes of posts and file records: whose a row is, and what works without a database, or with one that is down."""

import time
import unicodedata
from typing import Any

import httpx
import jwt
import pytest

from image_upload.database.migration import migrate
from tests.conftest import Start, problem
from tests.database.databases import Place, settings_with
from tests.database.postgres import Postgres
from tests.uploads.test_multipart import begin, send_parts

MIB = 1024 * 1024
SECRET = "a-secret-of-more-than-thirty-two-bytes"
SPEC = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": 5}
# The URL of a database on a closed port.
DOWN = "postgresql://me:open-sesame@127.0.0.1:9/records"


def signed_in(user_id: str) -> dict[str, str]:
    token = jwt.encode({"sub": user_id, "exp": int(time.time()) + 600}, SECRET, "HS256")
    return {"Authorization": f"Bearer {token}"}


def records_of(url: str, post: int | str, file: int | str) -> list[tuple[str, str]]:
    return [
        ("GET", f"{url}/posts/{post}"),
        ("POST", f"{url}/posts/{post}/complete"),
        ("GET", f"{url}/files/{file}/download-url"),
        ("POST", f"{url}/files/{file}/complete"),
    ]


def test_a_row_is_its_owners_alone(place: Place, start: Start, web: httpx.Client) -> None:
    url = start(DATABASE_URL=place.url, JWT_SECRET=SECRET, AUTH_REQUIRED="true")
    owner, other = signed_in("user-1"), signed_in("user-2")
    post = web.post(f"{url}/posts", json=SPEC, headers=owner).json()
    file = web.post(f"{url}/files/upload-url", params={"filename": "a.txt"}, headers=owner).json()
    web.put(post["presignedUrl"], content=b"five!", headers=post["headers"])
    web.put(file["presigned_url"], content=b"five!", headers=file["headers"])
    for method, path in records_of(url, post["id"], file["file_id"]):
        problem(web.request(method, path), 401, "token-missing")
        theirs = problem(web.request(method, path, headers=other), 404, "not-found")
        missing = problem(web.request(method, path.replace("/posts/", "/posts/1").replace("/files/", "/files/1"),
                                      headers=owner), 404, "not-found")  # fmt: skip
        assert theirs["detail"] == missing["detail"]
        assert web.request(method, path, headers=owner).status_code == 200
    rows = place.sql("SELECT kind, user_id, state, size FROM uploads ORDER BY kind")
    assert rows == [("file", "user-1", "stored", 5), ("post", "user-1", "stored", 5)]


@pytest.mark.parametrize("wrong", ["0", "-1", "one", "1.5", str(2**63), "9" * 400])
def test_an_id_that_is_none_is_refused(wrong: str, place: Place, start: Start, web: httpx.Client) -> None:
    for method, path in records_of(start(DATABASE_URL=place.url), wrong, wrong):
        problem(web.request(method, path), 422, "validation-failed")


def test_a_refused_wish_leaves_no_row(place: Place, start: Start, web: httpx.Client) -> None:
    url = start(DATABASE_URL=place.url)
    problem(web.post(f"{url}/posts", json={**SPEC, "size": 11 * MIB}), 400, "file-too-large")
    problem(web.post(f"{url}/posts", json={**SPEC, "filename": "../a.jpg"}), 400, "invalid-filename")
    problem(web.post(f"{url}/posts", json={**SPEC, "sha256": "short"}), 422, "validation-failed")
    problem(web.post(f"{url}/posts", content=b"{"), 422, "validation-failed")
    problem(web.post(f"{url}/files/upload-url", params={"filename": "a/b"}), 400, "invalid-filename")
    assert place.sql("SELECT count(*) FROM uploads") == [(0,)]


def test_names_in_any_script_and_the_promise_are_kept(place: Place, start: Start, web: httpx.Client) -> None:
    url = start(DATABASE_URL=place.url)
    decomposed = unicodedata.normalize("NFD", "고양이 '; DROP TABLE uploads;--.jpg")
    digest = "00" * 32
    post = web.post(f"{url}/posts", json={**SPEC, "filename": decomposed, "sha256": digest}).json()
    assert post["filename"] == "고양이 '; DROP TABLE uploads;--.jpg"
    ((name, promised),) = place.sql("SELECT filename, promised_sha256 FROM uploads")
    assert (name, promised) == (post["filename"], "A" * 43 + "=")


def test_wrong_methods_are_answered_as_everywhere(place: Place, start: Start, web: httpx.Client) -> None:
    url = start(DATABASE_URL=place.url)
    assert web.delete(f"{url}/posts").headers["allow"] == "POST"
    problem(web.delete(f"{url}/posts"), 405, "method-not-allowed")
    problem(web.put(f"{url}/posts/1"), 405, "method-not-allowed")
    problem(web.get(f"{url}/posts/1/nothing"), 404, "not-found")
    problem(web.get(f"{url}/files/"), 404, "not-found")


def test_without_a_database_only_these_routes_are_missing_it(start: Start, web: httpx.Client) -> None:
    url = start()
    for method, path in [("POST", f"{url}/posts"), *records_of(url, 1, 1)]:
        problem(web.request(method, path, json=SPEC), 503, "database-not-configured")
    assert web.post(f"{url}/uploads", json=SPEC).status_code == 200
    minted = web.post(f"{url}/files/upload-url", params={"filename": "a.txt"})
    assert minted.status_code == 200
    assert "file_id" not in minted.json()


def finished(web: httpx.Client, url: str, plan: dict[str, Any], content: bytes) -> httpx.Response:
    send_parts(web, plan, content)
    return web.post(f"{url}/uploads/{plan['ticket']}/complete", json={})


def test_a_database_that_is_down_stops_only_what_needs_it(
    start: Start, web: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    url = start(DATABASE_URL=DOWN, JWT_SECRET=SECRET)
    for method, path in [
        ("POST", f"{url}/posts"),
        ("POST", f"{url}/files/upload-url?filename=a.txt"),
        *records_of(url, 1, 1),
    ]:
        answer = web.request(method, path, json=SPEC)
        problem(answer, 503, "database-unavailable")
        assert answer.headers["retry-after"] == "5"
        assert "127.0.0.1" not in answer.text
    assert web.post(f"{url}/uploads", json=SPEC).status_code == 200
    content = bytes(9 * MIB)
    assert finished(web, url, begin(web, url, len(content)), content).status_code == 200
    logged = str([vars(record) for record in caplog.records])
    assert "Connection refused" in logged
    assert "open-sesame" not in logged


def test_the_end_of_a_multipart_upload_is_noticed_by_its_record(place: Place, start: Start, web: httpx.Client) -> None:
    content = bytes(range(256)) * 4096 * 9
    url = start(DATABASE_URL=place.url, JWT_SECRET=SECRET)
    spec = {"filename": "a.bin", "contentType": "application/octet-stream", "purpose": "file"}
    post = web.post(f"{url}/posts", json={**spec, "size": len(content), "accepts": ["multipart"]}).json()
    assert (post["strategy"], post["state"]) == ("multipart", "pending")
    assert finished(web, url, post, content).status_code == 200
    # Not by a read of the service: the test reads the row in the database.
    assert place.sql("SELECT state, size FROM uploads") == [("stored", len(content))]


@pytest.mark.needs("postgres")
def test_a_multipart_upload_ends_well_also_if_its_record_cannot_be_reached(
    start: Start, web: httpx.Client, own_postgres: Postgres
) -> None:
    """The object is stored; the next read of the record confirms it."""
    content = bytes(range(256)) * 4096 * 9
    migrate(settings_with(own_postgres.url()))
    url = start(DATABASE_URL=own_postgres.url(), JWT_SECRET=SECRET)
    spec = {"filename": "a.bin", "contentType": "application/octet-stream", "purpose": "file"}
    post = web.post(f"{url}/posts", json={**spec, "size": len(content), "accepts": ["multipart"]}).json()
    own_postgres.stop()
    assert finished(web, url, post, content).status_code == 200
    own_postgres.start()
    assert web.get(f"{url}/posts/{post['id']}").json()["state"] == "stored"
