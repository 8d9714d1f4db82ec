"""W3C Trace Context: what of a hostile header counts, and where a trace's id is written."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_upload.app import create_app
from image_upload.settings import load
from image_upload.telemetry import logs, trace
from tests.in_process import InProcess
from tests.notify.receiver import ENVIRON

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"
VALID = f"00-{TRACE_ID}-{SPAN_ID}-01".encode()

# https://www.w3.org/TR/trace-context/#traceparent-header-field-values
WRONG = {
    "empty": b"",
    "upper case": VALID.upper(),
    "version ff": b"ff" + VALID[2:],
    "version of one digit": VALID[1:],
    "trace of zeros": b"00-" + b"0" * 32 + VALID[35:],
    "span of zeros": VALID[:36] + b"0" * 16 + VALID[52:],
    "trace too short": b"00-" + VALID[4:],
    "flags too short": VALID[:-1],
    "flags too long": VALID + b"0",
    "more in version 00": VALID + b"-more",
    "no hyphen in a later version": b"cc" + VALID[2:] + b".more",
    "not hexadecimal": VALID.replace(b"a", b"g"),
    "full-width digits": VALID.decode().replace("0", "\uff10").encode(),
    "line break": VALID + b"\n",
    "long": VALID * 1000,
}


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
def test_what_is_not_of_the_standard_s_form_is_ignored(value: bytes) -> None:
    assert trace.parse(value) is None


@pytest.mark.parametrize("value", [VALID, b"cc" + VALID[2:], b"cc" + VALID[2:] + b"-what the future brings"])
def test_a_later_version_is_read_as_far_as_it_is_known(value: bytes) -> None:
    context = trace.parse(value)
    assert context is not None
    assert (context.trace_id, context.span_id, context.sampled) == (TRACE_ID, SPAN_ID, True)
    assert context.traceparent.encode() == VALID


@given(st.binary(max_size=80))
def test_only_valid_ids_get_through(value: bytes) -> None:
    context = trace.parse(value)
    assert context is None or re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", context.traceparent)


def test_a_header_that_comes_twice_is_ignored() -> None:
    assert trace.received([(b"traceparent", VALID), (b"traceparent", VALID)]) is None
    assert trace.received([(b"host", b"x"), (b"traceparent", VALID)]) is not None


def lines_of(capsys: pytest.CaptureFixture[str], *headers: tuple[bytes, bytes]) -> list[dict[str, object]]:
    """What is logged for a mint with these headers, without metrics and traces."""
    settings = load(ENVIRON | {"METRICS": "off"})
    logs.configure(settings.service)
    service = InProcess(create_app(settings))
    body = b'{"filename": "a.jpg", "contentType": "image/jpeg", "size": 5}'
    try:
        assert service.ask("POST", b"/uploads", headers=[(b"content-type", b"application/json"), *headers], body=body)
    finally:
        service.close()
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.usefixtures("logging_as_before")
def test_every_line_of_a_request_has_the_id_of_its_trace_also_without_a_collector(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = lines_of(capsys, (b"traceparent", VALID))
    assert [line["message"] for line in lines] == ["request", "audit"]
    assert {line["trace_id"] for line in lines} == {TRACE_ID}


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize("header", [(b"host", b"x"), (b"traceparent", VALID + b"\xff"), (b"tracestate", b"a=b")])
def test_no_line_names_a_trace_that_no_valid_header_names(
    header: tuple[bytes, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    assert not [line for line in lines_of(capsys, header) if "trace_id" in line]
