"""A Function URL's event, decoded without waste.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

import binascii

from mangum.handlers import HTTPGateway


class FunctionUrl(HTTPGateway):
    """Mangum's handler for this event with a faster base64: of a 4.4 MB form it was most of the time."""

    @property
    def body(self) -> bytes:
        """The request's body as bytes. Lambda says itself whether it is base64; nothing is guessed."""
        if not self.event.get("isBase64Encoded"):
            return super().body
        import pybase64  # noqa: PLC0415  minting's JSON comes as text

        body = self.event.get("body") or ""
        try:
            # Strict is six times as fast, because nothing has to be skipped.
            return pybase64.b64decode(body, validate=True)
        except binascii.Error:
            return pybase64.b64decode(body)
