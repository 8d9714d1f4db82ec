"""Decode a Function URL's event, and encode its answer.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

import binascii
import functools
import json
import logging
from typing import Any
from urllib.parse import unquote

from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES
from mangum.handlers import HTTPGateway
from mangum.types import ASGI, Response, Scope

from image_upload.errors import MEDIA_TYPE, InternalError, as_document
from image_upload.languages.wording import human_bytes
from image_upload.limits import LAMBDA_RESPONSE_MAX_BYTES
from image_upload.web.json_answer import encode

log = logging.getLogger(__name__)

# JSON writes a byte as at most six characters (\u0000), and the headers fit easily into the rest.
SURELY_FITS_BYTES = LAMBDA_RESPONSE_MAX_BYTES // 7


class FunctionUrl(HTTPGateway):
    """Mangum's handler for this event, with the path as it was sent and a faster base64.

    It also checks the answer's size: an answer above Lambda's limit would end the process.
    """

    _scope: Scope | None = None

    @property
    def scope(self) -> Scope:
        """The ASGI scope of the request, with its path decoded exactly once. Mangum reads it twice.

        Kept without `cached_property`, which takes a lock for each request.

        `rawPath` is encoded, as the client sent it. AWS does not document whether `requestContext.http.path` is, and
        decoded twice a%252Fb would be another key. https://github.com/hotsock/voker/pull/8 has live captures.
        """
        if self._scope is None:
            self._scope = super().scope
            if "rawPath" in self.event:
                self._scope["path"] = unquote(self.event["rawPath"]) or "/"
        return self._scope

    @property
    def body(self) -> bytes:
        """The request's body as bytes. The event says whether it is base64.

        Decoding was most of the time of a 4.4 MB form.
        """
        if not self.event.get("isBase64Encoded"):
            return super().body
        import pybase64  # 1 ms, and minting's JSON comes as text

        body = self.event.get("body") or ""
        try:
            # Strict decoding is six times as fast, because it skips nothing.
            return pybase64.b64decode(body, validate=True)
        except binascii.Error:
            return pybase64.b64decode(body)

    def __call__(self, response: Response) -> dict[str, Any]:
        """Return the answer for Lambda."""
        answer: dict[str, Any] = super().__call__(response)
        if len(response["body"]) <= SURELY_FITS_BYTES:
            return answer
        size = len(json.dumps(answer))
        if size <= LAMBDA_RESPONSE_MAX_BYTES:
            return answer
        request_id = answer["headers"].get("x-request-id", "")
        fields = {"request_id": request_id, "status": answer["statusCode"], "bytes": size}
        log.error("answer too large for Lambda", extra={"fields": fields})
        most = human_bytes(LAMBDA_RESPONSE_MAX_BYTES)
        detail = f"The answer has {human_bytes(size, up=True)}, and Lambda carries {most}. Ask for less at a time."
        document = as_document(InternalError, detail, request_id)
        return super().__call__(
            {
                "status": InternalError.status,
                "headers": [[b"content-type", MEDIA_TYPE.encode()], [b"x-request-id", request_id.encode()]],
                "body": encode(document),
            }
        )


@functools.lru_cache(maxsize=1)
def adapter(app: ASGI) -> Mangum:
    """Return the adapter from a Function URL's events to an app. Create an event loop for this thread if it has none.

    Lifespan is off, because Mangum would run it on every call. Problem documents are declared as text, or they would
    be sent as base64.
    """
    text = [*DEFAULT_TEXT_MIME_TYPES, MEDIA_TYPE]
    return Mangum(app, lifespan="off", custom_handlers=[FunctionUrl], text_mime_types=text)
