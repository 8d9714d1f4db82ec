"""The image that the Dockerfile makes, built by podman and run as Lambda and others run it."""

import json
import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from image_upload.limits import LAMBDA_FORM_MAX_BYTES
from local.embedded_s3 import EmbeddedS3
from local.replay import read_event
from local.service import local_environ
from tests.contract import servers
from tests.image import engine
from tests.image.engine import AS_ON_LAMBDA, HOST, NETWORK
from tests.runtime.api import runtime_api
from tests.runtime.emulator import INVOKE_PATH
from tests.runtime.process import ON_LAMBDA, ROOT
from tests.runtime.test_function import form_event

pytestmark = pytest.mark.needs("image")

MIB = 1024 * 1024
# What the layers above the base may hold, compiled.
ADDED_MAX_BYTES = 200 * MIB
READY_WITHIN_S = 30.0
LOOKING = Path(__file__).with_name("looking.py").read_text(encoding="utf-8")


def python(image: str, script: str, *arguments: str, environ: dict[str, str] | None = None) -> list[str]:
    """The lines that a script prints where nothing can be written: else Python compiles whatever it imports."""
    command = ["python", "-c", script, *arguments]
    return engine.run(image, "--network=none", *AS_ON_LAMBDA, command=command, environ=environ).splitlines()


def shell(image: str, script: str, *options: str) -> set[str]:
    """The lines that a shell prints inside the image, as a user that it does not know."""
    return set(
        engine.run(image, "--network=none", "--user=993:990", *options, command=["sh", "-c", script]).splitlines()
    )


def ready(url: str, container: engine.Container) -> None:
    """Wait until a server answers HTTP there."""
    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            httpx.get(url, trust_env=False, timeout=READY_WITHIN_S)
        except httpx.TransportError:
            assert time.monotonic() < deadline, container.logs()
            assert container.exit_code(0) is None, container.logs()
            time.sleep(servers.POLL_S)  # before it is asked again
        else:
            return


def reachable(s3: EmbeddedS3) -> dict[str, str]:
    """Settings that lead a container with a network of its own to the S3 on this machine."""
    return local_environ({}, {**s3.environ, "AWS_S3_ENDPOINT_URL": s3.endpoint_url.replace("127.0.0.1", HOST)})


# --- what is in it --------------------------------------------------------------------------------


def test_it_holds_the_service_and_nothing_else_of_the_checkout(image: str) -> None:
    held = shell(image, "find /var/task -not -path '*/__pycache__*' -type f | sed 's,^/var/task/,,'")
    package = {
        str(path.relative_to(ROOT))
        for kind in ("*.py", "*.pem", "page/page.*", "page/*.json", "page/modules/*.js")
        for path in (ROOT / "image_upload").rglob(kind)
    }
    beside = {"entrypoint.sh", "upload.py", "purposes.toml", "requirements.txt", "client/upload.js"}
    assert held == package | beside


def test_it_holds_the_pinned_packages_and_no_other(image: str) -> None:
    script = "import json, importlib.metadata as m; print(json.dumps([[d.name, d.version] for d in m.distributions()]))"
    (said,) = python(image, script)
    installed = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in json.loads(said)}
    pinned = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert installed.pop("pip")
    assert installed.items() <= set(pinned)
    assert {"awslambdaric", "mangum", "uvicorn"} <= installed.keys()


def test_its_own_layers_are_small(image: str) -> None:
    of_image, of_base = (
        int(engine.podman("image", "inspect", "--format={{.Size}}", each)) for each in (image, engine.base_image())
    )
    print(f"image {of_image / MIB:.0f} MiB, of which the base has {of_base / MIB:.0f}")
    assert of_image - of_base < ADDED_MAX_BYTES


@pytest.mark.parametrize("imports", [["awslambdaric.bootstrap", "upload"], ["image_upload.cli.serve", "upload"]])
def test_everything_it_imports_is_byte_code_already(imports: list[str], image: str, s3: EmbeddedS3) -> None:
    assert python(image, LOOKING, *imports, environ=reachable(s3)) == []


def test_every_module_of_the_service_and_its_packages_is_byte_code(image: str) -> None:
    """Also those that are imported by the first request that needs them."""
    script = (
        "import sysconfig\nfrom pathlib import Path\nfrom importlib.util import cache_from_source\n"
        "for folder in ('/var/task', sysconfig.get_path('purelib')):\n"
        "    for file in Path(folder).rglob('*.py'):\n"
        "        if not Path(cache_from_source(file)).exists(): print(file)\n"
    )
    assert python(image, script) == []


def test_another_user_can_read_everything_and_write_nothing_that_the_base_did_not_let_him(image: str) -> None:
    of_packages = "$(python -c 'import sysconfig; print(sysconfig.get_path(\"purelib\"))')"
    assert shell(image, f"find /var/task {of_packages} ! -readable -o -type d ! -executable") == set()
    writable = "find / -xdev -writable ! -type l ! -path '/proc/*' ! -path '/dev/*' 2>/dev/null; true"
    # An engine makes a working folder that is not there, and makes it the user's.
    elsewhere = "--workdir=/"
    assert shell(image, writable, elsewhere) == shell(engine.base_image(), writable, elsewhere)


def test_it_says_what_it_is(image: str) -> None:
    labels = json.loads(engine.podman("image", "inspect", "--format={{json .Config.Labels}}", image))
    assert labels["org.opencontainers.image.title"] == "image-upload"
    assert labels["org.opencontainers.image.licenses"] == "MIT"
    assert "org.opencontainers.image.revision" in labels


# --- on Lambda ------------------------------------------------------------------------------------


def test_on_lambda_it_stores_an_upload(image: str, s3: EmbeddedS3, web: httpx.Client) -> None:
    """Read-only, as a user that the image does not know, with Lambda's limits, under the real awslambdaric."""
    with runtime_api() as api:
        environ = {**local_environ({}, s3.environ), **ON_LAMBDA, "AWS_LAMBDA_RUNTIME_API": api.address}
        began = time.monotonic()
        with engine.running(image, "--network=host", *AS_ON_LAMBDA, environ=environ) as container:
            api.wait_for_polls(1)
            print(f"start of the container to the first poll: {api.polls[0] - began:.2f} s")
            stored = api.answer(read_event(ROOT / "events/proxied-upload.json", s3.endpoint_url))
            assert stored["statusCode"] == 200, stored
            read = json.loads((ROOT / "events/read.json").read_text(encoding="utf-8"))
            read["rawPath"] = read["requestContext"]["http"]["path"] = "/images/uploads/sample-event.jpg"
            url = json.loads(api.answer(read)["body"])["url"]
            assert web.get(url).content == (ROOT / "examples/photo.jpg").read_bytes()
            assert container.exit_code(0) is None


def test_on_lambda_a_form_as_large_as_can_be_needs_no_disk(image: str, s3: EmbeddedS3) -> None:
    """Nothing at all can be written to: neither /tmp nor any other place for temporary files."""
    nowhere = [option for option in AS_ON_LAMBDA if not option.startswith("--tmpfs")]
    file = bytes(LAMBDA_FORM_MAX_BYTES - 4_096)
    with runtime_api() as api:
        environ = {**local_environ({}, s3.environ), **ON_LAMBDA, "AWS_LAMBDA_RUNTIME_API": api.address}
        with engine.running(image, "--network=host", *nowhere, environ=environ):
            answer = api.answer(form_event(file, s3.endpoint_url))
    assert answer["statusCode"] == 200, answer
    assert json.loads(answer["body"])["file_size"] == len(file)


def test_on_lambda_wrong_settings_are_reported(image: str) -> None:
    with runtime_api() as api:
        environ = {**ON_LAMBDA, "AWS_LAMBDA_RUNTIME_API": api.address}
        with engine.running(image, "--network=host", *AS_ON_LAMBDA, environ=environ) as container:
            assert container.exit_code() == 1
        (error,) = api.init_errors
    assert error["errorType"] == "SettingsError"
    assert "S3_BUCKET_NAME: missing" in error["errorMessage"]


# --- on Lambda's emulator -------------------------------------------------------------------------

# MiniStack and others name the function and leave the rest to the image; AWS's own images are given the handler.
EMULATED: dict[str, tuple[dict[str, str], list[str]]] = {
    "the function is named": ({"AWS_LAMBDA_FUNCTION_NAME": "image-upload"}, []),
    "the handler is the command": ({}, ["upload.handler"]),
}


@pytest.mark.parametrize("way", EMULATED)
def test_where_the_base_has_the_emulator_it_answers_on_8080(
    way: str, image: str, s3: EmbeddedS3, web: httpx.Client
) -> None:
    environ, command = EMULATED[way]
    (port,) = servers._free_ports(1)
    options = [NETWORK, f"--publish=127.0.0.1:{port}:8080", *AS_ON_LAMBDA]
    with engine.running(image, *options, command=command, environ=reachable(s3) | environ) as container:
        ready(f"http://127.0.0.1:{port}", container)
        event = read_event(ROOT / "events/proxied-upload.json", s3.endpoint_url.replace("127.0.0.1", HOST))
        answer: dict[str, Any] = web.post(f"http://127.0.0.1:{port}{INVOKE_PATH}", json=event).json()
        assert answer["statusCode"] == 200, (answer, container.logs())


def test_where_the_base_has_none_it_says_what_to_do(image: str) -> None:
    hidden = "--volume=/dev/null:/usr/local/bin/aws-lambda-rie:ro"
    with engine.running(image, "--network=none", hidden, command=["upload.handler"]) as container:
        assert container.exit_code() == 1
        _, said = container.logs()
    assert "no emulator at /usr/local/bin/aws-lambda-rie" in said
    assert "run a plain server" in said


# --- as a plain server ----------------------------------------------------------------------------


def test_as_a_plain_server_it_passes_its_own_smoke_test_and_ends_when_it_is_asked_to(
    image: str, s3: EmbeddedS3
) -> None:
    (port,) = servers._free_ports(1)
    options = [NETWORK, f"--publish=127.0.0.1:{port}:8080", *AS_ON_LAMBDA]
    with engine.running(image, *options, environ=reachable(s3)) as server:
        ready(f"http://127.0.0.1:{port}", server)
        smoke = ["python", "-m", "image_upload", "smoke", "http://127.0.0.1:8080"]
        said = engine.run(image, f"--network=container:{server.name}", *AS_ON_LAMBDA, command=smoke)
        assert re.search(r"^(\d+) of \1 steps passed\.$", said, re.MULTILINE), said
        server.signal("TERM")
        assert server.exit_code(10) == 0, server.logs()
        _, log = server.logs()
    assert all(json.loads(line) for line in log.splitlines()), "every line of the log is JSON"


def test_as_a_plain_server_it_gives_root_up(image: str, s3: EmbeddedS3) -> None:
    (port,) = servers._free_ports(1)
    options = [NETWORK, f"--publish=127.0.0.1:{port}:8080"]
    with engine.running(image, *options, environ=reachable(s3)) as server:
        ready(f"http://127.0.0.1:{port}", server)
        status = engine.podman("exec", server.name, "cat", "/proc/1/status")
    assert re.search(r"^Uid:\t65534\t65534\t65534\t65534$", status, re.MULTILINE), status
    assert re.search(r"^Groups:\s*$", status, re.MULTILINE), status


def test_as_a_plain_server_wrong_settings_end_it_with_one_message(image: str) -> None:
    with engine.running(image, "--network=none") as container:
        assert container.exit_code() == 2
        _, said = container.logs()
    assert said.startswith("The service cannot start: 3 settings are missing or wrong.")
    assert "Traceback" not in said
