"""Imports on Lambda: the real awslambdaric, and Lambda's API played by a server on loopback."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.embedded_s3 import ACCESS_KEY, SECRET_KEY, EmbeddedS3
from tests.from_url import origins
from tests.from_url.origins import Origin
from tests.in_thread import answering
from tests.runtime.operating import request
from tests.runtime.process import Function, function

# Invocations in processes of their own.
pytestmark = pytest.mark.full

MIB = 1024 * 1024


@dataclass
class Lambda:
    """Lambda's API: what it was asked for, and the status that it answers."""

    url: str = ""
    status: int = 202
    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def payload(self) -> dict[str, Any]:
        """The event of the one invocation that was asked for."""
        ((_, _, body),) = self.asked
        found: dict[str, Any] = json.loads(body)
        return found


@pytest.fixture
def api() -> Iterator[Lambda]:
    there = Lambda()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            there.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(there.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    there.url = f"http://127.0.0.1:{server.server_port}"
    with answering(server):
        yield there


@contextlib.contextmanager
def deployed(home: Path, s3: EmbeddedS3, origin: Origin, api: Lambda) -> Iterator[Function]:
    with function(
        home, s3.environ, FROM_URL_PRIVATE_HOSTS=origin.host, AWS_ENDPOINT_URL_LAMBDA=api.url, forks=True
    ) as running:
        running.api.wait_for_polls(1)
        yield running


TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


def ask(running: Function, **fields: Any) -> tuple[int, dict[str, Any]]:
    event = request(body=json.dumps(fields), rawPath="/uploads/from-url")
    event["headers"]["traceparent"] = f"00-{TRACE_ID}-b7ad6b7169203331-01"
    answer = running.api.answer(event)
    return answer["statusCode"], json.loads(answer["body"])


def job(running: Function, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(running.api.answer(request("GET", rawPath=f"/jobs/{job_id}"))["body"])
    return found


def test_a_long_import_goes_on_in_another_invocation(
    tmp_path: Path, s3: EmbeddedS3, origin: Origin, api: Lambda
) -> None:
    short = origin.serve("/a.jpg", origins.chunked(b"short"))
    size = 33 * MIB
    long = origin.serve("/b.bin", origins.pattern(size)) + "?X-Amz-Signature=a-secret"
    with deployed(tmp_path, s3, origin, api) as running:
        status, made = ask(running, url=short)
        assert (status, made.get("size"), api.asked) == (201, 5, [])
        status, said = ask(running, url=long, purpose="file", metadata={"lecture": "강의"})
        assert (status, said["state"]) == (202, "queued")
        assert len(origin.asked) == 2
        _check_signed(api)
        assert running.api.invoke(api.payload()).answer == {"job_id": said["job_id"]}
        done = job(running, said["job_id"])
        assert (done["state"], done["progress"]["sent_bytes"], done["result"]["size"]) == ("done", size, size)
        # Lambda may invoke it again.
        assert running.api.invoke(api.payload()).answer == {"job_id": said["job_id"]}
        assert job(running, said["job_id"]) == done
        assert len(origin.asked) == 3
        assert "a-secret" not in running.said()
        lines = [json.loads(line) for line in running.said().splitlines() if line.startswith("{")]
        assert [each["trace_id"] for each in lines if each["message"] == "import"] == [TRACE_ID] * 3


def _check_signed(api: Lambda) -> None:
    """Compare the call's signature with botocore's."""
    ((path, headers, body),) = api.asked
    assert path == "/2015-03-31/functions/image-upload/invocations"
    assert headers["x-amz-invocation-type"] == "Event"
    names = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert {"host", "content-type", "x-amz-date", "x-amz-invocation-type"} <= set(names)
    signed = AWSRequest("POST", api.url + path, data=body, headers={name: headers[name] for name in names})
    signed.context["timestamp"] = headers["x-amz-date"]
    auth = SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "lambda", "us-east-1")
    signature = auth.signature(auth.string_to_sign(signed, auth.canonical_request(signed)), signed)
    assert headers["authorization"].endswith(f"Signature={signature}")
    asked_at = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - asked_at).total_seconds()) < 60


def test_an_invocation_ends_before_its_deadline_with_a_job_that_says_so(
    tmp_path: Path, s3: EmbeddedS3, origin: Origin, api: Lambda
) -> None:
    url = origin.serve("/b.bin", origins.held(bytes(9 * MIB), bytes(99 * MIB), threading.Event(), "video/mp4"))
    with deployed(tmp_path, s3, origin, api) as running:
        _, said = ask(running, url=url, purpose="file")
        outcome = running.api.invoke(api.payload(), timeout_s=11)
        assert outcome.error is None
        failed = job(running, said["job_id"])
        assert (failed["state"], failed["error"]["code"], failed["key"]) == ("failed", "source-timed-out", None)
        assert "Task timed out" not in running.said()


def test_without_the_right_to_invoke_itself_the_client_hears_it_at_once(
    tmp_path: Path, s3: EmbeddedS3, origin: Origin, api: Lambda
) -> None:
    api.status = 403
    with deployed(tmp_path, s3, origin, api) as running:
        status, said = ask(running, url=origin.serve("/b", origins.pattern(99 * MIB)), purpose="file")
        assert (status, said["code"], said["upstream_status"]) == (503, "job-not-started", 403)
        assert job(running, api.payload()["job_id"])["error"]["code"] == "job-not-started"
        assert "the function cannot invoke itself" in running.said()


def test_what_is_refused_by_its_text_becomes_no_job_and_no_invocation(
    tmp_path: Path, s3: EmbeddedS3, origin: Origin, api: Lambda
) -> None:
    with deployed(tmp_path, s3, origin, api) as running:
        for wait in (0, 15):
            status, said = ask(running, url="gopher://127.0.0.1/", wait=wait)
            assert (status, said["code"]) == (400, "source-url-invalid")
        outcome = running.api.invoke({"operation": "from-url", "job_id": "x", "order": {"url": "http://a/?secret"}})
        assert outcome.answer == {}
        assert (api.asked, origin.asked) == ([], [])
        assert "secret" not in running.said()
