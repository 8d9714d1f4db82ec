"""The calls of version 1 clients, as the users' documents print them."""

import asyncio
import hashlib
import logging
import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from image_upload import s3_service as module
from image_upload.errors import InvalidKey, ValidationFailed
from image_upload.s3_service import AsyncS3Service, S3Service
from image_upload.settings import SettingsError
from local.embedded_s3 import EmbeddedS3
from local.service import local_environ

ROOT = Path(__file__).resolve().parents[2]

CONTENT = bytes(range(256)) * 40
KEY = "audio/class123/file.mp3"


@pytest.fixture
def environ(s3: EmbeddedS3, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    given = local_environ({}, s3.environ)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


@pytest.fixture
def plain(environ: dict[str, str]) -> Iterator[S3Service]:
    del environ
    service = S3Service()
    yield service
    service.close()


@pytest.fixture
def awaited(environ: dict[str, str]) -> Iterator[AsyncS3Service]:
    del environ
    service = AsyncS3Service()
    yield service
    service.close()


def documented_calls() -> list[str]:
    """The two blocks of docs/library.md, whose first is the users' own."""
    text = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    section = text.split("## The calls of version 1 clients")[1].split("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


def test_the_documents_lines_run_as_they_are_printed(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del environ
    (tmp_path / "file.mp3").write_bytes(CONTENT)
    ways = {"/path/to/file.mp3": str(tmp_path / "file.mp3"), "/local/path/file.mp3": str(tmp_path / "back.mp3")}
    source, plain_calls = documented_calls()
    for printed, real in ways.items():
        assert printed in source
        source = source.replace(printed, real)
    source = source.replace("success = ", "success = results[len(results)] = ")
    names: dict[str, Any] = {"results": {}}
    monkeypatch.setattr(module, "s3_service", service := AsyncS3Service())
    exec(f"async def main():\n    global url\n{textwrap.indent(source, '    ')}", names)
    asyncio.run(names["main"]())
    service.close()
    assert list(names["results"].values()) == [True, True, True]
    assert (tmp_path / "back.mp3").read_bytes() == CONTENT
    assert "X-Amz-Expires=3600" in names["url"]

    names = {"temp_file_path": str(tmp_path / "file.mp3"), "object_key": "users/7/보고서 1.pdf"}
    exec(plain_calls, names)
    assert names["success"] is True
    assert httpx.get(names["download_url"]).content == CONTENT
    assert httpx.put(names["presigned_url"], content=b"other").status_code == 200
    assert httpx.get(names["download_url"]).content == b"other"
    names["s3"].close()


def test_a_service_class_as_the_documents_write_it_stores_before_it_removes_the_file(plain: S3Service) -> None:
    class FileService:
        def __init__(self, s3_service: S3Service) -> None:
            self.s3_service = s3_service

        async def upload_and_save(self, file_data: bytes, filename: str, user_id: int) -> str:
            import tempfile

            object_key = f"users/{user_id}/{filename}"
            with tempfile.NamedTemporaryFile(delete=False) as temp_file:
                temp_file.write(file_data)
                temp_file_path = temp_file.name
            self.s3_service.upload_file(temp_file_path, object_key)
            os.unlink(temp_file_path)  # noqa: PTH108  as the documents have it
            return object_key

        async def get_download_url(self, key: str) -> str:
            return self.s3_service.generate_download_url(key)

    async def whole() -> str:
        service = FileService(plain)
        return await service.get_download_url(await service.upload_and_save(CONTENT, "녹음 1.mp3", 7))

    answer = httpx.get(asyncio.run(whole()))
    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(CONTENT).digest()
    assert answer.headers["content-disposition"].startswith("attachment")


def test_awaited_calls_leave_the_callers_loop_free(awaited: AsyncS3Service, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(os.urandom(20 * 1024 * 1024))

    async def whole() -> int:
        turns = 0
        work = asyncio.ensure_future(awaited.upload_file(tmp_path / "file.bin", "files/large.bin"))
        while not work.done():
            turns += 1
            await asyncio.sleep(0)  # the others go on
        assert work.result()
        return turns

    assert asyncio.run(whole()) > 100


def test_a_failure_is_false_and_the_log_says_why(
    plain: S3Service, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="image_upload.s3_service"):
        assert plain.upload_file(tmp_path / "none.mp3", KEY) is False
        assert plain.download_file("audio/class123/none.mp3", tmp_path / "back.mp3") is False
        assert plain.upload_file(tmp_path, "../climbs") is False
    codes = [record.fields["code"] for record in caplog.records]  # type: ignore[attr-defined]  # ours adds it
    assert codes == ["FileNotFoundError", "object-missing", "invalid-key"]
    assert not (tmp_path / "back.mp3").exists()
    assert plain.delete_file("audio/class123/none.mp3") is True, "S3 has none, as was wanted"


def test_signing_refuses_what_s3_would_not_keep(plain: S3Service) -> None:
    with pytest.raises(InvalidKey):
        plain.get_file_url("/climbs")
    for expires_in in (0, 604_801):
        with pytest.raises(ValidationFailed, match="expires_in"):
            plain.generate_presigned_url(KEY, expires_in)
    signed = plain.generate_presigned_url(KEY, 60, "audio/mpeg")
    assert "content-type" in urlsplit(signed).query
    assert httpx.put(signed, content=b"x", headers={"Content-Type": "audio/mpeg"}).status_code == 200


def test_settings_are_read_by_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("S3_BUCKET_NAME", "AWS_S3_BUCKET"):
        monkeypatch.delenv(name, raising=False)
    service = S3Service()
    with pytest.raises(SettingsError, match="S3_BUCKET_NAME"):
        service.get_file_url(KEY)
    service.close()


def test_a_closed_service_opens_again(plain: S3Service) -> None:
    first = plain.get_file_url(KEY)
    plain.close()
    assert urlsplit(plain.get_file_url(KEY)).path == urlsplit(first).path
