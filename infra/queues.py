"""A queue of the stack with its dead-letter queue, and the rules of EventBridge that write into it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from infra.cloudformation import BUCKET, Tag, only_if, ref

# The attempts for a message before it goes to the dead-letter queue. AWS advises at least five, because a batch that
# Lambda throttles counts as received too.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
ATTEMPTS: Final = 5
_DAY_S: Final = 86_400
# SQS counts from the first sending in both queues, so a message that fails on its last day stays ten more days.
KEPT_S: Final = 4 * _DAY_S
DEAD_KEPT_S: Final = 14 * _DAY_S
# Without a batch window a batch has at most ten messages. A burst fills it anyway, and a single event is handled at
# once.
AT_ONCE: Final = 10


def resource(kind: str, condition: str, **properties: Any) -> dict[str, Any]:
    """Return a resource that is made under a condition of the template."""
    return {"Type": kind, "Condition": condition, "Properties": properties}


def queues(name: str, condition: str, visibility_s: Any, rules: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the queue with this logical name, its dead-letter queue and the policies of both.

    `rules` may send to it: logical name → the condition under which the rule exists, None if that of the queue. Both
    queues refer to each other, so one of them needs a fixed name: STACK-name.
    """
    own, dead = f"${{AWS::StackName}}-{name.lower()}", f"{name}Dead"
    sources = [Tag("!Sub", f"arn:${{AWS::Partition}}:sqs:${{AWS::Region}}:${{AWS::AccountId}}:{own}")]
    return {
        dead: _queue(
            condition,
            DEAD_KEPT_S,
            RedriveAllowPolicy={"redrivePermission": "byQueue", "sourceQueueArns": sources},
        ),
        name: _queue(
            condition,
            KEPT_S,
            QueueName=Tag("!Sub", own),
            VisibilityTimeout=visibility_s,
            RedrivePolicy={"deadLetterTargetArn": Tag("!GetAtt", f"{dead}.Arn"), "maxReceiveCount": ATTEMPTS},
        ),
        f"{dead}Policy": _policy(dead, condition, []),
        f"{name}Policy": _policy(name, condition, [_from(name, rules)] if rules else []),
    }


def _from(queue: str, rules: Mapping[str, str | None]) -> dict[str, Any]:
    arns = [
        Tag("!GetAtt", f"{rule}.Arn") if condition is None else only_if(condition, Tag("!GetAtt", f"{rule}.Arn"))
        for rule, condition in rules.items()
    ]
    return {
        "Sid": "Events",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": Tag("!GetAtt", f"{queue}.Arn"),
        "Condition": {"ArnEquals": {"aws:SourceArn": arns if len(arns) > 1 else arns[0]}},
    }


def _queue(condition: str, kept_s: int, **properties: Any) -> dict[str, Any]:
    """Return a queue that is encrypted with SQS's keys. KMS keys would need permissions for the rule and function."""
    properties |= {"MessageRetentionPeriod": kept_s, "SqsManagedSseEnabled": True}
    properties["Tags"] = [{"Key": "image-upload", "Value": ref("AWS::StackName")}]
    made = resource("AWS::SQS::Queue", condition, **properties)
    return made | {"DeletionPolicy": "Delete", "UpdateReplacePolicy": "Delete"}


def _policy(queue: str, condition: str, allowed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
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
    return resource("AWS::SQS::QueuePolicy", condition, Queues=[ref(queue)], PolicyDocument=document)


def object_rule(description: str, condition: str, keys: Sequence[Any], queue: str) -> dict[str, Any]:
    """Return the rule that sends events of new objects into a queue. `keys` matches by EventBridge's patterns.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
    """
    return resource(
        "AWS::Events::Rule",
        condition,
        Description=description,
        EventPattern={
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": {"bucket": {"name": [BUCKET]}, "object": {"key": list(keys)}},
        },
        Targets=[{"Id": "queue", "Arn": Tag("!GetAtt", f"{queue}.Arn")}],
    )


def source(condition: str, queue: str, function: str, most_at_once: str) -> dict[str, Any]:
    """Return the way from a queue to a function: up to ten messages a call, each of which fails by itself."""
    return resource(
        "AWS::Lambda::EventSourceMapping",
        condition,
        EventSourceArn=Tag("!GetAtt", f"{queue}.Arn"),
        FunctionName=ref(function),
        BatchSize=AT_ONCE,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        ScalingConfig={"MaximumConcurrency": ref(most_at_once)},
    )
