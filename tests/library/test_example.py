"""The example of docs/library.md, run as it is printed."""

import re
import subprocess
import sys
from pathlib import Path

from local.embedded_s3 import embedded_s3
from local.service import local_environ

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_does_what_it_says(tmp_path: Path) -> None:
    text = (ROOT / "docs/library.md").read_text(encoding="utf-8")
    # The first block; those of version 1 clients have tests of their own.
    example = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[0]
    recording = bytes(range(256)) * 1000
    (tmp_path / "녹음 1.mp3").write_bytes(recording)
    (tmp_path / "example.py").write_text(example, encoding="utf-8")
    with embedded_s3() as s3:
        done = subprocess.run(
            [sys.executable, "example.py"],
            cwd=tmp_path,
            env={**local_environ({}, s3.environ), "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "256000 bytes stored",
        "녹음 1.mp3 class123",
        "readable for 60 seconds",
        "audio/class123/0f6e.mp3 256000",
        "still there: False",
        "object-missing",
    ]
    assert (tmp_path / "back.mp3").read_bytes() == recording
