"""Metrics of one invocation in CloudWatch's embedded metric format: members of log lines.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import functools
import json
import time
from typing import Final, NamedTuple

from image_upload.telemetry.metrics import STARTS, TABLE, Metric

# The longest array that the specification allows.
_VALUES_MAX: Final = 100

_BY_NAME: Final = {metric.name: metric for metric in TABLE}

# A metric's name, and its labels.
Key = tuple[str, tuple[str, ...]]


class Document(NamedTuple):
    """The members of one line, but for its time and its values: they are the same for the same keys."""

    before_time: str
    after_time: str
    keys: tuple[Key, ...]


class Invocation:
    """A `Recorder` that keeps what was measured until `documents` are written. The first ones count the start."""

    def __init__(self, function_name: str) -> None:
        # Of its own for each function, so that stages do not add up.
        self._namespace = f"ImageUpload/{function_name}"
        self._measured: dict[Key, float | list[float]] = {(STARTS.name, ()): 1}
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

    def documents(self) -> list[str]:
        """See `Recorder`. A document says one value of each label, so what differs in one is in the next document."""
        measured, self._measured = self._measured, {}
        full, self._full = self._full, []
        found = [_text(document, measured) for document in _arranged(self._namespace, tuple(measured))]
        for key, values in full:
            found += [_text(document, {key: values}) for document in _arranged(self._namespace, (key,))]
        return found


def _text(document: Document, measured: dict[Key, float | list[float]]) -> str:
    values = "".join([f',"{key[0]}":{measured[key]!r}' for key in document.keys])
    return f"{document.before_time}{int(time.time() * 1000)}{document.after_time}{values}"


# Requests of a service have few kinds of keys, and arranging takes longer than writing.
@functools.lru_cache(maxsize=1024)
def _arranged(namespace: str, keys: tuple[Key, ...]) -> tuple[Document, ...]:
    """Return documents for these keys, as few as hold one value of each label."""
    found: list[tuple[dict[str, str], list[Key]]] = []
    for key in keys:
        named = dict(zip(_BY_NAME[key[0]].labels, key[1], strict=True))
        for known, members in found:
            agrees = all(known.get(name, label) == label for name, label in named.items())
            if agrees and key[0] not in {name for name, _ in members}:
                known.update(named)
                members.append(key)
                break
        else:
            found.append((named, [key]))
    return tuple(_document(namespace, known, members) for known, members in found)


def _document(namespace: str, known: dict[str, str], keys: list[Key]) -> Document:
    metrics = [_BY_NAME[name] for name, _ in keys]
    directives = [
        {
            "Namespace": namespace,
            "Dimensions": [list(labels)],
            "Metrics": [{"Name": each.name, "Unit": each.unit} for each in metrics if each.labels == labels],
        }
        for labels in dict.fromkeys(each.labels for each in metrics)
    ]
    labels = "".join(f",{json.dumps(name)}:{json.dumps(label)}" for name, label in known.items())
    head = f'"_aws":{{"CloudWatchMetrics":{json.dumps(directives, separators=(",", ":"))},"Timestamp":'
    return Document(head, f"}}{labels}", tuple(keys))
