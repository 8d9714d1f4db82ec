"""How word of new objects reaches the function, and the clock, on the template as CloudFormation resolves it."""

import re
from typing import Any

import pytest

from image_upload.limits import ARRIVAL_MAX_CHARS
from infra import queues
from tests.infra.template import TEMPLATE, Stack
from tests.infra.test_template import listed, statements_of

EVENTS = {"ArrivalsDead", "Arrivals", "ArrivalsDeadPolicy", "ArrivalsPolicy", "ArrivalRule"}
OF_LIVE = {"ArrivalSource", "SweepRule", "SweepPermission", "SweepAttempts"}
# SQS: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
SQS_KEPT_MAX_S, SQS_VISIBILITY_MAX_S = 1_209_600, 43_200


@pytest.fixture
def stack() -> Stack:
    return Stack(Database="true")


def properties(stack: Stack, name: str) -> dict[str, Any]:
    found: dict[str, Any] = stack.resources[name]["Properties"]
    return found


def test_they_come_with_a_database_and_reach_the_version_that_is_live(stack: Stack) -> None:
    assert not Stack().resources.keys() & (EVENTS | OF_LIVE)
    assert stack.resources.keys() >= EVENTS | OF_LIVE
    # Until there is a live version the queue keeps what arrives.
    waiting = Stack(Database="true", LiveVersion="").resources.keys()
    assert waiting & (EVENTS | OF_LIVE) == EVENTS
    assert properties(stack, "ArrivalSource")["FunctionName"] == "<Live>"
    assert [each["Arn"] for each in properties(stack, "SweepRule")["Targets"]] == ["<Live>"]
    assert properties(stack, "SweepPermission")["FunctionName"] == "<Live>"
    (live,) = stack.of_type("AWS::Lambda::Alias").values()
    assert properties(stack, "SweepAttempts")["Qualifier"] == live["Name"]


@pytest.mark.parametrize("given", [{"WebhookUrl": "https://app.example/hook"}, {"EventBus": "files"}])
def test_events_come_without_a_database_where_the_application_is_told_of_arrivals(given: dict[str, str]) -> None:
    told = Stack(**given).resources.keys()
    assert told & (EVENTS | OF_LIVE) == EVENTS | {"ArrivalSource"}, "there are no records to sweep"


@pytest.mark.parametrize(("given", "bucket"), [({}, "<Bucket>"), ({"ExistingBucketName": "mine"}, "mine")])
def test_new_objects_of_its_own_or_an_existing_bucket_go_into_the_queue(given: dict[str, str], bucket: str) -> None:
    stack = Stack(Database="true", **given)
    rule = properties(stack, "ArrivalRule")
    assert rule["EventPattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        # What has to be verified first is the other function's; the others are no files of their own.
        "detail": {
            "bucket": {"name": [bucket]},
            "object": {"key": [{"anything-but": {"prefix": ["incoming/", "variants/", "jobs/", "resumable/"]}}]},
        },
    }
    assert [each["Arn"] for each in rule["Targets"]] == ["<Arrivals.Arn>"]


def test_only_that_rule_writes_into_the_queue_and_both_queues_want_tls(stack: Stack) -> None:
    for queue, others in (("Arrivals", 1), ("ArrivalsDead", 0)):
        policy = properties(stack, f"{queue}Policy")
        assert policy["Queues"] == [f"<{queue}>"]
        *allowed, denied = policy["PolicyDocument"]["Statement"]
        assert len(allowed) == others
        assert (denied["Effect"], denied["Principal"], denied["Action"]) == ("Deny", "*", "sqs:*")
        assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert {each["Resource"] for each in (*allowed, denied)} == {f"<{queue}.Arn>"}
        for each in allowed:
            assert each["Principal"] == {"Service": "events.amazonaws.com"}
            assert each["Action"] == "sqs:SendMessage"
            assert each["Condition"] == {"ArnEquals": {"aws:SourceArn": "<ArrivalRule.Arn>"}}


def test_what_fails_ends_in_the_dead_letters_which_take_nothing_else(stack: Stack) -> None:
    queue, dead = properties(stack, "Arrivals"), properties(stack, "ArrivalsDead")
    assert queue["RedrivePolicy"] == {"deadLetterTargetArn": "<ArrivalsDead.Arn>", "maxReceiveCount": 5}
    # The name says what the ARN will be: the queues cannot both be made before the other.
    own = f"arn:aws:sqs:eu-north-1:123456789012:{queue['QueueName']}"
    assert dead["RedriveAllowPolicy"] == {"redrivePermission": "byQueue", "sourceQueueArns": [own]}
    assert queue["QueueName"] == "upload-arrivals"
    assert "RedrivePolicy" not in dead
    for each in (queue, dead):
        assert each["SqsManagedSseEnabled"] is True
        assert each["Tags"] == [{"Key": "image-upload", "Value": "upload"}]


def test_the_dead_letters_outlive_every_attempt(stack: Stack) -> None:
    """SQS counts a message's age from when it was first sent, in both queues."""
    queue, dead = properties(stack, "Arrivals"), properties(stack, "ArrivalsDead")
    longest = TEMPLATE["Parameters"]["ArrivalVisibilitySeconds"]["MaxValue"]
    assert longest == SQS_VISIBILITY_MAX_S
    assert queues.ATTEMPTS * longest < queue["MessageRetentionPeriod"]
    assert queue["MessageRetentionPeriod"] < dead["MessageRetentionPeriod"] == SQS_KEPT_MAX_S


def test_a_message_stays_hidden_for_six_times_as_long_as_the_function_may_take(stack: Stack) -> None:
    timeout = stack.resources["Function"]["Properties"]["Timeout"]
    assert int(properties(stack, "Arrivals")["VisibilityTimeout"]) == 6 * int(timeout)
    # Lambda takes no queue that shows a message again while the function may still work on it.
    shortest = TEMPLATE["Parameters"]["ArrivalVisibilitySeconds"]["MinValue"]
    assert shortest == 6 * TEMPLATE["Parameters"]["TimeoutSeconds"]["MinValue"]


def test_events_take_few_of_the_places_and_each_message_fails_by_itself(stack: Stack) -> None:
    source = properties(stack, "ArrivalSource")
    assert source["EventSourceArn"] == "<Arrivals.Arn>"
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    most = int(source["ScalingConfig"]["MaximumConcurrency"])
    assert most * 10 <= int(stack.resources["Function"]["Properties"]["ReservedConcurrentExecutions"])
    assert properties(Stack(Database="true", EventConcurrency="2"), "ArrivalSource")["ScalingConfig"] == {
        "MaximumConcurrency": "2"
    }
    with pytest.raises(ValueError, match="out of range"):
        Stack(EventConcurrency="1")
    # Lambda hands a batch over as one event of at most 6 MB.
    assert source["BatchSize"] * ARRIVAL_MAX_CHARS < 6 * 1024 * 1024


def test_the_role_may_read_and_delete_in_that_queue_and_no_more(stack: Stack) -> None:
    own = {
        name: each for name, each in statements_of(stack).items() if str(listed(each["Action"])[0]).startswith("sqs:")
    }
    (statement,) = own.values()
    assert set(statement["Action"]) == {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
    assert statement["Resource"] == "<Arrivals.Arn>"
    assert not own.keys() & statements_of(Stack()).keys()


@pytest.mark.parametrize("schedule", ["rate(5 minutes)", "rate(1 hour)", "rate(30 days)", "cron(0 3 * * ? *)"])
def test_the_sweep_runs_as_often_as_it_is_told(schedule: str) -> None:
    rule = properties(Stack(Database="true", SweepSchedule=schedule), "SweepRule")
    assert rule["ScheduleExpression"] == schedule
    assert TEMPLATE["Parameters"]["SweepSchedule"]["Default"] == "rate(5 minutes)"


def test_the_sweep_can_be_off_so_that_a_database_may_sleep() -> None:
    off = Stack(Database="true", SweepSchedule="off").resources.keys()
    assert off & (EVENTS | OF_LIVE) == EVENTS | {"ArrivalSource"}


@pytest.mark.parametrize("schedule", ["", "on", "rate(1 minutes)", "rate(2 minute)", "rate(0 minutes)", "5 minutes"])
def test_a_schedule_that_eventbridge_refuses_is_no_parameter(schedule: str) -> None:
    with pytest.raises(ValueError, match="does not match"):
        Stack(SweepSchedule=schedule)


def test_a_sweep_that_finds_no_place_is_not_kept_for_later(stack: Stack) -> None:
    once = {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}
    (target,) = properties(stack, "SweepRule")["Targets"]
    assert target["RetryPolicy"] == once
    assert once.items() <= properties(stack, "SweepAttempts").items()
    assert properties(stack, "SweepPermission")["SourceArn"] == "<SweepRule.Arn>"


def test_dead_letters_and_a_queue_that_stands_still_ring(stack: Stack) -> None:
    alarms = stack.of_type("AWS::CloudWatch::Alarm")
    watched = {
        name: (alarm["MetricName"], alarm["Dimensions"], alarm["Threshold"])
        for name, alarm in alarms.items()
        if alarm.get("Namespace") == "AWS/SQS"
    }

    def dimension(queue: str) -> list[dict[str, str]]:
        return [{"Name": "QueueName", "Value": f"<{queue}.QueueName>"}]

    assert watched == {
        "DeadArrivalsAlarm": ("ApproximateNumberOfMessagesVisible", dimension("ArrivalsDead"), 1),
        "OldArrivalsAlarm": ("ApproximateAgeOfOldestMessage", dimension("Arrivals"), 3600),
    }
    # One failure that goes by is no alarm: the message comes again before.
    assert alarms["OldArrivalsAlarm"]["Threshold"] > int(properties(stack, "Arrivals")["VisibilityTimeout"])
    assert [name for name in Stack().resources if re.search("Arrivals", name)] == []
