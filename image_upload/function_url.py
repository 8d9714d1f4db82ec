"""A Function URL's event, decoded without waste.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

import binascii
from urllib.parse import unquote

from mangum.handlers import HTTPGateway
from mangum.types import Scope


class FunctionUrl(HTTPGateway):
    """Mangum's handler for this event, with the path as it was sent and a faster base64."""

    @property
    def scope(self) -> Scope:
        """The request as ASGI has it, its path decoded exactly once.

        `rawPath` is what the client sent, still encoded; whether `requestContext.http.path` is, AWS does not say, and
        decoded twice a%252Fb would be another key. https://github.com/hotsock/voker/pull/8 has live captures.
        """
        scope = super().scope
        if "rawPath" in self.event:
            scope["path"] = unquote(self.event["rawPath"]) or "/"
        return scope

    @property
    def body(self) -> bytes:
        """The request's body as bytes. Lambda says itself whether it is base64; nothing is guessed.

        Of a 4.4 MB form the decoding was most of the time.
        """
        if not self.event.get("isBase64Encoded"):
            return super().body
        import pybase64  # noqa: PLC0415  minting's JSON comes as text

        body = self.event.get("body") or ""
        try:
            # Strict is six times as fast, because nothing has to be skipped.
            return pybase64.b64decode(body, validate=True)
        except binascii.Error:
            return pybase64.b64decode(body)
