"""The doctor on real servers: a bucket that was set by the command passes, and its own object is gone afterwards."""

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from image_upload.cli import bucket_rules, doctor
from tests.contract import plans
from tests.contract.gaps import GAPS, NO_BUCKET_SETTINGS
from tests.contract.store import Store

# As in test_bucket_rules.
pytestmark = pytest.mark.also_on("localstack")

ORIGIN = "http://localhost:3000"
Checks = dict[str, dict[str, str]]


@pytest.fixture
def bucket(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """An empty bucket of its own that the settings name. It must be empty again: only then can it be removed."""
    name = f"doctor-{secrets.token_hex(6)}"
    store.s3.create_bucket(Bucket=name)
    monkeypatch.chdir(tmp_path)
    for setting, value in (store.environ | {"ENVIRONMENT": "local", "S3_BUCKET_NAME": name}).items():
        monkeypatch.setenv(setting, value)
    yield name
    store.s3.delete_bucket(Bucket=name)


@pytest.fixture
def examined(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Checks]]:
    def go(*arguments: str) -> tuple[int, Checks]:
        capsys.readouterr()
        code = doctor.run(["--json", *arguments])
        checks = json.loads(capsys.readouterr().out)["checks"]
        return code, {check["check"]: check for check in checks}

    return go


def expected(store: Store) -> dict[str, str]:
    """What the checks of a bucket must be on this server, with its known gaps."""
    lacks = NO_BUCKET_SETTINGS.get(store.name, frozenset())
    gaps = GAPS[store.name]
    return {
        "settings": "ok",
        "credentials": "ok",
        "region": "ok",
        "clock": "ok",
        "round trip": "ok",
        "signed length": "warn" if "signature" in gaps else "ok",
        "bucket CORS": "ok",
        "unsigned read": "warn" if "anonymous-read" in gaps else "ok",
        "form POST": "warn" if "policy" in gaps else "ok",
        "overwriting": "ok",
        "checksum": "warn" if "checksum" in gaps else "ok",
        "copy": "warn" if "copy-match" in gaps else "ok",
        "object size": "warn" if "object-size" in gaps else "ok",
        "CORS rules": "ok",
        "public access": "skip" if "public access" in lacks else "ok",
        "policy status": "skip" if store.name == "localstack" else "ok",  # it has no such call
        "life times": "ok",
        "open uploads": "ok",
        "encryption": "skip" if "encryption" in lacks else "ok",
    }


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_the_command_set_passes(
    store: Store, service: str, examined: Callable[..., tuple[int, Checks]]
) -> None:
    assert bucket_rules.run(["--origins", ORIGIN, "--apply"]) == 0
    code, checks = examined("--origin", ORIGIN, "--url", service)
    assert code == 0, [check for check in checks.values() if check["state"] == "FAIL"]
    of_bucket = {name: check["state"] for name, check in checks.items() if name in expected(store)}
    assert of_bucket == expected(store)
    of_service = ("health", "service clock", "service CORS", "error format", "auth", "body limit")
    assert [checks[name]["state"] for name in of_service] == ["ok"] * 6


@pytest.mark.usefixtures("bucket")
def test_a_bucket_without_rules_fails_browsers(examined: Callable[..., tuple[int, Checks]]) -> None:
    code, checks = examined("--origin", "https://app.example.com")
    assert code == 1
    assert [name for name, check in checks.items() if check["state"] == "FAIL"] == ["bucket CORS"]
    assert checks["CORS rules"]["state"] == "warn"
    assert "missing: image-upload-expire-chat" in checks["life times"]["seen"]


def test_a_wrong_secret_is_found_by_a_server_that_checks_signatures(
    store: Store, bucket: str, examined: Callable[..., tuple[int, Checks]], monkeypatch: pytest.MonkeyPatch
) -> None:
    if "signature" in GAPS[store.name]:
        pytest.skip(f"{store.name}, gap signature")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    code, checks = examined()
    assert code == 1
    assert checks["round trip"]["state"] == "FAIL"
    assert "SignatureDoesNotMatch" in checks["round trip"]["seen"]
    assert "AWS_SECRET_ACCESS_KEY" in checks["round trip"]["remedy"]
    assert store.s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.also_on("moto")
def test_an_object_is_copied_only_under_the_etag_that_is_named(store: Store, web: httpx.Client) -> None:
    store.write("uploads/source.bin", b"one")
    headers = {
        "x-amz-copy-source": f"/{store.bucket}/uploads/source.bin",
        "x-amz-copy-source-if-match": '"00000000000000000000000000000000"',
    }
    url = store.signer().presign("PUT", "uploads/copy.bin", now=plans.now(), expires_s=60, headers=headers)
    response = web.put(url, headers=headers)
    store.refused(response, "412 PreconditionFailed", gap="copy-match", key="uploads/copy.bin")
