"""The function that verifies files, under the real awslambdaric: what it does with each event, and what it has not."""

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.embedded_s3 import ACCESS_KEY, SECRET_KEY, EmbeddedS3
from tests.completion.test_batches import batch, failures
from tests.completion.test_events import created
from tests.contract.store import Store, opened
from tests.contract.test_publish import PHOTO, SCRIPT
from tests.runtime.process import ON_LAMBDA, ROOT, Function, function

HANDLER = "image_upload.verifying_function.handler"
# As the stack sets them: no secret, no database.
SET = {"VERIFY": "publish", "VERIFIER": "self", "JWT_SECRET": ""}
GOOD, BAD = "uploads/good.jpg", "uploads/script.png"


@pytest.fixture
def store(s3: EmbeddedS3) -> Iterator[Store]:
    with opened("moto", s3.endpoint_url, ACCESS_KEY, SECRET_KEY, f"verifying-{secrets.token_hex(6)}") as store:
        yield store


@pytest.fixture
def verifier(tmp_path: Path, store: Store) -> Iterator[Function]:
    with function(tmp_path, store.environ, handler=HANDLER, **SET, forks=True) as running:
        yield running


def keys_in(store: Store) -> list[str]:
    return [each["Key"] for each in store.s3.list_objects_v2(Bucket=store.bucket).get("Contents", [])]


def arrive(store: Store, key: str, content: bytes, media_type: str) -> None:
    store.s3.put_object(Bucket=store.bucket, Key=f"incoming/{key}", Body=content, ContentType=media_type)


def test_a_batch_publishes_what_is_good_and_keeps_the_rest_out(store: Store, verifier: Function) -> None:
    arrive(store, GOOD, PHOTO, "image/jpeg")
    arrive(store, BAD, SCRIPT, "image/png")
    event = batch(
        created(f"incoming/{GOOD}", store.bucket),
        created(f"incoming/{BAD}", store.bucket),
        created(f"incoming/{GOOD}", store.bucket),  # told of twice
        created("incoming/uploads/gone.jpg", store.bucket),
        created(f"incoming/{GOOD}", "anothers-bucket"),
    )
    for _again in range(2):
        answer = verifier.api.invoke(json.dumps(event).encode()).answer
        assert answer is not None, verifier.said()
        assert failures(answer) == ["m4"]
        assert keys_in(store) == [f"rejected/{BAD}", GOOD]
        assert store.read(GOOD) == PHOTO


def test_what_it_has_written_itself_is_left_alone(store: Store, verifier: Function) -> None:
    """The rule of the stack does not send such events; no mistake in it makes a loop."""
    store.s3.put_object(Bucket=store.bucket, Key=GOOD, Body=PHOTO, ContentType="image/jpeg")
    arrive(store, GOOD, PHOTO, "image/jpeg")
    own = (GOOD, f"variants/{GOOD}/thumb.webp", f"rejected/{GOOD}", f"quarantine/{GOOD}")
    answer = verifier.api.invoke(json.dumps(batch(*(created(key, store.bucket) for key in own))).encode()).answer
    assert answer is not None, verifier.said()
    assert failures(answer) == []
    assert keys_in(store) == [f"incoming/{GOOD}", GOOD]
    assert '"left":4' in verifier.said()


def test_it_answers_no_request_and_no_operation(verifier: Function) -> None:
    for event in ("health.json", "mint.json", "operation-smoke.json"):
        outcome = verifier.api.invoke((ROOT / "events" / event).read_bytes())
        assert outcome.error is not None
        assert outcome.error["errorType"] == "UnknownEvent"


def test_the_clock_finds_nothing_to_do_in_an_empty_bucket(verifier: Function) -> None:
    outcome = verifier.api.invoke((ROOT / "events/schedule.json").read_bytes())
    assert (outcome.answer, outcome.error) == ({}, None)


def test_it_imports_nothing_that_answers_requests_or_knows_a_database() -> None:
    unwanted = ["fastapi", "starlette", "mangum", "jwt", "sqlalchemy", "redis", "authlib"]
    code = f"import sys, {HANDLER.rpartition('.')[0]}; print([each for each in {unwanted} if each in sys.modules])"
    environ = {**ON_LAMBDA, **SET, "S3_BUCKET_NAME": "bucket", "AWS_REGION": "eu-north-1"}
    environ |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr, done.returncode) == ("[]\n", "", 0)
