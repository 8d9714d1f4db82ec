"""Operator events for a function, and its answers to them."""

import json
import time
from typing import Any

from tests.runtime.process import ROOT, Function

SMOKE = json.loads((ROOT / "events/operation-smoke.json").read_text(encoding="utf-8"))
CHECK = json.loads((ROOT / "events/operation-migrate.json").read_text(encoding="utf-8"))
MIGRATE = {**CHECK, "check": False}


def answered(running: Function, event: dict[str, Any], timeout_s: float = 60) -> tuple[bool, str]:
    """Whether an operation passed, and its lines."""
    running.api.wait_for_polls(1)
    began = time.monotonic()
    outcome = running.api.invoke(event, timeout_s=timeout_s)
    assert outcome.answer is not None, outcome.error
    assert outcome.at - began < timeout_s, "Lambda would have ended it"
    assert outcome.answer.keys() == {"passed", "lines"}
    return outcome.answer["passed"], "\n".join(outcome.answer["lines"])


def request(method: str = "POST", body: str = "", **changed: Any) -> dict[str, Any]:
    """A client's request, as the Function URL hands it over."""
    event = json.loads((ROOT / "events/mint.json").read_text(encoding="utf-8"))
    event["requestContext"]["http"]["method"] = method
    del event["headers"]["content-length"]
    return {**event, "body": body or event["body"], **changed}
