"""Structured logs: one JSON object a line on standard error, without secrets.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html
"""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any

from image_upload.settings import Settings

# What makes a presigned URL or a bearer token usable. Whoever reads the log must not be able to use it.
_SECRET = re.compile(
    r"(X-Amz-(?:Signature|Credential|Security-Token)(?:=|%3D))[^&\s\"'\\]+|(Bearer\s+)[\w.~+/=-]+",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """The text with every presigned signature, credential and bearer token blacked out."""
    return _SECRET.sub(lambda match: f"{match[1] or match[2]}[redacted]", text)


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON; whatever was passed as `extra={"fields": {…}}` becomes members."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; line breaks and control characters in foreign values are escaped by JSON itself."""
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return redact(json.dumps(line, ensure_ascii=False, default=str))


def configure(settings: Settings) -> None:
    """Send every logger's records through `JsonFormatter`, at the configured level."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    # On Lambda the runtime has put a handler of its own here; two would log every line twice.
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for chatty in ("httpx", "httpcore", "botocore", "boto3", "urllib3", "python_multipart"):
        # At INFO httpx logs whole URLs; at DEBUG botocore logs keys. Not even DEBUG=true shows those.
        logging.getLogger(chatty).setLevel(logging.WARNING)
