"""Refuse each request that does not come through the edge: the CDN, firewall or proxy in front of the service.

The edge adds a secret to each request. Without it the service's own address would be a way around the firewall.
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/add-origin-custom-headers.html
"""

import hmac
import ipaddress
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from image_upload.errors import EdgeRequired
from image_upload.limits import EDGE_ADDRESS_MAX_CHARS
from image_upload.settings.web import WebSettings
from image_upload.web.problems import answer

HEADER: Final = "X-Edge-Secret"

# Outside Lambda the platform asks these without the edge: probes of Kubernetes, and Prometheus with METRICS_TOKEN.
_ASKED_DIRECTLY: Final = ("/", "/metrics")

# Address and port of the client. CloudFront replaces what a client sends under this name.
# https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/adding-cloudfront-headers.html
_CLOUDFRONT_ADDRESS: Final = b"cloudfront-viewer-address"


def headers(settings: WebSettings) -> dict[str, str]:
    """Return the headers that the edge adds to each request; none without `EDGE_SECRET`."""
    return {} if settings.edge_secret is None else {HEADER: settings.edge_secret.get_secret_value()}


class Edge:
    """Answer 403 `edge-required` without one of the secrets; with one, take over the client address from the edge."""

    def __init__(self, app: ASGIApp, settings: WebSettings) -> None:
        self._app = app
        given = (settings.edge_secret, settings.edge_previous_secret)
        self._secrets = [each.get_secret_value().encode() for each in given if each is not None]
        self._open = () if settings.on_lambda else _ASKED_DIRECTLY
        self._trusts_cloudfront = settings.trusted_edge == "cloudfront"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] == "http":
            if self._came_through(scope):
                self._take_over_address(scope)
            elif scope["path"] not in self._open:
                await answer(scope, send, _refusal())
                return
        await self._app(scope, receive, send)

    def _came_through(self, scope: Scope) -> bool:
        sent = [value for name, value in scope["headers"] if name == b"x-edge-secret"]
        # Both are compared in any case, so that the time does not tell which of them it is.
        right = [hmac.compare_digest(sent[0], each) for each in self._secrets] if len(sent) == 1 else []
        return any(right)

    def _take_over_address(self, scope: Scope) -> None:
        """Set the request's client to the address that CloudFront names. What is no address changes nothing."""
        sent = [value for name, value in scope["headers"] if name == _CLOUDFRONT_ADDRESS]
        if not self._trusts_cloudfront or len(sent) != 1 or len(sent[0]) > EDGE_ADDRESS_MAX_CHARS:
            return
        # An IPv6 address has no brackets there.
        text, _, port = sent[0].decode("latin-1").rpartition(":")
        try:
            scope["client"] = (str(ipaddress.ip_address(text)), int(port))
        except ValueError:
            return


def _refusal() -> EdgeRequired:
    return EdgeRequired(
        "This address answers only what comes through the edge in front of it. Use the service's public address. "
        "If you are its operator, let the edge send EDGE_SECRET in the header X-Edge-Secret."
    )
