"""What is imported when: a start pays for nothing of it, and the service's own process never decodes."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_ENVIRON = {"S3_BUCKET_NAME": "photos", "AWS_REGION": "ap-northeast-2", "ENVIRONMENT": "test", "PATH": "/usr/bin:/bin"}
_START = """
import sys
import upload
print(sorted({each.partition(".")[0] for each in sys.modules} & {"PIL", "filetype"}), end=" ")
print([each for each in sys.modules if each.startswith("image_upload.verification.")])
"""
_LOOK = """
import asyncio, sys
from pathlib import Path

import pytest
from image_upload.domain.purposes import Variant
from image_upload.verification.inspection import Wanted, inspect

class Bytes:
    def __init__(self, data):
        self.data, self.size = data, len(data)

    async def read(self, first, length):
        return self.data[first : first + length]

data = Path(sys.argv[1]).read_bytes()
for variants in ((), (Variant("thumb", 32, "webp"),)):
    wanted = Wanted(frozenset({"image/jpeg"}), "image/jpeg", 50_000_000, 100, "off", variants)
    found = asyncio.run(inspect(Bytes(data), wanted))
    print(found.fault, len(found.variants), "PIL" in sys.modules, "image_upload.verification.decoder" in sys.modules)
"""


def run(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=ROOT, env=_ENVIRON, capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# A process that starts, to see what it imports.
@pytest.mark.full
def test_a_start_imports_nothing_of_verification() -> None:
    """Beside what decides about arrivals."""
    assert run(_START) == "[] ['image_upload.verification.arrivals']\n"


@pytest.mark.full
def test_the_service_looks_without_pillow_and_has_a_child_decode(tmp_path: Path, jpeg: bytes) -> None:
    """At header depth the module that begins children is not imported either."""
    path = tmp_path / "picture.jpg"
    path.write_bytes(jpeg)
    assert run(_LOOK, str(path)).splitlines() == ["None 0 False False", "None 1 False True"]
