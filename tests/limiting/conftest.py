import contextlib
import os
from collections.abc import Iterator

import pytest

from tests.contract.servers import UnsupportedError
from tests.limiting.redis_server import Redis, redis


@pytest.fixture
def store() -> Iterator[Redis]:
    """A Redis of its own for each test. On a machine that cannot have one the tests are skipped, never in CI."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(redis())
        except UnsupportedError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"no Redis: {error}")
        yield server
