"""Format the findings: a line for each, or one JSON document."""

import json
from collections.abc import Iterable
from typing import Any, Final, Literal, NamedTuple

# `warn`: it works with a limitation, or could not be checked. `skip`: there was nothing to check.
State = Literal["ok", "warn", "FAIL", "skip"]

_CHECK_COLUMNS: Final = 15


class Finding(NamedTuple):
    """The result of one check, and the remedy. Neither contains a secret, a token or a URL's query."""

    check: str
    state: State
    seen: str
    remedy: str = ""


def as_line(finding: Finding) -> str:
    """Return a line such as `FAIL  region  the bucket lives in eu-west-1 → set AWS_REGION=eu-west-1`."""
    remedy = f" → {finding.remedy}" if finding.remedy else ""
    return f"  {finding.state:4}  {finding.check:{_CHECK_COLUMNS}}  {finding.seen}{remedy}"


def as_json(findings: Iterable[Finding]) -> str:
    """Return all findings as one JSON document. `ok` is true if none failed."""
    checks: list[dict[str, Any]] = [finding._asdict() for finding in findings]
    return json.dumps({"ok": all(check["state"] != "FAIL" for check in checks), "checks": checks}, indent=2)


def summary(findings: Iterable[Finding]) -> str:
    """Return the last line: how many checks failed."""
    states = [finding.state for finding in findings]
    counted = [f"{states.count(state)} {state}" for state in ("ok", "warn", "FAIL", "skip") if state in states]
    return f"{', '.join(counted)}."
