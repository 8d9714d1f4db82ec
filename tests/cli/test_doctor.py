"""The doctor: every check is seen failing here, with the remedy it gives; and it leaves nothing behind."""

import base64
import hashlib
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import boto3
import httpx
import jwt
import pytest
from pydantic import SecretStr

from image_upload.aws.sigv4 import Credentials
from image_upload.cli.doctor import bucket, round_trip, rules, run
from image_upload.cli.doctor import service as checks_of_service
from image_upload.settings import Settings, load
from local.embedded_s3 import ACCESS_KEY, SECRET_KEY, EmbeddedS3
from local.ports import claim_port
from local.service import local_environ
from tests.cli.altered import Alter, Answer, Asked, altered, denied
from tests.conftest import Start

pytestmark = pytest.mark.full

ORIGIN = "http://localhost:3000"
SECRET = "a-secret-of-more-than-thirty-two-bytes"
Behind = Callable[[], Answer]


class Report(NamedTuple):
    code: int
    checks: dict[str, dict[str, str]]
    text: str

    def state(self, check: str) -> str:
        return self.checks[check]["state"]

    def said(self, check: str) -> str:
        """What was seen and what to do, in one line."""
        return f"{self.checks[check]['seen']} -> {self.checks[check]['remedy']}"

    @property
    def failed(self) -> list[str]:
        return [name for name, check in self.checks.items() if check["state"] == "FAIL"]


Doctor = Callable[..., Report]


@pytest.fixture
def doctor(
    s3: EmbeddedS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Doctor:
    """Run the doctor with these environment variables."""
    monkeypatch.chdir(tmp_path)

    def go(*arguments: str, **environ: str) -> Report:
        for name, value in (s3.environ | {"ENVIRONMENT": "local", "JWT_SECRET": ""} | environ).items():
            monkeypatch.setenv(name, value)
        code = run(["--json", *arguments])
        out = capsys.readouterr().out
        assert "X-Amz-" not in out
        assert SECRET_KEY not in out
        return Report(code, {check["check"]: check for check in json.loads(out)["checks"]}, out)

    return go


@pytest.fixture
def storage(s3: EmbeddedS3) -> Iterator[Any]:
    """boto3's client of the embedded S3. What a test stores is looked for after it."""
    client = boto3.client(
        "s3",
        endpoint_url=s3.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    yield client
    client.close()


def left(storage: Any, bucket_name: str = "local-uploads") -> list[str]:
    """Keys of the doctor, also of old versions and delete markers."""
    found = storage.list_object_versions(Bucket=bucket_name, Prefix="uploads/doctor-")
    return [each["Key"] for kind in ("Versions", "DeleteMarkers") for each in found.get(kind, ())]


def in_front(s3: EmbeddedS3, alter: Alter) -> Any:
    return altered(s3.endpoint_url, alter)


def changed(answer: Answer, **headers: str | None) -> Answer:
    """The answer with other headers (underscores for hyphens); None takes one away."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    kept = [(name, value) for name, value in answer.headers if name.lower() not in names]
    return answer._replace(headers=kept + [(name, value) for name, value in names.items() if value is not None])


# --- all well -------------------------------------------------------------------------------------


def test_a_local_set_up_fails_nowhere_and_keeps_nothing(doctor: Doctor, service: str, storage: Any) -> None:
    report = doctor("--url", service, "--origin", ORIGIN)
    assert (report.code, report.failed) == (0, [])
    assert {"round trip", "bucket CORS", "unsigned read", "clock", "health", "service CORS", "body limit"} <= {
        name for name, check in report.checks.items() if check["state"] == "ok"
    }
    assert left(storage) == []


def test_lines_are_for_people(
    s3: EmbeddedS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in (s3.environ | {"ENVIRONMENT": "local"}).items():
        monkeypatch.setenv(name, value)
    assert run([]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert all(line.split()[0] in ("ok", "warn", "FAIL", "skip") for line in lines)
    assert all("→" in line for line in lines if line.split()[0] == "warn")
    assert last.endswith(" skip.")


def test_what_is_wrong_only_in_production_is_a_warning_here(doctor: Doctor) -> None:
    report = doctor()
    assert [report.state(check) for check in ("life times", "encryption", "public access")] == ["warn"] * 3
    assert report.state("bucket CORS") == "skip"


# --- could not begin ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "environ", "said"),
    [
        ([], {"AWS_REGION": ""}, "AWS_REGION: missing"),
        (["--token-from-env", "NO_SUCH_TOKEN"], {}, "NO_SUCH_TOKEN holds no token"),
        (["--url", "app.example.com"], {}, "is no base URL"),
        (["--url", "https://a.example.com/?x=y"], {}, "is no base URL"),
        (["--origin", "*"], {}, "is no origin"),
    ],
)
def test_it_says_why_it_cannot_begin(
    s3: EmbeddedS3,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    environ: dict[str, str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in (s3.environ | {"ENVIRONMENT": "local"} | environ).items():
        monkeypatch.setenv(name, value)
    try:
        code = run(arguments)
    except SystemExit as end:  # argparse
        code = int(end.code or 0)
    assert code == 2
    assert said in capsys.readouterr().err


# --- credentials ----------------------------------------------------------------------------------


def test_no_credentials_are_a_failure_with_three_ways_out(doctor: Doctor, no_chain: Path) -> None:
    report = doctor(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert report.failed == ["credentials"]
    assert "aws sso login" in report.said("credentials")
    assert report.state("bucket") == "skip"
    assert no_chain.exists() is False


@pytest.fixture
def no_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An AWS configuration of this test's own, still empty."""
    file = tmp_path / "credentials"
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return file


@pytest.mark.parametrize(("minutes", "state"), [(20, "warn"), (90, "ok")])
def test_credentials_that_end_before_the_urls_are_said_to(
    doctor: Doctor, no_chain: Path, minutes: int, state: str
) -> None:
    ends = datetime.now(UTC) + timedelta(minutes=minutes, seconds=30)
    answer = {
        "Version": 1,
        "AccessKeyId": "ASIATEMP",
        "SecretAccessKey": "secret",
        "SessionToken": "session-token",
        "Expiration": ends.isoformat(),
    }
    process = no_chain.with_name("process.py")
    process.write_text(f"print({json.dumps(json.dumps(answer))})")
    no_chain.write_text(f"[default]\ncredential_process = {sys.executable} {process}\n")
    report = doctor(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert report.state("credentials") == state
    assert f"from custom-process, {minutes} minutes left" in report.said("credentials")
    assert "session-token" not in report.text


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("ExpiredToken", "sign in again"),
        ("InvalidAccessKeyId", "check AWS_ACCESS_KEY_ID"),
        ("AccessDenied", "s3:PutObject"),
    ],
)
def test_what_s3_thinks_of_the_credentials_comes_with_the_remedy(
    doctor: Doctor, s3: EmbeddedS3, code: str, remedy: str
) -> None:
    with in_front(s3, lambda _, __: denied(code, 400 if code == "ExpiredToken" else 403)) as url:
        report = doctor(AWS_S3_ENDPOINT_URL=url)
    assert report.code == 1
    assert report.state("region") == "warn"
    assert report.state("round trip") == "FAIL"
    assert code in report.said("round trip")
    assert remedy in report.said("round trip")


# --- region, host, clock --------------------------------------------------------------------------


def test_a_bucket_in_another_region_is_found_before_anything_is_stored(doctor: Doctor, storage: Any) -> None:
    storage.create_bucket(Bucket="far-away", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    report = doctor(S3_BUCKET_NAME="far-away")
    assert report.failed == ["region"]
    assert "lives in eu-west-1, not in us-east-1 -> set AWS_REGION=eu-west-1" in report.said("region")
    assert "round trip" not in report.checks
    assert left(storage, "far-away") == []


@pytest.mark.parametrize("status", [301, 307])
def test_a_redirect_that_names_no_region_is_a_wrong_region_too(doctor: Doctor, s3: EmbeddedS3, status: int) -> None:
    with in_front(s3, lambda _, __: denied("PermanentRedirect", status)) as url:
        report = doctor(AWS_S3_ENDPOINT_URL=url)
    assert report.failed == ["region"]
    assert "set AWS_REGION" in report.said("region")


def test_a_bucket_that_is_not_there(doctor: Doctor) -> None:
    report = doctor(S3_BUCKET_NAME="no-such-bucket-here")
    assert report.failed == ["region"]
    assert "there is no bucket no-such-bucket-here" in report.said("region")


def test_a_server_that_is_not_there(doctor: Doctor) -> None:
    with claim_port("127.0.0.1", 0, "PORT") as listening:
        port = listening.getsockname()[1]
    report = doctor(AWS_S3_ENDPOINT_URL=f"http://127.0.0.1:{port}")
    assert report.failed == ["region"]
    assert "AWS_S3_ENDPOINT_URL" in report.said("region")


def test_an_address_for_clients_that_leads_nowhere(doctor: Doctor, storage: Any) -> None:
    with claim_port("127.0.0.1", 0, "PORT") as listening:
        port = listening.getsockname()[1]
    report = doctor(S3_PUBLIC_ENDPOINT_URL=f"http://127.0.0.1:{port}")
    assert report.failed == ["round trip"]
    assert "S3_PUBLIC_ENDPOINT_URL" in report.said("round trip")
    assert left(storage) == []


def test_a_head_that_is_denied_is_not_taken_for_missing(doctor: Doctor, s3: EmbeddedS3) -> None:
    with in_front(s3, lambda asked, behind: denied() if asked.method == "HEAD" else behind()) as url:
        report = doctor(AWS_S3_ENDPOINT_URL=url)
    assert (report.state("region"), report.state("round trip"), report.code) == ("warn", "ok", 0)
    assert "could not look: grant s3:ListBucket" in report.said("region")


@pytest.mark.parametrize(
    ("their_time_minus_ours_s", "state", "said"),
    [
        (-1000, "FAIL", "ahead of"),
        (400, "FAIL", "behind"),  # a URL for 300 s would be born dead
        (-120, "warn", "ahead of"),
        (120, "warn", "behind"),
        (0, "ok", "within"),
    ],
)
def test_a_clock_that_is_wrong(
    doctor: Doctor, s3: EmbeddedS3, their_time_minus_ours_s: int, state: str, said: str
) -> None:
    def shifted(_: Asked, behind: Behind) -> Answer:
        theirs = datetime.now(UTC) + timedelta(seconds=their_time_minus_ours_s)
        return changed(behind(), date=format_datetime(theirs, usegmt=True))

    with in_front(s3, shifted) as url:
        report = doctor(AWS_S3_ENDPOINT_URL=url)
    assert report.state("clock") == state
    assert said in report.said("clock")


# --- the round trip -------------------------------------------------------------------------------


def test_bodies_that_are_changed_on_the_way_are_noticed_and_removed(
    doctor: Doctor, s3: EmbeddedS3, storage: Any
) -> None:
    def other(asked: Asked, behind: Behind) -> Answer:
        answer = behind()
        mangled = asked.method == "GET" and "/uploads/doctor-" in asked.target and answer.status == 200
        return answer._replace(body=answer.body[::-1]) if mangled else answer

    with in_front(s3, other) as url:
        report = doctor(AWS_S3_ENDPOINT_URL=url)
    assert report.failed == ["round trip"]
    assert "other bytes came back" in report.said("round trip")
    assert left(storage) == []


def test_a_read_that_is_denied_names_its_right_and_leaves_nothing(doctor: Doctor, s3: EmbeddedS3, storage: Any) -> None:
    def write_only(asked: Asked, behind: Behind) -> Answer:
        return denied() if asked.method == "GET" and "/uploads/doctor-" in asked.target else behind()

    with in_front(s3, write_only) as url:
        report = doctor(AWS_S3_ENDPOINT_URL=url)
    assert report.failed == ["round trip"]
    assert "s3:GetObject" in report.said("round trip")
    assert left(storage) == []


def test_what_cannot_be_removed_is_named(doctor: Doctor, s3: EmbeddedS3, storage: Any) -> None:
    with in_front(s3, lambda asked, behind: denied() if asked.method == "DELETE" else behind()) as url:
        report = doctor(AWS_S3_ENDPOINT_URL=url)
    assert report.failed == ["clean-up"]
    assert "s3:DeleteObject" in report.said("clean-up")
    stayed = left(storage)
    assert any(key in report.said("clean-up") for key in stayed)
    for key in stayed:
        storage.delete_object(Bucket="local-uploads", Key=key)


def test_an_answer_that_is_lost_leaves_nothing_either(doctor: Doctor, s3: EmbeddedS3, storage: Any) -> None:
    def lost(asked: Asked, behind: Behind) -> Answer:
        answer = behind()
        if asked.method == "PUT":
            raise ConnectionAbortedError
        return answer

    with in_front(s3, lost) as url:
        report = doctor(AWS_S3_ENDPOINT_URL=url)
    assert report.failed == ["round trip"]
    assert left(storage) == []


def test_a_bucket_with_versions_is_left_as_it_was(doctor: Doctor, storage: Any) -> None:
    storage.create_bucket(Bucket="with-versions")
    storage.put_bucket_versioning(Bucket="with-versions", VersioningConfiguration={"Status": "Enabled"})
    assert doctor(S3_BUCKET_NAME="with-versions").code == 0
    assert left(storage, "with-versions") == []


def test_a_role_that_may_not_remove_versions_leaves_one_and_says_so(
    doctor: Doctor, s3: EmbeddedS3, storage: Any
) -> None:
    storage.create_bucket(Bucket="versions-stay")
    storage.put_bucket_versioning(Bucket="versions-stay", VersioningConfiguration={"Status": "Enabled"})

    def no_versions(asked: Asked, behind: Behind) -> Answer:
        return denied() if asked.method == "DELETE" and "versionId=" in asked.target else behind()

    with in_front(s3, no_versions) as url:
        report = doctor(S3_BUCKET_NAME="versions-stay", AWS_S3_ENDPOINT_URL=url)
    assert report.code == 0
    assert "old versions" in report.said("clean-up")


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"access_control_allow_origin": None}, "allows no origin"),
        ({"access_control_allow_origin": f"{ORIGIN}, {ORIGIN}"}, f"allows {ORIGIN} and {ORIGIN}"),
        ({"access_control_allow_origin": "https://other.example.com"}, "allows https://other.example.com"),
        ({"access_control_expose_headers": "Content-Length"}, "not read the ETag"),
    ],
)
def test_a_bucket_that_browsers_cannot_use(
    doctor: Doctor, s3: EmbeddedS3, headers: dict[str, str | None], said: str
) -> None:
    with in_front(s3, lambda _, behind: changed(behind(), **headers)) as url:
        report = doctor("--origin", ORIGIN, AWS_S3_ENDPOINT_URL=url)
    assert report.failed == ["bucket CORS"]
    assert said in report.said("bucket CORS")
    assert f"bucket-rules --origins {ORIGIN} --apply" in report.said("bucket CORS")


def test_a_preflight_that_is_refused(doctor: Doctor, s3: EmbeddedS3) -> None:
    def refuse(asked: Asked, behind: Behind) -> Answer:
        return denied("AccessForbidden") if asked.method == "OPTIONS" else behind()

    with in_front(s3, refuse) as url:
        report = doctor("--origin", ORIGIN, AWS_S3_ENDPOINT_URL=url)
    assert report.failed == ["bucket CORS"]
    assert "the preflight is answered 403 AccessForbidden" in report.said("bucket CORS")


def in_production(s3: EmbeddedS3, url: str) -> Settings:
    """Settings of production over plain http, which `load` does not allow."""
    return load(local_environ({}, s3.environ | {"AWS_S3_ENDPOINT_URL": url})).replaced(environment="production")


def test_a_public_bucket_fails_in_production(s3: EmbeddedS3, storage: Any) -> None:
    def public(asked: Asked, behind: Behind) -> Answer:
        unsigned = asked.method == "GET" and "X-Amz-Signature" not in parse_qs(urlsplit(asked.target).query)
        return Answer(200, [], b"open") if unsigned else behind()

    with in_front(s3, public) as url, httpx.Client(trust_env=False) as web:
        check_target = bucket.CheckTarget(
            in_production(s3, url).storage, web, Credentials(ACCESS_KEY, SECRET_KEY), None
        )
        found = {finding.check: finding for finding in round_trip.checks(check_target)}
    assert found["unsigned read"].state == "FAIL"
    assert "every file is public" in found["unsigned read"].remedy
    # The embedded S3 checks no signature: good enough to develop against, and for nothing else.
    assert found["signed length"].state == "FAIL"
    assert left(storage) == []


# --- what not every store can do ------------------------------------------------------------------


def lacking(asked: Asked, behind: Behind) -> Answer:
    """A store without forms, x-amz-checksum, If-None-Match, copies and uploads in parts."""
    if asked.headers.get("content-type", "").startswith("multipart/form-data") or "uploads=" in asked.target:
        return denied("NotImplemented", 501)
    if "x-amz-checksum-sha256" in asked.headers:
        return denied("InvalidArgument", 400)
    if {"if-none-match", "x-amz-copy-source"} & asked.headers.keys() and asked.method == "PUT":
        return denied("NotImplemented", 501)
    if (declared := asked.headers.get("content-md5")) is not None:
        digest = base64.b64encode(hashlib.md5(asked.body, usedforsecurity=False).digest()).decode()
        return behind() if declared == digest else denied("BadDigest", 400)
    return behind()


def test_what_a_store_lacks_is_named_with_the_setting_and_what_the_service_does_then(
    doctor: Doctor, s3: EmbeddedS3, storage: Any
) -> None:
    with in_front(s3, lacking) as url:
        report = doctor(AWS_S3_ENDPOINT_URL=url)
        assert report.failed == ["object size"]
        assert "CreateMultipartUpload is answered 501 NotImplemented -> upload in parts does" in report.said(
            "object size"
        )
        states = {name: report.state(name) for name in ("round trip", "form POST", "overwriting", "checksum", "copy")}
        assert states == {"round trip": "ok", **dict.fromkeys(("form POST", "overwriting", "checksum", "copy"), "warn")}
        assert "stores nothing (501 NotImplemented) -> set S3_FORM_POST=off: plans are PUTs" in report.said("form POST")
        assert "answered 400 InvalidArgument -> set S3_CHECKSUMS=md5: POST /uploads" in report.said("checksum")
        assert "If-None-Match is answered 501 NotImplemented -> send no" in report.said("overwriting")
        assert "CopyObject is answered 501 NotImplemented -> nothing to set" in report.said("copy")
        settled = doctor(AWS_S3_ENDPOINT_URL=url, S3_FORM_POST="off", S3_CHECKSUMS="md5")
    assert (settled.state("form POST"), settled.state("checksum")) == ("ok", "ok")
    assert "S3_FORM_POST is off" in settled.said("form POST")
    assert left(storage) == []


def test_a_store_that_compares_nothing_is_to_be_told_nothing(doctor: Doctor) -> None:
    assert "set S3_CHECKSUMS=off" in doctor().said("checksum")
    assert doctor(S3_CHECKSUMS="off").state("checksum") == "skip"


def test_in_production_a_store_that_takes_no_forms_fails_until_the_setting_says_so(s3: EmbeddedS3) -> None:
    with in_front(s3, lacking) as url, httpx.Client(trust_env=False) as web:
        for is_on, state in ((True, "FAIL"), (False, "ok")):
            storage = in_production(s3, url).storage.replaced(s3_form_post=is_on)
            check_target = bucket.CheckTarget(storage, web, Credentials(ACCESS_KEY, SECRET_KEY), None)
            found = {finding.check: finding for finding in round_trip.checks(check_target)}
            assert found["form POST"].state == state


def test_an_answer_that_only_seems_to_be_a_stored_form_is_looked_at(doctor: Doctor, s3: EmbeddedS3) -> None:
    def welcoming(asked: Asked, behind: Behind) -> Answer:
        is_form = asked.headers.get("content-type", "").startswith("multipart/form-data")
        return Answer(200, [("Content-Type", "text/html")], b"Welcome") if is_form else behind()

    with in_front(s3, welcoming) as url:
        report = doctor(AWS_S3_ENDPOINT_URL=url)
    assert report.said("form POST").startswith("a presigned form stores nothing (200)")


# --- how the bucket is set ------------------------------------------------------------------------


def test_missing_life_times_and_encryption_fail_in_production(s3: EmbeddedS3) -> None:
    found = {finding.check: finding for finding in rules.checks(in_production(s3, s3.endpoint_url), None)}
    assert (found["life times"].state, found["encryption"].state) == ("FAIL", "FAIL")
    assert "missing: image-upload-expire-scan" in found["life times"].seen
    assert "bucket-rules --apply" in found["life times"].remedy


TOLD = b"<NotificationConfiguration>%s</NotificationConfiguration>"
NOTIFIED = (
    b"<CloudFunctionConfiguration><CloudFunction>arn:aws:lambda:us-east-1:111122223333:function:f</CloudFunction>"
    b"<Event>s3:ObjectCreated:*</Event></CloudFunctionConfiguration>"
)


@pytest.mark.parametrize(
    ("told", "state", "said"),
    [
        (b"", "warn", "bucket-rules --apply --events"),
        (NOTIFIED.replace(b"Created", b"Removed"), "warn", "EventBridge is not told"),
        (NOTIFIED, "ok", "notification of the bucket's own"),
        (b"<EventBridgeConfiguration/>", "ok", "EventBridge is told"),
    ],
)
def test_new_objects_that_are_told_to_no_one(
    s3: EmbeddedS3, monkeypatch: pytest.MonkeyPatch, told: bytes, state: str, said: str
) -> None:
    def answer(asked: Asked, behind: Behind) -> Answer:
        return Answer(200, [], TOLD % told) if "notification" in asked.target else behind()

    with in_front(s3, answer) as url:
        # Settings of AWS itself; where that is, the SDK alone is told.
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        settings = in_production(s3, url).replaced(s3_endpoint_url=None)
        assert "events" not in {finding.check for finding in rules.checks(settings, None)}, "there is no database"
        for waiting in ({"database_url": SecretStr("postgresql://h/d")}, {"verifier": "function"}):
            needing = settings.replaced(**waiting)
            (found,) = (finding for finding in rules.checks(needing, None) if finding.check == "events")
            assert (found.state, said in f"{found.seen} {found.remedy}") == (state, True)


def test_a_store_of_ones_own_that_tells_no_one_of_new_objects_is_no_fault(doctor: Doctor, tmp_path: Path) -> None:
    assert doctor(DATABASE_URL=f"sqlite:///{tmp_path}/records").state("events") == "skip"


def test_a_public_policy(doctor: Doctor, storage: Any) -> None:
    storage.create_bucket(Bucket="open-to-all")
    public = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::open-to-all/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [public]})
    storage.put_bucket_policy(Bucket="open-to-all", Policy=policy)
    report = doctor(S3_BUCKET_NAME="open-to-all")
    assert report.state("policy status") == "FAIL"
    assert "Principal *" in report.said("policy status")


@pytest.mark.parametrize(
    ("subresource", "check", "action"),
    [
        ("cors", "CORS rules", "s3:GetBucketCORS"),
        ("publicAccessBlock", "public access", "s3:GetBucketPublicAccessBlock"),
        ("policyStatus", "policy status", "s3:GetBucketPolicyStatus"),
        ("lifecycle", "life times", "s3:GetLifecycleConfiguration"),
        ("encryption", "encryption", "s3:GetEncryptionConfiguration"),
        ("notification", "events", "s3:GetBucketNotification"),
    ],
)
def test_what_may_not_be_looked_at_is_a_warning_and_never_missing(
    doctor: Doctor, s3: EmbeddedS3, subresource: str, check: str, action: str
) -> None:
    def guarded(asked: Asked, behind: Behind) -> Answer:
        return denied() if asked.target.endswith(f"?{subresource}") else behind()

    with in_front(s3, guarded) as url:
        report = doctor("--origin", ORIGIN, AWS_S3_ENDPOINT_URL=url, DATABASE_URL="sqlite:///records")
    assert report.state(check) == "warn"
    assert report.said(check).endswith(f"could not look: grant {action} to the caller of doctor")
    assert "missing" not in report.said(check)


# --- the service ----------------------------------------------------------------------------------

Look = Callable[..., Report]


@pytest.fixture
def look(web: httpx.Client) -> Look:
    """The checks of a service alone."""

    def go(url: str, *, origin: str | None = None) -> Report:
        findings = list(checks_of_service.checks(checks_of_service.CheckTarget(web, url, origin, None, guessed=False)))
        return Report(0, {finding.check: finding._asdict() for finding in findings}, "")

    return go


def test_a_service_that_is_not_there(look: Look) -> None:
    with claim_port("127.0.0.1", 0, "PORT") as listening:
        port = listening.getsockname()[1]
    report = look(f"http://127.0.0.1:{port}")
    assert report.failed == ["health"]
    assert "auth" not in report.checks


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"message":"Forbidden"}'])
def test_something_else_at_that_url(look: Look, service: str, body: bytes) -> None:
    with altered(service, lambda _, __: Answer(403, [], body)) as url:
        report = look(url)
    assert report.failed == ["health"]
    assert "lambda:InvokeFunctionUrl" in report.said("health")


@pytest.mark.parametrize(
    ("state", "remedy"), [("denied", "s3:ListBucket"), ("missing", "S3_BUCKET_NAME"), ("unreachable", "log")]
)
def test_a_service_without_its_bucket(look: Look, service: str, state: str, remedy: str) -> None:
    def sick(asked: Asked, behind: Behind) -> Answer:
        answer = behind()
        is_health = asked.target == "/" and asked.method == "GET"
        return (
            answer._replace(body=answer.body.replace(b'"bucket":"ok"', b'"bucket":"%s"' % state.encode()))
            if is_health
            else answer
        )

    with altered(service, sick) as url:
        report = look(url)
    assert report.failed == ["health"]
    assert remedy in report.said("health")


def test_two_owners_of_cors_are_two_answers(look: Look, service: str) -> None:
    def doubled(_: Asked, behind: Behind) -> Answer:
        answer = behind()
        return answer._replace(headers=[*answer.headers, ("Access-Control-Allow-Origin", ORIGIN)])

    with altered(service, doubled) as url:
        report = look(url, origin=ORIGIN)
    assert report.failed == ["service CORS"]
    assert "the preflight has 2 Access-Control-Allow-Origin" in report.said("service CORS")
    assert "leave CORS to the URL alone" in report.said("service CORS")


def test_two_owners_that_differ_only_in_the_answer(look: Look, service: str) -> None:
    def doubled(asked: Asked, behind: Behind) -> Answer:
        answer = behind()
        extra = [("Access-Control-Allow-Origin", ORIGIN)] if asked.method == "GET" else []
        return answer._replace(headers=[*answer.headers, *extra])

    with altered(service, doubled) as url:
        report = look(url, origin=ORIGIN)
    assert "the answer has 2 Access-Control-Allow-Origin" in report.said("service CORS")


def test_a_front_end_that_is_not_allowed(look: Look, service: str) -> None:
    report = look(service, origin="https://other.example.com")
    assert "service CORS" in report.failed
    assert "allow https://other.example.com" in report.said("service CORS")


def test_errors_that_something_in_front_replaces(look: Look, service: str) -> None:
    def pretty(_: Asked, behind: Behind) -> Answer:
        answer = behind()
        return Answer(404, [("Content-Type", "text/html")], b"<h1>") if answer.status == 404 else answer

    with altered(service, pretty) as url:
        report = look(url)
    assert report.failed == ["error format"]
    assert "404 text/html without a code" in report.said("error format")


def test_minting_without_a_token_in_production(look: Look, service: str) -> None:
    def claims_production(_: Asked, behind: Behind) -> Answer:
        answer = behind()
        return answer._replace(body=answer.body.replace(b'"environment":"local"', b'"environment":"production"'))

    with altered(service, claims_production) as url:
        report = look(url)
    assert report.failed == ["auth"]
    assert "minting needs no token, in production" in report.said("auth")


def test_a_mint_that_is_broken_is_not_taken_for_a_refusal(look: Look, service: str) -> None:
    def broken(asked: Asked, behind: Behind) -> Answer:
        return (
            Answer(503, [], b'{"code":"credentials-unavailable"}')
            if asked.target == "/uploads" and asked.method == "POST"
            else behind()
        )

    with altered(service, broken) as url:
        report = look(url)
    assert "503 credentials-unavailable" in report.said("auth")
    assert report.state("auth") == "FAIL"


def token(**claims: Any) -> str:
    return jwt.encode({"sub": "doctor", "exp": int(time.time()) + 600} | claims, SECRET, "HS256")


@pytest.mark.parametrize(
    ("claims", "state", "said"),
    [
        ({}, "ok", "taken"),
        ({"exp": 1_700_000_000}, "FAIL", "401 token-invalid; it ended "),
        ({"nbf": 4_000_000_000, "exp": 4_000_000_001}, "FAIL", "401 token-invalid; it begins in "),
        ({"sub": ""}, "FAIL", "401 token-invalid"),
    ],
)
def test_a_token_and_its_dates(doctor: Doctor, start: Start, claims: dict[str, Any], state: str, said: str) -> None:
    url, given = start(AUTH_REQUIRED="true", JWT_SECRET=SECRET), token(**claims)
    report = doctor("--url", url, "--token-from-env", "SMOKE_TOKEN", SMOKE_TOKEN=given)
    assert (report.state("auth"), report.state("token")) == ("ok", state)
    assert said in report.said("token")
    assert given not in report.text


def test_a_service_with_other_purposes_than_the_file_here(doctor: Doctor, start: Start, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        '[chat]\nkey = "chat/{yyyymmdd}/{user}/{id}"\ntypes = ["images"]\nlargest = "10 MiB"\nkept_days = 8\n'
        '[letter]\nkey = "letters/{id}"\ntypes = ["any"]\n[secret]\nkey = "secrets/{id}"\ntypes = ["any"]\nscope = "x"',
        encoding="utf-8",
    )
    report = doctor("--url", start(), PURPOSES_FILE=str(own))
    assert report.state("purposes") == "warn"
    said = "disagree about upload, scan, profile, chat, misc, audio, document, file, letter -> deploy the file"
    assert said in report.said("purposes")
    assert doctor("--url", start(PURPOSES_FILE=str(own)), PURPOSES_FILE=str(own)).state("purposes") == "ok"


def test_purposes_are_compared_where_the_service_shows_them(doctor: Doctor, start: Start, service: str) -> None:
    assert doctor("--url", service).state("purposes") == "ok"
    assert doctor("--url", start(AUTH_REQUIRED="true", JWT_SECRET=SECRET)).state("purposes") == "skip"
    url = start(AUTH_REQUIRED="true", JWT_SECRET=SECRET)
    assert doctor("--url", url, JWT_SECRET=SECRET).state("purposes") == "ok"


@pytest.mark.parametrize("given", ["not.a.token", "토큰"])
def test_what_is_no_token_is_said_to_be_none(doctor: Doctor, start: Start, given: str) -> None:
    url = start(AUTH_REQUIRED="true", JWT_SECRET=SECRET)
    report = doctor("--url", url, "--token-from-env", "SMOKE_TOKEN", SMOKE_TOKEN=given)
    assert report.failed == ["token"]
    assert given not in report.text


@pytest.mark.parametrize(("secret", "state"), [(SECRET, "ok"), (SECRET[::-1], "warn")])
def test_a_token_is_made_where_the_secret_is_known(doctor: Doctor, start: Start, secret: str, state: str) -> None:
    url = start(AUTH_REQUIRED="true", JWT_SECRET=SECRET)
    report = doctor("--url", url, JWT_SECRET=secret)
    assert report.state("token") == state
    assert secret not in report.text


def test_the_secret_of_a_service_elsewhere_need_not_be_known_here(doctor: Doctor, service: str) -> None:
    """The operator who checks a deployment has the bucket's settings, but not the service's secret."""
    report = doctor("--url", service, ENVIRONMENT="production", AWS_S3_ENDPOINT_URL="https://127.0.0.1:1")
    assert report.failed == ["region"]
    assert report.state("health") == "ok"


def test_a_service_clock_that_is_wrong(look: Look, service: str) -> None:
    def late(_: Asked, behind: Behind) -> Answer:
        return changed(behind(), date=format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True))

    with altered(service, late) as url:
        report = look(url)
    assert report.failed == ["service clock"]


def test_a_front_that_takes_less_than_a_form_of_ours(look: Look, service: str) -> None:
    with altered(service, lambda asked, behind: Answer(413, [], b"") if len(asked.body) > 2**20 else behind()) as url:
        report = look(url)
    assert report.failed == ["body limit"]
    assert "is answered 413 without a code" in report.said("body limit")


@pytest.mark.parametrize(("status", "state"), [(413, "ok"), (500, "warn")])
def test_a_form_above_lambdas_limit_is_answered_by_aws(look: Look, service: str, status: int, state: str) -> None:
    sizes = itertools.count()

    def like_lambda(asked: Asked, behind: Behind) -> Answer:
        if len(asked.body) > 6 * 2**20:
            next(sizes)
            return Answer(status, [], b"")
        return changed(behind(), x_amzn_requestid="1")

    with altered(service, like_lambda) as url:
        report = look(url)
    assert report.state("body limit") == state
    assert next(sizes) == 1, "one form above the limit was sent"
