"""Which IAM actions a deployment needs: those of the commands in a script, and those of CloudFormation for a template.

CloudFormation acts with the rights of the caller. What it needs for a resource is named by AWS in the resource type's
schema (`handlers`), and which actions there are, by the Service Authorization Reference. cfn-lint ships copies of both.
"""

import json
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Final

import botocore.session
from botocore import xform_name

_REFERENCE: Final = "https://docs.aws.amazon.com/service-authorization/latest/reference/"

# --- what there is --------------------------------------------------------------------------------


@cache
def _known() -> dict[str, Any]:
    # It takes 0.9 s, and every worker of a run imports this module.
    import cfnlint

    data = Path(cfnlint.__file__).parent / "data/AdditionalSpecs/Policies.json"
    known: dict[str, Any] = json.loads(data.read_text(encoding="utf-8"))
    return known


def exists(action: str) -> bool:
    """Whether IAM knows an action such as `s3:GetObject`; it does not mind upper and lower case."""
    service, _, name = action.partition(":")
    return name.lower() in _known().get(service, {}).get("Actions", {})


def has_resources(action: str) -> bool:
    """Whether a policy can limit the action to resources. Where it cannot, IAM asks for `*`."""
    service, _, name = action.partition(":")
    return bool(_known()[service]["Actions"][name.lower()].get("Resources"))


# --- commands of the AWS CLI ----------------------------------------------------------------------

# Service of the CLI → the one of the SDK, where they differ.
_SDK: Final = {"s3api": "s3"}
# Commands of the CLI that call nothing, or that need no right (sts:GetCallerIdentity).
_NO_RIGHT: Final = re.compile(r"configure \w+|sso \w+|sts get-caller-identity")
# Commands that are the CLI's own, by what they call (awscli/customizations).
_OF_THE_CLI: Final = {
    "ecr get-login-password": {"ecr:GetAuthorizationToken"},
    "logs tail": {"logs:FilterLogEvents"},
    "cloudformation deploy": {
        "cloudformation:CreateChangeSet",
        "cloudformation:DescribeChangeSet",
        "cloudformation:DescribeStacks",
        "cloudformation:ExecuteChangeSet",
        "cloudformation:GetTemplateSummary",
        # With --s3-bucket it stores the template, which CloudFormation reads with the rights of the caller.
        "s3:GetObject",
        "s3:PutObject",
    },
    "s3 rb": {"s3:DeleteBucket", "s3:DeleteObject", "s3:ListBucket"},
}
# Operations whose action has another name: https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
# and https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
_OTHER_NAMES: Final = {
    "s3:ListObjectVersions": {"s3:ListBucketVersions"},
    "s3:DeleteObjects": {"s3:DeleteObject", "s3:DeleteObjectVersion"},
    "s3:HeadBucket": {"s3:ListBucket"},
    "lambda:Invoke": {"lambda:InvokeFunction"},
}
# What `docker push` calls: https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html
_PUSH: Final = {
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
}
_PULL: Final = {"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}
_OF_THE_ENGINE: Final = {"push": _PUSH, "pull": _PULL, "run": _PULL}


def of_script(script: str) -> set[str]:
    """The actions that a shell script needs, or one that it tells its reader to run.

    Raises `AssertionError` for a command of the AWS CLI that cannot be read from the text.
    """
    script = _joined(script)
    assert not re.search(r"""\baws\s+(\S+\s+)?["$]""", script), "write service and command of `aws` out"
    actions: set[str] = set()
    for service, wait, command in re.findall(r"""\baws\s+([^\s;|)'"]+)\s+(wait\s+)?([^\s;|)'"]+)""", script):
        actions |= _of_command(service, command, waits=bool(wait))
    for verb in re.findall(r'"\$engine" (\w+)', script):
        actions |= _OF_THE_ENGINE.get(verb, set())
    return actions


def _joined(script: str) -> str:
    """A script without its comments and continued lines."""
    return re.sub(r"^\s*#.*$", "", script, flags=re.MULTILINE).replace("\\\n", " ")


def _of_command(service: str, command: str, *, waits: bool) -> set[str]:
    spoken = f"{service} {command}"
    if _NO_RIGHT.fullmatch(spoken):
        return set()
    if spoken in _OF_THE_CLI:
        return _OF_THE_CLI[spoken]
    operation = _operation(_SDK.get(service, service), command, waits=waits)
    assert operation, f"`aws {spoken}` is no command that can be read here; write service and command out"
    action = f"{_SDK.get(service, service)}:{operation}"
    found = _OTHER_NAMES.get(action, {action})
    assert all(map(exists, found)), f"IAM knows no {action}; see {_REFERENCE} for the action's name"
    return found


@cache
def _operation(service: str, command: str, *, waits: bool) -> str | None:
    """The API operation of a command, or the one that a waiter repeats."""
    session = botocore.session.get_session()
    if service not in session.get_available_services():
        return None
    names: list[str]
    if waits:
        waiters = session.get_waiter_model(service)
        names = [each for each in waiters.waiter_names if xform_name(each, "-") == command]
        return str(waiters.get_waiter(names[0]).operation) if names else None
    names = [each for each in session.get_service_model(service).operation_names if xform_name(each, "-") == command]
    return names[0] if names else None


# --- resources of a template ----------------------------------------------------------------------

# Resource type → property of it → actions that only this property needs.
ONLY_FOR: Final[Mapping[str, Mapping[str, set[str]]]] = {
    "AWS::CloudFront::Distribution": {
        "ConnectionMode": {"cloudfront:CreateConnectionGroup", "cloudfront:GetConnectionGroup"},
        "ContinuousDeploymentPolicyId": {"cloudfront:UpdateDistributionWithStagingConfig"},
        "VpcOriginConfig": {"cloudfront:GetVpcOrigin"},
    },
    "AWS::Events::Rule": {"RoleArn": {"iam:PassRole"}},
    "AWS::IAM::Role": {"ManagedPolicyArns": {"iam:AttachRolePolicy", "iam:DetachRolePolicy"}},
    "AWS::Lambda::Alias": {
        "ProvisionedConcurrencyConfig": {
            "lambda:DeleteProvisionedConcurrencyConfig",
            "lambda:PutProvisionedConcurrencyConfig",
        },
        "CodeDeployLambdaAliasUpdate": {
            "codedeploy:CreateDeployment",
            "codedeploy:GetDeployment",
            "codedeploy:GetDeploymentConfig",
            "codedeploy:GetDeploymentGroup",
            "codedeploy:StopDeployment",
        },
    },
    "AWS::Lambda::EventSourceMapping": {"KmsKeyArn": {"kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"}},
    "AWS::Lambda::Function": {
        "CapacityProviderConfig": {"lambda:PassCapacityProvider"},
        "CodeSigningConfigArn": {
            "lambda:DeleteFunctionCodeSigningConfig",
            "lambda:GetCodeSigningConfig",
            "lambda:PutFunctionCodeSigningConfig",
        },
        "FileSystemConfigs": {"elasticfilesystem:DescribeMountTargets", "s3files:ListMountTargets"},
        "FunctionScalingConfig": {"lambda:PutFunctionScalingConfig"},
        "KmsKeyArn": {
            "kms:CreateGrant",
            "kms:Decrypt",
            "kms:DescribeKey",
            "kms:Encrypt",
            "kms:GenerateDataKey",
        },
        "Layers": {"lambda:GetLayerVersion"},
        "PublishToLatestPublished": {"lambda:PublishVersion"},
        "RecursiveLoop": {"lambda:PutFunctionRecursionConfig"},
        "RuntimeManagementConfig": {"lambda:PutRuntimeManagementConfig"},
        "S3Bucket": {"s3:GetObject", "s3:GetObjectVersion"},
    },
    "AWS::Logs::LogGroup": {
        "BearerTokenAuthenticationEnabled": {"logs:PutBearerTokenAuthentication"},
        "DataProtectionPolicy": {"logs:DeleteDataProtectionPolicy", "logs:PutDataProtectionPolicy"},
        "DeletionProtectionEnabled": {"logs:PutLogGroupDeletionProtection"},
        "FieldIndexPolicies": {"logs:DeleteIndexPolicy", "logs:PutIndexPolicy"},
        "KmsKeyId": {"logs:AssociateKmsKey", "logs:DisassociateKmsKey"},
        # A group of the class DELIVERY.
        "LogGroupClass": {"firehose:TagDeliveryStream", "logs:CreateLogDelivery"},
        "ResourcePolicyDocument": {
            "logs:DeleteResourcePolicy",
            "logs:DescribeResourcePolicies",
            "logs:PutResourcePolicy",
        },
    },
    "AWS::S3::Bucket": {
        "AbacStatus": {"s3:PutBucketAbac"},
        "AccelerateConfiguration": {"s3:PutAccelerateConfiguration"},
        "AccessControl": {"s3:GetBucketAcl", "s3:PutBucketAcl", "s3:PutObjectAcl"},
        "AnalyticsConfigurations": {"s3:PutAnalyticsConfiguration"},
        "IntelligentTieringConfigurations": {"s3:PutIntelligentTieringConfiguration"},
        "InventoryConfigurations": {"s3:PutInventoryConfiguration"},
        "LoggingConfiguration": {"s3:PutBucketLogging"},
        "MetadataConfiguration": {
            "s3:UpdateBucketMetadataAnnotationTableConfiguration",
            "s3:UpdateBucketMetadataInventoryTableConfiguration",
            "s3:UpdateBucketMetadataJournalTableConfiguration",
        },
        "MetadataTableConfiguration": {
            "s3:CreateBucketMetadataTableConfiguration",
            "s3:DeleteBucketMetadataTableConfiguration",
            "s3:GetBucketMetadataTableConfiguration",
            "s3tables:CreateNamespace",
            "s3tables:CreateTable",
            "s3tables:CreateTableBucket",
            "s3tables:GetTable",
            "s3tables:GetTableMetadataLocation",
            "s3tables:PutTableBucketPolicy",
            "s3tables:PutTableEncryption",
            "s3tables:PutTablePolicy",
            "s3tables:UpdateTableMetadataLocation",
        },
        "MetricsConfigurations": {"s3:PutMetricsConfiguration"},
        "ObjectLockConfiguration": {"s3:PutBucketObjectLockConfiguration"},
        "ReplicationConfiguration": {"iam:PassRole", "s3:DeleteObject", "s3:PutReplicationConfiguration"},
        "WebsiteConfiguration": {"s3:DeleteBucketWebsite", "s3:PutBucketWebsite"},
    },
    "AWS::SNS::Topic": {
        "DataProtectionPolicy": {"sns:PutDataProtectionPolicy"},
        "DeliveryStatusLogging": {"iam:GetRole", "iam:PassRole"},
    },
}


def of_handlers(kind: str) -> set[str]:
    """What CloudFormation needs to make, read, change and delete a resource of a type, for all of its properties.

    The schemas also name operations of APIs that are no actions (`s3:DeleteBucketCors`), which no policy can grant.
    """
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema["handlers"]
    needed = {name: handler.get("permissions", ()) for name, handler in handlers.items() if name != "list"}
    return {action for actions in needed.values() for action in actions if exists(action)}


def of_resource(kind: str, resource: Any) -> set[str]:
    """What CloudFormation needs for a resource with the properties that it has."""
    unused = ONLY_FOR.get(kind, {}).keys() - set(_keys(resource))
    return of_handlers(kind) - {action for name in unused for action in ONLY_FOR[kind][name]}


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from value
    if isinstance(value, Mapping | list):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _keys(each)


# --- what a policy allows -------------------------------------------------------------------------


def allows(statements: list[dict[str, Any]], action: str, resource: str, context: Mapping[str, str]) -> bool:
    """Whether a statement allows an action on a resource. Denials are not looked at: these policies have none.

    Of IAM's grammar it knows what the policies use; anything else is an error.
    """
    return any(
        _matches(action.lower(), _listed(each["Action"], lower=True))
        and _matches(resource, _listed(each["Resource"]))
        and all(_holds(operator, wanted, context) for operator, wanted in each.get("Condition", {}).items())
        for each in statements
    )


def _listed(value: str | list[str], *, lower: bool = False) -> list[str]:
    values = [value] if isinstance(value, str) else value
    return [each.lower() for each in values] if lower else values


def _matches(text: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def _holds(operator: str, wanted: Mapping[str, Any], context: Mapping[str, str]) -> bool:
    assert operator in ("StringEquals", "ArnLike"), operator
    return all(
        key in context
        and (_matches(context[key], _listed(value)) if operator == "ArnLike" else context[key] in _listed(value))
        for key, value in wanted.items()
    )
