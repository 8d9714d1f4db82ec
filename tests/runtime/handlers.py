"""Handlers that no route of the service has: answers of any bytes and length, through the same door.

Only awslambdaric imports this: Mangum opens an event loop that no test here would close.
"""

from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES
from starlette.types import Receive, Scope, Send

from image_upload.errors import MEDIA_TYPE
from image_upload.web.function_url import FunctionUrl


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    """`?N` answers N bytes of text, anything else every byte there is, as a picture."""
    del receive
    wanted = scope["query_string"]
    kind, body = (b"text/plain", b"x" * int(wanted)) if wanted else (b"image/png", bytes(range(256)))
    headers = [(b"content-type", kind), (b"x-request-id", b"request-1")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


TEXT = [*DEFAULT_TEXT_MIME_TYPES, MEDIA_TYPE]
guarded = Mangum(_app, lifespan="off", custom_handlers=[FunctionUrl], text_mime_types=TEXT)
unguarded = Mangum(_app, lifespan="off", text_mime_types=TEXT)
