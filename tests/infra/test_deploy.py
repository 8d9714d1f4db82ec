"""The template, deployed: by MiniStack's CloudFormation, and by moto's.

Each leaves something out, which is taken out of the template here, by name. AWS itself: docs/unverified.md.
"""

import copy
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.exceptions import ClientError

from generate import purposes, template
from image_upload.bucket_config import rules
from image_upload.domain import keys, shipped_purposes
from local.embedded_s3 import EmbeddedS3
from tests.infra.ministack import REGION, ministack, template_url
from tests.infra.template import IMAGE, LIVE_IMAGE, PATH, TEMPLATE, VERIFIED, Stack, parse
from tests.test_purposes import OWN

needs_ministack = pytest.mark.needs("ministack")

WITHIN_S = 60.0
ORIGINS = "https://app.example.com,http://localhost:3000"
PURPOSES = shipped_purposes.PURPOSES.every()
EVERYTHING = {
    "AllowedOrigins": ORIGINS,
    "Versioning": "true",
    "Cdn": "true",
    "AlarmEmail": "a@example.com",
    "TimeoutSeconds": "60",
}


class Cloud(NamedTuple):
    """An AWS and the template that it can deploy, as CloudFormation is told of it."""

    client: Callable[[str], Any]
    template: dict[str, str]

    def parameters(self, **given: str) -> list[dict[str, str]]:
        every = {"ImageUri": IMAGE} | given
        return [{"ParameterKey": name, "ParameterValue": value} for name, value in every.items()]

    def create(self, stack: str, **given: str) -> dict[str, str]:
        """Deploy a new stack and its first version, as deploy.sh does; its outputs."""
        formation = self.client("cloudformation")
        formation.create_stack(StackName=stack, **self.template, **self.asked(**given))
        outputs = self.outputs(stack, "CREATE_COMPLETE")
        assert "FunctionUrl" not in outputs
        version = self.client("lambda").publish_version(FunctionName=outputs["FunctionName"])["Version"]
        return self.update(stack, version, **given)

    def update(self, stack: str, version: str = "1", **given: str) -> dict[str, str]:
        """Deploy again, with this version live; the outputs."""
        formation = self.client("cloudformation")
        formation.update_stack(StackName=stack, **self.template, **self.asked(**given, LiveVersion=version))
        return self.outputs(stack, "UPDATE_COMPLETE")

    def asked(self, **given: str) -> dict[str, Any]:
        """What the creation and the update of a stack are asked for."""
        return {"Parameters": self.parameters(**given), "Capabilities": ["CAPABILITY_IAM"]}

    def delete(self, stack: str) -> None:
        formation = self.client("cloudformation")
        (found,) = formation.describe_stacks(StackName=stack)["Stacks"]
        formation.delete_stack(StackName=stack)
        self.outputs(found["StackId"], "DELETE_COMPLETE")

    def outputs(self, stack: str, status: str) -> dict[str, str]:
        """The outputs of a stack once nothing is in progress any more; it must be in this status."""
        formation = self.client("cloudformation")
        deadline = time.monotonic() + WITHIN_S
        while True:
            (found,) = formation.describe_stacks(StackName=stack)["Stacks"]
            if not found["StackStatus"].endswith("IN_PROGRESS"):
                break
            assert time.monotonic() < deadline, found
            time.sleep(0.05)  # before it is looked at again
        events = formation.describe_stack_events(StackName=stack)["StackEvents"]
        failed = [each for each in events if each.get("ResourceStatus", "").endswith("FAILED")]
        assert (found["StackStatus"], failed) == (status, [])
        return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", ())}


def without(resources: set[str], outputs: set[str]) -> str:
    template = copy.deepcopy(TEMPLATE)
    for section, names in (("Resources", resources), ("Outputs", outputs)):
        for name in names:
            del template[section][name]
    return json.dumps(template)


# --- MiniStack ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """MiniStack. It knows no AWS::Budgets::Budget where its condition holds, and no alarm that computes."""
    with ministack() as url:

        def client(service: str) -> Any:
            return boto3.client(
                service,
                endpoint_url=url,
                region_name=REGION,
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )

        yield Cloud(client, template_url(client("s3"), json.dumps(TEMPLATE)))


@pytest.fixture(scope="module")
def outputs(cloud: Cloud) -> dict[str, str]:
    return cloud.create("upload", **EVERYTHING)


@needs_ministack
def test_the_bucket_is_made_as_the_rules_say(cloud: Cloud, outputs: dict[str, str]) -> None:
    s3, bucket = cloud.client("s3"), {"Bucket": outputs["BucketName"]}
    assert s3.get_bucket_cors(**bucket)["CORSRules"] == rules.cors_rules(ORIGINS.split(","))
    assert s3.get_public_access_block(**bucket)["PublicAccessBlockConfiguration"] == rules.public_access_block()
    assert s3.get_bucket_ownership_controls(**bucket)["OwnershipControls"] == rules.ownership()
    assert s3.get_bucket_versioning(**bucket)["Status"] == "Enabled"
    assert "EventBridgeConfiguration" in s3.get_bucket_notification_configuration(**bucket)
    policy = json.loads(s3.get_bucket_policy(**bucket)["Policy"])["Statement"]
    assert policy == rules.bucket_policy("aws", outputs["BucketName"], PURPOSES, outputs["DistributionArn"])


@needs_ministack
def test_the_function_is_made_from_the_image_and_knows_its_bucket(cloud: Cloud, outputs: dict[str, str]) -> None:
    functions = cloud.client("lambda")
    function = functions.get_function(FunctionName=outputs["FunctionName"])["Configuration"]
    assert (function["PackageType"], function["Architectures"]) == ("Image", ["arm64"])
    assert (function["MemorySize"], function["Timeout"]) == (1024, 60)
    assert function["TracingConfig"] == {"Mode": "Active"}
    assert function["LoggingConfig"] == {
        "LogFormat": "JSON",
        "LogGroup": outputs["LogGroupName"],
        "ApplicationLogLevel": "DEBUG",
        "SystemLogLevel": "INFO",
    }
    variables = function["Environment"]["Variables"]
    assert variables["S3_BUCKET_NAME"] == outputs["BucketName"]
    assert variables["CDN_BASE_URL"] == outputs["CdnUrl"]
    assert variables["TIMEOUT_SECONDS"] == "60"
    assert variables["SECRETS_FROM"] == "ssm:/upload/"


@needs_ministack
def test_the_url_is_open_to_every_caller_and_leads_to_the_live_version(cloud: Cloud, outputs: dict[str, str]) -> None:
    functions, function = cloud.client("lambda"), {"FunctionName": outputs["FunctionName"], "Qualifier": "live"}
    url = functions.get_function_url_config(**function)
    assert (url["AuthType"], url["FunctionUrl"]) == ("NONE", outputs["FunctionUrl"])
    assert url["Cors"]["AllowOrigins"] == ORIGINS.split(",")
    statements = json.loads(functions.get_policy(**function)["Policy"])["Statement"]
    assert {(each["Action"], json.dumps(each["Condition"])) for each in statements} == {
        ("lambda:InvokeFunctionUrl", '{"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}'),
        ("lambda:InvokeFunction", '{"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}'),
    }


@needs_ministack
def test_a_change_of_the_stack_does_not_reach_the_live_version_until_another_is_published(cloud: Cloud) -> None:
    first = cloud.create("versions", LogLevel="ERROR")
    functions, function = cloud.client("lambda"), {"FunctionName": first["FunctionName"]}

    def level(qualifier: str) -> str:
        found = functions.get_function_configuration(**function, Qualifier=qualifier)
        return str(found["Environment"]["Variables"]["LOG_LEVEL"])

    cloud.update("versions", LogLevel="WARNING")
    assert (level("live"), level("$LATEST")) == ("ERROR", "WARNING")
    version = functions.publish_version(**function)["Version"]
    after = cloud.update("versions", version, LogLevel="WARNING")
    assert (level("live"), after["FunctionUrl"]) == ("WARNING", first["FunctionUrl"])


@needs_ministack
def test_the_role_has_the_statements_of_the_rules(cloud: Cloud, outputs: dict[str, str]) -> None:
    iam = cloud.client("iam")
    role = cloud.client("lambda").get_function(FunctionName=outputs["FunctionName"])["Configuration"]["Role"]
    policy = iam.get_role_policy(RoleName=role.rpartition("/")[2], PolicyName="function")["PolicyDocument"]
    expected = rules.statements("aws", outputs["BucketName"], PURPOSES)
    assert policy["Statement"][: len(expected)] == expected
    assert [each["Sid"] for each in policy["Statement"][len(expected) :]] == ["Secrets", "Itself", "Logs", "Tracing"]


@needs_ministack
def test_the_function_that_verifies_is_made_with_its_queue_and_the_queue_of_tasks(cloud: Cloud) -> None:
    outputs = cloud.create("verified", **VERIFIED, TaskQueue="true")
    functions, sqs = cloud.client("lambda"), cloud.client("sqs")
    verifier = functions.get_function(FunctionName="verified-verifier")
    assert verifier["Code"]["ImageUri"] == LIVE_IMAGE
    configuration = verifier["Configuration"]
    assert configuration["ImageConfigResponse"]["ImageConfig"]["Command"] == ["image_upload.verifying_function.handler"]
    variables = configuration["Environment"]["Variables"]
    assert (variables["VERIFY"], variables["VERIFIER"]) == ("publish", "self")
    assert "SECRETS_FROM" not in variables
    function = functions.get_function(FunctionName="verified")["Configuration"]
    assert function["Environment"]["Variables"]["QUEUE_URL"] == outputs["TaskQueueUrl"]
    assert function["Role"] != configuration["Role"]
    with pytest.raises(ClientError, match="ResourceNotFound"):
        functions.get_function_url_config(FunctionName="verified-verifier")

    queue = sqs.get_queue_url(QueueName="verified-verifications")["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    (mapping,) = functions.list_event_source_mappings(FunctionName="verified-verifier")["EventSourceMappings"]
    assert (mapping["EventSourceArn"], int(mapping["ScalingConfig"]["MaximumConcurrency"])) == (found["QueueArn"], 5)
    targets = cloud.client("events").list_rule_names_by_target(TargetArn=configuration["FunctionArn"])["RuleNames"]
    assert [each.partition("-SweepRule")[0] for each in targets] == ["verified"]


@needs_ministack
def test_alarms_and_the_cdn_are_made(cloud: Cloud, outputs: dict[str, str]) -> None:
    alarms = cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
    mine = [each for each in alarms if each["AlarmName"].startswith("upload-")]
    assert len(mine) == 6
    assert all(each["AlarmActions"] for each in mine)
    distribution = cloud.client("cloudfront").get_distribution(Id=outputs["DistributionArn"].rpartition("/")[2])
    assert distribution["Distribution"]["DistributionConfig"]["DefaultCacheBehavior"]["Compress"] is True


@needs_ministack
def test_deploying_the_same_again_changes_nothing(cloud: Cloud, outputs: dict[str, str]) -> None:
    assert outputs
    with pytest.raises(ClientError, match="No updates are to be performed"):
        cloud.update("upload", **EVERYTHING)


@needs_ministack
def test_options_can_be_taken_back_and_the_url_stays(cloud: Cloud) -> None:
    before = cloud.create("changing", **EVERYTHING)
    after = cloud.update("changing", Alarms="false")
    assert {name: after[name] for name in ("FunctionUrl", "FunctionName", "BucketName")} == {
        name: before[name] for name in ("FunctionUrl", "FunctionName", "BucketName")
    }
    assert "CdnUrl" not in after
    assert (
        not cloud.client("lambda")
        .get_function_url_config(FunctionName=after["FunctionName"], Qualifier="live")
        .get("Cors")
    )
    with pytest.raises(ClientError, match="NoSuchCORSConfiguration"):
        cloud.client("s3").get_bucket_cors(Bucket=after["BucketName"])
    policy = json.loads(cloud.client("s3").get_bucket_policy(Bucket=after["BucketName"])["Policy"])["Statement"]
    assert policy == rules.bucket_policy("aws", after["BucketName"], PURPOSES)


@needs_ministack
def test_a_rule_of_the_template_refuses_before_anything_is_made(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="CdnDomainName needs CdnCertificateArn"):
        cloud.create("refused", CdnDomainName="cdn.example.com")


@needs_ministack
def test_two_stacks_live_side_by_side_and_a_deleted_one_leaves_only_its_bucket(cloud: Cloud) -> None:
    first, second = cloud.create("first", **EVERYTHING), cloud.create("second", **EVERYTHING)
    assert [name for name in first if name != "Region" and first[name] == second[name]] == []
    s3 = cloud.client("s3")
    s3.put_object(Bucket=first["BucketName"], Key="uploads/a.jpg", Body=b"a")
    cloud.delete("first")
    assert s3.get_object(Bucket=first["BucketName"], Key="uploads/a.jpg")["Body"].read() == b"a"
    functions = {each["FunctionName"] for each in cloud.client("lambda").list_functions()["Functions"]}
    assert first["FunctionName"] not in functions
    assert second["FunctionName"] in functions
    # And the bucket that was left behind can be taken over.
    again = cloud.create("first", ExistingBucketName=first["BucketName"])
    assert again["BucketName"] == first["BucketName"]
    assert again["BucketRulesCommand"] == f"python -m image_upload bucket-rules --bucket {first['BucketName']}"


@needs_ministack
def test_a_teams_own_purposes_decide_life_times_rights_and_cdn(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(purposes, "FILE", tmp_path / "purposes.toml")
    purposes.FILE.write_text(OWN, encoding="utf-8")
    text = template.generated(PATH.read_text(encoding="utf-8"))
    own, every = cloud._replace(template=template_url(cloud.client("s3"), text)), purposes.declared().every()
    outputs = own.create("own", **EVERYTHING)
    bucket = {"Bucket": outputs["BucketName"]}
    s3, iam = cloud.client("s3"), cloud.client("iam")
    role = cloud.client("lambda").get_function(FunctionName=outputs["FunctionName"])["Configuration"]["Role"]
    policy = iam.get_role_policy(RoleName=role.rpartition("/")[2], PolicyName="function")["PolicyDocument"]
    assert policy["Statement"][:2] == rules.statements("aws", outputs["BucketName"], every)
    public = json.loads(s3.get_bucket_policy(**bucket)["Policy"])["Statement"]
    assert public == rules.bucket_policy("aws", outputs["BucketName"], every, outputs["DistributionArn"])
    served = [f"arn:aws:s3:::{outputs['BucketName']}/{folder}avatars/*" for folder in ("", keys.VARIANTS)]
    assert public[-1]["Resource"] == served
    # MiniStack gives a bucket no life times; they are in the template that deploy.sh reads back.
    deployed = cloud.client("cloudformation").get_template(StackName="own")["TemplateBody"]
    assert deployed == text
    (made,) = Stack(parse(deployed), ImageUri=IMAGE).of_type("AWS::S3::Bucket").values()
    ends = {
        rule["Prefix"]: rule["ExpirationInDays"] for rule in made["LifecycleConfiguration"]["Rules"] if "Prefix" in rule
    }
    assert {folder: days for folder, days in ends.items() if folder not in keys.OWN_FOLDERS} == {"invoices/": 3650}


# --- moto -----------------------------------------------------------------------------------------


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning")
def test_moto_makes_the_function_and_its_role_too(s3: EmbeddedS3) -> None:
    """The CloudFormation of moto passes over URLs, alarms and most of a bucket, so this proves only what it makes."""

    def client(service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=s3.endpoint_url,
            region_name=REGION,
            aws_access_key_id="key",
            aws_secret_access_key="secret",
        )

    left_out = without({"Live", "Url", "UrlPermission", "InvokePermission"}, {"FunctionUrl"})
    moto = Cloud(client, {"TemplateBody": left_out})
    outputs = moto.create("upload")
    function = client("lambda").get_function(FunctionName=outputs["FunctionName"])["Configuration"]
    assert function["Environment"]["Variables"]["S3_BUCKET_NAME"] == outputs["BucketName"]
    (group,) = client("logs").describe_log_groups(logGroupNamePrefix=outputs["LogGroupName"])["logGroups"]
    assert group["retentionInDays"] == 30

    assert moto.update("upload", MemoryMb="512") == outputs
    assert client("lambda").get_function(FunctionName=outputs["FunctionName"])["Configuration"]["MemorySize"] == 512
    moto.delete("upload")
    assert moto.create("upload").keys() == outputs.keys()
    moto.delete("upload")
