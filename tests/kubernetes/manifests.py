"""infra/kubernetes as it lies there, without what kustomize makes of it."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "infra/kubernetes"
OVERLAYS: Final = sorted(each.name for each in (FOLDER / "overlays").iterdir())
_FACTORS: Final = {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}


class Pod(NamedTuple):
    """What an object says of its pods: their labels and their specification."""

    name: str
    labels: dict[str, str]
    spec: dict[str, Any]

    @property
    def containers(self) -> list[dict[str, Any]]:
        """All of them, those that run first too."""
        return [*self.spec.get("initContainers", ()), *self.spec.get("containers", ())]


@functools.cache
def objects() -> list[dict[str, Any]]:
    """Every object of the base, the components and the overlays, patches included."""
    files = [each for each in sorted(FOLDER.rglob("*.yaml")) if each.name != "kustomization.yaml"]
    return [found for each in files for found in yaml.safe_load_all(each.read_text(encoding="utf-8"))]


def kustomizations() -> dict[str, dict[str, Any]]:
    """Every kustomization by its folder."""
    files = sorted(FOLDER.rglob("kustomization.yaml"))
    return {each.parent.name: yaml.safe_load(each.read_text(encoding="utf-8")) for each in files}


def pods(found: list[dict[str, Any]]) -> Iterator[Pod]:
    """The pods of those objects that have some."""
    for each in found:
        spec = each.get("spec", {})
        template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
        if template:
            yield Pod(each["metadata"]["name"], template.get("metadata", {}).get("labels", {}), template["spec"])


def api() -> Pod:
    """The pods that serve."""
    (found,) = (each for each in pods(objects()) if each.labels.get("app.kubernetes.io/component") == "api")
    return found


def settings(name: str) -> dict[str, str]:
    """The settings of the base or of an overlay, without those that are left to the reader."""
    (file,) = FOLDER.glob(f"**/{name}/settings.env")
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {key: value for key, _, value in (line.partition("=") for line in lines) if value}


def amount(quantity: str) -> int:
    """The bytes of a quantity such as 512Mi."""
    return int(quantity[:-2]) * _FACTORS[quantity[-2:]]
