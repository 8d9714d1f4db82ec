"""The published clients of resumable uploads."""

from pathlib import Path

import pytest

from tests.resumable.clients import workshop


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scripts of the clients, and the packages that they import."""
    return workshop(tmp_path_factory.mktemp("clients"))
