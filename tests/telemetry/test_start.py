"""What a service that measures imports to mint, and one that does not."""

import json
import subprocess
import sys

import pytest

from tests.notify.receiver import ENVIRON
from tests.notify.test_start import _MINT
from tests.test_docs import ROOT

ALL = {"prometheus", "emf", "tracing"}


# A process that starts, to see what it imports.
@pytest.mark.full
@pytest.mark.parametrize(
    ("environ", "imported"),
    [
        ({"METRICS": "off"}, set()),
        ({"METRICS": "on"}, {"prometheus"}),
        ({"METRICS": "on", "AWS_LAMBDA_FUNCTION_NAME": "f"}, {"emf"}),
        ({"METRICS": "off", "TRACES_ENDPOINT": "http://127.0.0.1:9", "TRACES_RATIO": "0"}, {"tracing"}),
    ],
)
def test_a_mint_imports_only_what_is_asked_for(environ: dict[str, str], imported: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _MINT],
        cwd=ROOT,
        env=ENVIRON | environ | {"JWT_SECRET": "s" * 32, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    modules = set(json.loads(done.stdout.splitlines()[-1]))
    assert {each for each in ALL if f"image_upload.telemetry.{each}" in modules} == imported
    assert not {"image_upload.web.metrics.routes", "image_upload.outbound.client", "opentelemetry.sdk"} & modules
