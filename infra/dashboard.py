"""The dashboard of the stack, as the JSON that CloudWatch wants in one text, and the saved queries of its logs.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from infra.cloudformation import Tag
from infra.queues import resource

# Name → query of CloudWatch Logs Insights. A runbook names each by its name.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
# The first word of a path stands for its route: the rest of it is keys and tickets.
_ROUTE: Final = r"parse path /^\/(?<route>[^\/]*)/"
QUERIES: Final = {
    "errors by code": 'filter logger = "image_upload.requests" and status >= 400 | '
    f"{_ROUTE} | stats count() as requests by status, code, method, route | sort requests desc | limit 50",
    # The lines of the runtime have an errorMessage, and Lambda's own reports a record.
    "server errors": 'filter level = "ERROR" or (logger = "image_upload.requests" and status >= 500) or '
    'record.status in ["error", "failure", "timeout"] | fields @timestamp, message, code, path, request_id, reason, '
    "exception, errorMessage, record.status, record.errorType | sort @timestamp desc | limit 50",
    "slowest requests": f'filter logger = "image_upload.requests" | {_ROUTE} | '
    "stats count() as requests, pct(duration_ms, 50) as p50, pct(duration_ms, 99) as p99 by method, route | "
    "sort p99 desc | limit 50",
    "busiest users": 'filter logger = "image_upload.requests" | '
    "stats count() as requests by user_id | sort requests desc | limit 20",
}

_WIDTH: Final = 12
_HEIGHT: Final = 6
_LIVE: Final = ["FunctionName", "${Function}", "Resource", "${Function}:live"]
_WHOLE: Final = ["FunctionName", "${Function}"]
_VERIFIER: Final = ["FunctionName", "${Verifier}"]

# Queue → the condition under which it exists. Its dead letters are QUEUEDead.
_QUEUES: Final = {"Arrivals": "TellsOfArrivals", "Verifications": "Publishes", "Tasks": "HasTasks"}


def resources() -> dict[str, Any]:
    """Return the dashboard and the saved queries, which exist with `Dashboard`."""
    made = {"Overview": resource("AWS::CloudWatch::Dashboard", "HasDashboard", DashboardBody=_body())}
    for name, query in QUERIES.items():
        logical = "".join(word.capitalize() for word in name.split()) + "Query"
        made[logical] = resource(
            "AWS::Logs::QueryDefinition",
            "HasDashboard",
            Name=Tag("!Sub", f"${{AWS::StackName}}/{name}"),
            LogGroupNames=[Tag("!Ref", "LogGroup")],
            QueryString=query,
        )
    return made


def _body() -> Tag:
    """Return the text in pieces, because a widget exists only where its resource does."""
    pieces: list[Any] = []
    for condition, widget in _widgets():
        text = Tag("!Sub", ("," if pieces else "") + json.dumps(widget, separators=(",", ":")))
        pieces.append(Tag("!If", [condition, text, ""]) if condition else text)
    return Tag("!Join", ["", ['{"widgets":[', *pieces, "]}"]])


def _widgets() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each widget with its condition, empty for those that always exist. CloudWatch keeps their order."""
    requests = [(name, _LIVE, "Sum") for name in ("UrlRequestCount", "Url4xxCount", "Url5xxCount")]
    yield "", _metrics("Requests and their errors", "AWS/Lambda", requests)
    yield "", _metrics("Time of a request (ms)", "AWS/Lambda", [("Duration", _LIVE, each) for each in ("p50", "p99")])
    yield (
        "",
        _metrics(
            "Places taken, requests refused, crashes",
            "AWS/Lambda",
            [("ConcurrentExecutions", _WHOLE, "Maximum"), ("Throttles", _WHOLE, "Sum"), ("Errors", _LIVE, "Sum")],
        ),
    )
    yield "", _log("Errors by code, in the time that is shown", QUERIES["errors by code"])
    for queue, condition in _QUEUES.items():
        waiting, dead = (["QueueName", f"${{{each}.QueueName}}"] for each in (queue, f"{queue}Dead"))
        age = ("ApproximateAgeOfOldestMessage", waiting, "Maximum")
        counts = [("ApproximateNumberOfMessagesVisible", each, "Maximum") for each in (waiting, dead)]
        yield condition, _metrics(f"{queue}: age of the oldest (s), waiting, given up", "AWS/SQS", [age, *counts])
    verifier = [("Invocations", _VERIFIER, "Sum"), ("Errors", _VERIFIER, "Sum"), ("Duration", _VERIFIER, "p99")]
    yield "Verifies", _metrics("Verifying: calls, crashes, time (ms)", "AWS/Lambda", verifier)


def _metrics(title: str, namespace: str, metrics: Sequence[tuple[str, list[str], str]]) -> dict[str, Any]:
    rows = [[namespace, name, *dimensions, {"stat": stat}] for name, dimensions, stat in metrics]
    properties = {"title": title, "region": "${AWS::Region}", "metrics": rows, "period": 300, "view": "timeSeries"}
    return {"type": "metric", "width": _WIDTH, "height": _HEIGHT, "properties": properties}


def _log(title: str, query: str) -> dict[str, Any]:
    properties = {
        "title": title,
        "region": "${AWS::Region}",
        "query": f"SOURCE '${{LogGroup}}' | {query}",
        "view": "table",
    }
    return {"type": "log", "width": _WIDTH, "height": _HEIGHT, "properties": properties}
