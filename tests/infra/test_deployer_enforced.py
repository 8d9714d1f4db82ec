"""The deployer's policy, enforced: a user who has it deploys their own stack and reaches no other.

MiniStack asks IAM for each call of the API. Its CloudFormation does not ask for the resources; test_deployer.py does.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.infra.ministack import REGION, ministack, template_url
from tests.infra.template import IMAGE, TEMPLATE, VERIFIED

pytestmark = pytest.mark.needs("ministack")

ROOT = Path(__file__).parents[2]
WITHIN_S = 60.0
OWN, OTHER = "upload", "photos"
# Without the bucket policy, which refuses calls without TLS.
STACK = json.dumps(TEMPLATE | {"Resources": {k: v for k, v in TEMPLATE["Resources"].items() if k != "BucketPolicy"}})


class Cloud(NamedTuple):
    """Clients of the account's root, which may do everything, and of a deployer of the stack `upload`."""

    root: Callable[[str], Any]
    deployer: Callable[[str], Any]


def finished(formation: Any, stack: str) -> dict[str, Any]:
    """A stack once nothing is in progress any more."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        (found,) = formation.describe_stacks(StackName=stack)["Stacks"]
        if not found["StackStatus"].endswith(("_IN_PROGRESS", "_PENDING")):
            return dict(found)
        assert time.monotonic() < deadline, found
        time.sleep(0.05)  # before it is looked at again


def deploy(formation: Any, stack: str, template: dict[str, str], parameters: dict[str, str]) -> dict[str, str]:
    """Deploy a new stack as deploy.sh does, by a change set; its outputs."""
    formation.create_change_set(
        StackName=stack,
        ChangeSetName="deploy",
        ChangeSetType="CREATE",
        **template,
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Tags=[{"Key": "project", "Value": stack}],
    )
    formation.get_waiter("change_set_create_complete").wait(
        StackName=stack, ChangeSetName="deploy", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    formation.execute_change_set(StackName=stack, ChangeSetName="deploy")
    made = finished(formation, stack)
    assert made["StackStatus"] == "CREATE_COMPLETE", made
    return {each["OutputKey"]: each["OutputValue"] for each in made.get("Outputs", ())}


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with ministack(enforces=True) as url:

        def client(service: str, key: str = "test", secret: str = "test") -> Any:
            return boto3.client(
                service, endpoint_url=url, region_name=REGION, aws_access_key_id=key, aws_secret_access_key=secret
            )

        rights = (ROOT / "infra/deployer.yaml").read_text(encoding="utf-8")
        # It does not know the key iam:PermissionsBoundary.
        given = {"Name": OWN, "MayEmptyBucket": "true"}
        outputs = deploy(client("cloudformation"), "rights", {"TemplateBody": rights}, given)
        deploy(client("cloudformation"), OTHER, template_url(client("s3"), STACK), VERIFIED | {"ImageUri": IMAGE})

        iam = client("iam")
        iam.create_user(UserName="deployer")
        for arn in outputs["Policies"].split(","):
            iam.attach_user_policy(UserName="deployer", PolicyArn=arn)
        key = iam.create_access_key(UserName="deployer")["AccessKey"]
        yield Cloud(client, lambda service: client(service, key["AccessKeyId"], key["SecretAccessKey"]))


def refused(call: Callable[..., Any], **arguments: Any) -> bool:
    """Whether a call fails for want of rights; another failure shows that IAM let it through."""
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException")
    return False


def calls(cloud: Cloud, stack: str) -> list[tuple[Any, dict[str, Any]]]:
    """Calls of the deployer that read or change a stack of this name, the last one deletes it.

    MiniStack takes GetAlias for ListAliases, and asks for parameters by path or by several names without a resource.
    """
    of = cloud.deployer
    made = cloud.root("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    names = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in made}
    return [
        (of("cloudformation").describe_stacks, {"StackName": stack}),
        (of("lambda").get_function, {"FunctionName": stack}),
        (of("lambda").publish_version, {"FunctionName": stack}),
        (of("lambda").list_versions_by_function, {"FunctionName": stack}),
        (of("iam").get_role, {"RoleName": names["Role"]}),
        (of("iam").put_role_policy, {"RoleName": names["Role"], "PolicyName": "p", "PolicyDocument": "{}"}),
        (of("s3").list_object_versions, {"Bucket": names["Bucket"]}),
        (of("s3").get_bucket_versioning, {"Bucket": names["Bucket"]}),
        (of("s3").delete_bucket, {"Bucket": names["Bucket"]}),
        (of("ssm").put_parameter, {"Name": f"/{stack}/JWT_SECRET", "Value": "s", "Type": "SecureString"}),
        (of("ecr").create_repository, {"repositoryName": stack}),
        (of("ecr").describe_images, {"repositoryName": stack}),
        (of("logs").filter_log_events, {"logGroupName": f"/aws/lambda/{stack}"}),
        (of("cloudformation").delete_stack, {"StackName": stack}),
    ]


def test_another_stack_is_refused(cloud: Cloud) -> None:
    assert [call.__name__ for call, arguments in calls(cloud, OTHER) if not refused(call, **arguments)] == []


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("iam", "create_user", {"UserName": "x"}),
        ("iam", "create_role", {"RoleName": "upload-other", "AssumeRolePolicyDocument": "{}"}),
        (
            "iam",
            "attach_user_policy",
            {"UserName": "deployer", "PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"},
        ),
        ("s3", "list_buckets", {}),
        ("secretsmanager", "list_secrets", {}),
        ("lambda", "list_functions", {}),
        ("cloudformation", "create_stack", {"StackName": OWN, "TemplateBody": "{}"}),
    ],
)
def test_what_a_deployment_does_not_need_is_refused(
    cloud: Cloud, service: str, operation: str, arguments: dict[str, Any]
) -> None:
    assert refused(getattr(cloud.deployer(service), operation), **arguments)


def test_the_own_stack_is_deployed_looked_after_and_deleted(cloud: Cloud) -> None:
    assert cloud.deployer("sts").get_caller_identity()["Arn"].endswith("user/deployer")
    s3 = cloud.deployer("s3")
    s3.create_bucket(Bucket="upload-template-0b1c", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="upload-template-0b1c", Key="1.template", Body=STACK.encode())
    template = {"TemplateURL": f"{s3.meta.endpoint_url}/upload-template-0b1c/1.template"}
    outputs = deploy(cloud.deployer("cloudformation"), OWN, template, VERIFIED | {"ImageUri": IMAGE})
    s3.delete_object(Bucket="upload-template-0b1c", Key="1.template")
    s3.delete_bucket(Bucket="upload-template-0b1c")
    assert outputs["FunctionName"] == OWN
    assert [call.__name__ for call, arguments in calls(cloud, OWN) if refused(call, **arguments)] == []
