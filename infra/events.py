"""The stack's events: of new objects, by queues to both functions, and of the clock; and the queue of tasks."""

from typing import Any, Final

from image_upload.domain.keys import INCOMING, JOBS, RESUMABLE, VARIANTS
from infra.cloudformation import BUCKET, Tag, only_if, ref
from infra.queues import object_rule, queues, resource, source

# The longest time of the function that verifies; six times as long is what AWS advises for its queue.
VERIFIER_TIMEOUT_S: Final = 300
_ADVISED: Final = 6
# https://docs.aws.amazon.com/guardduty/latest/ug/monitor-with-eventbridge-s3-malware-protection.html
_SCANNED: Final = "GuardDuty Malware Protection Object Scan Result"


def events() -> dict[str, Any]:
    """Return the ways of events to the functions, and the queue of tasks."""
    return _arrivals() | _verifications() | _sweep() | queues("Tasks", "HasTasks", ref("TaskVisibilitySeconds"), {})


def _arrivals() -> dict[str, Any]:
    """Return the way of what lies under its key, or was kept out: to the live version.

    What has to be verified first is not told here; a variant comes before its file; and the state of a job is no file.
    """
    others = {"anything-but": {"prefix": [INCOMING, VARIANTS, JOBS, RESUMABLE]}}
    return {
        **queues("Arrivals", "TellsOfArrivals", ref("ArrivalVisibilitySeconds"), {"ArrivalRule": None}),
        "ArrivalRule": object_rule("An object has arrived in the bucket", "TellsOfArrivals", [others], "Arrivals"),
        "ArrivalSource": source("TakesEvents", "Arrivals", "Live", "EventConcurrency"),
    }


def _verifications() -> dict[str, Any]:
    """Return the way of what has to be verified: to the function that does nothing else.

    What it publishes lies elsewhere, so its own copies never come back to it.
    """
    result = {"s3ObjectDetails": {"bucketName": [BUCKET], "objectKey": [{"prefix": INCOMING}]}}
    return {
        **queues(
            "Verifications",
            "Publishes",
            _ADVISED * VERIFIER_TIMEOUT_S,
            {"IncomingRule": None, "ScanRule": "ScansByGuardDuty"},
        ),
        "IncomingRule": object_rule(
            "A file waits to be verified", "Publishes", [{"prefix": INCOMING}], "Verifications"
        ),
        "ScanRule": resource(
            "AWS::Events::Rule",
            "ScansByGuardDuty",
            Description="GuardDuty has scanned a file",
            EventPattern={"source": ["aws.guardduty"], "detail-type": [_SCANNED], "detail": result},
            Targets=[{"Id": "queue", "Arn": Tag("!GetAtt", "Verifications.Arn")}],
        ),
        "VerificationSource": source("Verifies", "Verifications", "Verifier", "VerifierConcurrency"),
    }


def _sweep() -> dict[str, Any]:
    """Return the schedule. A missed sweep is not repeated, because the next one does the same work.

    Without the second limit Lambda would keep a throttled sweep for six hours, and run all of them afterwards.
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
    """
    once = {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}
    targets = [
        only_if(condition, {"Id": name, "Arn": arn, "RetryPolicy": once})
        for condition, name, arn in (
            ("Sweeps", "function", ref("Live")),
            ("VerifierSweeps", "verifier", Tag("!GetAtt", "Verifier.Arn")),
        )
    ]
    return {
        "SweepRule": resource(
            "AWS::Events::Rule",
            "HasSweep",
            Description="Looks after uploads that were never finished",
            ScheduleExpression=ref("SweepSchedule"),
            Targets=targets,
        ),
        "SweepPermission": _permission("Sweeps", "Live"),
        "SweepAttempts": {"DependsOn": "Live"}
        | resource("AWS::Lambda::EventInvokeConfig", "Sweeps", FunctionName=ref("Function"), Qualifier="live", **once),
        "VerifierSweepPermission": _permission("VerifierSweeps", "Verifier"),
        "VerifierSweepAttempts": resource(
            "AWS::Lambda::EventInvokeConfig",
            "VerifierSweeps",
            FunctionName=ref("Verifier"),
            Qualifier="$LATEST",
            **once,
        ),
    }


def _permission(condition: str, function: str) -> dict[str, Any]:
    return resource(
        "AWS::Lambda::Permission",
        condition,
        FunctionName=ref(function),
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=Tag("!GetAtt", "SweepRule.Arn"),
    )


def event_conditions() -> dict[str, Any]:
    """Return the conditions: what is told of arrivals, what verifies them, and whether there is a clock."""
    return {
        "HasDatabase": _is("Database", "true"),
        "TellsOfArrivals": Tag(
            "!Or",
            [_holds("HasDatabase"), Tag("!Not", [_is("WebhookUrl", "")]), _holds("HasEventBus"), _holds("HasTasks")],
        ),
        "TakesEvents": Tag("!And", [_holds("TellsOfArrivals"), _holds("IsLive")]),
        "Publishes": _is("Verify", "publish"),
        "Verifies": Tag("!And", [_holds("Publishes"), _holds("IsLive")]),
        "ScansByGuardDuty": Tag("!And", [_holds("Publishes"), _is("MalwareScanner", "guardduty")]),
        "HasClock": Tag("!Not", [_is("SweepSchedule", "off")]),
        "Sweeps": Tag("!And", [_holds("HasDatabase"), _holds("IsLive"), _holds("HasClock")]),
        "VerifierSweeps": Tag("!And", [_holds("Verifies"), _holds("HasClock")]),
        "HasSweep": Tag("!Or", [_holds("Sweeps"), _holds("VerifierSweeps")]),
        "HasTasks": _is("TaskQueue", "true"),
    }


def _is(parameter: str, value: str) -> Tag:
    return Tag("!Equals", [ref(parameter), value])


def _holds(condition: str) -> Tag:
    return Tag("!Condition", condition)
