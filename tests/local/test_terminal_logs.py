"""The log of `make dev` on a terminal: lines for a person, and no secrets."""

import logging
import re
import sys
from collections.abc import Iterator

import pytest

from image_upload.settings import load_section
from image_upload.settings.service import ServiceSettings
from image_upload.telemetry import logs
from local.service import local_environ
from local.terminal_logs import TerminalFormatter, write_for_a_person


def line_of(message: str, level: int = logging.INFO, **fields: object) -> str:
    record = logging.LogRecord("image_upload", level, __file__, 1, message, None, None)
    record.fields = fields
    return TerminalFormatter().format(record)


def test_a_request_is_time_method_path_status_milliseconds_and_code() -> None:
    said = line_of("request", method="GET", path="/images/a", status=404, duration_ms=1.5, code="object-missing")
    assert re.fullmatch(r"\d\d:\d\d:\d\d  GET    /images/a  404  1\.5 ms  object-missing", said)


def test_anything_else_is_its_level_message_and_fields() -> None:
    assert line_of("limits not shared", logging.WARNING, reason="Timeout").endswith(
        "  WARNING limits not shared  reason=Timeout"
    )


@pytest.mark.parametrize(
    ("path", "secret"),
    [
        ("/uploads/upl1.c2VjcmV0LXRpY2tldA.bWFj", "c2VjcmV0LXRpY2tldA"),
        ("/u/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1In0.c2lnbmF0dXJl/s3", "c2lnbmF0dXJl"),
        ("/?X-Amz-Signature=0123456789abcdef", "0123456789abcdef"),
    ],
)
def test_secrets_are_blacked_out(path: str, secret: str) -> None:
    said = line_of("request", method="GET", path=path, status=200, duration_ms=1)
    assert secret not in said
    assert "[redacted]" in said


def test_control_characters_do_not_reach_the_terminal() -> None:
    said = line_of("request", method="GET", path="/\x1b[31m\n\u202e", status=404, duration_ms=1)
    assert "/\\x1b[31m\\n\\u202e" in said
    assert said.isprintable()


def test_a_traceback_stands_below_its_line() -> None:
    try:
        raise ValueError("Bearer c2VjcmV0LXRva2Vu")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "unexpected exception", None, sys.exc_info())
    first, *rest = TerminalFormatter().format(record).splitlines()
    assert first.endswith("ERROR unexpected exception")
    assert rest[-1] == "ValueError: Bearer [redacted]"


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, which is afterwards as it was."""
    logger = logging.getLogger()
    before, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = before
    logger.setLevel(level)


@pytest.mark.parametrize(("terminal", "formatter"), [(True, TerminalFormatter), (False, logs.JsonFormatter)])
def test_json_stays_where_there_is_no_terminal(
    root: logging.Logger, monkeypatch: pytest.MonkeyPatch, terminal: bool, formatter: type[logging.Formatter]
) -> None:
    logs.configure(load_section(ServiceSettings, local_environ({}, {}), serving=False))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    write_for_a_person()
    assert [type(handler.formatter) for handler in root.handlers] == [formatter]
    audit = logging.LogRecord("image_upload", logging.INFO, __file__, 1, "audit", None, None)
    assert bool(root.handlers[0].filter(audit)) is not terminal
