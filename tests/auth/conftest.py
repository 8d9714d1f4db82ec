from collections.abc import Iterator

import pytest

from tests.auth.provider import Provider, providing


@pytest.fixture
def provider() -> Iterator[Provider]:
    with providing() as running:
        yield running
