"""What a service with a queue imports at its start and to mint."""

import json
import subprocess
import sys

import pytest

from tests.notify.receiver import ENVIRON
from tests.notify.test_start import _MINT
from tests.test_docs import ROOT


# A process that starts, to see what it imports.
@pytest.mark.full
@pytest.mark.parametrize(
    "environ",
    [{}, {"QUEUE_URL": "redis://127.0.0.1:1/tasks"}, {"QUEUE_URL": "http://127.0.0.1:1/123456789012/tasks"}],
)
def test_a_mint_imports_nothing_of_tasks_and_workers(environ: dict[str, str]) -> None:
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
    imported = {name for name in json.loads(done.stdout.splitlines()[-1]) if not name.startswith("redis._")}
    ours = {name for name in imported if name.startswith("image_upload.jobs")}
    assert ours == {"image_upload.jobs", "image_upload.jobs.router", "image_upload.jobs.tasks"}
    assert "redis" not in imported
