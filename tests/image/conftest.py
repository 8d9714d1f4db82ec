"""The image of this checkout, built once a run."""

import pytest

from tests.contract import servers
from tests.image import engine
from tests.needs import unavailable


@pytest.fixture(scope="session")
def image() -> str:
    """The image's id."""
    try:
        return engine.build()
    except servers.UnsupportedError as error:
        unavailable("image", error)
