"""`bucket-rules` where it cannot do its work; tests/contract/test_bucket_rules.py has it do it."""

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from image_upload.cli.bucket_rules import run
from local.embedded_s3 import ACCESS_KEY, SECRET_KEY, EmbeddedS3
from local.ports import claim_port
from tests.cli.altered import Answer, Asked, altered, denied

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(
    s3: EmbeddedS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run the command with these environment variables on a bucket of its own; exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    bucket = f"rules-{secrets.token_hex(6)}"
    storage = boto3.client(
        "s3",
        endpoint_url=s3.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    storage.create_bucket(Bucket=bucket)
    storage.close()

    def go(*arguments: str, **environ: str) -> tuple[int, str, str]:
        for name, value in (s3.environ | {"ENVIRONMENT": "local", "S3_BUCKET_NAME": bucket} | environ).items():
            monkeypatch.setenv(name, value)
        try:
            code = run(arguments)
        except SystemExit as end:  # argparse
            code = int(end.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return go


def test_bad_settings_are_all_named_and_nothing_is_asked(command: Command) -> None:
    code, out, err = command(AWS_REGION="", AWS_S3_ENDPOINT_URL="ftp://x")
    assert (code, out) == (2, "")
    assert "AWS_REGION: missing" in err
    assert "AWS_S3_ENDPOINT_URL" in err


def test_setting_a_bucket_needs_no_secret_of_the_service(command: Command) -> None:
    code, _, err = command(ENVIRONMENT="production", JWT_SECRET="", AWS_S3_ENDPOINT_URL="https://127.0.0.1:1")
    assert code == 2
    assert "JWT_SECRET" not in err
    assert "S3 cannot be asked" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--origins", "app.example.com"], "write https://app.example.com"),
        (["--origins", "https://app.example.com/path"], "write https://app.example.com"),
        (["--origins", ","], "no list of origins"),
        (["--distribution-arn", "E2ABC"], "no ARN"),
        (["--ia-after-days", "3"], "S3 moves nothing to Standard-IA before 30 days"),
        (["--ia-after-days", "30", "--glacier-after-days", "31"], "Glacier begins after 60 days"),
        (["--bucket", "No_Bucket"], "S3_BUCKET_NAME"),
    ],
)
def test_what_s3_would_refuse_is_refused_before(command: Command, arguments: list[str], said: str) -> None:
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_a_bucket_that_is_not_there_is_said_to_be_missing(command: Command) -> None:
    code, _, err = command("--bucket", "no-such-bucket-here")
    assert code == 2
    assert "There is no bucket no-such-bucket-here" in err


def test_a_server_that_is_not_there_ends_with_the_settings_to_check(command: Command) -> None:
    with claim_port("127.0.0.1", 0, "PORT") as listening:
        port = listening.getsockname()[1]
    code, _, err = command(AWS_S3_ENDPOINT_URL=f"http://127.0.0.1:{port}")
    assert code == 2
    assert "AWS_S3_ENDPOINT_URL" in err


def test_what_may_not_be_looked_at_is_not_taken_for_missing(command: Command, s3: EmbeddedS3) -> None:
    def no_cors(asked: Asked, behind: Callable[[], Answer]) -> Answer:
        return denied() if asked.target.endswith("?cors") else behind()

    assert command("--origins", "https://a.example.com", "--apply")[0] == 0
    with altered(s3.endpoint_url, no_cors) as url:
        code, out, _ = command("--origins", "https://a.example.com", AWS_S3_ENDPOINT_URL=url)
    (line,) = [line for line in out.splitlines() if "CORS" in line]
    assert line.split()[0] == "FAILED"
    assert "grant s3:GetBucketCORS" in line
    assert code == 1, "a bucket that was not looked at is not said to fit"


def test_what_may_not_be_set_names_the_right_and_everything_else_is_set(command: Command, s3: EmbeddedS3) -> None:
    def read_only(asked: Asked, behind: Callable[[], Answer]) -> Answer:
        return denied() if asked.method == "PUT" and "?lifecycle" in asked.target else behind()

    with altered(s3.endpoint_url, read_only) as url:
        code, out, _ = command("--origins", "https://a.example.com", "--apply", AWS_S3_ENDPOINT_URL=url)
    failed = [line for line in out.splitlines() if line.split()[0] == "FAILED"]
    assert failed
    assert all("life times" in line and "grant s3:PutLifecycleConfiguration" in line for line in failed)
    assert [line.split()[0] for line in out.splitlines() if "  CORS  " in line and "image-upload" in line] == ["set"]
    assert code == 1
    assert "http" not in json.dumps(failed), "a line names rules and rights, no addresses"


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "ExpiredToken", "SignatureDoesNotMatch"])
def test_credentials_that_s3_does_not_accept_are_said_to_be_so(command: Command, s3: EmbeddedS3, code: str) -> None:
    def refuse(_: Asked, __: Callable[[], Answer]) -> Any:
        return denied(code)

    with altered(s3.endpoint_url, refuse) as url:
        ended, _, err = command(AWS_S3_ENDPOINT_URL=url)
    assert ended == 2
    assert f"does not accept the credentials ({code})" in err
