"""The image under what infra/kubernetes/base/api.yaml says of its pods, by podman in the place of a cluster."""

import base64
import socket
import time

import boto3
import httpx
import pytest

from local.embedded_s3 import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, EmbeddedS3
from tests.contract import servers
from tests.image import engine
from tests.image.engine import HOST, NETWORK
from tests.image.test_image import reachable
from tests.kubernetes.manifests import ROOT, Pod, amount, api, objects, pods, settings
from tests.runtime.test_function import form_event

pytestmark = pytest.mark.needs("image")

MIB = 1024 * 1024
ENDS_WITHIN_S = 15.0


def limits(pod: Pod) -> list[str]:
    """The options of podman that mean what the manifest says. Its seccomp profile is podman's default."""
    (container,) = pod.containers
    context, most = container["securityContext"], container["resources"]["limits"]
    assert context["readOnlyRootFilesystem"]
    assert not context["allowPrivilegeEscalation"]
    user, group = (pod.spec["securityContext"][name] for name in ("runAsUser", "runAsGroup"))
    sizes = {each["name"]: amount(each["emptyDir"]["sizeLimit"]) for each in pod.spec.get("volumes", ())}
    return [
        "--read-only", "--read-only-tmpfs=false", "--security-opt=no-new-privileges", f"--user={user}:{group}",
        *(f"--cap-drop={each}" for each in context["capabilities"]["drop"]),
        f"--memory={amount(most['memory'])}", f"--cpus={most['cpu']}",
        *(f"--tmpfs={each['mountPath']}:size={sizes[each['name']]}" for each in container.get("volumeMounts", ())),
    ]  # fmt: skip


def probed(url: str, name: str, container: engine.Container) -> None:
    """Ask as the kubelet does, until the probe succeeds or has failed as often as it may."""
    probe = api().containers[0][name]
    for _ in range(probe["failureThreshold"]):
        try:
            answer = httpx.get(url + probe["httpGet"]["path"], trust_env=False, timeout=probe["timeoutSeconds"])
        except httpx.TransportError:
            time.sleep(probe["periodSeconds"])  # as the kubelet does
        else:
            assert answer.status_code == 200, answer.text
            return
    pytest.fail(f"{name} failed: {container.logs()}")


def test_under_the_manifests_limits_the_probes_answer_and_a_form_half_sent_at_sigterm_is_stored(
    image: str, s3: EmbeddedS3
) -> None:
    (port,) = servers._free_ports(1)
    url, pod = f"http://127.0.0.1:{port}", api()
    listening = pod.containers[0]["ports"][0]["containerPort"]
    options = [NETWORK, f"--publish=127.0.0.1:{port}:{listening}", *limits(pod)]
    with engine.running(image, *options, environ=settings("base") | reachable(s3)) as container:
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            probed(url, name, container)
        status = engine.podman("exec", container.name, "cat", "/proc/1/status")
        assert_unprivileged(status)

        file = bytes(range(256)) * (4 * MIB // 256)
        event = form_event(file, s3.endpoint_url.replace("127.0.0.1", HOST), "uploads/at-the-end.jpg")
        body = base64.b64decode(event["body"])
        head = (
            f"POST {event['rawPath']} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: {event['headers']['content-type']}\r\nExpect: 100-continue\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", port), timeout=60) as sending:
            sending.sendall(head.encode())
            # The request has begun.
            assert sending.recv(25, socket.MSG_WAITALL) == b"HTTP/1.1 100 Continue\r\n\r\n"
            sending.sendall(body[: len(body) // 2])
            container.signal("TERM")
            wait_until_it_no_longer_listens(container, listening)
            assert container.exit_code(0) is None
            sending.sendall(body[len(body) // 2 :])
            answer = sending.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200 "), (answer, container.logs())
        assert container.exit_code(ENDS_WITHIN_S) == 0, container.logs()
    client = boto3.client(
        "s3", endpoint_url=s3.endpoint_url, region_name=REGION, aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )  # fmt: skip
    assert client.get_object(Bucket=BUCKET, Key="uploads/at-the-end.jpg")["Body"].read() == file
    client.close()


def test_the_worker_of_the_examples_starts_under_its_own_limits(image: str) -> None:
    """As far as the queue, of which there is none."""
    (pod,) = (each for each in pods(objects()) if each.name == "image-upload-worker")
    wanted = ["--quiet", "--isolation=chroot", f"--build-arg=SERVICE_IMAGE={image}", str(ROOT / "examples/worker")]
    worker = engine.podman("build", *wanted, within_s=engine.BUILD_WITHIN_S)
    environ = {"QUEUE_URL": "redis://127.0.0.1:1/tasks"}
    with engine.running(worker, "--network=none", *limits(pod), environ=environ) as container:
        assert container.exit_code() == 1
        assert "redis.exceptions.ConnectionError" in container.logs()[1]
    engine.podman("rmi", worker)


def assert_unprivileged(status: str) -> None:
    """By the kernel's own words about the first process."""
    told = dict(line.split(":\t", 1) for line in status.splitlines())
    assert told["Uid"].split() == ["65534"] * 4
    assert {int(told[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert (told["NoNewPrivs"], told["Seccomp"]) == ("1", "2")


def wait_until_it_no_longer_listens(container: engine.Container, port: int) -> None:
    """Ask the kernel inside: from outside, podman's own port still answers."""
    deadline = time.monotonic() + ENDS_WITHIN_S
    while f":{port:04X} 00000000:0000 0A" in engine.podman("exec", container.name, "cat", "/proc/net/tcp"):
        assert time.monotonic() < deadline, container.logs()
        time.sleep(servers.POLL_S)  # between two looks at the container
