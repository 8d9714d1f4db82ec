"""What the operator's own code stores is trusted, unless it asks; what is sent to its URLs never is."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from image_upload.domain.metadata import FACTS
from image_upload.errors import AlreadyExists, ObjectMissing, UploadRejected
from image_upload.library import Library
from image_upload.s3_service import S3Service
from local.embedded_s3 import EmbeddedS3
from local.service import local_environ

SCRIPT = b"<script>alert('uploaded')</script>" + b" " * 100


@pytest.fixture
def environ(s3: EmbeddedS3) -> dict[str, str]:
    return local_environ({}, s3.environ) | {"VERIFY": "publish"}


@pytest.fixture
def key() -> str:
    return f"uploads/{secrets.token_hex(16)}.jpg"


def run(environ: dict[str, str], work: Callable[[Library, httpx.AsyncClient], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with Library.of(environ) as library, httpx.AsyncClient(trust_env=False) as web:
            await work(library, web)

    asyncio.run(whole())


def file(folder: Path, content: bytes) -> Path:
    path = folder / "사진.jpg"
    path.write_bytes(content)
    return path


def test_a_url_of_the_library_leads_to_where_files_are_verified(environ: dict[str, str], key: str, jpeg: bytes) -> None:
    async def work(library: Library, web: httpx.AsyncClient) -> None:
        bad = (await library.get_upload_url(key, content_type="image/jpeg")).url
        assert (await web.put(bad, content=SCRIPT, headers={"Content-Type": "image/jpeg"})).status_code == 200
        assert (await web.get((await library.get_file_url(key)).url)).status_code == 404
        with pytest.raises(UploadRejected):
            await library.arrival(key)
        other = f"{key}.2.jpg"
        good = (await library.get_upload_url(other, content_type="image/jpeg")).url
        assert (await web.put(good, content=jpeg, headers={"Content-Type": "image/jpeg"})).status_code == 200
        stored = (await library.arrival(other)).stored
        assert stored is not None
        assert FACTS in stored.metadata
        assert (await web.get((await library.get_file_url(other)).url)).content == jpeg

    run(environ, work)


def test_a_file_that_is_to_be_verified_is_published_or_refused(
    environ: dict[str, str], key: str, jpeg: bytes, tmp_path: Path
) -> None:
    async def work(library: Library, _: httpx.AsyncClient) -> None:
        with pytest.raises(UploadRejected):
            await library.upload_file(file(tmp_path, SCRIPT), key, "image/jpeg", verify=True)
        with pytest.raises(ObjectMissing):
            await library.get_file_metadata(f"incoming/{key}")
        other = f"{key}.2.jpg"
        stored = await library.upload_file(file(tmp_path, jpeg), other, "image/jpeg", user_id="u1", verify=True)
        assert (stored.key, stored.size_bytes, stored.metadata["user_id"]) == (other, len(jpeg), "u1")
        assert FACTS in (await library.get_file_metadata(other)).metadata

    run(environ, work)


def test_what_is_verified_replaces_no_file_and_what_is_trusted_does(
    environ: dict[str, str], key: str, jpeg: bytes, tmp_path: Path
) -> None:
    async def work(library: Library, web: httpx.AsyncClient) -> None:
        await library.upload_file(file(tmp_path, SCRIPT), key, "image/jpeg")
        assert (await web.get((await library.get_file_url(key)).url)).content == SCRIPT
        with pytest.raises(AlreadyExists):
            await library.upload_file(file(tmp_path, jpeg), key, "image/jpeg", verify=True)
        assert (await web.get((await library.get_file_url(key)).url)).content == SCRIPT
        assert (await library.upload_file(file(tmp_path, jpeg), key, "image/jpeg")).key == key
        assert (await web.get((await library.get_file_url(key)).url)).content == jpeg

    run(environ, work)


def test_without_verification_a_file_that_is_to_be_verified_has_its_key_at_once(
    environ: dict[str, str], key: str, jpeg: bytes, tmp_path: Path
) -> None:
    async def work(library: Library, _: httpx.AsyncClient) -> None:
        assert (await library.upload_file(file(tmp_path, jpeg), key, "image/jpeg", verify=True)).key == key

    run(environ | {"VERIFY": "off"}, work)


def test_version_1_calls_publish_what_was_sent_to_their_url(environ: dict[str, str], key: str, jpeg: bytes) -> None:
    service = S3Service(environ)
    sent = httpx.put(service.generate_presigned_url(key), content=jpeg, headers={"Content-Type": "image/jpeg"})
    assert sent.status_code == 200
    assert httpx.get(service.generate_download_url(key)).content == jpeg
    assert httpx.get(service.get_file_url(key)).content == jpeg
    other = f"{key}.2.jpg"
    httpx.put(service.generate_presigned_url(other), content=SCRIPT, headers={"Content-Type": "image/jpeg"})
    with pytest.raises(UploadRejected):
        service.get_file_url(other)
    service.close()
