"""One AWS for the whole story, in namespaces that `make e2e` opens."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.prepare import prepared
from tests.e2e.world import World, is_isolated, world
from tests.needs import unavailable


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if not is_isolated():
        unavailable("namespaces", "this run has no network of its own")
    with world(prepared(), Path(tmp_path_factory.mktemp("aws"))) as there:
        yield there
