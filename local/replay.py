"""Replay a sample Lambda event through `upload.handler` and print what Lambda would answer."""

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from image_upload.aws.endpoints import locate
from image_upload.aws.sigv4 import Credentials, Signer
from local.database import local_database
from local.embedded_s3 import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, embedded_s3
from local.service import local_environ

FUNCTION_NAME = "image-upload-service"
TIMEOUT_MS = 300_000

# A file in events/ may hold this in its body: a URL for one key that is signed when the event is
# replayed, because one signed when the file was written would have expired long ago.
_PRESIGNED = re.compile(r"\{\{presigned PUT (?P<key>[\w./-]+)\}\}")


class Context:
    """Lambda's context, as far as the service reads it."""

    def __init__(self, request_id: str, remaining_ms: int = TIMEOUT_MS) -> None:
        self.aws_request_id = request_id
        self.function_name = FUNCTION_NAME
        self._remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda would end the invocation."""
        return self._remaining_ms


def read_event(path: Path, endpoint_url: str) -> dict[str, Any]:
    """Return the event of a file, its form signed for the embedded S3 and encoded as Lambda sends forms."""
    return signed(json.loads(path.read_text(encoding="utf-8")), endpoint_url)


def signed(event: dict[str, Any], endpoint_url: str) -> dict[str, Any]:
    """Return an event with its form signed, if it has one."""
    import base64

    signer = Signer(locate(BUCKET, REGION, endpoint_url), Credentials(ACCESS_KEY, SECRET_KEY))

    def sign(match: re.Match[str]) -> str:
        return signer.presign("PUT", match["key"], now=datetime.now(UTC), expires_s=300)

    if event.get("isBase64Encoded"):
        body = base64.b64decode(event["body"])
        form = _PRESIGNED.sub(sign, body.decode("latin-1")).encode("latin-1")
        if form != body:
            event["body"] = base64.b64encode(form).decode()
            event["headers"]["content-length"] = str(len(form))
    return event


def replay(path: Path) -> dict[str, Any]:
    """Return the answer of `upload.handler` to the event in a file, with the embedded S3 and an empty database.

    It sets Lambda's environment variables, so call it once, in a process of its own.
    """
    with embedded_s3() as s3, local_database() as database:
        environ = local_environ(os.environ, {**s3.environ, **database}) | {"AWS_LAMBDA_FUNCTION_NAME": FUNCTION_NAME}
        os.environ.clear()
        os.environ.update(environ)
        import upload  # importing it reads the environment

        event = read_event(path, s3.endpoint_url)
        request_id = event.get("requestContext", event).get("requestId", "00000000-0000-0000-0000-000000000000")
        return upload.handler(event, Context(request_id))
