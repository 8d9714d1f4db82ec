"""Metrics of one invocation in CloudWatch's embedded metric format: members of log lines.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import functools
import time
from collections.abc import Iterator
from typing import Any, Final

from image_upload.telemetry.metrics import STARTS, TABLE, Measurement, Metric

# The longest array that the specification allows.
_VALUES_MAX: Final = 100

# What a document says of each metric, by its name.
Values = dict[str, float | list[float]]

_BY_NAME: Final = {metric.name: metric for metric in TABLE}


class Invocation:
    """A `Recorder` that keeps what was measured until `documents` are written. The first ones count the start."""

    def __init__(self, function_name: str) -> None:
        # Of its own for each function, so that stages do not add up.
        self._namespace = f"ImageUpload/{function_name}"
        self._measured: list[Measurement] = [(STARTS, 1, ())]

    def record(self, metric: Metric, value: float, labels: tuple[str, ...]) -> None:
        """See `Recorder`."""
        self._measured.append((metric, value, labels))

    def documents(self) -> list[dict[str, Any]]:
        """See `Recorder`. They are in the order of the measurements.

        A document says one value of each label, so what differs in one goes to the next document.
        """
        measured, self._measured = self._measured, []
        found: list[tuple[dict[str, str], Values]] = []
        for metric, value, labels in measured:
            named = dict(zip(metric.labels, labels, strict=True))
            for known, values in found:
                if all(known.get(name, label) == label for name, label in named.items()) and _added(
                    values, metric, value
                ):
                    known.update(named)
                    break
            else:
                found.append((named, {metric.name: [value] if metric.kind == "histogram" else value}))
        now_ms = int(time.time() * 1000)
        return [
            {
                "_aws": {"Timestamp": now_ms, "CloudWatchMetrics": _directives(self._namespace, tuple(values))},
                **known,
                **values,
            }
            for known, values in found
        ]


def _added(values: Values, metric: Metric, value: float) -> bool:
    """Add a value to those of a document; return False if it has no room for it."""
    before = values.get(metric.name)
    if isinstance(before, list):
        if len(before) == _VALUES_MAX:
            return False
        before.append(value)
    elif metric.kind == "histogram":
        values[metric.name] = [value]
    else:
        values[metric.name] = value + (before if before is not None and metric.kind == "counter" else 0)
    return True


@functools.lru_cache(maxsize=256)
def _directives(namespace: str, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return which members are metrics, and by which labels. The same list each time: it is only written."""
    return list(_by_labels(namespace, names))


def _by_labels(namespace: str, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for labels in dict.fromkeys(_BY_NAME[name].labels for name in names):
        metrics = [{"Name": name, "Unit": _BY_NAME[name].unit} for name in names if _BY_NAME[name].labels == labels]
        yield {"Namespace": namespace, "Dimensions": [list(labels)], "Metrics": metrics}
