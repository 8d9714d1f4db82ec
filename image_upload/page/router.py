"""Lead browsers to the upload page, and build its routes at the first request."""

import re
from collections.abc import Iterable
from typing import Any, Final

from fastapi import APIRouter
from starlette.routing import Match
from starlette.types import Scope

from image_upload.limits import ACCEPT_MAX_BYTES
from image_upload.s3.bucket import Bucket
from image_upload.settings.auth import AuthSettings
from image_upload.settings.page import PageSettings
from image_upload.settings.sign_in import SignInSettings
from image_upload.web.routing import LazyRouter

# A weight of Accept's: RFC 9110 section 12.4.2.
_WEIGHT: Final = r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)"


class _PageRouter(LazyRouter):
    """A lazy router that leaves `/` to the health route, unless the client prefers HTML to JSON."""

    def lead(self, scope: Scope) -> dict[str, Any] | None:
        """As of every lazy router; `/` is a whole path and not the start of one."""
        return {} if scope["path"] == "/" else super().lead(scope)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """The same."""
        if scope["type"] == "http" and scope["path"] == "/" and not prefers_html(scope["headers"]):
            return Match.NONE, {}
        return super().matches(scope)


def router(settings: PageSettings, auth: AuthSettings, sign_in: SignInSettings, bucket: Bucket) -> LazyRouter:
    """Return the router of the client module, and of the page where there is one."""

    def build() -> APIRouter:
        from image_upload.page import routes  # it reads the page's files

        return routes.router(settings, auth, sign_in, bucket)

    if settings.serves_page:
        return _PageRouter(("/client.js", "/page/"), build)
    return LazyRouter(("/client.js",), build)


def prefers_html(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether these request headers give HTML a greater weight than JSON, as those of browsers do.

    RFC 9110 section 12.5.1. A value longer than ACCEPT_MAX_BYTES is not read.
    """
    value = b",".join(value for name, value in headers if name == b"accept").lower()
    if b"text/html" not in value or len(value) > ACCEPT_MAX_BYTES:
        return False
    weights: dict[str, float] = {}
    for each in value.decode("latin-1").split(","):
        name, *parameters = (part.strip() for part in each.split(";"))
        given = [match[1] for part in parameters if (match := re.fullmatch(_WEIGHT, part))]
        weights[name] = max(weights.get(name, 0.0), float(given[0]) if given else 1.0)
    json = next((weights[name] for name in ("application/json", "application/*", "*/*") if name in weights), 0.0)
    return weights.get("text/html", 0.0) > json
