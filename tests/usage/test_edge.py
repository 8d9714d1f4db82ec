"""Only what comes through the edge is answered, and only of that the edge's word about the client is taken."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from image_upload.app import create_app
from image_upload.limits import EDGE_ADDRESS_MAX_CHARS
from image_upload.settings import SettingsError, load
from image_upload.web import edge
from local.embedded_s3 import EmbeddedS3
from tests.conftest import Start, problem
from tests.runtime.operating import SMOKE, answered
from tests.runtime.process import ROOT, Function, function
from tests.secrets.store import NEVER_SHOWN, secret_store
from tests.secrets.test_rotation import REFRESH_S, started

OLD, NEW = "0123456789abcdef" * 4, "fedcba9876543210" * 4
GIVEN = {"S3_BUCKET_NAME": "bucket", "AWS_REGION": "eu-north-1", "ENVIRONMENT": "test"}


def sent(secret: str, **more: str) -> dict[str, str]:
    return {edge.HEADER: secret, **more}


# --- a plain server -------------------------------------------------------------------------------


@pytest.fixture
def closed(start: Start) -> str:
    return start(EDGE_SECRET=NEW, EDGE_PREVIOUS_SECRET=OLD, CORS_ALLOW_ORIGINS="https://app.example.com")


@pytest.mark.parametrize("path", ["/uploads", "/docs", "/errors", "/nothing", "//", "/%2F"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE"])
def test_nothing_but_health_is_answered_without_the_secret(
    closed: str, web: httpx.Client, path: str, method: str
) -> None:
    preflight = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    detail = problem(web.request(method, f"{closed}{path}", headers=preflight), 403, "edge-required")["detail"]
    assert edge.HEADER in detail


@pytest.mark.parametrize("wrong", ["", NEW[:-1], NEW + "0", NEW.upper() + "x", f"{NEW}, {NEW}", "é" * 32])
def test_a_wrong_secret_is_none(closed: str, web: httpx.Client, wrong: str) -> None:
    answer = web.get(f"{closed}/errors", headers=[(edge.HEADER.encode(), wrong.encode())])
    assert wrong not in answer.text or not wrong
    problem(answer, 403, "edge-required")


def test_the_secret_twice_is_none(closed: str, web: httpx.Client) -> None:
    problem(web.get(f"{closed}/errors", headers=[(edge.HEADER, NEW), (edge.HEADER, NEW)]), 403, "edge-required")


def test_both_secrets_pass_and_the_answer_says_so_in_korean_too(closed: str, web: httpx.Client) -> None:
    for secret in (NEW, OLD):
        assert web.get(f"{closed}/errors", headers=sent(secret)).status_code == 200
    refusal = web.get(f"{closed}/errors", headers={"Accept-Language": "ko"})
    assert problem(refusal, 403, "edge-required")["title"] == "공개 주소를 거치지 않음"


def test_a_probe_of_the_platform_passes_and_browsers_are_let_in_through_the_edge(
    closed: str, web: httpx.Client
) -> None:
    assert web.get(f"{closed}/").json()["bucket"] == "ok"
    assert web.get(f"{closed}/metrics").status_code == 200
    preflight = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    allowed = web.options(f"{closed}/uploads", headers=sent(NEW) | preflight)
    assert allowed.headers["access-control-allow-origin"] == "https://app.example.com"


def test_the_word_of_cloudfront_counts_through_the_edge_alone(start: Start, web: httpx.Client) -> None:
    limited = {"RATE_LIMIT_PER_ADDRESS": "1/hour", "TRUSTED_EDGE": "cloudfront"}
    through = start(EDGE_SECRET=NEW, **limited)

    def asked(service: str, address: str) -> int:
        return web.get(f"{service}/errors", headers=sent(NEW, **{"CloudFront-Viewer-Address": address})).status_code

    statuses = [asked(through, each) for each in ("198.51.100.7:1", "198.51.100.7:2", "198.51.100.8:1")]
    assert statuses == [200, 429, 200]
    # Two addresses of one /64, as CloudFront writes them: without brackets.
    assert [asked(through, each) for each in ("2001:db8::1:443", "2001:db8::2:443")] == [200, 429]
    # None of these is an address, and the connection's is all that is left.
    too_long = f"198.51.100.9:{'0' * EDGE_ADDRESS_MAX_CHARS}1"
    wrong = ("", "198.51.100.9", "unknown:1", "198.51.100.9:x", too_long, "1.1.1.1:1, 2:2")
    assert [asked(through, each) for each in wrong] == [200, *[429] * (len(wrong) - 1)]
    # Without EDGE_SECRET every client could write it.
    anyone = start(**limited)
    assert [asked(anyone, f"198.51.100.{each}:1") for each in range(2)] == [200, 429]


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"EDGE_SECRET": "x" * 31}, "EDGE_SECRET: not of this form"),
        ({"EDGE_SECRET": "x" * 20 + " " + "x" * 20}, "EDGE_SECRET: not of this form"),
        ({"EDGE_SECRET": "é" * 32}, "EDGE_SECRET: not of this form"),
        ({"EDGE_SECRET": "x" * 513}, "EDGE_SECRET: not of this form"),
        ({"EDGE_PREVIOUS_SECRET": OLD}, "EDGE_PREVIOUS_SECRET: it goes together with an EDGE_SECRET"),
        ({"TRUSTED_EDGE": "nginx"}, "TRUSTED_EDGE: not one of them"),
    ],
)
def test_a_setting_that_cannot_work_stops_the_start(environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load(GIVEN | environ)


def test_without_a_secret_no_request_pays_for_the_edge() -> None:
    def layers(**environ: str) -> list[object]:
        return [layer.cls for layer in create_app(load(GIVEN | environ)).user_middleware]

    assert edge.Edge not in layers()
    assert layers(EDGE_SECRET=NEW).index(edge.Edge) == 1, "below the log, which counts what is refused"
    assert edge.headers(load(GIVEN).web) == {}


# --- on Lambda, where the Function URL is the way around -------------------------------------------


def status(function: Function, path: str, **headers: str) -> int:
    """The status of a request to the Function URL; 403 is `edge-required`."""
    event: dict[str, Any] = json.loads((ROOT / "events/health.json").read_text(encoding="utf-8"))
    event |= {"rawPath": path, "headers": {"host": "example.com", **headers}}
    event["requestContext"]["http"]["path"] = path
    answer = function.api.answer(event)
    assert answer["statusCode"] != 403 or json.loads(answer["body"])["code"] == "edge-required"
    return int(answer["statusCode"])


@pytest.mark.full
def test_the_bare_url_is_refused_and_the_secret_rotates_without_a_refused_request(tmp_path: Path) -> None:
    old, new = NEVER_SHOWN + OLD, NEVER_SHOWN + NEW
    with secret_store() as store:
        store.secrets = {"JWT_SECRET": NEVER_SHOWN * 4, "EDGE_SECRET": old}
        with started(tmp_path, store.environ()) as running:

            def statuses() -> list[int]:
                given: list[dict[str, str]] = [{}, {"x-edge-secret": old}, {"x-edge-secret": new}]
                return [status(running.function, "/errors", **each) for each in given]

            assert statuses() == [403, 200, 403]
            assert status(running.function, "/") == 403, "no platform probes a Function URL"
            # The service learns the new one before the edge sends it.
            store.secrets |= {"EDGE_SECRET": new, "EDGE_PREVIOUS_SECRET": old}
            running.later(REFRESH_S)
            assert statuses() == [403, 200, 200]
            del store.secrets["EDGE_PREVIOUS_SECRET"]
            running.later(REFRESH_S)
            assert statuses() == [403, 403, 200]
            assert len(running.lines("secrets have changed")) == 2


@pytest.mark.full
def test_the_smoke_test_passes_behind_the_edge(tmp_path: Path, s3: EmbeddedS3) -> None:
    environ = {**s3.environ, "EDGE_SECRET": NEW, "EDGE_PREVIOUS_SECRET": OLD}
    with function(tmp_path, environ) as running:
        passed, lines = answered(running, SMOKE)
        assert passed, lines
        assert status(running, "/errors") == 403
        assert NEW not in running.said() + lines
