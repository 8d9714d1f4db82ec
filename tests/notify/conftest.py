from collections.abc import Iterator

import pytest

from tests.notify.receiver import Receiver, receiver


@pytest.fixture
def hooks() -> Iterator[Receiver]:
    with receiver() as running:
        yield running
