"""Metrics and traces: what is kept until it is read or sent."""

from typing import Final

from image_upload.limits.storage import KIB

# --- Metrics and traces ---------------------------------------------------------------------------

METRICS_TOKEN_MIN_CHARS: Final = 32
"""In production a shorter `METRICS_TOKEN` stops the start."""
BACKLOG_TIMEOUT_S: Final = 2.0
"""Slower: `GET /metrics` answers without the ages of outbox and queue."""
SPANS_WAITING_MAX: Final = 4_096
"""Spans that wait for the collector. Above: new ones are dropped, and counted. They take about 2 MB."""
SPANS_BATCH: Final = 1_024
"""So many spans are sent at once, at the latest."""
SPANS_EVERY_S: Final = 1.0
"""A span waits so long for others, outside Lambda."""
SPANS_TIMEOUT_S: Final = 2.0
"""A collector that takes longer loses the batch: there is no second attempt. On Lambda a request waits for it."""
SPANS_ANSWER_MAX_BYTES: Final = 16 * KIB
"""A collector's answer of more is not read, and its connection not used again."""
