"""What the doctor found: a line a check for people, JSON for programs."""

import json
from collections.abc import Iterable
from typing import Any, Final, Literal, NamedTuple

# `warn`: it works, or could not be looked at. `skip`: there was nothing to look at.
State = Literal["ok", "warn", "FAIL", "skip"]

_CHECK_COLUMNS: Final = 15


class Finding(NamedTuple):
    """One check: what was seen, and what to do about it. Neither holds a secret, a token or a URL's query."""

    check: str
    state: State
    seen: str
    remedy: str = ""


def as_line(finding: Finding) -> str:
    """`FAIL  region  the bucket lives in eu-west-1 → set AWS_REGION=eu-west-1`."""
    remedy = f" → {finding.remedy}" if finding.remedy else ""
    return f"  {finding.state:4}  {finding.check:{_CHECK_COLUMNS}}  {finding.seen}{remedy}"


def as_json(findings: Iterable[Finding]) -> str:
    """Return all findings in one document; `ok` is whether none failed."""
    checks: list[dict[str, Any]] = [finding._asdict() for finding in findings]
    return json.dumps({"ok": all(check["state"] != "FAIL" for check in checks), "checks": checks}, indent=2)


def summary(findings: Iterable[Finding]) -> str:
    """Return the last line."""
    states = [finding.state for finding in findings]
    counted = [f"{states.count(state)} {state}" for state in ("ok", "warn", "FAIL", "skip") if state in states]
    return f"{', '.join(counted)}."
