"""GuardDuty's scan results, through `upload.handler`'s own door: they say when to look, and nothing more."""

import os
import subprocess
from typing import Any

import boto3
import pytest

from image_upload.completion.events import Incomplete
from local.embedded_s3 import ACCESS_KEY, BUCKET, SECRET_KEY, EmbeddedS3
from local.ports import claim_port
from tests.completion.test_batches import batch, failures
from tests.completion.test_events import received, sample
from tests.forked import ran

KEY = "users/user-1/4f9d1c7be0a24c0f8d5b6a7e3c2f1a90/1+1 보고서.pdf"
GUARDDUTY = {"VERIFY": "publish", "MALWARE_SCANNER": "guardduty"}


class Arriving:
    """An arrival in the embedded S3, and what was published of it."""

    def __init__(self, s3: EmbeddedS3) -> None:
        self.client = boto3.client(
            "s3",
            endpoint_url=s3.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )
        for each in self.keys():
            self.client.delete_object(Bucket=BUCKET, Key=each)
        self.client.put_object(Bucket=BUCKET, Key=f"incoming/{KEY}", Body=b"report", ContentType="application/pdf")

    def keys(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", ())
        return [each["Key"] for each in found if each["Key"].endswith(KEY)]

    def tag(self, status: str) -> None:
        tags = {"TagSet": [{"Key": "GuardDutyMalwareScanStatus", "Value": status}]}
        self.client.put_object_tagging(Bucket=BUCKET, Key=f"incoming/{KEY}", Tagging=tags)


@pytest.fixture
def arriving(s3: EmbeddedS3) -> Any:
    found = Arriving(s3)
    yield found
    found.client.close()


def result(**changed: Any) -> dict[str, Any]:
    """The sample, with other members of `s3ObjectDetails`."""
    event = sample("guardduty-scan-result.json")
    event["detail"]["s3ObjectDetails"] |= changed
    return event


def test_a_result_publishes_what_its_tag_calls_clean_and_again_changes_nothing(
    s3: EmbeddedS3, arriving: Arriving
) -> None:
    arriving.tag("NO_THREATS_FOUND")
    for _again in range(2):
        assert failures(received(batch(result()), s3, None, environ=GUARDDUTY)) == []
        assert arriving.keys() == [KEY]


def test_a_forged_result_is_not_believed(s3: EmbeddedS3, arriving: Arriving) -> None:
    assert sample("guardduty-scan-result.json")["detail"]["scanResultDetails"]["scanResultStatus"] == "NO_THREATS_FOUND"
    assert failures(received(batch(result()), s3, None, environ=GUARDDUTY)) == ["m0"]
    assert arriving.keys() == [f"incoming/{KEY}"], "no tag: its message comes again"
    with pytest.raises(Incomplete):
        received(result(), s3, None, environ=GUARDDUTY)
    arriving.tag("THREATS_FOUND")
    assert failures(received(batch(result()), s3, None, environ=GUARDDUTY)) == []
    assert arriving.keys() == [f"quarantine/{KEY}"]


def test_a_new_object_waits_for_its_result_without_coming_again(s3: EmbeddedS3, arriving: Arriving) -> None:
    event = sample("s3-object-created.json")
    event["detail"]["object"]["key"] = f"incoming/{KEY}"
    assert failures(received(batch(event), s3, None, environ=GUARDDUTY)) == []
    assert received(event, s3, None, environ=GUARDDUTY) == {"checking": 1}
    assert arriving.keys() == [f"incoming/{KEY}"]


def test_where_another_process_verifies_nothing_comes_again(s3: EmbeddedS3, arriving: Arriving) -> None:
    assert failures(received(batch(result()), s3, None, environ=GUARDDUTY | {"VERIFIER": "function"})) == []
    assert arriving.keys() == [f"incoming/{KEY}"]


def test_a_foreign_or_broken_result_changes_nothing(s3: EmbeddedS3, arriving: Arriving) -> None:
    arriving.tag("NO_THREATS_FOUND")
    for event, failed in (
        (result(bucketName="another-bucket"), ["m0"]),
        (result(objectKey=KEY), []),
        (result(objectKey="malware-protection-resource-validation-object"), []),
        (result(objectKey="incoming/" + "x" * 2_000), []),
        (result(objectKey="incoming/../" + KEY), []),
        (result(objectKey="incoming/a\0b"), []),
        (result(objectKey=None), ["m0"]),
        (result() | {"detail": {}}, ["m0"]),
        (result() | {"detail-type": "GuardDuty Finding"}, []),
        (result() | {"source": "aws.macie"}, ["m0"]),
    ):
        assert failures(received(batch(event), s3, None, environ=GUARDDUTY)) == failed, event
        assert arriving.keys() == [f"incoming/{KEY}"], event


def test_an_event_of_a_file_that_no_clamd_scans_comes_again(s3: EmbeddedS3, arriving: Arriving) -> None:
    event = sample("s3-object-created.json")
    event["detail"]["object"]["key"] = f"incoming/{KEY}"
    with claim_port("127.0.0.1", 0, "PORT") as claimed:
        port = claimed.getsockname()[1]
    away = {"VERIFY": "publish", "MALWARE_SCANNER": "clamd", "CLAMD_URL": f"tcp://127.0.0.1:{port}"}
    assert received(event, s3, None, environ=away | {"VERIFIER": "function"}) == {"checking": 1}
    assert failures(received(batch(event), s3, None, environ=away)) == ["m0"]
    assert arriving.keys() == [f"incoming/{KEY}"]


def test_the_command_sweeps_arrivals_without_a_database(s3: EmbeddedS3, arriving: Arriving) -> None:
    """With VERIFY=publish; without it there is nothing to sweep. What arrived a moment ago is left to its event."""

    def swept(**environ: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return ran("image_upload", "sweep", environ=inherited | {"ENVIRONMENT": "local", **s3.environ, **environ})

    done = swept(**GUARDDUTY)
    assert (done.returncode, done.stdout) == (0, "Swept: nothing was due.\n"), done.stderr
    assert arriving.keys() == [f"incoming/{KEY}"]
    for without in ({}, {**GUARDDUTY, "VERIFIER": "function"}):
        refused = swept(**without)
        assert refused.returncode == 2
        assert "no database to sweep" in refused.stderr
