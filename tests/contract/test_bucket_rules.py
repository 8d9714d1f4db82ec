"""`bucket-rules` against real servers: what is set is what S3 then does, and what others have set stays."""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from image_upload.bucket_config import diff, rules
from image_upload.bucket_config.subresources import POLICY, Configuration
from image_upload.cli.bucket_rules import run
from image_upload.domain.shipped_purposes import PURPOSES
from image_upload.settings import load
from tests.contract.gaps import KNOWS_EVENTBRIDGE, NO_BUCKET_SETTINGS
from tests.contract.store import Store

# The one with EventBridge, and with every setting that the command knows.
pytestmark = pytest.mark.also_on("localstack")

ORIGIN = "https://app.example.com"
Command = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def bucket(store: Store) -> Iterator[str]:
    """An empty bucket of its own."""
    name = f"rules-{secrets.token_hex(6)}"
    store.s3.create_bucket(Bucket=name)
    yield name
    store.s3.delete_bucket(Bucket=name)


@pytest.fixture
def command(
    store: Store, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run the command on that bucket; its exit code and its lines."""
    monkeypatch.chdir(tmp_path)
    for name, value in (store.environ | {"ENVIRONMENT": "local", "S3_BUCKET_NAME": bucket}).items():
        monkeypatch.setenv(name, value)

    def go(*arguments: str) -> tuple[int, list[str]]:
        code = run(arguments)
        return code, capsys.readouterr().out.splitlines()

    return go


def states(lines: list[str], state: str) -> list[str]:
    """What the lines of a state are about."""
    return [line.split(maxsplit=1)[1] for line in lines if line.split()[:1] == [state]]


def test_a_bare_bucket_is_shown_and_not_changed(command: Command, store: Store, bucket: str) -> None:
    code, lines = command("--origins", ORIGIN)
    assert code == 1
    assert len(states(lines, "missing")) >= 5
    assert "missing or different: set them with --apply." in lines[-1]
    with pytest.raises(store.s3.exceptions.ClientError):
        store.s3.get_bucket_cors(Bucket=bucket)


def test_applied_once_it_fits_and_twice_changes_nothing(command: Command, store: Store, bucket: str) -> None:
    code, lines = command("--origins", ORIGIN, "--versioning", "--apply")
    assert (code, lines[-1]) == (0, "The bucket fits."), lines
    assert states(lines, "set") != []
    before = store.s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    for arguments in (["--apply"], []):
        code, lines = command("--origins", ORIGIN, "--versioning", *arguments)
        assert (code, states(lines, "set")) == (0, []), lines
    assert store.s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == before
    assert store.s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"


def test_a_browser_can_send_and_read_the_etag_after_it(
    command: Command, store: Store, bucket: str, web: httpx.Client
) -> None:
    command("--origins", ORIGIN, "--apply")
    url = f"{store.endpoint_url}/{bucket}/uploads/a"
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type"}
    preflight = web.options(url, headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers.get_list("access-control-allow-origin") == [ORIGIN]
    assert web.options(url, headers=asked | {"Origin": "https://other.example.com"}).status_code == 403
    # With all its blocks Ceph would refuse this.
    store.s3.put_object(Bucket=bucket, Key="uploads/a", Body=b"x")
    store.s3.delete_object(Bucket=bucket, Key="uploads/a")


def test_a_server_that_lacks_a_setting_is_said_to_lack_it(command: Command, store: Store) -> None:
    _, lines = command("--origins", ORIGIN)
    lacking = {line.split("  ")[0] for line in states(lines, "skip") if "no such setting" in line}
    assert lacking == NO_BUCKET_SETTINGS.get(store.name, set())


def test_rules_of_others_stay_and_ours_are_put_right(command: Command, store: Store, bucket: str) -> None:
    archive = {
        "ID": "archive",
        "Status": "Enabled",
        "Filter": {"Prefix": "logs/"},
        "Expiration": {"Days": 400},
    }
    wide = {"ID": "everything", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 900}}
    stale = {
        "ID": "image-upload-expire-scan",
        "Status": "Enabled",
        "Filter": {"Prefix": "scans/"},
        "Expiration": {"Days": 3},
    }
    left_over = {**stale, "ID": "image-upload-long-ago", "Filter": {"Prefix": "old/"}}
    store.s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": [archive, wide, stale, left_over]}
    )
    other = {"ID": "theirs", "AllowedOrigins": ["https://other.example.com"], "AllowedMethods": ["GET"]}
    store.s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [other]})

    _, shown = command("--origins", ORIGIN)
    assert [line.split()[-1] for line in states(shown, "differs") if "life times" in line] == [
        "image-upload-expire-scan"
    ]
    code, lines = command("--origins", ORIGIN, "--apply")
    assert code == 0, lines
    kept = states(lines, "kept")
    # Its purpose was removed, and its files were stored under this life time.
    assert "life times     image-upload-long-ago (old/ has no purpose; --forget-folders ends it)" in kept
    assert "life times     archive" in kept
    assert any("everything" in line and "scans/" in line and "S3 does what comes first" in line for line in kept)

    found = {rule["ID"]: rule for rule in store.s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}
    assert found["archive"]["Expiration"] == {"Days": 400}
    assert found["everything"]["Expiration"] == {"Days": 900}
    assert found["image-upload-expire-scan"]["Expiration"] == {"Days": 30}
    assert found["image-upload-long-ago"]["Expiration"] == {"Days": 3}
    origins = [rule["AllowedOrigins"] for rule in store.s3.get_bucket_cors(Bucket=bucket)["CORSRules"]]
    assert sorted(origins) == [[ORIGIN], ["https://other.example.com"]]

    code, lines = command("--origins", ORIGIN, "--forget-folders", "--apply")
    assert code == 0, lines
    assert states(lines, "removed") == ["life times     image-upload-long-ago"]
    left = {rule["ID"] for rule in store.s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}
    assert left == found.keys() - {"image-upload-long-ago"}


def test_eventbridge_is_added_only_with_events_and_other_notifications_stay(
    command: Command, store: Store, bucket: str
) -> None:
    def told() -> dict[str, Any]:
        found: dict[str, Any] = store.s3.get_bucket_notification_configuration(Bucket=bucket)
        del found["ResponseMetadata"]
        return found

    if store.name not in KNOWS_EVENTBRIDGE:
        code, lines = command("--events", "--apply")
        assert code == 1
        assert [line for line in states(lines, "FAILED") if line.startswith("events")] != []
        pytest.skip(f"{store.name} has no EventBridge")
    common = {"Events": ["s3:ObjectRemoved:*"], "Filter": {"Key": {"FilterRules": [{"Name": "Prefix", "Value": "a/"}]}}}
    theirs = {
        "QueueConfigurations": [{"Id": "q", "QueueArn": "arn:aws:sqs:us-east-1:000000000000:theirs", **common}],
        "TopicConfigurations": [{"Id": "t", "TopicArn": "arn:aws:sns:us-east-1:000000000000:theirs", **common}],
        "LambdaFunctionConfigurations": [
            {"Id": "l", "LambdaFunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:theirs", **common}
        ],
    }
    # None of the destinations exists: the caller may not be able to see them.
    store.s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration=theirs, SkipDestinationValidation=True
    )
    command("--apply")
    assert told() == theirs
    assert "events         EventBridge" in states(command("--events")[1], "missing")
    code, lines = command("--events", "--apply")
    assert code == 0, lines
    assert [line.split()[-1] for line in states(lines, "kept") if line.startswith("events")] == ["t", "q", "l"]
    assert told() == theirs | {"EventBridgeConfiguration": {}}
    assert "events         EventBridge" in states(command("--events", "--apply")[1], "ok")


def test_a_policy_that_asks_for_tls_is_not_set_where_there_is_none(command: Command, store: Store, bucket: str) -> None:
    _, lines = command("--apply")
    assert any("policy" in line and "plain http" in line for line in states(lines, "skip"))
    assert any("CORS" in line and "--origins" in line for line in states(lines, "skip"))
    with pytest.raises(store.s3.exceptions.ClientError, match="NoSuchBucketPolicy"):
        store.s3.get_bucket_policy(Bucket=bucket)


def test_documents_of_the_policy_keep_their_statements(store: Store) -> None:
    """The merged policy, as S3 itself takes it."""
    if store.name == "ceph":
        pytest.skip("Ceph 16 takes no policy for a service of AWS")
    if store.name == "seaweedfs":
        pytest.skip("SeaweedFS obeys the policy, which asks for TLS")
    name = f"rules-{secrets.token_hex(6)}"
    store.s3.create_bucket(Bucket=name)
    theirs = {
        "Sid": "theirs",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutBucketTagging",
        "Resource": f"arn:aws:s3:::{name}",
    }
    distribution = "arn:aws:cloudfront::111122223333:distribution/E2ABC"
    wanted = rules.bucket_policy("aws", name, PURPOSES.every(), distribution)
    store.s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": theirs}))
    with closing(Configuration(load(store.environ | {"ENVIRONMENT": "local"}).storage, name)) as bucket:
        bucket.put(POLICY, diff.policy(bucket.get(POLICY), wanted).put)
        found = bucket.get(POLICY)
    assert theirs in found["Statement"]
    assert diff.policy(found, wanted).put is None
    # A later run that names no distribution does not cut the CDN off.
    again = diff.policy(found, wanted[:1], keep=["image-upload-cdn"])
    assert [line.state for line in again.lines] == ["ok", "ok", "kept"]
