"""What a service that tells nothing, and one that does, import at their start and to mint."""

import json
import subprocess
import sys

import pytest

from tests.notify.receiver import ENVIRON, SECRET
from tests.test_docs import ROOT

_MINT = """
import asyncio, json, sys
import httpx
before = set(sys.modules)
import upload

async def mint():
    transport = httpx.ASGITransport(upload.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        spec = {"filename": "a.jpg", "contentType": "image/jpeg", "size": 5}
        return (await client.post("/uploads", json=spec)).status_code

assert asyncio.run(mint()) == 200
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.mark.parametrize(
    "environ",
    [pytest.param({}, marks=pytest.mark.full), {"WEBHOOK_URL": "http://127.0.0.1:1/", "WEBHOOK_SECRET": SECRET}],
)
def test_a_mint_imports_nothing_that_tells(environ: dict[str, str]) -> None:
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
    imported = set(json.loads(done.stdout.splitlines()[-1]))
    assert "image_upload.app" in imported
    heavy = {"standardwebhooks", "jwt", "cryptography", "sqlalchemy", "tenacity"}
    heavy |= {f"image_upload.notify.{name}" for name in ("webhook", "event_bus", "outbox", "receipts", "routes")}
    assert not imported & heavy
