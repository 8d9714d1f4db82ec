"""Read Prometheus's text form, strictly by its grammar: the samples that a service shows."""

import re
from typing import Final

# https://prometheus.io/docs/instrumenting/exposition_formats/#text-format-details
_LABEL: Final = r'[a-z_]+="(?:[^"\\\n]|\\[\\"n])*"'
_SAMPLE: Final = re.compile(rf"(?P<name>[a-z0-9_]+)(?P<labels>\{{{_LABEL}(?:,{_LABEL})*\}})? (?P<value>[0-9.e+-]+)")
_COMMENT: Final = re.compile(r"# HELP [a-z0-9_]+ [^\n\\]+|# TYPE [a-z0-9_]+ (?:counter|gauge|histogram)")

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    """The value of each series, by its name without the prefix, and its labels."""
    found: Samples = {}
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("#"):
            assert _COMMENT.fullmatch(line), line
            continue
        match = _SAMPLE.fullmatch(line)
        assert match is not None, line
        labels = frozenset(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', match["labels"] or ""))
        series = (match["name"].removeprefix("image_upload_"), labels)
        assert series not in found, f"twice: {series}"
        found[series] = float(match["value"])
    return found


def value(found: Samples, name: str, **labels: str) -> float:
    """The value of one series; 0 if it is not there."""
    return found.get((name, frozenset(labels.items())), 0)
