"""A server to import from, and a service that may."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from local.embedded_s3 import ACCESS_KEY, SECRET_KEY, EmbeddedS3
from tests.conftest import serving, settings_for
from tests.contract.store import Store, opened
from tests.from_url import origins
from tests.from_url.origins import Origin

Import = Callable[..., httpx.Response]


@pytest.fixture
def origin() -> Iterator[Origin]:
    with origins.origin() as there:
        yield there


@pytest.fixture(scope="module")
def store(s3: EmbeddedS3) -> Iterator[Store]:
    """A bucket in which nothing is of other tests."""
    with opened("moto", s3.endpoint_url, ACCESS_KEY, SECRET_KEY, f"from-url-{secrets.token_hex(6)}") as store:
        yield store


@pytest.fixture
def importing(s3: EmbeddedS3, store: Store, origin: Origin) -> Iterator[str]:
    """The base URL of a service that may import from the origin."""
    with serving(settings_for(s3, **store.environ, FROM_URL_PRIVATE_HOSTS=origin.host)) as url:
        yield url


@pytest.fixture
def ask(importing: str, web: httpx.Client) -> Import:
    """POST /uploads/from-url with a URL and further fields."""

    def post(url: str, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        return web.post(f"{importing}/uploads/from-url", json={"url": url, **fields}, headers=headers)

    return post
