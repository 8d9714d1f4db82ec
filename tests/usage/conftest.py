import contextlib
from collections.abc import Iterator

import pytest

from tests.contract.servers import UnsupportedError
from tests.needs import unavailable
from tests.usage.redis_server import Redis, redis


@pytest.fixture
def store() -> Iterator[Redis]:
    """A Redis of its own for each test."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(redis())
        except UnsupportedError as error:
            unavailable("redis", error)
        yield server
