"""The deployer's policy is what deploy.sh and the stack need: nothing is missing, nothing is left over."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from infra import scan_gate
from tests.generate.test_template import lint
from tests.infra.rights import ONLY_FOR, allows, exists, has_resources, of_handlers, of_resource, of_script
from tests.infra.template import PSEUDO, TEMPLATE, VERIFIED, Stack, parse
from tests.test_docs import code_in, table

# What moto's IAM decides takes seconds.
pytestmark = pytest.mark.full

ROOT: Final = Path(__file__).parents[2]
DEPLOYER: Final = parse((ROOT / "infra/deployer.yaml").read_text(encoding="utf-8"))
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html, without white space
POLICY_MAX_CHARS: Final = 6144

# What no command and no resource says, and where AWS says it.
BESIDES: Final = {
    # https://docs.aws.amazon.com/lambda/latest/dg/images-create.html, "Amazon ECR permissions": Lambda writes itself
    # into the repository's policy with the rights of the caller.
    "ecr:GetRepositoryPolicy",
    "ecr:SetRepositoryPolicy",
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awscloudformation.html: a stack with tags.
    "cloudformation:TagResource",
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references-ssm.html: EdgeSecretFrom.
    "ssm:GetParameters",
}
NAME: Final = "upload"
OTHER: Final = "photos"


def policy(*documents: str, **parameters: str) -> list[dict[str, Any]]:
    """The statements of the policies as they are for the stack `upload`."""
    made = Stack(DEPLOYER, Name=NAME, **parameters).of_type("AWS::IAM::ManagedPolicy")
    return [statement for name in documents for statement in made[name]["PolicyDocument"]["Statement"]]


def deployer(**parameters: str) -> list[dict[str, Any]]:
    return policy("Delivery", "Resources", "Front", **({"MayEmptyBucket": "true"} | parameters))


def actions(statements: list[dict[str, Any]]) -> set[str]:
    listed = [each["Action"] if isinstance(each["Action"], list) else [each["Action"]] for each in statements]
    return {action for every in listed for action in every}


def resources() -> dict[str, tuple[str, Any]]:
    """Logical name → type and definition of every resource that the template can make."""
    return {name: (each["Type"], each) for name, each in TEMPLATE["Resources"].items()}


def commands() -> str:
    scripts = [ROOT / "deploy.sh", *sorted((ROOT / "infra/deploy").glob("*.sh"))]
    return "\n".join([*(each.read_text(encoding="utf-8") for each in scripts), " ".join(scan_gate.COMMAND)])


# Resource type, or the service where the type does not matter → the resource of a stack. CloudFormation's own names are
# STACK-LOGICAL-RANDOM, in lower case for a bucket:
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-name.html
_ARNS: Final = {
    "AWS::CloudFront::Distribution": "arn:aws:cloudfront::{account}:distribution/E1",
    "AWS::CloudFront::OriginAccessControl": "arn:aws:cloudfront::{account}:origin-access-control/E1",
    "AWS::CloudFront::ResponseHeadersPolicy": "arn:aws:cloudfront::{account}:response-headers-policy/1",
    "AWS::CloudWatch::Dashboard": "arn:aws:cloudwatch::{account}:dashboard/{name}-{logical}-1A2B3C4D5E6F",
    "AWS::Lambda::Alias": "arn:aws:lambda:{region}:{account}:function:{name}:live",
    "AWS::Lambda::EventSourceMapping": "arn:aws:lambda:{region}:{account}:event-source-mapping:0b1c",
    "billing": "arn:aws:billing::{account}:billingview/primary",
    "budgets": "arn:aws:budgets::{account}:budget/{name}-{logical}-1A2B3C4D5E6F",
    "cloudformation": "arn:aws:cloudformation:{region}:{account}:stack/{name}/0b1c",
    "cloudwatch": "arn:aws:cloudwatch:{region}:{account}:alarm:{name}-{logical}-1A2B3C4D5E6F",
    "ecr": "arn:aws:ecr:{region}:{account}:repository/{name}",
    "events": "arn:aws:events:{region}:{account}:rule/{name}-{logical}-1A2B3C4D5E6F",
    "guardduty": "arn:aws:guardduty:{region}:{account}:malware-protection-plan/0b1c",
    "iam": "arn:aws:iam::{account}:role/{name}-{role}-1A2B3C4D5E6F",
    "lambda": "arn:aws:lambda:{region}:{account}:function:{name}{which}",
    "logs": "arn:aws:logs:{region}:{account}:log-group:/aws/lambda/{name}{which}",
    "s3": "arn:aws:s3:::{name}-bucket-1a2b3c4d5e6f",
    "s3 objects": "arn:aws:s3:::{name}-bucket-1a2b3c4d5e6f/uploads/a.jpg",
    "s3 templates": "arn:aws:s3:::{name}-template-1a2b3c4d5e6f",
    "sns": "arn:aws:sns:{region}:{account}:{name}-{logical}-1A2B3C4D5E6F",
    "sqs": "arn:aws:sqs:{region}:{account}:{name}-{logical}-1A2B3C4D5E6F",
    "wafv2": "arn:aws:wafv2:us-east-1:{account}:global/webacl/{name}-{logical}/0b1c",
    "ssm": "arn:aws:ssm:{region}:{account}:parameter/{name}/JWT_SECRET",
}


def arn_of(action: str, name: str, kind: str = "", logical: str = "") -> str:
    """The resource that a deployment of a stack of this name needs the action on."""
    if not has_resources(action):
        return "*"
    service = action.partition(":")[0]
    if action in ("s3:DeleteObject", "s3:DeleteObjectVersion"):
        service = "s3 objects"
    if action in ("s3:GetObject", "s3:PutObject"):
        return f"{_ARNS['s3 templates'].format(name=name)}/0b1c.template"
    own = kind if kind.lower().startswith(f"aws::{service}::") and kind in _ARNS else service
    places = {"region": PSEUDO["AWS::Region"], "account": PSEUDO["AWS::AccountId"]}
    which = "-verifier" if logical.startswith(("Verifier", "VerificationSource")) else ""
    role = logical if kind == "AWS::IAM::Role" else _ROLES.get(logical, "Role")
    return _ARNS[own].format(**places, name=name, logical=logical or "Some", which=which, role=role)


# Logical name of what is handed a role → that of the role.
_ROLES: Final = {"Verifier": "VerifierRole", "MalwarePlan": "MalwareRole"}


def context(name: str, kind: str = "", logical: str = "") -> dict[str, str]:
    """What IAM knows of a call that deploys the stack of this name."""
    function = "AWS::Lambda::Function" if kind == "AWS::Lambda::EventSourceMapping" and logical[0] == "V" else ""
    guardduty = "malware-protection-plan.guardduty.amazonaws.com"
    return {
        "lambda:FunctionArn": arn_of("lambda:GetAlias", name, function or "AWS::Lambda::Alias", logical),
        "iam:PassedToService": guardduty if logical == "MalwarePlan" else "lambda.amazonaws.com",
        "aws:RequestTag/image-upload": name,
        "aws:ResourceTag/image-upload": name,
    }


def needs() -> Iterator[tuple[str, str, str]]:
    """Action, type and logical name of the resource, empty for what the script does."""
    for logical, (kind, definition) in resources().items():
        for action in sorted(of_resource(kind, definition)):
            yield action, kind, logical
    for action in sorted(of_script(commands()) | BESIDES):
        yield action, "", ""


def test_whatever_the_stack_and_the_script_need_is_allowed_on_their_own_resources() -> None:
    statements = deployer()
    refused = [
        (action, resource)
        for action, kind, logical in needs()
        if not allows(statements, action, resource := arn_of(action, NAME, kind, logical), context(NAME, kind, logical))
    ]
    assert refused == []


def test_nothing_is_allowed_that_neither_the_stack_nor_the_script_needs() -> None:
    assert actions(deployer()) - {action for action, _, _ in needs()} == set()


def test_the_template_has_a_bucket_of_its_own_and_no_file_of_a_user_can_be_read() -> None:
    statements = policy("Delivery", "Resources", "Front")
    bucket = _ARNS["s3 templates"].format(name=NAME)
    for action in of_script("aws s3 rb") | {"s3:CreateBucket"}:
        resource = f"{bucket}/0b1c.template" if action.endswith("Object") else bucket
        assert allows(statements, action, resource, {}), action
    for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"):
        assert not allows(statements, action, arn_of("s3:DeleteObject", NAME), {}), action


def test_the_resources_of_another_stack_are_out_of_reach() -> None:
    """Where IAM can tell them apart: CloudFront's have random names and few tags, an alarm's state is open to read."""
    statements = deployer()
    allowed = {
        (action, resource)
        for action, kind, logical in needs()
        if allows(statements, action, resource := arn_of(action, OTHER, kind, logical), context(OTHER, kind, logical))
    }
    assert {action for action, resource in allowed if resource != "*" and action.partition(":")[0] != "cloudfront"} == {
        "billing:GetBillingViewData",
        "cloudwatch:DescribeAlarms",
        "lambda:ListTags",
        "lambda:TagResource",
        "lambda:UntagResource",
        "sns:Unsubscribe",
    }
    assert {resource for action, resource in allowed if action.startswith("lambda:") and resource != "*"} == {
        arn_of("lambda:ListTags", OTHER, "AWS::Lambda::EventSourceMapping")
    }
    assert not [action for action, _ in allowed if action in ("cloudfront:UpdateDistribution", "iam:PassRole")]


def test_what_is_allowed_on_everything_reads_or_names_no_resource() -> None:
    everywhere = actions([each for each in deployer() if each["Resource"] == "*" and "Condition" not in each])
    changing = {each for each in everywhere if not each.partition(":")[2].startswith(("Get", "Describe", "List"))}
    assert {each for each in changing if not each.startswith("cloudfront:")} == {
        "logs:DeleteQueryDefinition",
        "logs:PutQueryDefinition",
        "sns:Unsubscribe",
    }


@pytest.mark.parametrize("service", ["ec2.amazonaws.com", "ecs-tasks.amazonaws.com", "cloudformation.amazonaws.com"])
def test_the_functions_role_is_handed_to_lambda_alone(service: str) -> None:
    role = arn_of("iam:PassRole", NAME)
    assert allows(deployer(), "iam:PassRole", role, context(NAME))
    assert not allows(deployer(), "iam:PassRole", role, context(NAME) | {"iam:PassedToService": service})


def test_the_bucket_is_emptied_only_where_that_was_asked_for() -> None:
    bucket = arn_of("s3:DeleteObjectVersion", NAME)
    for parameters, allowed in (({}, False), ({"MayEmptyBucket": "true"}, True)):
        statements = policy("Delivery", "Resources", "Front", **parameters)
        assert allows(statements, "s3:DeleteObjectVersion", bucket, {}) is allowed


def test_with_a_boundary_no_role_is_made_or_changed_without_it() -> None:
    statements, role = deployer(Boundary="true"), arn_of("iam:CreateRole", NAME)
    bounded = {"iam:PermissionsBoundary": "<FunctionBoundary>"}
    for action in ("iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"):
        assert allows(statements, action, role, bounded), action
        assert not allows(statements, action, role, {}), action
        assert not allows(statements, action, role, {"iam:PermissionsBoundary": "arn:aws:iam::aws:policy/x"}), action
    assert not allows(statements, "iam:DeleteRolePermissionsBoundary", role, bounded)
    own = role.replace(f"role/{NAME}-Role-1A2B3C4D5E6F", f"policy/{NAME}-boundary")
    assert not allows(statements, "iam:CreatePolicyVersion", own, bounded)


def test_each_role_has_the_boundary_that_is_asked_for_and_else_none() -> None:
    made = Stack(DEPLOYER, Name=NAME)
    assert made.outputs["PermissionsBoundary"] == f"{NAME}-boundary"
    assert made.resources["FunctionBoundary"]["Properties"]["ManagedPolicyName"] == f"{NAME}-boundary"
    verified = {**VERIFIED, "MalwareScanner": "guardduty"}
    for name, role in Stack(**verified, PermissionsBoundary=f"{NAME}-boundary").of_type("AWS::IAM::Role").items():
        own = f"arn:aws:iam::{PSEUDO['AWS::AccountId']}:policy/{made.outputs['PermissionsBoundary']}"
        assert role["PermissionsBoundary"] == own, name
        assert "PermissionsBoundary" not in Stack(**verified).resources[name]["Properties"]


def test_the_boundary_allows_what_the_roles_of_the_stack_allow() -> None:
    account = f"eu-north-1:{PSEUDO['AWS::AccountId']}"
    everything = {
        "KmsKeyArn": f"arn:aws:kms:{account}:key/1",
        "DatabaseArn": f"arn:aws:rds-db:{account}:dbuser:db-1/app",
        "SubnetIds": "subnet-1",
        "SecurityGroupIds": "sg-1",
        "Database": "true",
        "TaskQueue": "true",
        "EventBus": "files",
        **VERIFIED,
        "MalwareScanner": "guardduty",
    }
    for bucket, boundary in (({}, {}), ({"ExistingBucketName": "mine"},) * 2):
        roles = Stack(**everything, **bucket).of_type("AWS::IAM::Role")
        assert list(roles) == ["Role", "VerifierRole", "MalwareRole"]
        every = [
            statement for role in roles.values() for statement in role["Policies"][0]["PolicyDocument"]["Statement"]
        ]
        given = [each for each in every if each["Effect"] == "Allow"]
        bound = policy("FunctionBoundary", **boundary)
        assert actions(given) - actions(bound) == set()
        wanted = {
            (action, resource.replace("<Bucket>", f"{NAME}-bucket-1a2b"))
            for each in given
            for action in actions([each])
            for resource in (each["Resource"] if isinstance(each["Resource"], list) else [each["Resource"]])
            if not resource.startswith("<")
        }
        assert [each for each in sorted(wanted) if not allows(bound, *each, {})] == []


@pytest.mark.parametrize("parameters", [{}, {"Boundary": "true", "MayEmptyBucket": "true"}])
def test_each_policy_is_by_iams_grammar_and_fits(parameters: dict[str, str]) -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html."""
    longest = {"Name": "n" * 40, "ExistingBucketName": "b" * 63}
    made = Stack(DEPLOYER, **longest, **parameters).of_type("AWS::IAM::ManagedPolicy")
    assert list(made) == ["Delivery", "Resources", "Front", "FunctionBoundary"]
    for name, each in made.items():
        document = each["PolicyDocument"]
        assert len(json.dumps(document, separators=(",", ":"))) <= POLICY_MAX_CHARS, name
        assert document.keys() == {"Version", "Statement"}
        sids = [statement["Sid"] for statement in document["Statement"]]
        assert len(set(sids)) == len(sids)
        assert all(sid.isalnum() for sid in sids)
        for statement in document["Statement"]:
            assert {"Sid", "Effect", "Action", "Resource"} <= statement.keys()
            assert statement.keys() <= {"Sid", "Effect", "Action", "Resource", "Condition"}
        assert [action for action in sorted(actions(document["Statement"])) if not exists(action)] == []


def test_every_statement_is_documented() -> None:
    named = {name for row in table("docs/deploy.md", "Statement") for name in code_in(row[0])}
    assert named == {each["Sid"] for each in [*deployer(), *deployer(Boundary="true")]}


def test_a_property_that_needs_more_needs_more() -> None:
    plain = of_resource("AWS::Lambda::Function", {"Properties": {"Code": {"ImageUri": "x"}}})
    zipped = of_resource("AWS::Lambda::Function", {"Properties": {"Code": {"S3Bucket": "b"}}})
    assert zipped - plain == {"s3:GetObject", "s3:GetObjectVersion"}


def test_every_action_that_is_left_out_is_one_of_the_schema() -> None:
    for kind, only_for in ONLY_FOR.items():
        optional = set.union(*only_for.values())
        assert optional - of_handlers(kind) == set(), kind


@pytest.mark.parametrize(
    ("script", "needed"),
    [
        ("aws s3api list-object-versions --bucket b", {"s3:ListBucketVersions"}),
        ("aws ecr wait image-scan-complete", {"ecr:DescribeImageScanFindings"}),
        ("x=$(aws sts get-caller-identity)", set()),
        ("# aws lambda delete-function\naws lambda \\\n  update-alias", {"lambda:UpdateAlias"}),
    ],
)
def test_a_command_is_read(script: str, needed: set[str]) -> None:
    assert of_script(script) == needed


@pytest.mark.parametrize("script", ['aws lambda "$@"', "aws $service list", "aws lambda fly", "aws nothing at-all"])
def test_a_command_that_cannot_be_read_is_an_error(script: str) -> None:
    with pytest.raises(AssertionError, match="write service and command"):
        of_script(script)


def test_cfn_lint_finds_nothing() -> None:
    assert lint(ROOT / "infra/deployer.yaml") == ""
