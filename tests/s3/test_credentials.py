"""The AWS credential chain, with real providers of botocore: a shared file, a credential process."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.conftest import Start, problem

SPEC = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": 5}
NO_KEYS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An AWS configuration of this test's own: the shared credentials file that botocore reads."""
    file = tmp_path / "credentials"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return file


def minted(web: httpx.Client, service: str) -> dict[str, str]:
    response = web.post(f"{service}/uploads", json=SPEC)
    assert response.status_code == 200, response.text
    plan: dict[str, str] = response.json()
    return plan


def test_without_keys_in_the_settings_the_chain_is_asked(start: Start, web: httpx.Client, profile: Path) -> None:
    profile.write_text("[default]\naws_access_key_id = AKIACHAIN\naws_secret_access_key = secret\n")
    url = minted(web, start(**NO_KEYS))["presignedUrl"]
    assert parse_qs(urlsplit(url).query)["X-Amz-Credential"][0].startswith("AKIACHAIN/")


def test_a_url_never_claims_to_outlive_its_credentials(start: Start, web: httpx.Client, profile: Path) -> None:
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=20)
    answer = {
        "Version": 1,
        "AccessKeyId": "ASIATEMP",
        "SecretAccessKey": "secret",
        "SessionToken": "token+/=",
        "Expiration": ends.isoformat(),
    }
    process = profile.with_name("process.py")
    process.write_text(f"print({json.dumps(json.dumps(answer))})")
    profile.write_text(f"[default]\ncredential_process = {sys.executable} {process}\n")
    plan = minted(web, start(**NO_KEYS, UPLOAD_URL_EXPIRES_SECONDS="3600"))
    assert plan["expiresAt"] == ends.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert 1100 < int(plan["expiresIn"]) <= 1200
    query = parse_qs(urlsplit(plan["presignedUrl"]).query)
    assert query["X-Amz-Expires"] == [str(plan["expiresIn"])]
    assert query["X-Amz-Security-Token"] == ["token+/="]


@pytest.mark.usefixtures("profile")
def test_without_any_credentials_minting_says_so_and_health_goes_on(start: Start, web: httpx.Client) -> None:
    service = start(**NO_KEYS)
    problem(web.post(f"{service}/uploads", json=SPEC), 503, "credentials-unavailable")
    assert web.get(service).json()["bucket"] == "no-credentials"
