"""The function that verifies files, its queue, GuardDuty and the queue of tasks, on the template as it is resolved."""

import json
from typing import Any

import pytest

from image_upload.domain import shipped_purposes
from image_upload.settings import load, secret_settings
from infra import queues
from infra.events import VERIFIER_TIMEOUT_S
from tests.infra.template import IMAGE, LIVE_IMAGE, VERIFIED, Stack
from tests.infra.test_events import properties
from tests.infra.test_template import KEY, LAMBDA, VPC, environment_of, listed, statements_of

PURPOSES = shipped_purposes.PURPOSES.every()
QUEUE = {"Verifications", "VerificationsDead", "VerificationsPolicy", "VerificationsDeadPolicy", "IncomingRule"}
VERIFIER = {"Verifier", "VerificationSource", "VerifierSweepPermission", "VerifierSweepAttempts"}
EVERYTHING = {**VERIFIED, **VPC, "KmsKeyArn": KEY, "Database": "true", "TaskQueue": "true"}


def variables(stack: Stack) -> dict[str, str]:
    found: dict[str, str] = properties(stack, "Verifier")["Environment"]["Variables"]
    return found


def rights(stack: Stack, role: str = "VerifierRole") -> dict[str, dict[str, Any]]:
    """The statements of a role by their Sid."""
    (policy,) = properties(stack, role)["Policies"]
    return {each["Sid"]: each for each in policy["PolicyDocument"]["Statement"]}


def test_it_comes_with_publishing_and_reads_its_queue_once_a_version_is_live() -> None:
    assert not Stack().resources.keys() & (QUEUE | VERIFIER)
    assert Stack(**VERIFIED).resources.keys() >= QUEUE | VERIFIER
    # Until then the queue keeps what arrives.
    assert Stack(Verify="publish", LiveVersion="").resources.keys() & (QUEUE | VERIFIER) == QUEUE
    for other in ("off", "report"):
        assert not Stack(Verify=other).resources.keys() & (QUEUE | VERIFIER)


def test_it_has_the_image_of_the_live_version_and_another_command() -> None:
    verifier = properties(Stack(**VERIFIED), "Verifier")
    assert verifier["Code"] == {"ImageUri": LIVE_IMAGE}
    assert properties(Stack(Verify="publish"), "Verifier")["Code"] == {"ImageUri": IMAGE}
    assert verifier["ImageConfig"] == {"Command": ["image_upload.verifying_function.handler"]}
    # One full core: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
    assert (verifier["MemorySize"], verifier["Timeout"]) == (1769, VERIFIER_TIMEOUT_S)


def test_it_has_no_url_no_secret_no_database_and_no_network_of_the_operators() -> None:
    stack = Stack(**EVERYTHING)
    assert not variables(stack).keys() & {*secret_settings(), "SECRETS_FROM", "QUEUE_URL", "JWT_JWKS_URL"}
    assert "VpcConfig" not in properties(stack, "Verifier")
    assert [each["TargetFunctionArn"] for each in stack.of_type("AWS::Lambda::Url").values()] == ["<Function.Arn>"]
    services = {action.partition(":")[0] for each in rights(stack).values() for action in listed(each["Action"])}
    assert services == {"s3", "kms", "sqs", "logs", "xray"}
    settings = load(variables(Stack(**VERIFIED, ExistingBucketName="bucket")) | LAMBDA, serving=False)
    assert (settings.auth.jwt_secret, settings.database.database_url) == (None, None)
    assert settings.verification.verify == "publish"


def test_what_decides_of_a_file_is_the_same_in_both_functions() -> None:
    stack = Stack(**VERIFIED, ImageMaxPixels="1000", StripLocation="all", S3Sse="AES256", MalwareScanner="guardduty")
    own, other = variables(stack), environment_of(stack)
    assert {name for name in own if own[name] != other[name]} == {"VERIFIER"}
    assert (own["VERIFIER"], other["VERIFIER"]) == ("self", "function")
    assert (own["IMAGE_MAX_PIXELS"], own["STRIP_LOCATION"], own["MALWARE_SCANNER"]) == ("1000", "all", "guardduty")
    assert environment_of(Stack(Verify="report"))["VERIFIER"] == ""


def test_it_takes_arrivals_away_and_publishes_but_deletes_and_reaches_nothing_else() -> None:
    stack = Stack(**VERIFIED, ExistingBucketName="mine")
    own = rights(stack)
    folders = {f"arn:aws:s3:::mine/{folder}/*" for folder in ("incoming", "quarantine", "rejected", "variants")}
    checked = {f"arn:aws:s3:::mine/{each.prefix}*" for each in PURPOSES if each.checked}
    unchecked = {f"arn:aws:s3:::mine/{each.prefix}*" for each in PURPOSES if not each.checked} - checked
    assert unchecked, "a purpose that it has no business with"
    assert set(own["Arrivals"]["Resource"]) == folders
    assert set(own["Published"]["Resource"]) == checked
    by_action = {
        action: {resource for each in own.values() if action in listed(each["Action"]) for resource in each["Resource"]}
        for action in ("s3:DeleteObject", "s3:PutObject", "s3:GetObject", "s3:ListBucket")
    }
    assert by_action == {
        "s3:DeleteObject": folders,
        "s3:PutObject": folders | checked,
        "s3:GetObject": folders | checked,
        "s3:ListBucket": {"arn:aws:s3:::mine"},
    }
    assert "Key" not in own
    assert listed(rights(Stack(**VERIFIED, KmsKeyArn=KEY))["Key"]["Resource"]) == [KEY]
    assert own["Verifications"]["Resource"] == "<Verifications.Arn>"
    assert own["Logs"]["Resource"] == "<VerifierLogGroup.Arn>"
    # And of both roles no other has a right on its queue.
    assert "<Verifications.Arn>" not in json.dumps(statements_of(stack))


def test_where_every_file_is_scanned_it_publishes_the_others_too_and_reads_tags_of_arrivals_alone() -> None:
    own = rights(Stack(**VERIFIED, ExistingBucketName="mine", MalwareScanner="guardduty"))
    every = {f"arn:aws:s3:::mine/{each.prefix}*" for each in PURPOSES}
    published = {*own["Published"]["Resource"], *own["Scanned"]["Resource"]}
    assert published == every | {"arn:aws:s3:::mine/uploads/*", "arn:aws:s3:::mine/files/*"}
    assert set(own["Scanned"]["Action"]) == set(own["Published"]["Action"])
    assert listed(own["ScanResults"]["Resource"]) == ["arn:aws:s3:::mine/incoming/*"]
    # A verdict is a tag, so no function of the service may write one.
    for role in ("VerifierRole", "Role"):
        actions = {
            action
            for each in rights(Stack(**VERIFIED, MalwareScanner="guardduty"), role).values()
            for action in listed(each["Action"])
        }
        assert not [action for action in actions if "Tagging" in action and action != "s3:GetObjectTagging"]
    assert "Scanned" not in rights(Stack(**VERIFIED))


@pytest.mark.parametrize(("given", "bucket"), [({}, "<Bucket>"), ({"ExistingBucketName": "mine"}, "mine")])
def test_what_arrives_goes_into_its_queue_and_its_own_copies_never_do(given: dict[str, str], bucket: str) -> None:
    stack = Stack(**VERIFIED, **given)
    rule = properties(stack, "IncomingRule")
    assert rule["EventPattern"]["detail"] == {
        "bucket": {"name": [bucket]},
        "object": {"key": [{"prefix": "incoming/"}]},
    }
    assert [each["Arn"] for each in rule["Targets"]] == ["<Verifications.Arn>"]
    (allowed, _) = properties(stack, "VerificationsPolicy")["PolicyDocument"]["Statement"]
    assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": ["<IncomingRule.Arn>"]}}


def test_a_burst_waits_in_the_queue_and_takes_no_place_of_the_users() -> None:
    stack = Stack(**VERIFIED)
    source = properties(stack, "VerificationSource")
    assert (source["EventSourceArn"], source["FunctionName"]) == ("<Verifications.Arn>", "<Verifier>")
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["ScalingConfig"] == {"MaximumConcurrency": "5"}
    assert properties(Stack(**VERIFIED, VerifierConcurrency="50"), "VerificationSource")["ScalingConfig"] == {
        "MaximumConcurrency": "50"
    }
    # AWS: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    assert properties(stack, "Verifications")["VisibilityTimeout"] == 6 * properties(stack, "Verifier")["Timeout"]


@pytest.mark.parametrize("name", ["Verifications", "Tasks"])
def test_each_queue_has_its_dead_letters_and_wants_tls(name: str) -> None:
    stack = Stack(**EVERYTHING)
    queue, dead = properties(stack, name), properties(stack, f"{name}Dead")
    assert queue["RedrivePolicy"] == {"deadLetterTargetArn": f"<{name}Dead.Arn>", "maxReceiveCount": queues.ATTEMPTS}
    own = f"arn:aws:sqs:eu-north-1:123456789012:{queue['QueueName']}"
    assert queue["QueueName"] == f"upload-{name.lower()}"
    assert dead["RedriveAllowPolicy"] == {"redrivePermission": "byQueue", "sourceQueueArns": [own]}
    assert queue["MessageRetentionPeriod"] < dead["MessageRetentionPeriod"]
    for each in (name, f"{name}Dead"):
        *_, denied = properties(stack, f"{each}Policy")["PolicyDocument"]["Statement"]
        assert (denied["Effect"], denied["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_the_clock_looks_after_what_no_event_told_of() -> None:
    both = properties(Stack(**VERIFIED, Database="true"), "SweepRule")
    assert [each["Arn"] for each in both["Targets"]] == ["<Live>", "<Verifier.Arn>"]
    alone = Stack(**VERIFIED)
    assert [each["Arn"] for each in properties(alone, "SweepRule")["Targets"]] == ["<Verifier.Arn>"]
    assert properties(alone, "VerifierSweepPermission")["FunctionName"] == "<Verifier>"
    assert "SweepPermission" not in alone.resources
    assert "SweepRule" not in Stack(**VERIFIED, SweepSchedule="off").resources


def test_what_fails_or_stands_still_rings() -> None:
    alarms = Stack(**VERIFIED).of_type("AWS::CloudWatch::Alarm")
    assert alarms["VerifierErrorsAlarm"]["Dimensions"] == [{"Name": "FunctionName", "Value": "<Verifier>"}]
    assert (alarms["VerifierErrorsAlarm"]["MetricName"], alarms["VerifierErrorsAlarm"]["Threshold"]) == ("Errors", 1)
    for name, metric, queue in (
        ("OldVerificationsAlarm", "ApproximateAgeOfOldestMessage", "Verifications"),
        ("DeadVerificationsAlarm", "ApproximateNumberOfMessagesVisible", "VerificationsDead"),
    ):
        assert alarms[name]["MetricName"] == metric
        assert alarms[name]["Dimensions"] == [{"Name": "QueueName", "Value": f"<{queue}.QueueName>"}]
    assert not [name for name in Stack().of_type("AWS::CloudWatch::Alarm") if "Verif" in name]
    assert not [name for name in Stack(**VERIFIED, Alarms="false").resources if name.endswith("Alarm")]


def test_an_existing_bucket_is_to_tell_of_its_files() -> None:
    command = Stack(**VERIFIED, ExistingBucketName="mine").outputs["BucketRulesCommand"]
    assert command == "python -m image_upload bucket-rules --bucket mine --events"


# --- malware --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", [{}, VERIFIED, {"MalwareScanner": "guardduty"}, {**VERIFIED, "MalwareScanner": "off"}]
)
def test_guardduty_scans_only_where_files_wait_for_its_result(given: dict[str, str]) -> None:
    stack = Stack(**given)
    assert not stack.resources.keys() & {"MalwarePlan", "MalwareRole", "ScanRule"}
    assert "GetObjectTagging" not in json.dumps(stack.resources.get("VerifierRole", {}))


def test_guardduty_tags_what_arrives_and_tells_the_function_that_verifies() -> None:
    stack = Stack(**VERIFIED, MalwareScanner="guardduty", ExistingBucketName="mine")
    plan = properties(stack, "MalwarePlan")
    assert plan["ProtectedResource"] == {"S3Bucket": {"BucketName": "mine", "ObjectPrefixes": ["incoming/"]}}
    assert plan["Actions"] == {"Tagging": {"Status": "ENABLED"}}
    rule = properties(stack, "ScanRule")
    assert rule["EventPattern"] == {
        "source": ["aws.guardduty"],
        "detail-type": ["GuardDuty Malware Protection Object Scan Result"],
        "detail": {"s3ObjectDetails": {"bucketName": ["mine"], "objectKey": [{"prefix": "incoming/"}]}},
    }
    assert [each["Arn"] for each in rule["Targets"]] == ["<Verifications.Arn>"]
    (allowed, _) = properties(stack, "VerificationsPolicy")["PolicyDocument"]["Statement"]
    assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": ["<IncomingRule.Arn>", "<ScanRule.Arn>"]}}
    tags = rights(stack)["ScanResults"]
    assert (tags["Action"], tags["Resource"]) == ("s3:GetObjectTagging", "arn:aws:s3:::mine/incoming/*")


def test_guardduty_reads_no_file_that_is_published() -> None:
    """https://docs.aws.amazon.com/guardduty/latest/ug/malware-protection-s3-iam-policy-prerequisite.html."""
    stack = Stack(**VERIFIED, MalwareScanner="guardduty", ExistingBucketName="mine", KmsKeyArn=KEY)
    own = rights(stack, "MalwareRole")
    assert own["ReadsAndTags"]["Resource"] == "arn:aws:s3:::mine/incoming/*"
    assert own["ProvesAccess"]["Resource"] == "arn:aws:s3:::mine/malware-protection-resource-validation-object"
    assert own["Bucket"]["Resource"] == "arn:aws:s3:::mine"
    assert own["Key"]["Condition"] == {"StringLike": {"kms:ViaService": "s3.eu-north-1.amazonaws.com"}}
    (trust,) = properties(stack, "MalwareRole")["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "malware-protection-plan.guardduty.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}


# --- tasks ----------------------------------------------------------------------------------------


def test_the_function_may_send_tasks_and_nothing_else_of_that_queue() -> None:
    assert environment_of(Stack())["QUEUE_URL"] == ""
    assert "Tasks" not in statements_of(Stack())
    stack = Stack(TaskQueue="true", TaskVisibilitySeconds="60")
    assert environment_of(stack)["QUEUE_URL"] == stack.outputs["TaskQueueUrl"] == "<Tasks>"
    statement = statements_of(stack)["Tasks"]
    assert (statement["Action"], statement["Resource"]) == ("sqs:SendMessage", "<Tasks.Arn>")
    assert properties(stack, "Tasks")["VisibilityTimeout"] == "60"
    dead = stack.of_type("AWS::CloudWatch::Alarm")["DeadTasksAlarm"]
    assert dead["Dimensions"] == [{"Name": "QueueName", "Value": "<TasksDead.QueueName>"}]
