"""Spans in OpenTelemetry's binary form, read by its own schema."""

import pytest

from image_upload.telemetry import otlp
from image_upload.telemetry.trace import TraceContext
from tests.telemetry.collector import Span, spans_of

TRACE_ID, SPAN_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"


@pytest.mark.parametrize("failed", [False, True])
@pytest.mark.parametrize("parent_id", ["", PARENT_ID])
@pytest.mark.parametrize("length", [1, 127, 128, 16_384], ids="{} bytes".format)
def test_a_span_is_read_as_it_was_written(length: int, parent_id: str, failed: bool) -> None:
    attributes: otlp.Attributes = (("text", "x" * length), ("empty", ""), ("number", length), ("none", 0))
    context = TraceContext(TRACE_ID, SPAN_ID, sampled=True, parent_id=parent_id)
    form = otlp.form("n" * length, attributes, kind=otlp.CLIENT, failed=failed)
    written = form.span(context, 1_764_530_000_123_456_789, 1.5)
    expected = Span(
        trace_id=TRACE_ID,
        span_id=SPAN_ID,
        parent_id=parent_id,
        name="n" * length,
        kind=otlp.CLIENT,
        began_ns=1_764_530_000_123_456_789,
        ended_ns=1_764_530_001_623_456_789,
        attributes=dict(attributes),
        failed=failed,
    )
    assert list(spans_of(otlp.document([written, written]))) == [expected, expected]
