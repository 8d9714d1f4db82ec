"""Metrics of one process in Prometheus's text form.

https://prometheus.io/docs/instrumenting/exposition_formats/

Not prometheus-client: docs/decisions/metrics.md
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final

from image_upload.telemetry.metrics import (
    REQUEST_BYTES,
    REQUEST_SECONDS,
    REQUESTS,
    RESPONSE_BYTES,
    STARTS,
    TABLE,
    Measurement,
    Metric,
)

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

PREFIX: Final = "image_upload_"

# From a mint to the longest form.
BUCKETS_S: Final = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0)

_ESCAPED: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Registry:
    """A `Recorder` that keeps what was counted since the process began."""

    def __init__(self) -> None:
        # A counter or a gauge, by labels.
        self._values: dict[str, dict[tuple[str, ...], float]] = {metric.name: {} for metric in TABLE}
        # A histogram: the values in each bucket, those above the last, and their sum.
        self._histograms: dict[str, dict[tuple[str, ...], list[float]]] = {metric.name: {} for metric in TABLE}
        self.record(STARTS, 1, ())
        self._requests = self._values[REQUESTS.name]
        self._received_bytes = self._values[REQUEST_BYTES.name]
        self._sent_bytes = self._values[RESPONSE_BYTES.name]
        # By a route: its labels, and its histogram.
        self._routes: dict[str, tuple[tuple[str], list[float]]] = {}

    def record(self, metric: Metric, value: float, labels: tuple[str, ...]) -> None:
        """See `Recorder`."""
        name = metric.name
        if metric.kind == "histogram":
            series = self._histograms[name]
            counts = series.get(labels)
            if counts is None:
                counts = series[labels] = _no_counts()
            counts[bisect_left(BUCKETS_S, value)] += 1
            counts[-1] += value
        elif metric.kind == "counter":
            values = self._values[name]
            values[labels] = values.get(labels, 0) + value
        else:
            self._values[name][labels] = value

    def request(self, route: str, outcome: str, seconds: float, received_bytes: int, sent_bytes: int) -> None:
        """See `Recorder`."""
        known = self._routes.get(route)
        if known is None:
            known = self._routes[route] = ((route,), _no_counts())
            self._histograms[REQUEST_SECONDS.name][known[0]] = known[1]
            self._received_bytes[known[0]] = self._sent_bytes[known[0]] = 0
        labels, counts = known
        counts[bisect_left(BUCKETS_S, seconds)] += 1
        counts[-1] += seconds
        both = (route, outcome)
        self._requests[both] = self._requests.get(both, 0) + 1
        self._received_bytes[labels] += received_bytes
        self._sent_bytes[labels] += sent_bytes

    def documents(self) -> list[str]:
        """Return none: GET /metrics shows all of it."""
        return []

    def text(self, gauges: Iterable[Measurement]) -> str:
        """Return all of them. A gauge that is not given is not known now, and has no line."""
        for metric in TABLE:
            if metric.kind == "gauge":
                self._values[metric.name].clear()
        for each in gauges:
            self.record(*each)
        return "".join(line for metric in TABLE for line in self._lines(metric))

    def _lines(self, metric: Metric) -> Iterator[str]:
        name = PREFIX + metric.name
        yield f"# HELP {name} {metric.meaning.translate({ord('`'): None})}\n"
        yield f"# TYPE {name} {metric.kind}\n"
        for labels, value in self._values[metric.name].items():
            yield f"{name}{_in_braces(metric.labels, labels)} {value!r}\n"
        for labels, (*counts, total) in self._histograms[metric.name].items():
            so_far = 0.0
            for bound, count in zip((*map(repr, BUCKETS_S), "+Inf"), counts, strict=True):
                so_far += count
                yield f"{name}_bucket{_in_braces((*metric.labels, 'le'), (*labels, bound))} {so_far:.0f}\n"
            yield f"{name}_sum{_in_braces(metric.labels, labels)} {total!r}\n"
            yield f"{name}_count{_in_braces(metric.labels, labels)} {so_far:.0f}\n"


def _no_counts() -> list[float]:
    return [0] * (len(BUCKETS_S) + 2)


def _in_braces(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    if not names:
        return ""
    pairs = (f'{name}="{value.translate(_ESCAPED)}"' for name, value in zip(names, values, strict=True))
    return f"{{{','.join(pairs)}}}"
