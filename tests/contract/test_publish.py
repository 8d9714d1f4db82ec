"""Checked purposes on each S3 server: nothing is under its key before it was verified, and what fails never is."""

import asyncio
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from image_upload.completion.confirmation import confirm
from image_upload.completion.context import CompletionContext
from image_upload.domain.metadata import FACTS
from image_upload.settings import load
from local.database import local_database
from local.service import local_environ
from tests.completion.ending import Killed, end_at
from tests.conftest import Start, problem
from tests.contract.plans import mint_put, minted, spec
from tests.contract.store import Store

MIB = 1024 * 1024
SCRIPT = b"<script>alert('uploaded')</script>" + b" " * 100


def picture(width: int = 64, height: int = 48, kind: str = "JPEG") -> bytes:
    written = io.BytesIO()
    Image.effect_noise((width, height), 60).convert("RGB").save(written, kind)
    return written.getvalue()


PHOTO = picture()


@pytest.fixture
def publishing(start: Start) -> str:
    return start(VERIFY="publish")


def facts_of(store: Store, key: str) -> dict[str, Any]:
    found = store.head(key)
    assert found is not None
    facts: dict[str, Any] = json.loads(found["Metadata"][FACTS])
    return facts


def is_settled(store: Store, key: str) -> bool:
    """Nothing waits for verification."""
    return store.head(f"incoming/{key}") is None


@pytest.mark.also_on("localstack")
def test_a_picture_has_its_key_once_it_is_verified(store: Store, publishing: str, web: httpx.Client) -> None:
    put = mint_put(web, publishing, size=len(PHOTO), metadata={"album": "제주"})
    assert not put.key.startswith("incoming/")
    assert put.send(web, PHOTO).status_code == 200
    assert store.head(put.key) is None
    done = web.post(f"{publishing}/images/{put.key}/complete")
    assert done.status_code == 200, done.text
    answer = done.json()
    assert (answer["state"], answer["key"], answer["size"]) == ("stored", put.key, len(PHOTO))
    assert answer["content_type"] == "image/jpeg"
    assert answer["facts"] == {"type": "image/jpeg", "width": 64, "height": 48, **_rest(answer["facts"])}
    assert answer["metadata"]["album"] == "제주"
    assert store.read(put.key) == PHOTO
    assert is_settled(store, put.key)
    again = web.post(f"{publishing}/images/{put.key}/complete").json()
    assert (again["etag"], again["facts"]) == (answer["etag"], answer["facts"])
    described = web.get(f"{publishing}/images/{put.key}/metadata").json()
    assert {"state": "stored", **described, "url": "", "receipt": None}.keys() == answer.keys()


@pytest.mark.full
def test_a_variant_is_read_by_its_key_and_goes_with_its_picture(store: Store, start: Start, web: httpx.Client) -> None:
    service = start(VERIFY="publish", VARIANTS="thumb:32")
    put = mint_put(web, service, size=len(PHOTO))
    assert put.send(web, PHOTO).status_code == 200
    answer = web.post(f"{service}/images/{put.key}/complete").json()
    assert answer["variants"] == {"thumb": None}
    key = answer["variant_keys"]["thumb"]
    assert web.get(f"{service}/images/{put.key}/metadata").json()["variant_keys"] == {"thumb": key}
    thumb = web.get(web.get(f"{service}/images/{key}").json()["url"])
    assert (thumb.headers["content-type"], Image.open(io.BytesIO(thumb.content)).size) == ("image/webp", (32, 24))
    assert web.delete(f"{service}/images/{put.key}").status_code == 204
    assert store.head(key) is None


def _rest(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in facts.keys() - {"type", "width", "height"}}


def test_a_version_1_client_that_reads_after_its_put_publishes_on_the_way(
    store: Store, publishing: str, web: httpx.Client
) -> None:
    put = mint_put(web, publishing, size=len(PHOTO))
    early = web.get(f"{publishing}/images/{put.key}").json()
    assert early["state"] == "missing"
    assert put.send(web, PHOTO).status_code == 200
    answer = web.get(f"{publishing}/images/{put.key}").json()
    assert answer["state"] == "stored"
    assert web.get(answer["url"]).content == PHOTO
    assert is_settled(store, put.key)


def test_metadata_and_existence_publish_on_the_way_too(store: Store, publishing: str, web: httpx.Client) -> None:
    for path in ("images/{}/metadata", "api/v1/s3/file/{}/metadata", "api/v1/s3/file/{}/exists"):
        put = mint_put(web, publishing, size=len(PHOTO))
        assert put.send(web, PHOTO).status_code == 200
        answer = web.get(f"{publishing}/{path.format(put.key)}")
        assert answer.status_code == 200, answer.text
        assert answer.json().get("exists", True) is True
        assert store.read(put.key) == PHOTO
        bad = mint_put(web, publishing, size=len(SCRIPT))
        assert bad.send(web, SCRIPT).status_code == 200
        refused = web.get(f"{publishing}/{path.format(bad.key)}")
        assert refused.status_code == 409 or refused.json()["exists"] is False


@pytest.mark.parametrize(
    ("fault", "content"),
    [("disguised", SCRIPT), ("undecodable", PHOTO[:200]), ("too-many-pixels", picture(80, 60, "PNG"))],
)
def test_what_fails_never_was_under_its_key(
    store: Store, start: Start, web: httpx.Client, fault: str, content: bytes
) -> None:
    service = start(VERIFY="publish", IMAGE_MAX_PIXELS="4000")
    kind = "jpeg" if fault == "undecodable" else "png"
    put = mint_put(web, service, size=len(content), contentType=f"image/{kind}", filename=f"cat.{kind}")
    assert put.send(web, content).status_code == 200
    for _again in range(2):
        refused = problem(web.post(f"{service}/images/{put.key}/complete"), 409, "upload-rejected")
        assert refused["fault"] == fault
        assert problem(web.get(f"{service}/images/{put.key}"), 409, "upload-rejected")["fault"] == fault
    assert store.head(put.key) is None
    assert is_settled(store, put.key)


def test_the_true_type_is_published_where_another_allowed_one_was_declared(
    store: Store, publishing: str, web: httpx.Client
) -> None:
    png = picture(kind="PNG")
    put = mint_put(web, publishing, size=len(png))
    assert put.headers["Content-Type"] == "image/jpeg"
    assert put.send(web, png).status_code == 200
    assert web.post(f"{publishing}/images/{put.key}/complete").json()["content_type"] == "image/png"
    found = store.head(put.key)
    assert found is not None
    assert found["ContentType"] == "image/png"


def test_a_second_put_of_the_url_changes_nothing_that_is_published(
    store: Store, publishing: str, web: httpx.Client
) -> None:
    put = mint_put(web, publishing, size=len(PHOTO))
    assert put.send(web, PHOTO).status_code == 200
    assert web.post(f"{publishing}/images/{put.key}/complete").status_code == 200
    other = picture()
    other = other[: len(PHOTO)].ljust(len(PHOTO), b"\0")
    assert put.send(web, other).status_code == 200
    assert web.post(f"{publishing}/images/{put.key}/complete").status_code == 200
    assert store.read(put.key) == PHOTO
    assert is_settled(store, put.key)


def test_a_scanners_tags_stay_with_the_arrival(store: Store, publishing: str, web: httpx.Client) -> None:
    """To copy them takes two rights more, without which AWS refuses the whole copy."""
    put = mint_put(web, publishing, size=len(PHOTO))
    assert put.send(web, PHOTO).status_code == 200
    tags = {"TagSet": [{"Key": "GuardDutyMalwareScanStatus", "Value": "NO_THREATS_FOUND"}]}
    store.s3.put_object_tagging(Bucket=store.bucket, Key=f"incoming/{put.key}", Tagging=tags)
    assert web.post(f"{publishing}/images/{put.key}/complete").status_code == 200
    assert store.s3.get_object_tagging(Bucket=store.bucket, Key=put.key)["TagSet"] == []


def test_parts_arrive_and_are_published_by_their_completion(store: Store, publishing: str, web: httpx.Client) -> None:
    photo = PHOTO + bytes(6 * MIB)
    plan = minted(web, f"{publishing}/uploads", json=spec(size=len(photo), accepts=["multipart"]))
    for part in plan["parts"]:
        first = (part["partNumber"] - 1) * plan["partSize"]
        assert web.put(part["url"], content=photo[first : first + plan["partSize"]]).status_code == 200
    assert store.unfinished(plan["objectKey"]) == []
    done = web.post(f"{publishing}/uploads/{plan['ticket']}/complete")
    assert done.status_code == 200, done.text
    assert store.read(plan["objectKey"]) == photo
    assert is_settled(store, plan["objectKey"])
    progress = web.get(f"{publishing}/uploads/{plan['ticket']}").json()
    assert progress["completed"] is True


def test_a_form_is_published_before_it_is_answered(store: Store, publishing: str, web: httpx.Client) -> None:
    url, fields = f"{publishing}/api/v1/s3/upload", {"purpose": "profile"}
    answer = web.post(url, data=fields, files={"file": ("me.jpg", PHOTO, "image/jpeg")})
    assert answer.status_code == 200, answer.text
    assert store.read(answer.json()["key"]) == PHOTO
    files = {"file": ("me.jpg", SCRIPT, "image/jpeg")}
    refused = problem(web.post(url, data=fields, files=files), 409, "upload-rejected")
    assert refused["fault"] == "disguised"
    assert store.left("incoming/profiles") == ([], [])


def test_a_row_says_what_became_of_its_arrival(store: Store, start: Start, web: httpx.Client) -> None:
    with local_database() as database:
        service = start(VERIFY="publish", **database)
        states = []
        for content in (PHOTO, SCRIPT):
            wanted = {"filename": "a.jpg", "contentType": "image/jpeg", "size": len(content)}
            post = web.post(f"{service}/posts", json=wanted).json()
            assert web.put(post["presignedUrl"], content=content, headers=post["headers"]).status_code == 200
            row = web.get(f"{service}/posts/{post['id']}").json()
            states.append((row["state"], row["fault"]))
            assert is_settled(store, post["objectKey"])
    assert states == [("stored", None), ("rejected", "disguised")]


PAGES = """
[page]
key = "pages/{user}/{id}.{ext}"
types = [{"text/html" = ["html"]}, {"image/svg+xml" = ["svg"]}]
checked = true
"""


@pytest.mark.parametrize(
    ("name", "media_type", "content"),
    [
        ("a.html", "text/html", b"<!doctype html><script>alert(1)</script>"),
        ("a.html", "text/html; charset=utf-8", b"<p>plain</p>"),
        ("a.svg", "image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
    ],
)
def test_what_browsers_run_is_served_from_the_bucket_as_an_attachment(
    store: Store, start: Start, web: httpx.Client, tmp_path: Path, name: str, media_type: str, content: bytes
) -> None:
    (tmp_path / "pages.toml").write_text(PAGES, encoding="utf-8")
    service = start(VERIFY="publish", PURPOSES_FILE=str(tmp_path / "pages.toml"))
    put = mint_put(web, service, filename=name, contentType=media_type, size=len(content), purpose="page")
    assert put.send(web, content).status_code == 200
    assert web.post(f"{service}/images/{put.key}/complete").status_code == 200
    found = store.head(put.key)
    assert found is not None
    assert found["ContentDisposition"] == "attachment"
    assert store.read(put.key) == content


def test_what_was_not_verified_cannot_be_read_or_listed(publishing: str, web: httpx.Client) -> None:
    put = mint_put(web, publishing, size=len(SCRIPT))
    assert put.send(web, SCRIPT).status_code == 200
    for path in (f"images/incoming/{put.key}", f"api/v1/s3/file/incoming/{put.key}/url"):
        problem(web.get(f"{publishing}/{path}"), 404, "object-missing")
    problem(web.delete(f"{publishing}/images/incoming/{put.key}"), 404, "object-missing")
    listed = web.get(f"{publishing}/api/v1/s3/files", params={"prefix": "incoming/"}).json()["files"]
    assert listed == []


def test_deleting_a_file_takes_what_waits_for_it_along(store: Store, publishing: str, web: httpx.Client) -> None:
    put = mint_put(web, publishing, size=len(PHOTO))
    for _ in range(2):
        assert put.send(web, PHOTO).status_code == 200
    assert web.post(f"{publishing}/images/{put.key}/complete").status_code == 200
    assert put.send(web, PHOTO).status_code == 200
    assert web.delete(f"{publishing}/images/{put.key}").status_code == 204
    assert web.get(f"{publishing}/images/{put.key}").json()["state"] == "missing"
    assert store.head(put.key) is None


# --- one publish, whatever happens --------------------------------------------------------------------


def settings_on(store: Store, **environ: str) -> Any:
    return load(local_environ({}, store.environ) | {"VERIFY": "publish", **environ})


def test_many_confirmations_at_once_publish_once(store: Store, publishing: str, web: httpx.Client) -> None:
    put = mint_put(web, publishing, size=len(PHOTO))
    assert put.send(web, PHOTO).status_code == 200

    def complete(_: int) -> str:
        answer = web.post(f"{publishing}/images/{put.key}/complete")
        assert answer.status_code == 200, answer.text
        etag: str = answer.json()["etag"]
        return etag

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(complete, range(8)))) == 1
    assert store.read(put.key) == PHOTO
    assert is_settled(store, put.key)


def test_bytes_that_are_exchanged_while_they_are_looked_at_do_not_stay(
    store: Store, publishing: str, web: httpx.Client
) -> None:
    put = mint_put(web, publishing, size=len(PHOTO))
    assert put.send(web, PHOTO).status_code == 200
    script = SCRIPT.ljust(len(PHOTO))

    async def work() -> str | None:
        context = CompletionContext(settings_on(store))
        real = context.bucket.call

        async def exchanged(operation: str, *arguments: Any, **options: Any) -> Any:
            answer = await real(operation, *arguments, **options)
            if operation == "GetObject" and answer.content[:2] == PHOTO[:2]:
                assert put.send(web, script).status_code == 200
            return answer

        context.bucket.call = exchanged
        try:
            return (await confirm(context, put.key)).fault
        finally:
            await context.aclose()

    assert asyncio.run(work()) == "disguised"
    assert store.head(put.key) is None
    assert is_settled(store, put.key)


@pytest.mark.parametrize("before", [True, pytest.param(False, marks=pytest.mark.full)])
@pytest.mark.parametrize("content", [PHOTO, SCRIPT])
def test_ended_at_any_call_the_next_one_finishes(
    store: Store, publishing: str, web: httpx.Client, content: bytes, before: bool
) -> None:
    calls = 0
    while True:
        calls += 1
        put = mint_put(web, publishing, size=len(content))
        assert put.send(web, content).status_code == 200
        survived = asyncio.run(_ended_then_again(store, put.key, calls, before=before))
        if content is PHOTO:
            assert store.read(put.key) == content
            assert facts_of(store, put.key)["type"] == "image/jpeg"
        else:
            assert store.head(put.key) is None
            assert store.head(f"rejected/{put.key}") is not None
        assert is_settled(store, put.key)
        if survived:
            break
    assert calls > 4, "HEAD, GET, copy and delete were each the last call of a process"


async def _ended_then_again(store: Store, key: str, calls: int, *, before: bool) -> bool:
    """Confirm in a process that ends at a call, then in another one; return whether the first one came to its end."""
    settings = settings_on(store)
    survived = True
    for process in range(2):
        context = CompletionContext(settings)
        if process == 0:
            end_at(context.bucket, calls, before=before)
        try:
            confirmation = await confirm(context, key)
            assert confirmation.stored is not None
        except Killed:
            survived = False
        finally:
            await context.aclose()
    return survived
