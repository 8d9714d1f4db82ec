"""A server to import from, and a service that may."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from local.embedded_s3 import EmbeddedS3
from tests.conftest import serving, settings_for
from tests.from_url import origins
from tests.from_url.origins import Origin

Import = Callable[..., httpx.Response]


@pytest.fixture
def origin() -> Iterator[Origin]:
    with origins.origin() as there:
        yield there


@pytest.fixture
def importing(s3: EmbeddedS3, origin: Origin) -> Iterator[str]:
    """The base URL of a service that may import from the origin."""
    with serving(settings_for(s3, FROM_URL_PRIVATE_HOSTS=origin.host)) as url:
        yield url


@pytest.fixture
def ask(importing: str, web: httpx.Client) -> Import:
    """POST /uploads/from-url with a URL and further fields."""

    def post(url: str, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        return web.post(f"{importing}/uploads/from-url", json={"url": url, **fields}, headers=headers)

    return post
