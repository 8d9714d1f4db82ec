"""infra/kubernetes: pods that may do little, names that agree, and limits that fit each other."""

import re
from typing import Any

import pytest

from generate.settings import described
from image_upload.__main__ import COMMANDS
from image_upload.cli import sweep
from image_upload.settings import load, secret_settings
from tests.kubernetes.manifests import (
    FOLDER,
    OVERLAYS,
    ROOT,
    Pod,
    amount,
    api,
    kustomizations,
    objects,
    pods,
    settings,
)

PODS = list(pods(objects()))
# What may be in a Secret though a setting of it is no secret in itself.
KEY_PAIR = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
# How long a process may take to end after its last answer.
ENDS_WITHIN_S = 15
DOCUMENT = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
SHARED = "app.kubernetes.io/name"


def known_settings() -> set[str]:
    return {name for each in described() for name in each.setting.variables}


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [each for each in objects() if each["kind"] == kind]


# --- what a pod may do ----------------------------------------------------------------------------


@pytest.mark.parametrize("pod", PODS, ids=lambda pod: pod.name)
def test_every_container_is_read_only_unprivileged_and_limited(pod: Pod) -> None:
    for container in pod.containers:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()


@pytest.mark.parametrize("pod", [each for each in PODS if each.labels], ids=lambda pod: pod.name)
def test_every_pod_is_another_user_than_root_and_has_no_token_of_the_cluster(pod: Pod) -> None:
    context = pod.spec["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] == context["runAsGroup"] == 65534
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod.spec["automountServiceAccountToken"] is False
    assert pod.spec["enableServiceLinks"] is False
    assert {each["name"] for each in pod.spec.get("volumes", ())} <= {"tmp"}


def test_no_secret_has_a_value_here() -> None:
    assert of_kind("Secret") == []
    assert not any("secretGenerator" in each for each in kustomizations().values())
    for file in FOLDER.rglob("settings.env"):
        assert settings(file.parent.name).keys().isdisjoint({*secret_settings(), *KEY_PAIR})


# --- names that agree -----------------------------------------------------------------------------


def selectors() -> list[tuple[str, dict[str, str]]]:
    found = [("Service", each["spec"]["selector"]) for each in of_kind("Service")]
    for kind in ("Deployment", "PodDisruptionBudget", "ServiceMonitor"):
        found += [
            (kind, each["spec"]["selector"]["matchLabels"]) for each in of_kind(kind) if "selector" in each["spec"]
        ]
    found += [("NetworkPolicy", each["spec"]["podSelector"]["matchLabels"]) for each in of_kind("NetworkPolicy")]
    spread = api().spec["topologySpreadConstraints"]
    return [*found, *(("spread", each["labelSelector"]["matchLabels"]) for each in spread)]


@pytest.mark.parametrize(("kind", "labels"), selectors())
def test_a_selector_finds_pods_and_only_a_policy_finds_several_kinds(kind: str, labels: dict[str, str]) -> None:
    found = [pod for pod in PODS if labels.items() <= pod.labels.items()]
    assert found
    assert len(found) == 1 or (kind == "NetworkPolicy" and len(found) == len([pod for pod in PODS if pod.labels]))


def test_every_pod_is_under_the_policy_that_denies() -> None:
    assert all(pod.labels[SHARED] == "image-upload" for pod in PODS if pod.labels)
    (denying,) = (each for each in of_kind("NetworkPolicy") if "Egress" in each["spec"]["policyTypes"])
    assert denying["spec"]["podSelector"]["matchLabels"] == {SHARED: "image-upload"}
    assert "ingress" not in denying["spec"]
    assert set(denying["spec"]["policyTypes"]) == {"Ingress", "Egress"}


def test_a_port_by_its_name_is_the_one_that_the_image_listens_on() -> None:
    (port,) = api().containers[0]["ports"]
    assert f"EXPOSE {port['containerPort']}\n" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (service,) = of_kind("Service")
    (published,) = service["spec"]["ports"]
    assert published["targetPort"] == published["name"] == port["name"]
    named = re.findall(r"port: (http)\b|number: \d+", "\n".join(f.read_text() for f in FOLDER.rglob("*.yaml")))
    assert set(named) == {port["name"]}


def test_every_setting_that_is_named_exists() -> None:
    known = known_settings()
    for name in ("base", *OVERLAYS):
        assert settings(name).keys() <= known, name
    for pod in PODS:
        for container in pod.containers:
            assert {each["name"] for each in container.get("env", ())} <= known
    literals = [
        literal.partition("=")[0]
        for each in kustomizations().values()
        for made in each.get("configMapGenerator", ())
        for literal in made.get("literals", ())
    ]
    assert set(literals) <= known


@pytest.mark.parametrize("pod", PODS, ids=lambda pod: pod.name)
def test_a_command_is_one_of_the_service(pod: Pod) -> None:
    for container in pod.containers:
        if arguments := container.get("args"):
            assert arguments[:3] == ["python", "-m", "image_upload"]
            assert arguments[3] in COMMANDS
            if arguments[3] == "sweep":
                assert sweep._parsed(arguments[4:]).seconds < 300  # the next one begins then


def test_prometheus_reads_the_route_and_the_token_of_the_service() -> None:
    (monitor,) = of_kind("ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    container = api().containers[0]
    assert endpoint["port"] == container["ports"][0]["name"]
    assert f"`GET {endpoint['path']}`" in (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    credentials = endpoint["authorization"]["credentials"]
    assert credentials["key"] in secret_settings()
    (patch,) = kustomizations()["metrics"]["patches"]
    assert f"secretRef: {{name: {credentials['name']}}}" in patch["patch"]
    assert f"generic {credentials['name']} --from-literal={credentials['key']}=" in DOCUMENT


def test_a_probe_asks_for_health() -> None:
    container = api().containers[0]
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[name]["httpGet"] == {"path": "/", "port": "http"}


# --- limits that fit each other -------------------------------------------------------------------


def test_a_pod_has_time_for_its_longest_form() -> None:
    pod, longest_s = api(), int(settings("base")["TIMEOUT_SECONDS"])
    before_s = pod.containers[0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod.spec["terminationGracePeriodSeconds"] >= before_s + longest_s + ENDS_WITHIN_S
    (ingress,) = of_kind("Ingress")
    times = {
        key: int(value.rstrip("s")) for key, value in ingress["metadata"]["annotations"].items() if "timeout" in key
    }
    assert len(times) == 4
    assert min(times.values()) > longest_s


def test_files_that_wait_fit_into_what_the_pod_has() -> None:
    pod, given = api(), settings("base")
    limits = pod.containers[0]["resources"]["limits"]
    (tmp,) = pod.spec["volumes"]
    assert int(given["SPOOL_BYTES"]) < amount(tmp["emptyDir"]["sizeLimit"]) < amount(limits["ephemeral-storage"])
    assert int(given["BUFFER_BYTES"]) * 4 < amount(limits["memory"])
    assert pod.containers[0]["volumeMounts"] == [{"name": tmp["name"], "mountPath": "/tmp"}]


# --- what the reader adds -------------------------------------------------------------------------


def documented_secrets() -> dict[str, str]:
    """The file of secrets in the document, each with something in the place of its words."""
    (block,) = re.findall(r"^```text\n(JWT_SECRET=.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    return dict(line.split("=", 1) for line in block.splitlines())


def test_the_service_starts_with_the_settings_of_each_overlay_and_the_documented_secrets() -> None:
    secrets = documented_secrets() | {"JWT_SECRET": "s" * 64}
    named = {
        each["valueFrom"]["secretKeyRef"]["key"]
        for pod in PODS
        for container in pod.containers
        for each in container.get("env", ())
        if "secretKeyRef" in each["valueFrom"]
    }
    assert named <= secrets.keys() <= known_settings()
    for overlay in OVERLAYS:
        given = settings("base") | settings(overlay)
        left_out = {"S3_BUCKET_NAME": "pictures", "AWS_REGION": "eu-north-1"}
        loaded = load(left_out | given | secrets)
        assert loaded.verification.verify == "publish"
        assert (overlay == "production") == ("ENVIRONMENT" not in given)


def test_the_document_names_every_folder() -> None:
    for each in FOLDER.glob("*/*"):
        if each.is_dir():
            assert f"`{each.relative_to(FOLDER)}`" in DOCUMENT, each
