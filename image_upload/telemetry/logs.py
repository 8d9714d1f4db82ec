"""Structured logs: one JSON object a line on standard error, without secrets.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html
"""

import functools
import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from pydantic_core import to_json

from image_upload.limits import LOGGED_MAX_CHARS
from image_upload.settings.service import ServiceSettings
from image_upload.telemetry import ongoing

# The parts that make a presigned URL, a bearer token or a ticket usable. No reader of the log may be able to use them.
_SECRET = (
    r"(?i)(X-Amz-(?:Signature|Credential|Security-Token)(?:=|%3D))[^&\s\"'\\]+|(Bearer\s+)[\w.~+/=-]+"
    # a JWT, a ticket, a sign-in's code or a refresh token, in any text: a path, a message, a traceback
    r"|(?<![\w-])(eyJ|up[lcrkj]1\.)[\w-]{6,}(?:\.[\w-]+){0,2}"
)

# At INFO httpx logs whole URLs, and Mangum a second line a request. At DEBUG botocore logs keys. So these stay at
# WARNING, also with DEBUG=true.
CHATTY = ("httpx", "httpcore", "mangum", "botocore", "boto3", "urllib3", "python_multipart", "authlib")


def redact(text: str) -> str:
    """Return the text with every presigned signature, credential and bearer token replaced by `[redacted]`."""
    # Twenty times faster than the search, and most lines have none. Looking for one character first is nearly free.
    if not (
        (("=" in text or "%" in text) and ("mz-" in text or "MZ-" in text))
        or ("J" in text and "eyJ" in text)
        or "earer" in text
        or "EARER" in text
        or ("1." in text and ("pl1." in text or "pc1." in text or "pr1." in text or "pk1." in text or "pj1." in text))
    ):
        return text
    return re.sub(_SECRET, lambda match: f"{match[1] or match[2] or match[3]}[redacted]", text)


# Characters that JSON does not escape but that can falsify a displayed line: C1 controls and DEL, bidirectional and
# zero-width characters, line separators. Also lone surrogates, which cannot be written to a stream.
_RAW = "[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]"

# Uppy 6 has its token in the path. The position identifies it, because its form depends on the issuer.
_TOKEN_IN_PATH = re.compile(r"(/+u/+)[^/]+", re.IGNORECASE)


def path_of(path: str) -> str:
    """Return a request's path for a log line: without a token, cut to `LOGGED_MAX_CHARS`."""
    found = _TOKEN_IN_PATH.match(path)
    if found is not None:
        path = f"{found[1]}[redacted]{path[found.end() :]}"
    return path[:LOGGED_MAX_CHARS]


# Made once: `json.dumps` makes a new one for every call that is not plain.
_as_json_of_any: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode


def _as_json(line: dict[str, Any]) -> str:
    """One object. Pydantic's encoder takes a quarter of the time, and refuses text with half a character pair."""
    try:
        return to_json(line, fallback=str).decode()
    except ValueError:
        return _as_json_of_any(line)


@functools.lru_cache(maxsize=2)
def _second(since_1970: int) -> str:
    return datetime.fromtimestamp(since_1970, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@functools.lru_cache(maxsize=1024)
def _origin(level: str, logger: str) -> str:
    return _as_json({"level": level, "logger": logger})[1:-1]


class JsonFormatter(logging.Formatter):
    """Format a record as one line of JSON. `extra={"fields": {…}}` adds members, and a request's trace its id.

    `extra={"members": "…"}` adds members that are JSON already, and have nothing to redact.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return one line. Characters in `_RAW` are escaped in addition to JSON's own."""
        said: dict[str, Any] = {"message": record.getMessage(), **getattr(record, "fields", {})}
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        under_way = ongoing.current.get()
        trace = "" if under_way is None or under_way.trace is None else f',"trace_id":"{under_way.trace.trace_id}"'
        members = getattr(record, "members", "")
        moment = f"{_second(int(record.created))}.{int(record.msecs):03}+00:00"
        text = (
            f'{{"timestamp":"{moment}",{_origin(record.levelname, record.name)},{redact(_as_json(said))[1:-1]}{trace}'
            f"{',' if members else ''}{members}}}"
        )
        if text.isascii() and "\x7f" not in text:  # most lines; the search costs more
            return text
        return re.sub(_RAW, lambda match: f"\\u{ord(match[0]):04x}", text)


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes whole lines to standard error, which Python flushes at the end of each (since 3.9) without being told."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            self.stream.write(f"{self.format(record)}\n")
        except Exception:  # noqa: BLE001  as logging's own: a line that fails must not fail the request
            self.handleError(record)


def configure(settings: ServiceSettings) -> None:
    """Send every logger's records through `JsonFormatter`, at the configured level."""
    handler = LineHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    # On Lambda the runtime has added its own handler; two would log every line twice.
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    # The lines show none of these, and collecting them is half of a record's cost.
    # https://docs.python.org/3/howto/logging.html#optimization
    logging._srcfile = None  # noqa: SLF001  as the page above documents
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    if sys.version_info >= (3, 12):
        logging.logAsyncioTasks = False
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
