"""The image of this checkout, for the containers of the compose file."""

import os

import pytest

from tests.contract.servers import UnsupportedError
from tests.image import engine


@pytest.fixture(scope="session")
def image() -> str:
    """The image's id in the engine's own storage. Where none can be built the tests are skipped, but never in CI."""
    try:
        return engine.build()
    except UnsupportedError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no image: {error}")
