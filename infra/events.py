"""What the stack does with a database: word of every object that arrives, by a queue, and a clock for the sweep."""

from collections.abc import Mapping
from typing import Any, Final

from infra.cloudformation import BUCKET, Tag, ref

# A message is received so often before it goes to the dead letters. AWS advises five at least, because a batch that
# Lambda could not place for lack of concurrency counts as received too.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
ARRIVAL_ATTEMPTS: Final = 5
_DAY_S: Final = 86_400
# SQS counts from when a message was first sent, in both queues: what fails on its last day keeps ten to be looked at.
ARRIVALS_KEPT_S: Final = 4 * _DAY_S
DEAD_ARRIVALS_KEPT_S: Final = 14 * _DAY_S
# A batch without waiting for more of them has ten messages at most. A burst fills it anyway, and a single arrival is
# noted at once.
ARRIVALS_AT_ONCE: Final = 10


def events() -> dict[str, Any]:
    """Word of every object that arrives, by a queue, and a clock for the sweep; both only with a database."""
    return _arrivals() | _sweep()


def _arrivals() -> dict[str, Any]:
    """The bucket's events → the queue → the live version. What fails again and again ends in the dead letters."""
    queue, rule = Tag("!GetAtt", "Arrivals.Arn"), Tag("!GetAtt", "ArrivalRule.Arn")
    # Both queues name each other, so one of them needs a name that is known before it is made.
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
    """A queue, encrypted with keys of SQS itself: with those of KMS the rule and the function would need rights too."""
    properties |= {"MessageRetentionPeriod": kept_s, "SqsManagedSseEnabled": True}
    properties["Tags"] = [{"Key": "image-upload", "Value": ref("AWS::StackName")}]
    made = _with_database("AWS::SQS::Queue", **properties)
    return made | {"DeletionPolicy": "Delete", "UpdateReplacePolicy": "Delete"}


def _queue_policy(queue: str, *allowed: Mapping[str, Any]) -> dict[str, Any]:
    """A queue that is reached over TLS alone, and within the account's own rights or by what is allowed here."""
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
    """The clock. One sweep that is missed is not made up for: the next one does the same work.

    Without the second limit Lambda would keep a sweep that finds no free place for six hours, and a full function
    would meet all of them afterwards.
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
    """Where there is a database, a version to tell it to, and a clock."""
    has_database, takes_events = Tag("!Condition", "HasDatabase"), Tag("!Condition", "TakesEvents")
    return {
        "HasDatabase": Tag("!Equals", [ref("Database"), "true"]),
        "TakesEvents": Tag("!And", [has_database, Tag("!Condition", "IsLive")]),
        "Sweeps": Tag("!And", [takes_events, Tag("!Not", [Tag("!Equals", [ref("SweepSchedule"), "off"])])]),
    }
