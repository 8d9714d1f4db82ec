"""Storage class and encryption by settings: signed into every plan, kept by S3, and not to be left out."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from image_upload.errors import StorageUnavailable
from image_upload.library import Library
from tests.conftest import Start
from tests.contract import plans
from tests.contract.plans import CONTENT, mint_put, minted, spec
from tests.contract.store import Store, answer_of

# The one with all of it: Ceph has one storage class and no encryption, SeaweedFS no KMS.
pytestmark = pytest.mark.also_on("localstack")

KEY_ID = "11112222-3333-4444-5555-666677778888"
STANDARD_IA = {"S3_STORAGE_CLASSES": "upload:STANDARD_IA, document:GLACIER_IR"}
AES256 = {"S3_SSE": "AES256"}
KMS = {"S3_SSE": "aws:kms", "S3_SSE_KMS_KEY_ID": KEY_ID}


def by_put(web: httpx.Client, service: str) -> str:
    put = mint_put(web, service)
    assert put.send(web).status_code == 200
    return put.key


def by_form(web: httpx.Client, service: str) -> str:
    plan = minted(web, f"{service}/uploads", json=spec(accepts=["post"]))
    files = {"file": ("cat.jpg", CONTENT, "image/jpeg")}
    sent = web.post(plan["presignedUrl"], data=plan["fields"], files=files)
    assert sent.status_code == 201, sent.text
    key: str = plan["objectKey"]
    return key


def by_parts(web: httpx.Client, service: str) -> str:
    plan = plans.begin(web, service, filename="a.jpg", contentType="image/jpeg", purpose="upload")
    plans.send_parts(web, plan, CONTENT)
    done = web.post(f"{service}/uploads/{plan['ticket']}/complete")
    assert done.status_code == 200, done.text
    key: str = plan["objectKey"]
    return key


def through_the_proxy(web: httpx.Client, service: str) -> str:
    plan = minted(web, f"{service}/uploads", json=spec(accepts=["proxy"]))
    sent = web.post(service + plan["formUrl"], data=plan["fields"], files={"file": ("cat.jpg", CONTENT, "image/jpeg")})
    assert sent.status_code == 200, sent.text
    key: str = plan["objectKey"]
    return key


def through_the_service(web: httpx.Client, service: str) -> str:
    sent = web.post(
        f"{service}/api/v1/s3/upload",
        data={"purpose": "upload"},
        files={"file": ("cat.jpg", CONTENT, "image/jpeg")},
    )
    assert sent.status_code == 200, sent.text
    key: str = sent.json()["key"]
    return key


WAYS: tuple[Callable[[httpx.Client, str], str], ...] = (
    by_put,
    by_form,
    by_parts,
    through_the_proxy,
    through_the_service,
)


def form_fields_count(store: Store, way: Callable[[httpx.Client, str], str], kept: str) -> None:
    """Skip where a form's fields for these are known to be ignored."""
    if way is by_form:
        store.lacks(gap="form-at-rest", answered="ignored" if kept in ("STANDARD", "none") else "kept")


def storage_class_of(store: Store, key: str) -> str:
    found = store.head(key)
    assert found is not None
    assert store.read(key) == CONTENT
    name: str = found.get("StorageClass", "STANDARD")
    return name


def encryption_of(store: Store, key: str) -> tuple[str, str]:
    """The kind, and the key of KMS."""
    found = store.head(key)
    assert found is not None
    assert store.read(key) == CONTENT
    return found.get("ServerSideEncryption", "none"), found.get("SSEKMSKeyId", "")


@pytest.mark.also_on("moto")
@pytest.mark.parametrize("way", WAYS)
def test_a_purpose_has_its_storage_class(
    store: Store, start: Start, web: httpx.Client, way: Callable[[httpx.Client, str], str]
) -> None:
    service = start(**STANDARD_IA)
    store.lacks(gap="storage-class", answered=answer_of(mint_put(web, service).send(web)))
    key = way(web, service)
    storage_class = storage_class_of(store, key)
    form_fields_count(store, way, storage_class)
    assert storage_class == "STANDARD_IA"
    assert web.get(f"{service}/images/{key}/metadata").json()["storage_class"] == "STANDARD_IA"
    (listed,) = web.get(f"{service}/api/v1/s3/files", params={"prefix": key}).json()["files"]
    assert listed["storage_class"] == "STANDARD_IA"


def test_another_purpose_is_left_to_s3(store: Store, start: Start, web: httpx.Client) -> None:
    put = mint_put(web, start(**STANDARD_IA), purpose="profile")
    assert put.headers.keys() == {"Content-Type"}
    assert put.send(web).status_code == 200
    assert storage_class_of(store, put.key) == "STANDARD"


@pytest.mark.parametrize("way", WAYS)
def test_what_is_stored_is_encrypted_with_s3s_own_keys(
    store: Store, start: Start, web: httpx.Client, way: Callable[[httpx.Client, str], str]
) -> None:
    service = start(**AES256)
    key = way(web, service)
    kind = encryption_of(store, key)[0]
    store.lacks(gap="encryption", answered=kind)
    form_fields_count(store, way, kind)
    assert kind == "AES256"
    assert web.get(f"{service}/images/{key}/metadata").json()["encryption"] == "AES256"


@pytest.mark.parametrize("way", WAYS)
def test_what_is_stored_is_encrypted_with_a_key_of_kms(
    store: Store, start: Start, web: httpx.Client, way: Callable[[httpx.Client, str], str]
) -> None:
    service = start(**KMS)
    store.lacks(gap="kms", answered=answer_of(mint_put(web, service).send(web)))
    kind, key_id = encryption_of(store, way(web, service))
    form_fields_count(store, way, kind)
    assert kind == "aws:kms"
    assert KEY_ID in key_id


@pytest.mark.parametrize("left_out", ["x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id"])
def test_a_client_cannot_leave_the_encryption_out(store: Store, start: Start, web: httpx.Client, left_out: str) -> None:
    put = mint_put(web, start(**KMS))
    store.refused(put.send(web, without=left_out), "403", gap="signature", key=put.key)


def test_a_client_cannot_choose_another_storage_class(store: Store, start: Start, web: httpx.Client) -> None:
    put = mint_put(web, start(**STANDARD_IA))
    sent = put.send(web, headers={"x-amz-storage-class": "STANDARD"})
    store.refused(sent, "403", gap="signature", key=put.key)


def test_a_file_of_the_library_has_its_purposes_class_and_the_encryption(store: Store, tmp_path: Path) -> None:
    path, key = tmp_path / "수업 1.mp3", "audio/class7/0.mp3"
    path.write_bytes(CONTENT)
    settings = {"ENVIRONMENT": "local", "S3_STORAGE_CLASSES": "audio:ONEZONE_IA", **AES256, **store.environ}

    async def there_and_back() -> tuple[str, str | None]:
        async with Library.of(settings) as library:
            try:
                await library.upload_file(path, key, "audio/mpeg", extra_metadata={"class_id": "class7"})
            except StorageUnavailable as refused:
                return f"{refused.extras['upstream_status']} {refused.extras['upstream_code']}", None
            stored = await library.download_file(key, tmp_path / "back.mp3")
            return stored.storage_class, stored.encryption

    storage_class, encryption = asyncio.run(there_and_back())
    store.lacks(gap="storage-class", answered=storage_class)
    assert (storage_class, encryption) == ("ONEZONE_IA", "AES256")
    assert (tmp_path / "back.mp3").read_bytes() == CONTENT
