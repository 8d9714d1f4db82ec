"""What the start of the service does not do."""

import subprocess
import sys

import pytest

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


@pytest.mark.full
def test_patterns_that_a_mint_does_not_need_are_not_compiled_at_the_start() -> None:
    environ = ENVIRON | {"AWS_LAMBDA_FUNCTION_NAME": "function", "ENVIRONMENT": "production", "AUTH_REQUIRED": "false"}
    done = subprocess.run(
        [sys.executable, "-c", _START], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert 0 < int(done.stdout) <= _PATTERNS_MAX
