"""What was stored can be listed, described, read and deleted, under every key that S3 can have."""

import asyncio
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from image_upload.domain import keys
from image_upload.errors import ObjectMissing
from image_upload.library import Library
from tests.conftest import Start, problem
from tests.contract import plans
from tests.contract.conftest import SECRET
from tests.contract.plans import CONTENT
from tests.contract.store import Store, answer_of, opened
from tests.raw import ask

MIB = 1024 * 1024
FILES = "/api/v1/s3/files"
FILE = "/api/v1/s3/file"

# Names that some reader on the way could take for something else.
NAMES = [
    "plain.jpg",
    "고양이 사진.jpg",
    "😀.jpg",
    "a b.jpg",
    "a+b.jpg",
    "a%b.jpg",
    "a%20b.jpg",
    "a%2Fb.jpg",
    "a%252Fb.jpg",
    "a/b/c.jpg",
    "a//b.jpg",
    "a?b#c&d=e;f.jpg",
    "a'b\"c<d>&amp;.jpg",
    "a~b*c(d)!e,f@g:h$i=j.jpg",
    "[a]{b}|c^d`e.jpg",
    "...jpg",
    "metadata",
    "url",
    "a/exists",
    "\u00e9.jpg",
    "e\u0301.jpg",  # the same to the eye, decomposed: another key
    "\uff5e.jpg",
]


@pytest.fixture
def folder() -> str:
    return f"folder-{secrets.token_hex(4)}"


def encoded(key: str) -> str:
    """A key in a path as careful clients write it; a slash stays one."""
    return quote(key, safe="/")


@pytest.fixture
def library(store: Store, tmp_path: Path) -> Library:
    del tmp_path
    return Library.of({"ENVIRONMENT": "local", **store.environ})


# --- one object -----------------------------------------------------------------------------------


def test_an_object_is_described_as_it_was_sent(store: Store, service: str, web: httpx.Client) -> None:
    metadata = {"class_id": "3학년 2반", "note": "a =?utf-8?q?b?= c"}
    put = plans.mint_put(web, service, filename="고양이 😀.jpg", metadata=metadata)
    assert put.send(web).status_code == 200
    for path in (f"/images/{put.key}/metadata", f"{FILE}/{put.key}/metadata"):
        told = web.get(service + path).json()
        assert (told["key"], told["size"], told["content_type"]) == (put.key, len(CONTENT), "image/jpeg")
        stored = store.head(put.key)
        assert stored is not None
        assert told["etag"] == stored["ETag"]
        assert datetime.fromisoformat(told["last_modified"]) == stored["LastModified"]
        assert datetime.fromisoformat(told["metadata"].pop("upload_timestamp")).tzinfo is not None
        assert told["metadata"] == {
            **metadata,
            "user_id": "anonymous",
            "original_filename": "고양이 😀.jpg",
            "content_type": "image/jpeg",
        }
        assert (told["missing_metadata"], told["cdn_url"], told["storage_class"]) == (0, None, "STANDARD")


@pytest.mark.also_on("localstack")
def test_metadata_that_another_program_wrote_unencoded_can_be_read(
    store: Store, service: str, web: httpx.Client, folder: str
) -> None:
    key, name = f"{folder}/a.jpg", "보고서 1"
    url = store.signer().presign("PUT", key, now=plans.now(), expires_s=60, headers={"x-amz-meta-name": name})
    sent = web.put(url, content=b"x", headers=[(b"x-amz-meta-name", name.encode())])
    store.lacks(gap="raw-metadata", answered=answer_of(sent))
    assert sent.status_code == 200
    assert web.get(f"{service}/images/{key}/metadata").json()["metadata"] == {"name": name}


@pytest.mark.also_on("localstack", "moto")
def test_a_checksum_is_told_where_s3_keeps_one(store: Store, service: str, web: httpx.Client) -> None:
    put = plans.mint_put(web, service, sha256=plans.sha256_of(CONTENT))
    assert put.send(web).status_code == 200
    told = web.get(f"{service}/images/{put.key}/metadata").json()["checksum_sha256"]
    store.lacks(gap="kept-checksum", answered=told or "none")
    assert told == put.headers["x-amz-checksum-sha256"]


@pytest.mark.full
def test_every_key_is_found_read_and_deleted_and_no_other(
    store: Store, service: str, web: httpx.Client, folder: str
) -> None:
    keys = [f"{folder}/{name}" for name in NAMES]
    for key in keys:
        store.write(key, key.encode())
    there = {*store.left(folder)[0]}
    assert len(there) == len(keys)
    for key in keys:
        path = encoded(key)
        assert ask("GET", service, f"{FILE}/{path}/exists").document == {"key": key, "exists": True}
        assert ask("GET", service, f"{FILE}/{path}/metadata").document["size"] == len(key.encode())
        assert ask("GET", service, f"/images/{path}/metadata").document["key"] == key
        assert web.get(ask("GET", service, f"{FILE}/{path}/url").document["url"]).content == key.encode()
        assert ask("DELETE", service, f"{FILE}/{path}") == (204, None)
        assert ask("GET", service, f"{FILE}/{path}/exists").document == {"key": key, "exists": False}
        assert ask("GET", service, f"{FILE}/{path}/metadata").code == "object-missing"
        assert store.read(key) is None
        left = {*store.left(folder)[0]}
        # SeaweedFS lists two slashes as one.
        assert [each.replace("//", "/") for each in there - left] == [key.replace("//", "/")]
        store.write(key, key.encode())


def test_deleting_is_safe_to_repeat(store: Store, service: str, web: httpx.Client, folder: str) -> None:
    for path in (f"/images/{folder}/a", f"{FILE}/{folder}/b"):
        key = path.partition(folder)[2]
        store.write(folder + key, b"x")
        assert [web.delete(service + path).status_code for _ in range(3)] == [204, 204, 204]
        assert store.read(folder + key) is None


@pytest.fixture
def versioned(store: Store) -> Iterator[Store]:
    with opened(store.name, store.endpoint_url, store.access_key, store.secret_key, "versioned") as bucket:
        bucket.s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
        yield bucket


def test_in_a_bucket_with_versions_a_deleted_object_is_gone_and_can_be_had_back(
    versioned: Store, start: Start, web: httpx.Client, folder: str
) -> None:
    service, key = start(S3_BUCKET_NAME="versioned"), f"{folder}/a"
    versioned.write(key, b"first")
    version = (versioned.head(key) or {})["VersionId"]
    assert [web.delete(f"{service}/images/{key}").status_code for _ in range(2)] == [204, 204]
    assert web.get(f"{service}{FILE}/{key}/exists").json()["exists"] is False
    problem(web.get(f"{service}/images/{key}/metadata"), 404, "object-missing")
    assert web.get(f"{service}{FILES}", params={"prefix": folder}).json()["files"] == []
    kept = versioned.s3.get_object(Bucket="versioned", Key=key, VersionId=version)
    assert kept["Body"].read() == b"first"


# --- a refusal is not an absence ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("GET", f"{FILE}/a/exists", "s3:GetObject and s3:ListBucket"),
        ("GET", "/images/a/metadata", "s3:GetObject and s3:ListBucket"),
        ("GET", FILES, "s3:ListBucket"),
        ("DELETE", "/images/a", "s3:DeleteObject"),
    ],
)
def test_a_403_of_s3_is_no_absence_and_names_the_action(
    store: Store, start: Start, web: httpx.Client, method: str, path: str, action: str
) -> None:
    service = start(AWS_SECRET_ACCESS_KEY="another")
    response = web.request(method, service + path)
    store.lacks(gap="signature", answered="2xx" if response.is_success or response.status_code == 404 else "403")
    told = problem(response, 502, "storage-denied")
    assert told["action"] == action
    assert action in told["detail"]


def test_a_bucket_that_is_not_there_is_no_absence(start: Start, web: httpx.Client) -> None:
    service = start(S3_BUCKET_NAME="no-such-bucket-here")
    for method, path in (("GET", f"{FILE}/a/exists"), ("GET", FILES), ("DELETE", "/images/a")):
        told = problem(web.request(method, service + path), 502, "storage-unavailable")
        assert told["upstream_code"] == "NoSuchBucket"


# --- listing --------------------------------------------------------------------------------------


def listed(web: httpx.Client, service: str, **params: str | int) -> tuple[list[str], list[int]]:
    """All keys, page after page, and how many each page had."""
    keys: list[str] = []
    pages = []
    token: str | None = ""
    while token is not None:
        response = web.get(service + FILES, params={**params, **({"continuation_token": token} if token else {})})
        assert response.status_code == 200, response.text
        answer = response.json()
        assert answer["prefix"] == params.get("prefix", "")
        keys += [each["key"] for each in answer["files"]]
        pages.append(len(answer["files"]))
        token = answer["next_token"]
        assert len(pages) < 50
    return keys, pages


@pytest.mark.also_on("localstack")
@pytest.mark.parametrize("max_keys", [1, 7, 1000])
def test_a_listing_shows_every_key_once_in_order(
    store: Store, service: str, web: httpx.Client, folder: str, max_keys: int
) -> None:
    written = {f"{folder}/{name}": name.encode() for name in NAMES if "//" not in name}
    for key, content in written.items():
        store.write(key, content)
    keys, pages = listed(web, service, prefix=f"{folder}/", max_keys=max_keys)
    assert all(0 < count <= max_keys for count in pages)
    assert sorted(keys) == sorted(written)
    in_order = keys == sorted(written, key=str.encode)
    store.lacks(gap="listing-order", answered="by the keys' bytes" if in_order else "by folder")
    assert in_order


@pytest.mark.also_on("localstack")
def test_two_slashes_in_a_row_are_listed_as_two(store: Store, service: str, web: httpx.Client, folder: str) -> None:
    store.write(f"{folder}/a//b.jpg", b"x")
    (key,) = listed(web, service, prefix=f"{folder}/", max_keys=1000)[0]
    store.lacks(gap="double-slash", answered="as it was sent" if "//" in key else "one slash")
    assert key == f"{folder}/a//b.jpg"


def test_a_listing_describes_its_objects(store: Store, service: str, web: httpx.Client, folder: str) -> None:
    store.write(f"{folder}/a", b"123")
    (file,) = web.get(service + FILES, params={"prefix": folder}).json()["files"]
    stored = store.head(f"{folder}/a")
    assert stored is not None
    assert (file["key"], file["size"], file["storage_class"]) == (f"{folder}/a", 3, "STANDARD")
    assert file["etag"].strip('"') == stored["ETag"].strip('"')
    assert abs((datetime.fromisoformat(file["last_modified"]) - stored["LastModified"]).total_seconds()) < 1


@pytest.mark.also_on("localstack")
def test_a_key_that_xml_cannot_carry_breaks_no_listing(
    store: Store, service: str, web: httpx.Client, folder: str
) -> None:
    written = [f"{folder}/a\x01b", f"{folder}/a+b c", f"{folder}/고양이"]
    for key in written:
        store.write(key, b"x")
    assert web.get(service + FILES, params={"prefix": folder}).json()["files"] != []
    keys, _ = listed(web, service, prefix=folder, max_keys=1000)
    assert keys[1:] == written[1:]
    store.lacks(gap="control-character", answered="U+FFFD" if "\ufffd" in keys[0] else "as it was sent")
    assert keys == written


def test_a_listing_of_nothing_is_empty(service: str, web: httpx.Client, folder: str) -> None:
    answer = web.get(service + FILES, params={"prefix": folder}).json()
    assert answer == {"files": [], "prefix": folder, "next_token": None}


# --- read URLs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cat.jpg", "고양이 사진.jpg", "a\"b%c'd;e+f.jpg", "😀.jpg"])
def test_a_url_of_the_files_family_can_be_a_download(
    store: Store, service: str, web: httpx.Client, folder: str, name: str
) -> None:
    key = f"{folder}/a b+c%d.jpg"
    store.write(key, b"bytes")
    params = {"expires_in": "60", "as_download": "true", "filename": name}
    answer = web.get(f"{service}{FILE}/{encoded(key)}/url", params=params).json()
    assert (answer["key"], answer["expires_in"], answer["download"]) == (key, 60, True)
    read = web.get(answer["url"])
    assert read.content == b"bytes"
    assert read.headers["content-disposition"].startswith("attachment; filename=")


# --- without HTTP ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 20 * MIB + 7])
def test_a_file_goes_up_and_comes_back_whole(
    store: Store, library: Library, tmp_path: Path, folder: str, size: int
) -> None:
    source, back, key = tmp_path / "녹음 1.mp3", tmp_path / "back.mp3", f"{folder}/녹음 1.mp3"
    source.write_bytes(plans.content_of(size))

    async def there_and_back() -> None:
        async with library:
            stored = await library.upload_file(
                source, key, "audio/mpeg", user_id="7", extra_metadata={"class_id": "3반"}
            )
            assert stored.size_bytes == size
            described = await library.download_file(key, back)
            assert described.content_type == "audio/mpeg"
            assert {**described.metadata, "upload_timestamp": ""} == {
                "user_id": "7",
                "class_id": "3반",
                "original_filename": "녹음 1.mp3",
                "content_type": "audio/mpeg",
                "upload_timestamp": "",
                "owner-mark": keys.owner_tag("7"),
            }

    asyncio.run(there_and_back())
    assert back.read_bytes() == source.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back.mp3", "녹음 1.mp3"]
    assert store.left(folder)[1] == []


def test_the_functions_do_what_the_routes_do(store: Store, library: Library, tmp_path: Path, folder: str) -> None:
    key = f"{folder}/a.txt"
    store.write(key, b"text")

    async def all_of_them() -> None:
        async with library:
            assert await library.file_exists(key)
            assert (await library.get_file_metadata(key)).size_bytes == 4
            page = await library.list_files(folder)
            assert ([each.key for each in page.files], page.next_token) == ([key], None)
            made = await library.get_file_url(key, 60)
            assert made.expires_s == 60
            async with httpx.AsyncClient(trust_env=False) as client:
                assert (await client.get(made.url)).content == b"text"
            await library.delete_file(key)
            await library.delete_file(key)
            assert not await library.file_exists(key)
            with pytest.raises(ObjectMissing):
                await library.download_file(key, tmp_path / "a.txt")

    asyncio.run(all_of_them())
    assert list(tmp_path.iterdir()) == []


def test_a_token_of_the_service_reads_what_it_stored(start: Start, web: httpx.Client) -> None:
    service = start(AUTH_REQUIRED="true", JWT_SECRET=SECRET)
    for method, path in (
        ("GET", f"{FILE}/a/exists"),
        ("GET", f"{FILE}/a/url"),
        ("GET", f"{FILE}/a/metadata"),
        ("GET", "/images/a/metadata"),
        ("GET", FILES),
        ("DELETE", "/images/a"),
        ("DELETE", f"{FILE}/a"),
    ):
        problem(web.request(method, service + path), 401, "token-missing")
