"""The file's own containers, started by podman-compose from the project's image, with LocalStack as their S3.

Only what this machine cannot have is replaced: the network by one in which the host's loopback is 10.0.2.2, and
`s3`, whose image nothing here can pull, by a LocalStack that checks the host in a presigned URL's signature.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from local.ports import claim_port
from tests.compose.stack import FILE, ROOT
from tests.compose.tools import podman_compose
from tests.contract.conftest import running
from tests.contract.servers import S3Server, ServerError
from tests.image import engine
from tests.image.conftest import image  # noqa: F401  the fixture
from tests.image.engine import HOST, NETWORK, Container, podman

pytestmark = pytest.mark.needs("image", "readers", "localstack")

READY_WITHIN_S = 60.0
RUN_WITHIN_S = 120.0
POLL_S = 0.1
BUCKET = "made-for-compose"
ORIGIN = "http://localhost:3000"
OVERRIDE = f"""
services:
  api:
    image: ${{IMAGE}}
    depends_on: !reset {{}}
    network_mode: {NETWORK.removeprefix("--network=")}
  api-under-test:
    image: ${{IMAGE}}
    depends_on: !reset {{}}
    network_mode: {NETWORK.removeprefix("--network=")}
    environment:
      AWS_S3_ENDPOINT_URL: ${{AWS_S3_ENDPOINT_URL}}
      S3_PUBLIC_ENDPOINT_URL: ${{AWS_S3_ENDPOINT_URL}}
  bucket-rules:
    image: ${{IMAGE}}
    depends_on: !reset {{}}
    network_mode: {NETWORK.removeprefix("--network=")}
    environment:
      AWS_S3_ENDPOINT_URL: ${{AWS_S3_ENDPOINT_URL}}
  api-test:
    image: ${{IMAGE}}
    depends_on: !reset {{}}
    network_mode: service:api-under-test
    command: [python, -m, image_upload, smoke, "http://127.0.0.1:8080"]
"""


class Stack:
    """One project of the compose file; what it started is removed by `down`."""

    def __init__(self, folder: Path, given: dict[str, str]) -> None:
        self._override = folder / "override.yml"
        self._override.write_text(OVERRIDE, encoding="utf-8")
        self._env_file = folder / "stack.env"
        self._env_file.write_text("".join(f"{name}={value}\n" for name, value in given.items()), encoding="utf-8")
        self._project = f"compose-{os.getpid()}"

    def run(self, *arguments: str, profile: str) -> str:
        command = podman_compose(
            *("--env-file", str(self._env_file), "--profile", profile, "-p", self._project),
            *("-f", str(FILE), "-f", str(self._override), *arguments),
        )
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=engine._environ(),
            capture_output=True,
            text=True,
            timeout=RUN_WITHIN_S,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def container(self, service: str) -> str:
        return f"{self._project}_{service}_1"

    def down(self) -> None:
        self.run("--profile", "test", "down", "--volumes", profile="api")


def healthy(container: str) -> bool:
    """What the file's own health check says. podman would ask it by itself only where systemd is."""
    try:
        podman("healthcheck", "run", container)
    except ServerError:
        return False
    return True


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with running("localstack") as server:
        # As LocalStack's container runs it, where it is the environment that names bucket and region.
        environ = {
            "PATH": os.environ["PATH"],
            "AWS_ENDPOINT_URL": server.endpoint_url,
            "S3_BUCKET_NAME": BUCKET,
            "AWS_DEFAULT_REGION": "ap-northeast-2",
        }
        subprocess.run([sys.executable, "infra/localstack/bucket.py"], cwd=ROOT, env=environ, check=True)
        yield server


@pytest.fixture(scope="module")
def port() -> int:
    with claim_port("127.0.0.1", 0, "API_PORT") as listening:
        free: int = listening.getsockname()[1]
    return free


@pytest.fixture(scope="module")
def stack(
    image: str,  # noqa: F811  the same fixture
    s3: S3Server,
    port: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    given = {
        "IMAGE": image,
        "ENVIRONMENT": "local",
        "S3_BUCKET_NAME": BUCKET,
        "AWS_REGION": "ap-northeast-2",
        "AWS_ACCESS_KEY_ID": s3.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.secret_key,
        "CORS_ALLOW_ORIGINS": ORIGIN,
        "S3_ROOT_USER": s3.access_key,
        "S3_ROOT_PASSWORD": s3.secret_key,
        "AWS_S3_ENDPOINT_URL": f"http://{HOST}:{urlsplit(s3.endpoint_url).port}",
        "S3_PUBLIC_ENDPOINT_URL": s3.endpoint_url,
        "API_PORT": str(port),
    }
    stack = Stack(tmp_path_factory.mktemp("compose"), given)
    try:
        stack.run("up", "--detach", "--no-build", "api", profile="api")
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="module")
def api(stack: Stack, port: int) -> str:
    """The service's URL on this machine, once it answers."""
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            assert httpx.get(url, trust_env=False).json()["bucket"] == "ok"
        except httpx.TransportError:
            assert time.monotonic() < deadline, Container(stack.container("api")).logs()
            time.sleep(POLL_S)  # before it is asked again
        else:
            return url


def test_the_service_of_the_file_stores_pictures_for_clients_outside_of_its_network(api: str) -> None:
    command = [sys.executable, "-m", "image_upload", "smoke", api]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_WITHIN_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_urls_name_s3_as_the_client_knows_it_and_not_as_the_service_does(api: str, s3: S3Server) -> None:
    spec = {"filename": "a.jpg", "contentType": "image/jpeg", "size": 3}
    plan = httpx.post(f"{api}/uploads", json=spec, trust_env=False).json()
    assert plan["presignedUrl"].startswith(f"{s3.endpoint_url}/{BUCKET}/")
    assert HOST not in json.dumps(plan)
    other = {**plan["headers"], "Content-Type": "image/png"}
    refused = httpx.put(plan["presignedUrl"], content=b"abc", headers=other, trust_env=False)
    assert refused.status_code == 403, "an S3 that checks nothing proves nothing"
    right = httpx.put(plan["presignedUrl"], content=b"abc", headers=plan["headers"], trust_env=False)
    assert right.status_code == 200, right.text


@pytest.mark.usefixtures("api")
def test_it_runs_as_the_user_nobody_with_no_capability_on_a_file_system_it_cannot_write_to(stack: Stack) -> None:
    name = stack.container("api")
    (inspected,) = json.loads(podman("inspect", name))
    assert inspected["HostConfig"]["ReadonlyRootfs"] is True
    bindings: dict[str, Any] = inspected["HostConfig"]["PortBindings"]
    assert {binding["HostIp"] for each in bindings.values() for binding in each} == {"127.0.0.1"}
    status = podman("exec", name, "cat", "/proc/1/status")
    lines = dict(line.split(":", 1) for line in status.splitlines())
    assert lines["Uid"].split() == ["65534"] * 4
    assert int(lines["CapEff"], 16) == 0
    assert lines["NoNewPrivs"].strip() == "1"
    tried = "touch /tmp/x && ! touch /var/task/x 2>/dev/null && ! touch /etc/x 2>/dev/null && echo held"
    assert podman("exec", name, "sh", "-c", tried).strip() == "held"


def test_the_buckets_rules_let_the_front_end_send_and_no_other(stack: Stack, api: str) -> None:
    stack.run("run", "--rm", "--no-deps", "-T", "bucket-rules", profile="infra")
    spec = {"filename": "a.jpg", "contentType": "image/jpeg", "size": 3}
    url = httpx.post(f"{api}/uploads", json=spec, trust_env=False).json()["presignedUrl"]
    allowed = {}
    for origin in (ORIGIN, "https://elsewhere.example.com"):
        asked = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
        answer = httpx.options(url, headers=asked, trust_env=False)
        allowed[origin] = answer.headers.get("access-control-allow-origin")
    assert allowed == {ORIGIN: ORIGIN, "https://elsewhere.example.com": None}


@pytest.mark.usefixtures("api")
def test_its_health_check_holds_and_it_ends_when_it_is_told_to(stack: Stack) -> None:
    assert healthy(stack.container("api"))
    stack.run("stop", "api", profile="api")
    (inspected,) = json.loads(podman("inspect", stack.container("api")))
    assert inspected["State"]["ExitCode"] == 0, "killed, or ended by an error"


def test_api_test_passes_in_a_container_that_is_thrown_away(stack: Stack) -> None:
    stack.run("up", "--detach", "--no-build", "api-under-test", profile="test")
    deadline = time.monotonic() + READY_WITHIN_S
    name = stack.container("api-under-test")
    while not healthy(name):
        assert time.monotonic() < deadline, Container(name).logs()
        time.sleep(POLL_S)  # before it is asked again
    said = stack.run("run", "--rm", "--no-deps", "-T", "api-test", profile="test")
    assert re.search(r"^(\d+) of \1 steps passed\.$", said, re.MULTILINE)
