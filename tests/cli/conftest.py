import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.embedded_s3 import ACCESS_KEY, SECRET_KEY, EmbeddedS3
from tests.cli.importing import Import
from tests.cli.meddling import Meddler, meddling
from tests.contract.store import opened


@pytest.fixture(scope="session")
def meddler(s3: EmbeddedS3) -> Iterator[Meddler]:
    with meddling(s3.endpoint_url) as meddler:
        yield meddler


@pytest.fixture
def move(s3: EmbeddedS3, meddler: Meddler, tmp_path: Path) -> Iterator[Import]:
    """An import whose calls pass the meddler."""
    meddler.calls.clear()
    folder = tmp_path / "media"
    folder.mkdir()
    with opened("moto", s3.endpoint_url, ACCESS_KEY, SECRET_KEY, f"import-{secrets.token_hex(6)}") as store:
        yield Import(store, folder, tmp_path, meddler.endpoint_url)
    meddler.meddle = lambda _: None
