"""The image of this checkout, built once a run."""

import os

import pytest

from tests.contract import servers
from tests.image import engine


@pytest.fixture(scope="session")
def image() -> str:
    """The image's id. On a machine that cannot build it the tests are skipped, but never in CI."""
    try:
        return engine.build()
    except servers.UnsupportedError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no image: {error}")
