"""What is measured: one table, and its recorder.

Rooms `record`. `prometheus.Registry` shows the values at GET /metrics; on Lambda `emf.Invocation` writes them into log
lines. Every label has few values: templates of routes, codes, operations, purposes; never a key or a user.
"""

from typing import Final, Literal, NamedTuple, Protocol

from image_upload.telemetry import ongoing

Kind = Literal["counter", "gauge", "histogram"]
# As CloudWatch names them. https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
Unit = Literal["Count", "Seconds", "Bytes"]


class Metric(NamedTuple):
    """A row of the table. A histogram has the number of values, their sum, and how many were at most each bucket."""

    name: str
    kind: Kind
    unit: Unit
    labels: tuple[str, ...]
    meaning: str


REQUESTS: Final = Metric(
    "requests_total",
    "counter",
    "Count",
    ("route", "outcome"),
    "Requests that ended. `outcome` is the status, and behind it the code of the problem: `404 not-found`. "
    "`499` is a client that disconnected.",
)
REQUEST_SECONDS: Final = Metric(
    "request_seconds", "histogram", "Seconds", ("route",), "How long they took, until the last byte was handed on."
)
REQUEST_BYTES: Final = Metric("request_bytes_total", "counter", "Bytes", ("route",), "Bytes of their bodies.")
RESPONSE_BYTES: Final = Metric("response_bytes_total", "counter", "Bytes", ("route",), "Bytes of the answers' bodies.")
S3_CALLS: Final = Metric(
    "s3_calls_total",
    "counter",
    "Count",
    ("operation", "outcome"),
    "Attempts at calls of S3: `ok`, `missing` (404), `refused` (another 4xx), `failed` (5xx, 408, 429), `unreachable`, "
    "or `interrupted`: its time was over, or the client was gone. `ForwardedPut` is the PUT of a form.",
)
S3_SECONDS: Final = Metric(
    "s3_call_seconds", "histogram", "Seconds", ("operation",), "How long they took, with the bytes of a file."
)
DATABASE_CALLS: Final = Metric(
    "database_calls_total",
    "counter",
    "Count",
    ("operation", "outcome"),
    "Transactions: `ok`, `refused` (the row is there already), `failed`, or `interrupted`.",
)
DATABASE_SECONDS: Final = Metric(
    "database_call_seconds",
    "histogram",
    "Seconds",
    ("operation",),
    "How long they took, with the wait for a connection.",
)
RETRIES: Final = Metric(
    "retries_total", "counter", "Count", ("operation",), "Attempts of S3 and the database after the first one."
)
UPLOADS: Final = Metric(
    "uploads_total",
    "counter",
    "Count",
    ("purpose", "state"),
    "`begun`: a plan was handed out, or a file stored by the service. `completed`, `rejected`: what became of a row, "
    "a multipart upload, a form, or a file that an event of S3 told of. `abandoned`: aborted, or no file came in time. "
    "Other files are only begun; without a database one that two events tell of counts twice.",
)
OUTBOX_AGE: Final = Metric(
    "outbox_age_seconds",
    "gauge",
    "Seconds",
    ("target",),
    "The age of the oldest event or task that was not delivered: 0 where none waits. `queue` are tasks for workers.",
)
OUTBOX_EVENTS: Final = Metric(
    "outbox_events",
    "gauge",
    "Count",
    ("target", "state"),
    "Events and tasks in the outbox: `pending`, or `dead` after the last attempt.",
)
QUEUE_AGE: Final = Metric(
    "queue_age_seconds",
    "gauge",
    "Seconds",
    ("queue",),
    "The age of the oldest message: `tasks` that no worker has done (Redis; of SQS CloudWatch knows it), or `arrivals` "
    "of the batch that Lambda was handed.",
)
SPANS: Final = Metric(
    "spans_total", "counter", "Count", ("outcome",), "Spans of traces: `sent` to the collector, or `lost`."
)
STARTS: Final = Metric(
    "starts_total", "counter", "Count", (), "Starts of a process: on Lambda cold starts, at their first event."
)

TABLE: Final = (
    REQUESTS,
    REQUEST_SECONDS,
    REQUEST_BYTES,
    RESPONSE_BYTES,
    UPLOADS,
    S3_CALLS,
    S3_SECONDS,
    DATABASE_CALLS,
    DATABASE_SECONDS,
    RETRIES,
    OUTBOX_AGE,
    OUTBOX_EVENTS,
    QUEUE_AGE,
    SPANS,
    STARTS,
)

# A metric, its value, and those of its labels.
Measurement = tuple[Metric, float, tuple[str, ...]]

# What a request is counted under that no route took.
NO_ROUTE: Final = "none"


class Recorder(Protocol):
    """Takes what is measured, in one thread."""

    def record(self, metric: Metric, value: float, labels: tuple[str, ...]) -> None:
        """Add to a counter, add a value to a histogram, or set a gauge."""

    def request(self, route: str, outcome: str, seconds: float, received_bytes: int, sent_bytes: int) -> None:
        """Record a request: the first four of the table at once, because a mint waits for it."""

    def documents(self) -> list[str]:
        """Return what belongs into log lines, each as the JSON of members of one, and begin anew."""


def are_recorded() -> bool:
    """Return whether this is a request or an event of a service with METRICS."""
    current = ongoing.current.get()
    return current is not None and current.recorder is not None


def record(metric: Metric, value: float, *labels: str) -> None:
    """Record for the service whose request or event this is. Without metrics, do nothing."""
    current = ongoing.current.get()
    if current is not None and current.recorder is not None:
        current.recorder.record(metric, value, labels)
