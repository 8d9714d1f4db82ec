"""Reading secrets: what is asked, what is made of hostile answers, and what the message says then."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.endpoint_provider import EndpointProvider

from image_upload.aws import secret_source
from image_upload.aws.secret_source import SecretSource, SecretsUnavailable, begin
from image_upload.limits import SECRETS_ANSWER_MAX_BYTES, SECRETS_PAGES_MAX
from image_upload.settings import secret_reference
from tests.e2e.authority import SYSTEM_BUNDLE, certificates
from tests.secrets.store import (
    ENVIRON,
    NEVER_SHOWN,
    PATH,
    SSM,
    Answer,
    Handler,
    SecretStore,
    answer,
    drip,
    hang_up,
    refuse,
    secret_store,
    stall,
)

SECRETS = {"JWT_SECRET": f"{NEVER_SHOWN}1", "DATABASE_URL": f"postgresql://u:{NEVER_SHOWN}2@host/db"}
LIMIT_S = 20.0
MANAGER = "secretsmanager:upload/production"


@pytest.fixture
def store() -> Iterator[SecretStore]:
    with secret_store() as store:
        store.secrets = dict(SECRETS)
        yield store


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_source, "_PAUSE_S", (0.0, 0.0))


def read(environ: dict[str, str], limit_s: float = LIMIT_S) -> dict[str, str]:
    reading = begin(environ, limit_s)
    assert reading is not None
    return dict(reading.result())


def why_not(environ: dict[str, str], limit_s: float = LIMIT_S) -> str:
    """What is said where reading fails: never a secret."""
    with pytest.raises(SecretsUnavailable) as caught:
        read(environ, limit_s)
    assert NEVER_SHOWN not in str(caught.value)
    assert caught.value.__cause__ is None
    return str(caught.value)


# --- what is asked --------------------------------------------------------------------------------


def test_a_path_of_parameter_store_is_read_by_one_request(store: SecretStore) -> None:
    assert read(store.environ()) == SECRETS
    assert store.asked == [{"Path": PATH, "WithDecryption": True, "MaxResults": 10}]
    (headers,) = store.headers
    assert headers["X-Amz-Target"] == SSM
    assert headers["X-Amz-Security-Token"] == ENVIRON["AWS_SESSION_TOKEN"]
    assert "/eu-north-1/ssm/aws4_request, " in headers["Authorization"]


def test_further_pages_are_read_too(store: SecretStore) -> None:
    store.page_size = 1
    assert read(store.environ()) == SECRETS
    assert [asked.get("NextToken") for asked in store.asked] == [None, "1"]


def test_a_secret_of_secrets_manager_is_read_by_one_request(store: SecretStore) -> None:
    assert read(store.environ(MANAGER)) == SECRETS
    assert store.asked == [{"SecretId": "upload/production"}]
    assert "/eu-north-1/secretsmanager/aws4_request, " in store.headers[0]["Authorization"]


def test_the_arn_of_a_secret_says_its_region(store: SecretStore) -> None:
    arn = "arn:aws:secretsmanager:us-west-2:123456789012:secret:upload-AbCdEf"
    read(store.environ(f"secretsmanager:{arn}"))
    assert store.asked == [{"SecretId": arn}]
    assert "/us-west-2/secretsmanager/" in store.headers[0]["Authorization"]


@pytest.mark.parametrize(
    "wrong",
    [
        *("ssm:", "ssm:/", "ssm:upload/", "ssm:/upload", "ssm:/a//b/", "ssm:/a b/", "ssm:/aws/x/", "ssm:/SSM-x/"),
        *("ssm:" + "/a" * 15 + "/", "secretsmanager:", "secretsmanager:a b", "vault:/upload/", "/upload/", "ssm"),
        "secretsmanager:arn:aws:s3:eu-north-1:123456789012:secret:a",
    ],
)
def test_a_reference_that_leads_nowhere_is_refused_before_anything_is_asked(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"path|neither"):
        secret_reference.parse(wrong)
    assert begin({**ENVIRON, "SECRETS_FROM": wrong}, LIMIT_S) is None


def test_without_a_reference_nothing_is_read() -> None:
    assert begin(ENVIRON, LIMIT_S) is None
    assert begin({**ENVIRON, "SECRETS_FROM": " "}, LIMIT_S) is None


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_what_lambda_sets_is_needed(store: SecretStore, name: str) -> None:
    assert name in why_not({**store.environ(), name: ""})
    assert store.asked == []


@pytest.mark.parametrize("environment", ["", "production"])
def test_in_production_no_variable_leads_to_another_host(store: SecretStore, environment: str) -> None:
    for reference, host in ((f"ssm:{PATH}", "ssm"), (MANAGER, "secretsmanager")):
        source = SecretSource(store.environ(reference, ENVIRONMENT=environment))
        assert (source._host, source._tls) == (f"{host}.eu-north-1.amazonaws.com", True)


def test_every_region_has_the_host_that_botocore_knows() -> None:
    session = botocore.session.get_session()
    loader = session.get_component("data_loader")
    partitions = loader.load_data("endpoints")
    regions = {region for each in partitions["partitions"] for region in each["regions"]}
    assert len(regions) > 30
    for service in ("ssm", "secretsmanager"):
        rules = loader.load_service_model(service, "endpoint-rule-set-1")
        provider = EndpointProvider(rules, loader.load_data("partitions"))
        for region in sorted(regions):
            for fips in (False, True):
                expected = provider.resolve_endpoint(Region=region, UseFIPS=fips, UseDualStack=False).url
                environ = {"AWS_USE_FIPS_ENDPOINT": str(fips).lower()}
                assert secret_source._endpoint(service, region, environ) == expected, (service, region, fips)


# --- hostile answers ------------------------------------------------------------------------------

JUNK = {
    "no JSON": (b"<html>" + NEVER_SHOWN.encode(), "not what AWS documents"),
    "no object": (b"[1]", "not what AWS documents"),
    "bytes": (b"\xff\xfe" * 9, "not what AWS documents"),
    "deep": (b"[" * 200_000, "not what AWS documents"),
    "no parameters": (b"{}", "not what AWS documents"),
    "no list": (b'{"Parameters": "x"}', "not what AWS documents"),
    "no value": (b'{"Parameters": [{"Name": "/upload/JWT_SECRET"}]}', "not what AWS documents"),
    "a number": (b'{"Parameters": [{"Name": "/upload/JWT_SECRET", "Value": 1}]}', "not what AWS documents"),
    "another path": (b'{"Parameters": [{"Name": "/other/JWT_SECRET", "Value": "x"}]}', "not what AWS documents"),
    "a wrong token": (b'{"Parameters": [], "NextToken": 1}', "not what AWS documents"),
    "huge": (b'{"Parameters": "' + b"x" * SECRETS_ANSWER_MAX_BYTES + b'"}', "more than 524288 bytes"),
}


@pytest.mark.parametrize("name", JUNK)
def test_an_answer_that_is_none_is_refused(store: SecretStore, name: str) -> None:
    body, expected = JUNK[name]
    store.script = [answer(body)]
    assert expected in why_not(store.environ())
    assert len(store.asked) == 1


def test_no_more_than_the_limit_is_read_of_an_answer(store: SecretStore) -> None:
    sent, over = [0], threading.Event()

    def flood(handler: Handler) -> None:
        handler.close_connection = True
        piece = b"x" * (1 << 16)
        with contextlib.suppress(OSError):
            handler.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 268435456\r\n\r\n")
            while sent[0] < 1 << 28:
                handler.connection.sendall(piece)
                sent[0] += len(piece)
        over.set()

    store.script = [flood]
    assert "more than 524288 bytes" in why_not(store.environ())
    assert over.wait(LIMIT_S)
    assert sent[0] < 1 << 26, "what the sockets on the way hold, and no more"


def test_pages_without_end_are_given_up(store: SecretStore) -> None:
    store.script = [answer(b'{"Parameters": [], "NextToken": "1"}')] * 100
    assert "a path of their own" in why_not(store.environ())
    assert len(store.asked) == SECRETS_PAGES_MAX


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "holds bytes"),
        ({"SecretBinary": "eA=="}, "holds bytes"),
        ({"SecretString": NEVER_SHOWN}, "no JSON object"),
        ({"SecretString": f'["{NEVER_SHOWN}"]'}, "no JSON object"),
        ({"SecretString": '{"JWT_SECRET": {"a": "b"}}'}, "the value of JWT_SECRET is no text"),
    ],
)
def test_a_secret_that_is_no_object_of_settings_is_refused(
    store: SecretStore, body: dict[str, Any], expected: str
) -> None:
    store.script = [answer(json.dumps(body).encode())]
    assert expected in why_not(store.environ(MANAGER))


def test_a_redirect_is_not_followed(store: SecretStore) -> None:
    store.script = [answer(b"", 307, Location=f"{store.url}/elsewhere")]
    assert "answered 307" in why_not(store.environ())
    assert len(store.asked) == 1


REFUSALS = {
    "no right": (
        f"ssm:{PATH}",
        refuse("AccessDeniedException", "User: arn:... is not authorized to perform: ssm:GetParametersByPath"),
        ["400 AccessDeniedException", "ssm:GetParametersByPath on parameter/upload/", "SecretsFrom"],
    ),
    "no right for the key": (
        f"ssm:{PATH}",
        refuse("AccessDeniedException", "The ciphertext refers to a customer master key that does not exist, ..."),
        ["400 AccessDeniedException", "kms:Decrypt", "SecretsKeyArn"],
    ),
    "a disabled key": (f"ssm:{PATH}", refuse("InvalidKeyId"), ["InvalidKeyId", "kms:Decrypt"]),
    "no right for the secret": (
        MANAGER,
        refuse("AccessDeniedException"),
        ["secretsmanager:GetSecretValue on the secret upload/production"],
    ),
    "no secret": (MANAGER, refuse("ResourceNotFoundException"), ["Make the secret in eu-north-1"]),
    "no decryption": (MANAGER, refuse("com.amazonaws#DecryptionFailure"), ["400 DecryptionFailure", "kms:Decrypt"]),
    "a foreign code": (MANAGER, refuse(f"{NEVER_SHOWN} 1"), ["answered 400. See"]),
    "no document": (MANAGER, answer(NEVER_SHOWN.encode(), 403), ["answered 403. See"]),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_says_the_code_and_what_to_do_and_is_not_asked_again(store: SecretStore, name: str) -> None:
    reference, act, expected = REFUSALS[name]
    store.script = [act]
    message = why_not(store.environ(reference))
    assert [text for text in expected if text not in message] == [], message
    assert len(store.asked) == 1


PASSING = {
    "throttled": refuse("ThrottlingException", "Rate exceeded"),
    "too many": refuse("RequestLimitExceeded"),
    "an error of theirs": refuse("InternalServerError", status=500),
    "no error document": answer(b"", 503),
    "hung up": hang_up,
}


@pytest.mark.parametrize("name", PASSING)
def test_what_may_pass_is_asked_once_more(store: SecretStore, name: str) -> None:
    act: Answer = PASSING[name]
    store.script = [act]
    assert read(store.environ()) == SECRETS
    store.script = [act, act]
    why_not(store.environ())
    assert len(store.asked) == 4


@pytest.mark.parametrize("act", [stall, drip])
def test_a_slow_store_costs_no_more_than_the_limit_and_no_thread(store: SecretStore, act: Answer) -> None:
    before = threading.active_count()
    store.script = [act] * 4
    began = time.monotonic()
    message = why_not(store.environ(), limit_s=0.4)
    assert time.monotonic() - began < 5.0
    assert "no answer from 127.0.0.1" in message
    assert "interface endpoint com.amazonaws.eu-north-1.ssm" in message
    deadline = time.monotonic() + 20.0
    while any(thread.name == "secrets" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, (before, threading.enumerate())
        time.sleep(0.01)  # before it is looked at again


def test_a_store_that_is_not_there_says_what_a_subnet_needs(store: SecretStore) -> None:
    environ = store.environ(AWS_ENDPOINT_URL_SSM="http://127.0.0.1:9")
    assert "ConnectionRefusedError" in why_not(environ)
    assert "NAT gateway" in why_not(environ)


@pytest.mark.skipif(not SYSTEM_BUNDLE.exists(), reason="the authorities of the tests join those of the system")
def test_only_a_host_whose_certificate_is_vouched_for_is_told_anything(tmp_path: Path) -> None:
    made = certificates(tmp_path, ["localhost"])
    with secret_store(made.certificate, made.key) as store:
        store.secrets = dict(SECRETS)
        assert read(store.environ(SSL_CERT_FILE=str(made.bundle))) == SECRETS
        message = why_not(store.environ())
        assert "its certificate" in message
        assert "unable to get local issuer certificate" in message
        elsewhere = store.environ(SSL_CERT_FILE=str(made.bundle)) | {
            "AWS_ENDPOINT_URL_SSM": store.url.replace("localhost", "127.0.0.1")
        }
        assert "not valid for '127.0.0.1'" in why_not(elsewhere)
        assert len(store.asked) == 1
