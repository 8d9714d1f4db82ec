"""A collector of traces on loopback. It reads what it is sent strictly, by OpenTelemetry's own schema."""

import contextlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.in_thread import answering


class Span(NamedTuple):
    """A span, its ids in hexadecimal."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: int
    began_ns: int
    ended_ns: int
    attributes: dict[str, str | int]
    failed: bool


class Collector:
    """What has arrived, over how many connections. It answers with `status` and `answer`."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.paths: set[str] = set()
        self.connections = 0
        self.status = 200
        self.answer = b"{}"
        self.url = ""

    @property
    def spans(self) -> list[Span]:
        """All of them, in the order in which they came."""
        return [span for body in self.bodies for span in spans_of(body)]


def spans_of(body: bytes) -> Iterator[Span]:
    """Read a document. It has no field that the schema does not know: written again it is as long."""
    request = ExportTraceServiceRequest.FromString(body)
    request.DiscardUnknownFields()
    assert request.ByteSize() == len(body)
    for resource in request.resource_spans:
        assert {each.key: each.value.string_value for each in resource.resource.attributes}["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.name,
                    span.kind,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes},
                    span.status.code == 2,
                )


@contextlib.contextmanager
def collector() -> Iterator[Collector]:
    """Run one."""
    running = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            running.connections += 1
            super().setup()

        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/x-protobuf"
            running.paths.add(self.path)
            running.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(running.status)
            self.send_header("Content-Length", str(len(running.answer)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # a long answer is not read to its end
                self.wfile.write(running.answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    running.url = f"http://127.0.0.1:{server.server_port}"
    with answering(server):
        yield running
