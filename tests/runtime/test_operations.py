"""The smoke test inside the function, under the real awslambdaric, and which events are operations."""

import json
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from image_upload.auth.token_issuer import bearer_token
from image_upload.limits import LAMBDA_ANSWER_MARGIN_S, SMOKE_CLEAN_UP_S
from image_upload.operations.smoke import stand_in
from local.embedded_s3 import ACCESS_KEY, SECRET_KEY, EmbeddedS3
from tests.auth.provider import AUDIENCE, ISSUER, SECRET, Provider, providing
from tests.cli.meddling import Answer, Call, Meddler, error, meddling
from tests.conftest import Start
from tests.contract.store import Store, opened
from tests.runtime.operating import SMOKE, answered, request
from tests.runtime.process import function

# Each starts the runtime anew, and waits.
pytestmark = pytest.mark.full

# What a token must say, by all settings that ask for something.
STRICT = {
    "AUTH_REQUIRED": "true",
    "JWT_ISSUER": ISSUER,
    "JWT_AUDIENCE": f"{AUDIENCE},another",
    "JWT_SCOPE_PREFIX": "uploads/",
}
# Below what the test itself needs.
TIGHT = {
    "RATE_LIMIT_PER_USER": "1/hour",
    "RATE_LIMIT_PER_ADDRESS": "1/hour",
    "QUOTA_FILES_PER_DAY": "1",
    "QUOTA_BYTES_PER_DAY": "1",
}


@pytest.fixture
def store(s3: EmbeddedS3) -> Iterator[Store]:
    with opened("moto", s3.endpoint_url, ACCESS_KEY, SECRET_KEY, f"smoke-{secrets.token_hex(6)}") as store:
        yield store


@pytest.fixture
def meddler(store: Store) -> Iterator[Meddler]:
    with meddling(store.endpoint_url) as meddler:
        yield meddler


@pytest.fixture
def provider() -> Iterator[Provider]:
    with providing() as running:
        yield running


def keys_in(store: Store) -> list[str]:
    return [each["Key"] for each in store.s3.list_objects_v2(Bucket=store.bucket).get("Contents", [])]


def asked(home: Path, environ: dict[str, str], event: dict[str, Any], timeout_s: float = 60) -> tuple[bool, str]:
    """What a function of its own answers to one operation, and that no secret is in it or in the log."""
    with function(home, environ, forks=True) as running:
        found = answered(running, event, timeout_s)
        said = running.said()
    for secret in (environ["AWS_SECRET_ACCESS_KEY"], environ.get("JWT_SECRET"), "X-Amz-Signature=", "eyJ"):
        assert not secret or secret not in said + found[1]
    return found


# --- smoke: every way to know a user ------------------------------------------------------------------


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({"JWT_SECRET": "", "AUTH_REQUIRED": "false"}, id="no tokens at all", marks=pytest.mark.full),
        pytest.param({"JWT_SECRET": SECRET}, id="HS256, not required", marks=pytest.mark.full),
        pytest.param({"JWT_SECRET": SECRET, **STRICT}, id="HS256", marks=pytest.mark.full),
        pytest.param(
            {"JWT_SECRET": SECRET * 2, "JWT_ALGORITHM": "HS384", **STRICT}, id="HS384", marks=pytest.mark.full
        ),
        pytest.param({"JWT_SECRET": SECRET * 2, "JWT_ALGORITHM": "HS512", **STRICT, **TIGHT}, id="HS512, limits"),
        # Before a first deployment is live that one is not there.
        pytest.param({"JWT_SECRET": SECRET, "VERIFY": "publish", "VERIFIER": "function"}, id="another one verifies"),
    ],
)
def test_the_smoke_test_passes_and_leaves_nothing_behind(tmp_path: Path, store: Store, environ: dict[str, str]) -> None:
    passed, lines = asked(tmp_path, {**store.environ, **environ}, SMOKE)
    assert passed, lines
    assert "  ok      clean up: 6 pictures deleted, none left\n10 of 10 steps passed." in lines
    accepts, refuses = "a token under JWT_SECRET is accepted", "no token is refused"
    assert (accepts in lines) == bool(environ["JWT_SECRET"])
    assert (refuses in lines) == (environ.get("AUTH_REQUIRED") == "true")
    assert keys_in(store) == []


@pytest.mark.parametrize("secret", [pytest.param("", id="alone"), pytest.param(SECRET, id="beside JWT_SECRET")])
def test_the_smoke_test_passes_with_an_identity_provider(
    tmp_path: Path, store: Store, provider: Provider, secret: str
) -> None:
    environ = {**STRICT, "JWT_SECRET": secret, "JWT_JWKS_URL": provider.url}
    passed, lines = asked(tmp_path, {**store.environ, **environ}, SMOKE)
    assert passed, lines
    assert "  ok      keys of the identity provider: 127.0.0.1 has 1 that can be used\n" in lines
    assert ("a token under any secret is refused" in lines) == (not secret)
    assert provider.asked == 1
    assert keys_in(store) == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param((500, b""), "status 500", id="500"),
        pytest.param((200, b'{"keys": []}'), "no usable key", id="no key", marks=pytest.mark.full),
        pytest.param((200, b"<html>"), "JWT_JWKS_URL at 127.0.0.1", id="no JSON", marks=pytest.mark.full),
    ],
)
def test_a_provider_without_keys_fails_the_smoke_test(
    tmp_path: Path, store: Store, provider: Provider, answer: tuple[int, bytes], reason: str
) -> None:
    provider.answer = lambda: (answer[0], {}, answer[1])
    environ = {**store.environ, **STRICT, "JWT_SECRET": "", "JWT_JWKS_URL": provider.url}
    passed, lines = asked(tmp_path, environ, SMOKE)
    assert not passed
    assert "  FAILED  keys of the identity provider: JWT_JWKS_URL at 127.0.0.1" in lines
    assert reason in lines
    assert "10 of 11 steps passed." in lines


def test_the_smoke_test_takes_nothing_from_the_limits_and_quotas_of_users(tmp_path: Path, store: Store) -> None:
    spec = json.dumps({"filename": "a.png", "contentType": "image/png", "size": 1})
    with function(tmp_path, store.environ, **TIGHT, forks=True) as running:
        assert answered(running, SMOKE)[0]
        # One request an hour and one file a day are left to every client, and the limits still hold.
        answers = [running.api.answer(request(body=spec)) for _ in range(2)]
        assert [each["statusCode"] for each in answers] == [200, 429]
        assert answered(running, SMOKE)[0], "again, within the same hour"


@pytest.mark.parametrize("secret", ["", SECRET])
def test_the_token_of_the_smoke_test_is_refused_by_the_service_itself(
    start: Start, web: httpx.Client, provider: Provider, secret: str
) -> None:
    environ = {**STRICT, "JWT_SECRET": secret, "JWT_JWKS_URL": provider.url}
    tested = stand_in(provider.settings(**environ))
    headers = {"Authorization": f"Bearer {bearer_token(tested.auth, 'smoke-test', 60)}"}
    spec = {"filename": "a.png", "contentType": "image/png", "size": 1}
    answer = web.post(f"{start(**environ)}/uploads", json=spec, headers=headers)
    assert answer.status_code == (200 if secret else 401), answer.text


# --- smoke: what goes wrong ---------------------------------------------------------------------------


def test_a_bucket_that_is_not_there_fails_the_smoke_test_at_once(tmp_path: Path, store: Store) -> None:
    passed, lines = asked(tmp_path, {**store.environ, "S3_BUCKET_NAME": "no-such-bucket"}, SMOKE)
    assert not passed
    assert "  FAILED  health: the bucket is missing: there is none of this name. Correct S3_BUCKET_NAME" in lines
    assert lines.endswith("\n0 of 10 steps passed.")


def test_limits_that_fail_closed_fail_the_smoke_test_as_they_fail_users(tmp_path: Path, store: Store) -> None:
    redis = {**TIGHT, "JWT_SECRET": SECRET, "REDIS_URL": "redis://127.0.0.1:1", "RATE_LIMIT_FAILS": "closed"}
    passed, lines = asked(tmp_path, {**store.environ, **redis}, SMOKE)
    assert not passed
    assert (
        "  FAILED  who may upload: an upload with a token under JWT_SECRET: expected 200, got 503 rate-limit-" in lines
    )
    assert "9 of 10 steps passed." in lines
    assert keys_in(store) == []


def test_a_deadline_that_is_nearly_over_fails_the_smoke_test_and_says_so(tmp_path: Path, store: Store) -> None:
    timeout_s = SMOKE_CLEAN_UP_S + LAMBDA_ANSWER_MARGIN_S - 1
    passed, lines = asked(tmp_path, store.environ, SMOKE, timeout_s)
    assert not passed
    assert "  FAILED  health: no time left: Lambda ends this invocation in " in lines
    assert "(TimeoutSeconds)" in lines
    assert keys_in(store) == []


def test_an_s3_that_turns_silent_ends_the_smoke_test_in_time_to_clean_up(
    tmp_path: Path, store: Store, meddler: Meddler
) -> None:
    over = threading.Event()

    def silent_to_reads(call: Call) -> Answer | None:
        if call.operation == "Get":
            over.wait(30)
        return None

    meddler.meddle = silent_to_reads
    environ = {**store.environ, "AWS_S3_ENDPOINT_URL": meddler.endpoint_url}
    try:
        passed, lines = asked(tmp_path, environ, SMOKE, SMOKE_CLEAN_UP_S + LAMBDA_ANSWER_MARGIN_S + 4)
    finally:
        over.set()
    assert not passed
    assert "  FAILED  a file under its own name: no answer from S3 within " in lines
    assert "  FAILED  presigned PUT: no time left: " in lines
    assert "  ok      clean up: 1 pictures deleted, none left\n" in lines
    assert keys_in(store) == []


def test_a_refusal_of_s3_is_told_without_what_it_repeats_of_the_request(
    tmp_path: Path, store: Store, meddler: Meddler
) -> None:
    document = (
        b"<Error><Code>SignatureDoesNotMatch</Code><Message>It does not match.</Message><Token-0>sesame</Token-0>"
    )
    meddler.meddle = lambda call: Answer(403, {}, document) if call.operation == "Put" else None
    environ = {**store.environ, "AWS_S3_ENDPOINT_URL": meddler.endpoint_url}
    passed, lines = asked(tmp_path, environ, SMOKE)
    assert not passed
    assert (
        "  FAILED  presigned PUT: the PUT to S3: expected 200, got 403 SignatureDoesNotMatch It does not match."
        in lines
    )
    assert "sesame" not in lines
    assert "4 of 10 steps passed." in lines


def test_what_cannot_be_deleted_is_named(tmp_path: Path, store: Store, meddler: Meddler) -> None:
    kept: list[str] = []

    def refuse_the_first(call: Call) -> Answer | None:
        if call.operation == "Delete" and call.key in [*kept, *([] if kept else [call.key])]:
            kept[:] = [call.key]
            return error(403, "AccessDenied")
        return None

    meddler.meddle = refuse_the_first
    environ = {**store.environ, "AWS_S3_ENDPOINT_URL": meddler.endpoint_url}
    passed, lines = asked(tmp_path, environ, SMOKE)
    assert not passed
    assert f"  FAILED  clean up: not deleted: {kept[0]}: DELETE: expected 204, got 502 " in lines
    assert keys_in(store) == kept, "the others are deleted all the same"


# --- which events are operations ------------------------------------------------------------------------


def test_no_request_starts_an_operation(tmp_path: Path, store: Store) -> None:
    body = json.dumps(SMOKE)
    with function(tmp_path, store.environ, forks=True) as running:
        for event in (
            request(body=body),
            request(body=body, rawPath="/"),
            request(body=body, rawQueryString="operation=smoke", queryStringParameters=SMOKE),
            {**request(body=body), "headers": SMOKE},
            {**request(body=body), **SMOKE},
        ):
            assert running.api.answer(event)["statusCode"] in {405, 422}
        assert '"logger":"image_upload.operations"' not in running.said()
        assert answered(running, SMOKE)[0]
        assert '"logger":"image_upload.operations"' in running.said()


def test_an_operation_that_is_none_says_which_there_are(tmp_path: Path, store: Store) -> None:
    with function(tmp_path, store.environ, forks=True) as running:
        for event in (
            {"operation": "smook"},
            {"operation": None},
            {"operation": "migrate"},
            {"operation": "migrate", "check": "false"},
            {**SMOKE, "url": "https://example.com"},
        ):
            passed, lines = answered(running, event)
            assert not passed
            assert lines.startswith('No such operation. There are {"operation": "smoke"} and {"operation": "migrate", ')
