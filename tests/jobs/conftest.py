from collections.abc import Iterator
from pathlib import Path

import pytest

from local.embedded_s3 import EmbeddedS3
from tests.jobs.queues import Sqs, sqs

PURPOSES = """
[photo]
key = "photos/{user}/{id}"
types = ["images"]
checked = true
cdn = true
task = "look"

[recording]
key = "recordings/{class_id}/{id}.{ext}"
types = ["audio"]
task = "transcribe_recording"

[plain]
key = "plain/{user}/{id}"
types = ["images"]
"""


@pytest.fixture
def queue(s3: EmbeddedS3) -> Iterator[Sqs]:
    with sqs(s3) as made:
        yield made


@pytest.fixture
def purposes(tmp_path: Path) -> str:
    """The path of a file of purposes, two of which have a task."""
    file = tmp_path / "purposes.toml"
    file.write_text(PURPOSES, encoding="utf-8")
    return str(file)
