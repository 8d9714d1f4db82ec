"""Metrics of one invocation in CloudWatch's embedded metric format: members of log lines.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import functools
import json
import time
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

from image_upload.telemetry.metrics import (
    REQUEST_BYTES,
    REQUEST_SECONDS,
    REQUESTS,
    RESPONSE_BYTES,
    STARTS,
    TABLE,
    Metric,
)

# The longest array that the specification allows.
_VALUES_MAX: Final = 100

_OF_A_REQUEST: Final = (REQUESTS, REQUEST_SECONDS, REQUEST_BYTES, RESPONSE_BYTES)
_BY_NAME: Final = {metric.name: metric for metric in TABLE}

# A metric's name, and its labels.
Key = tuple[str, tuple[str, ...]]


class Document(NamedTuple):
    """The members of one line: what comes before its time, a %-format of its values, and what takes them from all."""

    head: str
    form: str
    pick: Callable[[Sequence[float | list[float]]], Any]


class Invocation:
    """A `Recorder` that keeps what was measured until `documents` are written. The first ones count the start."""

    def __init__(self, function_name: str) -> None:
        # Of its own for each function, so that stages do not add up.
        self._namespace = f"ImageUpload/{function_name}"
        self._measured: dict[Key, float | list[float]] = {(STARTS.name, ()): 1}
        # Route and outcome of the request, and its values: of `_OF_A_REQUEST` in their order.
        self._request: tuple[str, str, tuple[float, ...]] | None = None
        # Lists that take no more values.
        self._full: list[tuple[Key, list[float]]] = []

    def record(self, metric: Metric, value: float, labels: tuple[str, ...]) -> None:
        """See `Recorder`."""
        key = (metric.name, labels)
        before = self._measured.get(key, 0)
        if metric.kind == "histogram":
            if isinstance(before, list) and len(before) < _VALUES_MAX:
                before.append(value)
                return
            if isinstance(before, list):
                self._full.append((key, before))
            self._measured[key] = [value]
        else:
            assert not isinstance(before, list)
            self._measured[key] = before + value if metric.kind == "counter" else value

    def request(self, route: str, outcome: str, seconds: float, received_bytes: int, sent_bytes: int) -> None:
        """See `Recorder`. An invocation has one."""
        self._request = route, outcome, (1, seconds, received_bytes, sent_bytes)

    def documents(self) -> list[str]:
        """See `Recorder`. A document says one value of each label, so what differs in one is in the next document."""
        measured, self._measured = self._measured, {}
        request, self._request = self._request, None
        full, self._full = self._full, []
        keys = tuple(measured)
        if request is None:
            found = _texts(_arranged(self._namespace, keys), (*measured.values(),))
        else:
            route, outcome, of_request = request
            found = _texts(_of_request(self._namespace, route, outcome, keys), (*of_request, *measured.values()))
        for key, values in full:
            found += _texts(_arranged(self._namespace, (key,)), (values,))
        return found


def _texts(documents: tuple[Document, ...], values: tuple[float | list[float], ...]) -> list[str]:
    now_ms = int(time.time() * 1000)
    return [f"{head}{now_ms}{form % pick(values)}" for head, form, pick in documents]


@functools.lru_cache(maxsize=1024)
def _of_request(namespace: str, route: str, outcome: str, keys: tuple[Key, ...]) -> tuple[Document, ...]:
    of_request = [(metric.name, (route, outcome)[: len(metric.labels)]) for metric in _OF_A_REQUEST]
    return _arranged(namespace, (*of_request, *keys))


# Requests of a service have few kinds of keys, and arranging takes longer than writing.
@functools.lru_cache(maxsize=1024)
def _arranged(namespace: str, keys: tuple[Key, ...]) -> tuple[Document, ...]:
    """Return documents for these keys, as few as hold one value of each label."""
    found: list[tuple[dict[str, str], list[int]]] = []
    for place, (name, labels) in enumerate(keys):
        named = dict(zip(_BY_NAME[name].labels, labels, strict=True))
        for known, places in found:
            agrees = all(known.get(each, label) == label for each, label in named.items())
            if agrees and name not in {keys[other][0] for other in places}:
                known.update(named)
                places.append(place)
                break
        else:
            found.append((named, [place]))
    return tuple(
        Document(*_form(namespace, known, [_BY_NAME[keys[place][0]] for place in places]), itemgetter(*places))
        for known, places in found
    )


def _form(namespace: str, known: dict[str, str], metrics: list[Metric]) -> tuple[str, str]:
    """Return head and form of a document with these labels."""
    directives = [
        {
            "Namespace": namespace,
            "Dimensions": [list(labels)],
            "Metrics": [{"Name": each.name, "Unit": each.unit} for each in metrics if each.labels == labels],
        }
        for labels in dict.fromkeys(each.labels for each in metrics)
    ]
    head = f'"_aws":{{"CloudWatchMetrics":{json.dumps(directives, separators=(",", ":"))},"Timestamp":'
    labels = "".join(f",{json.dumps(name)}:{json.dumps(label)}" for name, label in known.items())
    # To the microsecond: all digits of a duration take three times as long to write.
    values = "".join(f',"{each.name}":{"%.6f" if each is REQUEST_SECONDS else "%r"}' for each in metrics)
    return head, f"}}{labels.replace('%', '%%')}{values}"
