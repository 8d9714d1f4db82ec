"""A presigned PUT stores what was announced, and S3 itself refuses everything else."""

import base64
import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx
import pytest

from tests.contract import plans
from tests.contract.conftest import Ended
from tests.contract.plans import CONTENT, PUTS, SIZED, Minting, mint_put
from tests.contract.store import Store

UNSIGNED = "403 SignatureDoesNotMatch"
DENIED = "403 AccessDenied"
OTHER = CONTENT[::-1]
NAMES = {
    "Korean": "고양이 사진.jpg",
    "emoji": "😀.jpg",
    "family emoji": "👨\u200d👩\u200d👧.jpg",
    "macOS screenshot": "Screenshot 2026-11-20 at 9.41.12\u202fAM.jpg",
    "query": "a+b %41&c=d;e.jpg",
    "quotes": "café 'x'.jpg",
    "long": "가" * 200 + ".jpg",
}


def sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


@pytest.fixture(params=list(PUTS.values()), ids=list(PUTS))
def mint(request: pytest.FixtureRequest) -> Minting:
    minting: Minting = request.param
    return minting


@pytest.fixture(params=list(SIZED.values()), ids=list(SIZED))
def mint_sized(request: pytest.FixtureRequest) -> Minting:
    minting: Minting = request.param
    return minting


@pytest.mark.also_on("localstack", "moto")
def test_the_right_upload_succeeds_and_its_bytes_come_back(
    store: Store, service: str, web: httpx.Client, mint: Minting
) -> None:
    put = mint(web, service)
    assert store.head(put.key) is None, "minting stores nothing"
    assert put.send(web).status_code == 200
    assert store.read(put.key) == CONTENT
    stored = store.head(put.key)
    assert stored
    if put.key.endswith(".pdf"):
        store.lacks(gap="octet-stream", answered=stored["ContentType"])
    assert stored["ContentType"] == put.headers["Content-Type"]
    assert web.get(web.get(f"{service}/images/{quote(put.key)}").json()["url"]).content == CONTENT


@pytest.mark.also_on("localstack", "moto")
def test_every_upload_of_a_batch_succeeds_and_takes_no_other_file(
    store: Store, service: str, web: httpx.Client
) -> None:
    contents = [CONTENT, CONTENT * 2]
    specs = [plans.spec(size=len(content)) for content in contents]
    puts = plans.minted(web, f"{service}/uploads/batch", json={"uploads": specs})["uploads"]
    type_only = {"Content-Type": "image/jpeg"}
    for put, content in zip(puts, contents, strict=True):
        assert web.put(put["presignedUrl"], content=content, headers=type_only).status_code == 200
        assert store.read(put["objectKey"]) == content
    response = web.put(puts[0]["presignedUrl"], content=contents[1], headers=type_only)
    store.refused(response, UNSIGNED, gap="signature", key=puts[0]["objectKey"], keeps=CONTENT)


@pytest.mark.parametrize(
    "content", [CONTENT + b"x", CONTENT[:-1], b"", CONTENT * 2], ids=["one more", "one less", "none", "twice as many"]
)
def test_another_length_is_refused(
    store: Store, service: str, web: httpx.Client, mint_sized: Minting, content: bytes
) -> None:
    put = mint_sized(web, service)
    store.refused(put.send(web, content), UNSIGNED, gap="signature", key=put.key)


def test_a_body_of_unannounced_length_is_refused(
    store: Store, service: str, web: httpx.Client, mint_sized: Minting
) -> None:
    put = mint_sized(web, service)

    def chunked() -> Iterator[bytes]:
        yield CONTENT

    response = web.put(put.url, content=chunked(), headers={"Content-Type": put.headers["Content-Type"]})
    assert response.request.headers["transfer-encoding"] == "chunked"
    store.refused(response, UNSIGNED, gap="signature", key=put.key)


def test_another_type_is_refused(store: Store, service: str, web: httpx.Client, mint: Minting) -> None:
    put = mint(web, service)
    store.refused(put.send(web, headers={"Content-Type": "text/html"}), UNSIGNED, gap="signature", key=put.key)


def test_no_type_is_refused(store: Store, service: str, web: httpx.Client, mint: Minting) -> None:
    put = mint(web, service)
    store.refused(put.send(web, without="content-type"), UNSIGNED, gap="signature", key=put.key)


def test_another_key_is_refused(store: Store, service: str, web: httpx.Client, mint: Minting) -> None:
    put = mint(web, service)
    other = f"{put.key}.other"
    response = put.send(web, url=plans.for_key(put.url, put.key, other))
    store.refused(response, UNSIGNED, gap="signature", key=other)
    assert store.head(put.key) is None


def test_a_changed_signature_is_refused(store: Store, service: str, web: httpx.Client, mint: Minting) -> None:
    put = mint(web, service)
    response = put.send(web, url=plans.with_other_signature(put.url))
    store.refused(response, UNSIGNED, gap="signature", key=put.key)


def test_a_life_made_longer_is_refused(store: Store, service: str, web: httpx.Client, mint: Minting) -> None:
    put = mint(web, service)
    response = put.send(web, url=plans.with_longer_life(put.url))
    store.refused(response, UNSIGNED, gap="signature", key=put.key)


@pytest.mark.also_on("localstack", "moto")
def test_no_signature_is_refused(store: Store, service: str, web: httpx.Client, mint: Minting) -> None:
    put = mint(web, service)
    response = put.send(web, url=plans.without_signature(put.url))
    store.refused(response, DENIED, gap="anonymous-write", key=put.key)


@pytest.mark.parametrize("method", ["DELETE", "GET"])
def test_another_method_is_refused_and_changes_nothing(
    store: Store, service: str, web: httpx.Client, mint: Minting, method: str
) -> None:
    put = mint(web, service)
    assert put.send(web).status_code == 200
    store.refused(put.send(web, method=method), UNSIGNED, gap="signature", key=put.key, keeps=CONTENT)


@pytest.mark.also_on("localstack", "moto")
@pytest.mark.parametrize("name", ["x-amz-meta-extra", "x-amz-acl"])
def test_an_extra_header_is_refused(store: Store, service: str, web: httpx.Client, mint: Minting, name: str) -> None:
    put = mint(web, service)
    response = put.send(web, headers={name: "public-read"})
    # SeaweedFS names another code.
    store.refused(response, DENIED, UNSIGNED, gap="unsigned-header", key=put.key)


@pytest.mark.parametrize("name", [name for name in PUTS if name != "files"])
def test_an_expired_url_is_refused(store: Store, ended: Ended, web: httpx.Client, name: str) -> None:
    put = ended.puts[name]
    store.refused(put.send(web), DENIED, gap="expiry", key=put.key)


@pytest.mark.also_on("localstack", "moto")
def test_an_expired_url_of_the_files_family_is_refused(store: Store, service: str, web: httpx.Client) -> None:
    put = plans.mint_file(web, service)
    then = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1, seconds=1)
    url = store.signer().presign("PUT", put.key, now=then, expires_s=3600, headers=put.headers)
    store.refused(put.send(web, url=url), DENIED, gap="expiry", key=put.key)


def test_credentials_without_a_session_sign_without_a_token(store: Store, service: str, web: httpx.Client) -> None:
    put = mint_put(web, service)
    assert "X-Amz-Security-Token" not in put.url
    assert put.send(web).status_code == 200
    assert store.read(put.key) == CONTENT


def test_a_foreign_key_pair_is_refused(store: Store, start: Callable[..., str], web: httpx.Client) -> None:
    service = start(AWS_SECRET_ACCESS_KEY="another-secret")
    put = mint_put(web, service)
    store.refused(put.send(web), UNSIGNED, gap="signature", key=put.key)


# --- checksum -------------------------------------------------------------------------------------


def test_the_announced_checksum_is_accepted(store: Store, service: str, web: httpx.Client) -> None:
    put = mint_put(web, service, sha256=hashlib.sha256(CONTENT).hexdigest())
    assert put.send(web).status_code == 200
    assert store.read(put.key) == CONTENT


@pytest.mark.also_on("localstack", "moto")
def test_other_bytes_of_the_same_length_are_refused(store: Store, service: str, web: httpx.Client) -> None:
    put = mint_put(web, service, sha256=sha256(CONTENT))
    store.refused(put.send(web, OTHER), "400 BadDigest", gap="checksum", key=put.key)


@pytest.mark.parametrize("leave_out", [False, True], ids=["another", "none"])
def test_another_checksum_than_announced_is_refused(
    store: Store, service: str, web: httpx.Client, leave_out: bool
) -> None:
    put = mint_put(web, service, sha256=sha256(CONTENT))
    name = "x-amz-checksum-sha256"
    response = put.send(web, OTHER, without=name) if leave_out else put.send(web, OTHER, headers={name: sha256(OTHER)})
    store.refused(response, UNSIGNED, gap="signature", key=put.key)


# --- never overwriting ----------------------------------------------------------------------------


def test_a_single_use_url_stores_once(store: Store, service: str, web: httpx.Client) -> None:
    put = mint_put(web, service, ifNoneMatch=True)
    assert put.send(web).status_code == 200
    store.refused(put.send(web, OTHER), "412 PreconditionFailed", gap=None, key=put.key, keeps=CONTENT)


def test_a_single_use_url_without_its_guard_is_refused(store: Store, service: str, web: httpx.Client) -> None:
    put = mint_put(web, service, ifNoneMatch=True)
    store.refused(put.send(web, without="if-none-match"), UNSIGNED, gap="signature", key=put.key)


# --- metadata and names ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_the_original_file_name_comes_back_from_s3(store: Store, service: str, web: httpx.Client, name: str) -> None:
    put = mint_put(web, service, filename=name, metadata={"album": "여름 🌞", "plain": "summer"})
    assert put.send(web).status_code == 200
    names = ("album", "plain", "user_id", "original_filename", "content_type", "upload_timestamp")
    metadata = store.metadata(put.key, *names)
    moment = metadata.pop("upload_timestamp")
    assert metadata == {
        "album": "여름 🌞",
        "plain": "summer",
        "user_id": "anonymous",
        "original_filename": name,
        "content_type": "image/jpeg",
    }
    assert abs(datetime.now(UTC) - datetime.fromisoformat(moment)) < timedelta(minutes=1)


@pytest.mark.parametrize("leave_out", [False, True], ids=["another", "none"])
def test_other_metadata_than_signed_is_refused(store: Store, service: str, web: httpx.Client, leave_out: bool) -> None:
    put = mint_put(web, service, metadata={"album": "summer"})
    name = "x-amz-meta-album"
    response = put.send(web, without=name) if leave_out else put.send(web, headers={name: "winter"})
    store.refused(response, UNSIGNED, gap="signature", key=put.key)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_key_carries_its_file_name_in_any_script(store: Store, service: str, web: httpx.Client, name: str) -> None:
    plan = plans.minted(web, f"{service}/files/upload-url", params={"filename": name})
    key = plan["object_key"]
    assert key.endswith(f"/{name}")
    assert web.put(plan["presigned_url"], content=CONTENT, headers=plan["headers"]).status_code == 200
    listed = store.s3.list_objects_v2(Bucket=store.bucket, Prefix=key.removesuffix(name))["Contents"]
    assert [found["Key"] for found in listed] == [key]
    assert store.read(key) == CONTENT
