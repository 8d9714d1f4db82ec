"""Readable log lines for a terminal, instead of JSON."""

import logging
import sys
from datetime import datetime
from typing import Any

from image_upload.telemetry.logs import redact


class TerminalFormatter(logging.Formatter):
    """Format a request as time, method, path, status, milliseconds and code; other records as level and message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, and a traceback if there is one. Secrets are redacted as in JSON."""
        fields: dict[str, Any] = dict(getattr(record, "fields", {}))
        if record.getMessage() == "request" and "path" in fields:
            said = [f"{fields['method']:<6} {fields['path']}  {fields['status']}  {fields['duration_ms']} ms"]
            said += [str(fields["code"])] if "code" in fields else []
        else:
            said = [f"{record.levelname} {record.getMessage()}", *(f"{name}={fields[name]}" for name in fields)]
        clock = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        line = _printable(f"{clock}  {'  '.join(said)}")
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return redact(line)


def _printable(line: str) -> str:
    """Escape control characters of a path or a message, which must not reach the terminal.

    https://cwe.mitre.org/data/definitions/150.html
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in line)


def write_for_a_person() -> None:
    """If standard error is a terminal, make the handlers of `telemetry.logs` write such lines."""
    if sys.stderr.isatty():
        for handler in logging.getLogger().handlers:
            handler.setFormatter(TerminalFormatter())
            # The audit log has the same requests again, for programs.
            handler.addFilter(lambda record: record.getMessage() != "audit")
