"""The stack's resources for a database: events of new objects, by a queue, and a schedule for the sweep."""

from collections.abc import Mapping
from typing import Any, Final

from infra.cloudformation import BUCKET, Tag, ref

# The attempts for a message before it goes to the dead-letter queue. AWS advises at least five, because a batch that
# Lambda throttles counts as received too.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
ARRIVAL_ATTEMPTS: Final = 5
_DAY_S: Final = 86_400
# SQS counts from the first sending in both queues, so a message that fails on its last day stays ten more days.
ARRIVALS_KEPT_S: Final = 4 * _DAY_S
DEAD_ARRIVALS_KEPT_S: Final = 14 * _DAY_S
# Without a batch window a batch has at most ten messages. A burst fills it anyway, and a single event is handled at
# once.
ARRIVALS_AT_ONCE: Final = 10


def events() -> dict[str, Any]:
    """Return the events of new objects, by a queue, and the sweep's schedule; both only with a database."""
    return _arrivals() | _sweep()


def _arrivals() -> dict[str, Any]:
    """Return the way of the bucket's events: the queue, the live version, the dead-letter queue after all attempts."""
    queue, rule = Tag("!GetAtt", "Arrivals.Arn"), Tag("!GetAtt", "ArrivalRule.Arn")
    # Both queues refer to each other, so one of them needs a fixed name.
    name = "${AWS::StackName}-arrivals"
    sources = [Tag("!Sub", f"arn:${{AWS::Partition}}:sqs:${{AWS::Region}}:${{AWS::AccountId}}:{name}")]
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [BUCKET]}},
    }
    from_rule = {
        "Sid": "Events",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
    }
    return {
        "ArrivalsDead": _queue(
            DEAD_ARRIVALS_KEPT_S, RedriveAllowPolicy={"redrivePermission": "byQueue", "sourceQueueArns": sources}
        ),
        "Arrivals": _queue(
            ARRIVALS_KEPT_S,
            QueueName=Tag("!Sub", name),
            VisibilityTimeout=ref("ArrivalVisibilitySeconds"),
            RedrivePolicy={
                "deadLetterTargetArn": Tag("!GetAtt", "ArrivalsDead.Arn"),
                "maxReceiveCount": ARRIVAL_ATTEMPTS,
            },
        ),
        "ArrivalsDeadPolicy": _queue_policy("ArrivalsDead"),
        "ArrivalsPolicy": _queue_policy("Arrivals", from_rule),
        "ArrivalRule": _with_database(
            "AWS::Events::Rule",
            Description="An object has arrived in the bucket",
            EventPattern=pattern,
            Targets=[{"Id": "queue", "Arn": queue}],
        ),
        "ArrivalSource": _with_database(
            "AWS::Lambda::EventSourceMapping",
            "TakesEvents",
            EventSourceArn=queue,
            FunctionName=ref("Live"),
            BatchSize=ARRIVALS_AT_ONCE,
            FunctionResponseTypes=["ReportBatchItemFailures"],
            ScalingConfig={"MaximumConcurrency": ref("EventConcurrency")},
        ),
    }


def _queue(kept_s: int, **properties: Any) -> dict[str, Any]:
    """Return a queue that is encrypted with SQS's keys. KMS keys would need permissions for the rule and function."""
    properties |= {"MessageRetentionPeriod": kept_s, "SqsManagedSseEnabled": True}
    properties["Tags"] = [{"Key": "image-upload", "Value": ref("AWS::StackName")}]
    made = _with_database("AWS::SQS::Queue", **properties)
    return made | {"DeletionPolicy": "Delete", "UpdateReplacePolicy": "Delete"}


def _queue_policy(queue: str, *allowed: Mapping[str, Any]) -> dict[str, Any]:
    """Return a queue's policy: TLS only, and the statements in `allowed` beside the account's own permissions."""
    tls_only = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": Tag("!GetAtt", f"{queue}.Arn"),
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    document = {"Version": "2012-10-17", "Statement": [*allowed, tls_only]}
    return _with_database("AWS::SQS::QueuePolicy", Queues=[ref(queue)], PolicyDocument=document)


def _sweep() -> dict[str, Any]:
    """Return the schedule. A missed sweep is not repeated, because the next one does the same work.

    Without the second limit Lambda would keep a throttled sweep for six hours, and run all of them afterwards.
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
    """
    once = {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}
    return {
        "SweepRule": _with_database(
            "AWS::Events::Rule",
            "Sweeps",
            Description="Looks after uploads that were never finished",
            ScheduleExpression=ref("SweepSchedule"),
            Targets=[{"Id": "function", "Arn": ref("Live"), "RetryPolicy": once}],
        ),
        "SweepPermission": _with_database(
            "AWS::Lambda::Permission",
            "Sweeps",
            FunctionName=ref("Live"),
            Action="lambda:InvokeFunction",
            Principal="events.amazonaws.com",
            SourceArn=Tag("!GetAtt", "SweepRule.Arn"),
        ),
        "SweepAttempts": {"DependsOn": "Live"}
        | _with_database(
            "AWS::Lambda::EventInvokeConfig", "Sweeps", FunctionName=ref("Function"), Qualifier="live", **once
        ),
    }


def _with_database(kind: str, condition: str = "HasDatabase", **properties: Any) -> dict[str, Any]:
    return {"Type": kind, "Condition": condition, "Properties": properties}


def event_conditions() -> dict[str, Any]:
    """Return the conditions: a database, a live version, a schedule."""
    has_database, takes_events = Tag("!Condition", "HasDatabase"), Tag("!Condition", "TakesEvents")
    return {
        "HasDatabase": Tag("!Equals", [ref("Database"), "true"]),
        "TakesEvents": Tag("!And", [has_database, Tag("!Condition", "IsLive")]),
        "Sweeps": Tag("!And", [takes_events, Tag("!Not", [Tag("!Equals", [ref("SweepSchedule"), "off"])])]),
    }
