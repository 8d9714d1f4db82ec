"""What kustomize makes of each overlay, and what the schemas of the cluster's API say of it."""

import json
from typing import Any

import pytest

from tests.contract import servers
from tests.kubernetes import readers
from tests.kubernetes.manifests import OVERLAYS, pods, settings
from tests.needs import unavailable

pytestmark = pytest.mark.needs("kubectl")

VALIDATE = """
import json, sys, kubernetes_validate
for each in json.load(sys.stdin):
    for version in sys.argv[1:]:
        print(each["kind"], kubernetes_validate.validate(each, version, strict=True))
"""
# A member that the model does not know is not written again.
MONITOR = """
import json, sys
from cloudcoil.models.prometheus_operator.v1 import ServiceMonitor
for each in json.load(sys.stdin):
    assert ServiceMonitor.model_validate(each).model_dump(mode="json", by_alias=True, exclude_unset=True) == each
    print(each["kind"])
"""
OF_PROMETHEUS = "monitoring.coreos.com/v1"


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def made(overlay: str) -> list[dict[str, Any]]:
    try:
        return readers.built(overlay)
    except servers.UnsupportedError as error:
        unavailable("kubectl", error)


@pytest.mark.needs("readers")
def test_the_operator_of_prometheus_knows_every_member_of_the_monitor() -> None:
    monitors = [each for each in readers.built("production") if each["apiVersion"] == OF_PROMETHEUS]
    assert readers.read(MONITOR, given=json.dumps(monitors)).split() == ["ServiceMonitor"]


@pytest.mark.needs("readers")
def test_the_api_of_the_oldest_and_the_newest_cluster_takes_every_object(made: list[dict[str, Any]]) -> None:
    ours = [each for each in made if each["apiVersion"] != OF_PROMETHEUS]
    lines = readers.read(VALIDATE, *readers.KUBERNETES, given=json.dumps(ours)).splitlines()
    assert len(lines) == len(ours) * len(readers.KUBERNETES)
    assert {line.split()[1] for line in lines} == set(readers.KUBERNETES)


def test_everything_is_in_one_namespace_and_every_reference_leads_somewhere(made: list[dict[str, Any]]) -> None:
    (namespace,) = (each["metadata"]["name"] for each in made if each["kind"] == "Namespace")
    assert {each["metadata"].get("namespace") for each in made if each["kind"] != "Namespace"} == {namespace}
    names = {(each["kind"], each["metadata"]["name"]) for each in made}
    assert len(names) == len(made)
    for pod in pods(made):
        assert ("ServiceAccount", pod.spec["serviceAccountName"]) in names
        for container in pod.containers:
            for source in container.get("envFrom", ()):
                assert "secretRef" in source or ("ConfigMap", source["configMapRef"]["name"]) in names
            for each in container.get("env", ()):
                reference = each["valueFrom"].get("configMapKeyRef")
                assert reference is None or ("ConfigMap", reference["name"]) in names
    for each in made:
        if each["kind"] == "HorizontalPodAutoscaler":
            assert ("Deployment", each["spec"]["scaleTargetRef"]["name"]) in names


def test_an_overlay_adds_its_settings_to_those_of_the_base(overlay: str, made: list[dict[str, Any]]) -> None:
    (data,) = (each["data"] for each in made if each["kind"] == "ConfigMap")
    assert (settings("base") | settings(overlay)).items() <= data.items()


def test_every_image_has_a_tag_that_stays(made: list[dict[str, Any]]) -> None:
    images = {container["image"] for pod in pods(made) for container in pod.containers}
    assert images
    assert all(image.rpartition("/")[2].partition(":")[2] not in ("", "latest") for image in images), images


def test_only_production_is_on_https(overlay: str, made: list[dict[str, Any]]) -> None:
    (ingress,) = (each["spec"] for each in made if each["kind"] == "Ingress")
    (rule,) = ingress["rules"]
    assert ingress.get("tls", []) == (
        [{"hosts": [rule["host"]], "secretName": "image-upload-tls"}] if overlay == "production" else []
    )
