"""What the start of the service does not do."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from image_upload import process
from tests.notify.receiver import ENVIRON
from tests.test_docs import ROOT

_START = """
import re._compiler as compiler
import fastapi, mangum, starlette.middleware.cors
compiled, compile = [], compiler.compile
compiler.compile = lambda pattern, flags=0: compiled.append(pattern) or compile(pattern, flags)
import upload
print(len(compiled))
"""

# Those of a mint, of the settings that are checked, and of the routes that are there from the start.
_PATTERNS_MAX = 26

# Calls a function at every depth from 0 to 150: a block of frames ends at one of them.
_CALLS = 500
_DEEP = f"""
from resource import RUSAGE_SELF, getrusage

def call(): pass

def deep(depth):
    if depth:
        return deep(depth - 1)
    before = getrusage(RUSAGE_SELF).ru_minflt
    for _ in range({_CALLS}):
        call()
    return getrusage(RUSAGE_SELF).ru_minflt - before

page_faults = max(map(deep, range(150)))
"""


@pytest.mark.full
def test_patterns_that_a_mint_does_not_need_are_not_compiled_at_the_start() -> None:
    environ = ENVIRON | {"AWS_LAMBDA_FUNCTION_NAME": "function", "ENVIRONMENT": "production", "AUTH_REQUIRED": "false"}
    done = subprocess.run(
        [sys.executable, "-c", _START], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert 0 < int(done.stdout) <= _PATTERNS_MAX


def test_calls_of_imported_modules_map_no_memory_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("deep_plain", "deep_imported"):
        (tmp_path / f"{name}.py").write_text(_DEEP)
    process.imported("deep_imported")
    assert import_module("deep_imported").page_faults < _CALLS / 2
    assert import_module("deep_plain").page_faults >= _CALLS, "what `imported` is there for"
