"""What the stack promises, on the template as CloudFormation resolves it."""

import asyncio
import io
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from generate.template import NOT_PARAMETERS, parameter_of
from image_upload.app import create_app
from image_upload.bucket_config import rules
from image_upload.cli import bucket_rules
from image_upload.domain import shipped_purposes
from image_upload.errors import StorageUnavailable, every_problem
from image_upload.settings import every_setting, load, load_section, secret_reference, secret_settings
from image_upload.settings.auth import AuthSettings
from image_upload.settings.usage import RATE_LIMITS_IN_PRODUCTION
from image_upload.telemetry.audit import Audit
from image_upload.telemetry.logs import JsonFormatter
from image_upload.telemetry.requests import Telemetry
from image_upload.web import edge
from image_upload.web.middleware import Problems, RequestLog
from image_upload.web.routing import DeclaredRoute, every_route
from infra import dashboard
from tests.infra.template import IMAGE, TEMPLATE, VERIFIED, Stack

ROOT = Path(__file__).parents[2]
RUNBOOKS = (ROOT / "docs/runbooks.md").read_text(encoding="utf-8")
SECRET = "s" * 64
ORIGINS = "https://app.example.com,http://localhost:3000"
KEY = "arn:aws:kms:eu-north-1:123456789012:key/0f1e"
VPC = {"SubnetIds": "subnet-1,subnet-2", "SecurityGroupIds": "sg-1"}
DOMAIN = {
    "Cdn": "true",
    "CdnDomainName": "cdn.example.com",
    "CdnCertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/0f1e",
}
EDGE = {"EdgeSecretFrom": "ssm:/upload/EDGE_SECRET:3"}
OWN_EDGE = EDGE | {
    "EdgeDomainName": "upload.example.com",
    "EdgeCertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/0f1e",
}
WEB_ACL = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/mine/0f1e"
# What Lambda sets: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "upload",
    "AWS_REGION": "eu-north-1",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "token",
}
ENVIRONMENT_MAX_BYTES = 4096
PURPOSES = shipped_purposes.PURPOSES.every()


def environment_of(stack: Stack) -> dict[str, str]:
    variables: dict[str, str] = stack.resources["Function"]["Properties"]["Environment"]["Variables"]
    return variables


def statements_of(stack: Stack) -> dict[str, dict[str, Any]]:
    """The role's statements by their Sid."""
    (policy,) = stack.resources["Role"]["Properties"]["Policies"]
    statements = policy["PolicyDocument"]["Statement"]
    assert len({each["Sid"] for each in statements}) == len(statements)
    return {each["Sid"]: each for each in statements}


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


# --- settings -------------------------------------------------------------------------------------


def test_every_setting_reaches_the_function_or_is_left_out_for_a_reason() -> None:
    by_hand = {"ENVIRONMENT", "S3_BUCKET_NAME", "TIMEOUT_SECONDS", "CORS_ALLOW_ORIGINS", "SECRETS_FROM"}
    by_hand |= {"VERIFIER", "MALWARE_SCANNER", "QUEUE_URL"}
    assert (
        set(environment_of(Stack()))
        == every_setting().keys() - NOT_PARAMETERS.keys() - set(secret_settings()) | by_hand
    )
    assert all(NOT_PARAMETERS.values())


def test_a_parameter_reaches_the_setting_of_its_name() -> None:
    settings = [name for name in environment_of(Stack()) if parameter_of(name) in TEMPLATE["Parameters"]]
    assert len(settings) >= 10
    for variable in set(settings) - {"ENVIRONMENT", "TIMEOUT_SECONDS", "SECRETS_FROM"}:
        parameter = TEMPLATE["Parameters"][parameter_of(variable)]
        value = parameter.get("AllowedValues", ["", "given"])[1]
        assert environment_of(Stack(**{parameter_of(variable): value}))[variable] == value


def test_the_service_starts_with_nothing_but_a_secret_and_its_own_defaults() -> None:
    given = environment_of(Stack(ExistingBucketName="bucket")) | LAMBDA | {"JWT_SECRET": SECRET}
    plain = {"S3_BUCKET_NAME": "bucket", "SECRETS_FROM": "ssm:/upload/", "JWT_SECRET": SECRET} | LAMBDA
    assert load(given) == load(plain)


def test_the_service_runs_in_production_unless_it_is_told_otherwise() -> None:
    assert environment_of(Stack())["ENVIRONMENT"] == "production"
    assert set(TEMPLATE["Parameters"]["Environment"]["AllowedValues"]) == {
        "production",
        "development",
        "test",
        "local",
    }


def test_lambda_and_the_service_have_the_same_time() -> None:
    stack = Stack(TimeoutSeconds="17")
    assert stack.resources["Function"]["Properties"]["Timeout"] == environment_of(stack)["TIMEOUT_SECONDS"] == "17"


def test_no_secret_is_a_parameter_a_variable_or_an_output_and_the_template_lists_them() -> None:
    assert TEMPLATE["Metadata"]["SecretSettings"] == list(secret_settings())
    assert len(secret_settings()) >= 7
    for name in secret_settings():
        assert parameter_of(name) not in TEMPLATE["Parameters"]
        # The URL of the stack's own queue has no password, as a Redis's would.
        assert name == "QUEUE_URL" or name not in environment_of(Stack(Database="true"))
    hidden = [name for name, each in TEMPLATE["Parameters"].items() if "NoEcho" in each]
    assert hidden == [], "what is no secret hides what a stack is made with"


OWN_PATH = "arn:aws:ssm:eu-north-1:123456789012:parameter/upload/"
OTHER_PATH = "arn:aws:ssm:eu-north-1:123456789012:parameter/upload/production/"
SECRET_ARN = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:upload-AbCdEf"


@pytest.mark.parametrize(
    ("parameters", "reference", "action", "resource"),
    [
        ({}, "ssm:/upload/", "ssm:GetParametersByPath", OWN_PATH),
        ({"SecretsFrom": "ssm:/upload/production/"}, "ssm:/upload/production/", "ssm:GetParametersByPath", OTHER_PATH),
        ({"SecretArn": SECRET_ARN}, f"secretsmanager:{SECRET_ARN}", "secretsmanager:GetSecretValue", SECRET_ARN),
    ],
)
def test_the_function_may_read_the_secrets_that_it_is_led_to_and_no_others(
    parameters: dict[str, str], reference: str, action: str, resource: str
) -> None:
    stack = Stack(**parameters)
    assert environment_of(stack)["SECRETS_FROM"] == reference
    assert secret_reference.parse(reference).name == reference.partition(":")[2]
    statement = statements_of(stack)["Secrets"]
    assert (statement["Effect"], statement["Action"], statement["Resource"]) == ("Allow", action, resource)
    assert "SecretsKey" not in statements_of(stack)
    own_key = statements_of(Stack(**parameters, SecretsKeyArn=KEY))["SecretsKey"]
    assert (own_key["Action"], own_key["Resource"]) == ("kms:Decrypt", KEY)


def test_the_environment_leaves_most_of_its_4_kb_to_the_values() -> None:
    names = environment_of(Stack())
    assert sum(len(name) for name in names) < ENVIRONMENT_MAX_BYTES / 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"ImageUri": IMAGE.partition("@")[0] + ":latest"},
        {"AllowedOrigins": "https://app.example.com/"},
        {"AllowedOrigins": "https://a.example, https://b.example"},
        {"AuthRequired": "yes"},
        {"IaAfterDays": "7"},
        {"TimeoutSeconds": "901"},
        {"KmsKeyArn": "arn:aws:kms:eu-north-1:123456789012:alias/mine"},
        {"ExistingBucketName": "No_Bucket"},
        {"SecretsFrom": "ssm:/upload"},
        {"SecretsFrom": "secretsmanager:upload"},
        {"SecretArn": "upload"},
        {"SecretsKeyArn": "arn:aws:kms:eu-north-1:123456789012:alias/mine"},
        {"Database": "yes"},
        {"Verify": "yes"},
        {"VerifierImageUri": IMAGE.partition("@")[0] + ":latest"},
        {"VerifierConcurrency": "1"},
        {"MalwareScanner": "clamd"},
        {"CdnCertificateArn": "arn:aws:acm:eu-north-1:123456789012:certificate/0f1e"},
        {"EdgeSecretFrom": "ssm:/upload/EDGE_SECRET"},
        {"EdgeSecretFrom": "0123456789abcdef0123456789abcdef"},
        {"EdgeFirewall": WEB_ACL.replace("us-east-1", "eu-north-1")},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_wrong_parameter_is_refused_before_anything_is_made(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"does not match|not an allowed|out of range"):
        Stack(**wrong)


def test_what_belongs_together_is_asked_for_together() -> None:
    assert Stack().broken_rules() == []
    assert Stack(**VPC, **DOMAIN, MonthlyBudgetUsd="20", AlarmEmail="a@example.com").broken_rules() == []
    incomplete = Stack(SubnetIds="subnet-1", CdnDomainName="cdn.example.com", MonthlyBudgetUsd="20")
    assert [text.partition(" ")[0] for text in incomplete.broken_rules()] == [
        "MonthlyBudgetUsd",
        "SubnetIds",
        "CdnDomainName",
    ]


# --- what the function may do ---------------------------------------------------------------------

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
ACTION_OF_CALL = {
    "PutObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "ListParts": "s3:ListMultipartUploadParts",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "HeadObject": "s3:GetObject",
    "GetObject": "s3:GetObject",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject",
    "HeadBucket": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
}


def calls_of_the_code() -> set[str]:
    """The S3 operations that the service itself calls, by the names it gives them; and HeadBucket for its health."""
    sources = "\n".join(path.read_text() for path in (ROOT / "image_upload").rglob("*.py"))
    return {*re.findall(r"""bucket\.call\(\s*"(\w+)",""", sources), "HeadBucket"}


def test_the_role_allows_what_the_code_calls_and_nothing_else() -> None:
    s3 = {
        action
        for each in statements_of(Stack()).values()
        for action in listed(each["Action"])
        if action.startswith("s3:")
    }
    assert len(calls_of_the_code()) >= 8, "the search for calls finds none"
    # What clients do with presigned URLs (PUT, GET and the calls of an upload in parts) needs the same actions.
    # The function that verifies reads tags: test_verifier.py.
    assert s3 == {ACTION_OF_CALL[call] for call in calls_of_the_code() - {"GetObjectTagging"}}


def test_no_right_is_wider_than_aws_makes_it() -> None:
    everything = {**VPC, **VERIFIED, "KmsKeyArn": KEY, "Cdn": "true", "TaskQueue": "true", "Database": "true"}
    for stack in (Stack(), Stack(**everything)):
        for name, statement in statements_of(stack).items():
            if statement["Effect"] == "Allow":
                assert not [action for action in listed(statement["Action"]) if "*" in action], name
                assert ("*" in listed(statement["Resource"])) == (name in {"Tracing", "NetworkInterfaces"}), name


@pytest.mark.parametrize(
    ("auth", "admin", "action"),
    [
        ("rds-iam", "false", "rds-db:connect"),
        ("dsql-iam", "false", "dsql:DbConnect"),
        ("dsql-iam", "true", "dsql:DbConnectAdmin"),
    ],
)
def test_the_role_signs_in_to_one_database_in_one_way(auth: str, admin: str, action: str) -> None:
    arn = "arn:aws:dsql:eu-north-1:123456789012:cluster/foo0bar1"
    stack = Stack(DatabaseAuth=auth, DatabaseArn=arn, DatabaseAdmin=admin)
    statement = statements_of(stack)["Database"]
    assert (listed(statement["Action"]), listed(statement["Resource"])) == ([action], [arn])
    assert "Database" not in statements_of(Stack(DatabaseAuth=auth, DatabaseAdmin=admin))


def test_the_role_reaches_its_own_bucket_only() -> None:
    for stack, name in ((Stack(), "<Bucket>"), (Stack(ExistingBucketName="mine"), "mine")):
        resources = [
            resource
            for each in statements_of(stack).values()
            for action in listed(each["Action"])[:1]
            for resource in listed(each["Resource"])
            if action.startswith("s3:")
        ]
        assert resources
        assert [each for each in resources if not re.match(rf"arn:aws:s3:::{re.escape(name)}(/|$)", each)] == []


def test_the_role_writes_to_its_own_logs_only() -> None:
    assert statements_of(Stack())["Logs"]["Resource"] == "<LogGroup.Arn>"


def test_network_rights_come_with_subnets_and_are_not_for_the_functions_own_code() -> None:
    assert not {"NetworkInterfaces", "NotFromTheFunctionItself"} & statements_of(Stack()).keys()
    stack = Stack(**VPC)
    denied = statements_of(stack)["NotFromTheFunctionItself"]
    assert (denied["Effect"], denied["Action"], denied["Condition"]) == (
        "Deny",
        "ec2:*",
        {"Null": {"lambda:SourceFunctionArn": "false"}},
    )
    assert stack.resources["Function"]["Properties"]["VpcConfig"] == {
        "SubnetIds": ["subnet-1", "subnet-2"],
        "SecurityGroupIds": ["sg-1"],
    }
    assert "VpcConfig" not in Stack().resources["Function"]["Properties"]


def test_the_role_may_use_the_key_of_the_bucket_if_there_is_one() -> None:
    def with_keys(stack: Stack) -> list[list[str]]:
        return [each["Resource"] for each in statements_of(stack).values() if each["Action"][0].startswith("kms:")]

    assert with_keys(Stack()) == []
    assert with_keys(Stack(KmsKeyArn=KEY)) == [[KEY]]


# --- the Function URL -----------------------------------------------------------------------------


def test_a_new_url_has_both_permissions_that_it_needs() -> None:
    permissions = Stack().of_type("AWS::Lambda::Permission").values()
    assert [{**each, "FunctionName": None} for each in permissions] == [
        {
            "FunctionName": None,
            "Action": "lambda:InvokeFunctionUrl",
            "Principal": "*",
            "FunctionUrlAuthType": Stack().resources["Url"]["Properties"]["AuthType"],
        },
        {
            "FunctionName": None,
            "Action": "lambda:InvokeFunction",
            "Principal": "*",
            "InvokedViaFunctionUrl": True,
        },
    ]


def test_what_users_meet_is_a_version_that_was_named_and_before_that_nothing() -> None:
    stack = Stack(LiveVersion="7")
    assert stack.resources["Live"]["Properties"]["FunctionVersion"] == "7"
    assert stack.resources["Url"]["Properties"]["Qualifier"] == stack.resources["Live"]["Properties"]["Name"]
    assert {each["FunctionName"] for each in stack.of_type("AWS::Lambda::Permission").values()} == {"<Live>"}
    unpublished = Stack(LiveVersion="")
    assert not unpublished.resources.keys() & {"Live", "Url", "UrlPermission", "InvokePermission"}
    assert "FunctionUrl" not in unpublished.outputs


def cors_of(app: FastAPI) -> dict[str, Any] | None:
    """How an app answers CORS by itself, None if it does not."""
    own = {getattr(layer.cls, "__name__", ""): dict(layer.kwargs) for layer in app.user_middleware}
    return own.get("Cors")


def test_the_url_answers_cors_as_the_app_would_and_the_app_is_silent() -> None:
    stack = Stack(AllowedOrigins=ORIGINS, ExistingBucketName="bucket")
    elsewhere = {"ENVIRONMENT": "test", "S3_BUCKET_NAME": "bucket", "AWS_REGION": "eu-north-1"}
    own = cors_of(create_app(load(elsewhere | {"CORS_ALLOW_ORIGINS": ORIGINS})))
    assert own
    cors = stack.resources["Url"]["Properties"]["Cors"]
    assert cors["AllowOrigins"] == ORIGINS.split(",")
    assert cors["AllowHeaders"] == own["allow_headers"]

    app = create_app(load(environment_of(stack) | LAMBDA | {"JWT_SECRET": SECRET}))
    assert cors_of(app) is None
    # The app exposes a route's headers in that route's answers alone.
    declared = [route.declared for route in every_route(app.routes) if isinstance(route, DeclaredRoute)]
    of_routes = {name for each in declared for name in each.exposes}
    assert {"Location", "Upload-Offset", "Tus-Resumable"} <= of_routes
    assert set(cors["ExposeHeaders"]) == {*own["expose_headers"], *of_routes}
    documented = {method.upper() for path in app.openapi()["paths"].values() for method in path} - {"OPTIONS"}
    assert documented <= set(cors["AllowMethods"]) <= set(own["allow_methods"])


@pytest.mark.parametrize("origins", ["https://app.example.com/", "https://*.example.com", "https://App.example.com"])
def test_an_origin_that_would_never_match_at_the_url_is_no_parameter(origins: str) -> None:
    with pytest.raises(ValueError, match="does not match"):
        Stack(AllowedOrigins=origins)


def test_further_headers_reach_the_url() -> None:
    cors = Stack(AllowedOrigins=ORIGINS, CorsAllowHeaders="X-Tenant,Accept").resources["Url"]["Properties"]["Cors"]
    assert cors["AllowHeaders"] == ["X-Tenant", "Accept"]


def test_without_origins_there_is_no_cors() -> None:
    stack = Stack()
    assert "Cors" not in stack.resources["Url"]["Properties"]
    assert "CorsConfiguration" not in stack.resources["Bucket"]["Properties"]


def test_the_url_takes_no_method_that_aws_refuses() -> None:
    # AWS takes at most six, of at most six characters each: OPTIONS has seven.
    methods = Stack(AllowedOrigins="*").resources["Url"]["Properties"]["Cors"]["AllowMethods"]
    assert len(methods) <= 6
    assert [method for method in methods if len(method) > 6] == []


# --- the bucket -----------------------------------------------------------------------------------


def test_the_bucket_keeps_strangers_out() -> None:
    bucket = Stack().resources["Bucket"]["Properties"]
    assert bucket["PublicAccessBlockConfiguration"] == rules.public_access_block()
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    (denied,) = (
        each
        for each in Stack().resources["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
        if each["Effect"] == "Deny"
    )
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_bucket_is_encrypted_with_the_key_if_there_is_one() -> None:
    def default(**parameters: str) -> dict[str, Any]:
        (rule,) = Stack(**parameters).resources["Bucket"]["Properties"]["BucketEncryption"][
            "ServerSideEncryptionConfiguration"
        ]
        found: dict[str, Any] = rule["ServerSideEncryptionByDefault"]
        return found

    assert default() == {"SSEAlgorithm": "AES256"}
    assert default(KmsKeyArn=KEY) == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}


def test_files_outlive_the_stack_and_nothing_else_does() -> None:
    kept = {name for name, each in Stack().resources.items() if each.get("DeletionPolicy", "Delete") != "Delete"}
    assert kept == {"Bucket", "BucketPolicy"}
    assert {Stack().resources[name]["UpdateReplacePolicy"] for name in kept} == {"Retain"}


def test_an_existing_bucket_is_used_and_left_alone() -> None:
    stack = Stack(ExistingBucketName="mine", Cdn="true")
    assert not {"Bucket", "BucketPolicy"} & stack.resources.keys()
    assert environment_of(stack)["S3_BUCKET_NAME"] == stack.outputs["BucketName"] == "mine"
    config = stack.resources["Distribution"]["Properties"]["DistributionConfig"]
    assert config["Origins"][0]["DomainName"] == "mine.s3.eu-north-1.amazonaws.com"
    assert "BucketRulesCommand" not in Stack().outputs


def test_the_stack_says_how_an_existing_bucket_gets_its_rules() -> None:
    plain = Stack(ExistingBucketName="mine").outputs["BucketRulesCommand"]
    assert plain == "python -m image_upload bucket-rules --bucket mine"
    options = {"IaAfterDays": "40", "GlacierAfterDays": "90", "Versioning": "true", "KmsKeyArn": KEY, "Cdn": "true"}
    stack = Stack(ExistingBucketName="mine", AllowedOrigins=ORIGINS, Database="true", **options)
    command = stack.outputs["BucketRulesCommand"]
    words = command.replace("<Distribution>", "E1").split()
    assert words[:4] == ["python", "-m", "image_upload", "bucket-rules"]
    # The command takes what the stack says.
    chosen = bucket_rules._parsed(words[4:])
    assert (chosen.bucket, chosen.ia_after_days, chosen.glacier_after_days, chosen.versioning) == ("mine", 40, 90, True)
    assert chosen.events is True
    assert bucket_rules._parsed(plain.split()[4:]).events is False
    assert chosen.distribution_arn == "arn:aws:cloudfront::123456789012:distribution/E1"


def lifecycle_of(**parameters: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = Stack(**parameters).resources["Bucket"]["Properties"]["LifecycleConfiguration"][
        "Rules"
    ]
    return found


def test_every_purpose_ends_when_the_table_says() -> None:
    expiring = {rule["Prefix"]: rule["ExpirationInDays"] for rule in lifecycle_of() if "ExpirationInDays" in rule}
    of_purposes = {each.prefix: each.kept_days for each in PURPOSES if each.kept_days is not None}
    variants = {f"variants/{prefix}": days for prefix, days in of_purposes.items()}
    own = {"incoming/": 1, "rejected/": 1, "quarantine/": 30, "jobs/": 7, "resumable/": 2}
    assert expiring == of_purposes | variants | own


def test_parts_that_were_not_completed_go_after_a_day_wherever_they_are() -> None:
    (rule,) = (rule for rule in lifecycle_of() if "AbortIncompleteMultipartUpload" in rule)
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert "Prefix" not in rule


def test_objects_cool_only_by_parameter_and_only_those_kept_for_ever() -> None:
    assert [rule for rule in lifecycle_of() if "Transitions" in rule] == []
    for wanted, expected in (
        ({"IaAfterDays": "40"}, [("STANDARD_IA", "40")]),
        ({"GlacierAfterDays": "90"}, [("GLACIER_IR", "90")]),
        ({"IaAfterDays": "40", "GlacierAfterDays": "90"}, [("STANDARD_IA", "40"), ("GLACIER_IR", "90")]),
    ):
        cooling = {rule["Prefix"]: rule["Transitions"] for rule in lifecycle_of(**wanted) if "Transitions" in rule}
        assert set(cooling) == {each.prefix for each in PURPOSES if each.cools}
        for transitions in cooling.values():
            assert [(each["StorageClass"], each["TransitionInDays"]) for each in transitions] == expected


def test_a_lifecycle_rule_is_the_one_that_s3_is_told_elsewhere() -> None:
    ids = [rule["Id"] for rule in lifecycle_of(IaAfterDays="40", GlacierAfterDays="90")]
    same = rules.lifecycle_rules(PURPOSES, ia_after_days=40, glacier_after_days=90)
    assert ids == [rule["ID"] for rule in same]


# --- the CDN --------------------------------------------------------------------------------------


def test_there_is_no_cdn_unless_the_parameter_asks() -> None:
    stack = Stack(CdnBaseUrl="https://elsewhere.example.com")
    assert [name for name, each in stack.resources.items() if "CloudFront" in each["Type"]] == []
    assert "cloudfront" not in json.dumps(stack.resources["BucketPolicy"])
    assert environment_of(stack)["CDN_BASE_URL"] == "https://elsewhere.example.com"
    assert "CdnUrl" not in stack.outputs


def test_only_that_distribution_reads_and_only_what_is_public_by_nature() -> None:
    stack = Stack(Cdn="true")
    (allowed,) = (
        each
        for each in stack.resources["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
        if each["Effect"] == "Allow"
    )
    assert allowed["Principal"] == {"Service": "cloudfront.amazonaws.com"}
    assert listed(allowed["Action"]) == ["s3:GetObject"]
    assert allowed["Condition"] == {
        "StringEquals": {"AWS:SourceArn": "arn:aws:cloudfront::123456789012:distribution/<Distribution>"}
    }
    public = [each.prefix for each in PURPOSES if each.cdn]
    assert public
    assert listed(allowed["Resource"]) == [
        f"arn:aws:s3:::<Bucket>/{own}{prefix}*" for prefix in public for own in ("", "variants/")
    ]


def test_the_cdn_speaks_https_and_signs_what_it_asks() -> None:
    config = Stack(Cdn="true").resources["Distribution"]["Properties"]["DistributionConfig"]
    behaviour = config["DefaultCacheBehavior"]
    assert behaviour["ViewerProtocolPolicy"] == "https-only"
    assert behaviour["AllowedMethods"] == ["GET", "HEAD"]
    assert "OriginRequestPolicyId" not in behaviour
    (access,) = Stack(Cdn="true").of_type("AWS::CloudFront::OriginAccessControl").values()
    signing = access["OriginAccessControlConfig"]
    assert (signing["SigningBehavior"], signing["SigningProtocol"]) == ("always", "sigv4")


def test_the_cdn_lets_no_uploaded_page_run_scripts() -> None:
    (policy,) = Stack(Cdn="true").of_type("AWS::CloudFront::ResponseHeadersPolicy").values()
    headers = policy["ResponseHeadersPolicyConfig"]["SecurityHeadersConfig"]
    directives = headers["ContentSecurityPolicy"]["ContentSecurityPolicy"].split("; ")
    assert "sandbox" in directives, "and nothing that it allows again, such as allow-scripts"
    assert "default-src 'none'" in directives
    assert not [each for each in directives if each.startswith("script-src")]
    assert all(header["Override"] is True for header in headers.values())


def test_pages_of_the_front_ends_may_read_from_the_cdn_and_no_others() -> None:
    def of(**parameters: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
        stack = Stack(Cdn="true", **parameters)
        behaviour = stack.resources["Distribution"]["Properties"]["DistributionConfig"]["DefaultCacheBehavior"]
        headers = stack.resources["UserContentHeaders"]["Properties"]["ResponseHeadersPolicyConfig"]
        return behaviour, headers.get("CorsConfig")

    assert of()[1] is None
    behaviour, cors = of(AllowedOrigins=ORIGINS)
    assert cors is not None
    assert cors["AccessControlAllowOrigins"] == {"Items": ORIGINS.split(",")}
    assert cors["AccessControlAllowMethods"] == {"Items": ["GET", "HEAD"]}
    # With credentials a browser takes no * among the headers, and a cached file belongs to no one user.
    assert (cors["AccessControlAllowCredentials"], cors["OriginOverride"]) == (False, True)
    # A preflight is answered by S3, which must see its headers; CloudFront's own name for such a policy.
    assert behaviour["AllowedMethods"] == ["GET", "HEAD", "OPTIONS"]
    assert behaviour["OriginRequestPolicyId"] == "88a5eaf4-2fd4-4709-b370-b4c650ea3fcf"
    wildcard = of(AllowedOrigins="*")[1]
    assert wildcard is not None
    assert wildcard["AccessControlAllowOrigins"] == {"Items": ["*"]}


def test_a_domain_of_ones_own_brings_todays_tls() -> None:
    stack = Stack(**DOMAIN)
    config = stack.resources["Distribution"]["Properties"]["DistributionConfig"]
    assert config["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"
    assert config["Aliases"] == ["cdn.example.com"]
    assert environment_of(stack)["CDN_BASE_URL"] == stack.outputs["CdnUrl"] == "https://cdn.example.com"
    assert environment_of(Stack(Cdn="true"))["CDN_BASE_URL"] == "https://<Distribution.DomainName>"


# --- what watches over it -------------------------------------------------------------------------


def matches(pattern: str, line: str) -> bool:
    """Whether a log line matches a filter pattern, for the part of the language that the template uses.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
    """
    inside = re.fullmatch(r"\{ (.*) \}", pattern)
    assert inside, pattern
    document = json.loads(line)
    for term in inside[1].split(" && "):
        comparison = re.fullmatch(r'\$\.(\w+) (?:= "([^"]*)"|>= (\d+))', term)
        assert comparison, term
        name, text, least = comparison.groups()
        value = document.get(name)
        if text is not None and value != text:
            return False
        if least is not None and not (isinstance(value, int | float) and value >= int(least)):
            return False
    return True


@pytest.mark.parametrize(("what", "counted"), [("bug", True), ("storage", True), ("fine", False), ("wrong", False)])
def test_every_5xx_is_counted_by_its_log_line_and_no_other(what: str, counted: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        if what == "bug":
            raise RuntimeError("status 500 in a text is not a status")
        if what == "storage":
            raise StorageUnavailable("S3 does not answer.")
        await send({"type": "http.response.start", "status": 200 if what == "fine" else 404, "headers": []})
        await send({"type": "http.response.body"})

    async def ignore(*_: Any) -> Any:
        return {"type": "http.request"}

    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel("DEBUG")
    try:
        auditor = Audit(load_section(AuthSettings, {"ENVIRONMENT": "test"}, serving=True), lambda _: "")
        asyncio.run(
            RequestLog(Problems(app), auditor, Telemetry(None, None))(
                {
                    "type": "http",
                    "method": "GET",
                    "path": "/500",
                    "query_string": b"",
                    "headers": [],
                    "app": FastAPI(),
                },
                ignore,
                ignore,
            )
        )
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    (filtered,) = Stack().of_type("AWS::Logs::MetricFilter").values()
    lines = [line for line in written.getvalue().splitlines() if '"image_upload' in line]
    assert lines
    assert sum(matches(filtered["FilterPattern"], line) for line in lines) == int(counted)


def test_the_alarm_looks_at_the_metric_that_the_filter_writes() -> None:
    stack = Stack()
    (transformation,) = stack.resources["ServerErrors"]["Properties"]["MetricTransformations"]
    alarm = stack.resources["ServerErrorsAlarm"]["Properties"]
    assert (alarm["Namespace"], alarm["MetricName"]) == (
        transformation["MetricNamespace"],
        transformation["MetricName"],
    )
    assert "upload" in alarm["Namespace"], "two stacks do not count together"
    assert stack.resources["ServerErrors"]["Properties"]["LogGroupName"] == "<LogGroup>"


def test_slow_is_nine_tenths_of_the_timeout_unless_it_is_set() -> None:
    stack = Stack()
    alarm = stack.resources["SlowAlarm"]["Properties"]
    assert (alarm["MetricName"], alarm["ExtendedStatistic"]) == ("Duration", "p99")
    assert float(alarm["Threshold"]) == float(stack.resources["Function"]["Properties"]["Timeout"]) * 1000 * 0.9
    assert float(Stack(SlowAlarmMs="5000").resources["SlowAlarm"]["Properties"]["Threshold"]) == 5000


def test_every_alarm_says_what_to_do_next() -> None:
    alarms = Stack(**VERIFIED, Database="true", TaskQueue="true").of_type("AWS::CloudWatch::Alarm")
    verbs = re.compile(r"\b(Raise|raise|Read|See|mend)\b")
    assert [name for name, each in alarms.items() if not verbs.search(each["AlarmDescription"])] == []


def test_every_alarm_names_its_runbook_and_each_section_leads_to_the_end() -> None:
    """By the text alone: what is seen, where to look first, what to do, and how to know that it is over."""
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOKS, re.MULTILINE | re.DOTALL))
    alarms = {name: each for name, each in TEMPLATE["Resources"].items() if each["Type"] == "AWS::CloudWatch::Alarm"}
    assert sections.keys() == alarms.keys()
    for name, alarm in alarms.items():
        assert alarm["Properties"]["AlarmDescription"].endswith(f" docs/runbooks.md#{name.lower()}")
        steps = re.findall(r"^\*\*([A-Z][a-z]+(?: [a-z]+)*)\.?\*\*", sections[name], re.MULTILINE)
        assert {"Symptom", "First look", "It is over"} <= set(steps), name
        assert "What to do" in steps or "what to do" in sections[name].lower(), name


def test_what_a_runbook_names_is_there() -> None:
    codes = {each.code for each in every_problem()}
    tables = re.findall(r"^\| (`[a-z-]+`[^|]*) \|", RUNBOOKS, re.MULTILINE)
    assert tables
    told = {code for row in tables for code in re.findall(r"`([a-z-]+)`", row)} - {"code"}
    assert told - codes == set()
    failures = {each.code for each in every_problem() if each.status >= 500}
    assert {each for each in failures - told if not each.endswith("-not-configured")} == set()
    parameters = set(re.findall(r"--set (\w+)=", RUNBOOKS))
    assert parameters - TEMPLATE["Parameters"].keys() == set()
    assert set(re.findall(r"\$\(of (\w+)\)", RUNBOOKS)) - TEMPLATE["Outputs"].keys() == set()
    assert set(re.findall(r"`image-upload-service/([a-z ]+)`", RUNBOOKS)) == set(dashboard.QUERIES)


@pytest.mark.parametrize("options", [{}, VERIFIED, {"Database": "true"}, VERIFIED | {"TaskQueue": "true"}])
def test_the_dashboard_is_json_that_shows_only_what_is_there(options: dict[str, str]) -> None:
    stack = Stack(**options, Dashboard="true")
    (made,) = stack.of_type("AWS::CloudWatch::Dashboard").values()
    widgets = json.loads(made["DashboardBody"])["widgets"]
    titles = " ".join(each["properties"]["title"] for each in widgets)
    for resource, word in (("Arrivals", "Arrivals"), ("Verifications", "Verifications"), ("Tasks", "Tasks")):
        assert (resource in stack.resources) is (word in titles)
    assert {each["properties"]["region"] for each in widgets} == {"eu-north-1"}
    assert len(stack.of_type("AWS::Logs::QueryDefinition")) == len(dashboard.QUERIES)
    assert Stack(**options).of_type("AWS::CloudWatch::Dashboard") == {}
    # What a query asks for is what the log has.
    assert '"logger"' in JsonFormatter().format(logging.makeLogRecord({"name": "image_upload.requests"}))


def test_only_what_users_meet_rings_for_crashes_and_answers() -> None:
    """A version that fails its smoke test is invoked by its number, which no alarm of these counts."""
    stack = Stack()
    (live,) = stack.of_type("AWS::Lambda::Alias").values()
    for name, metric in (("CrashAlarm", "Errors"), ("UrlErrorsAlarm", "Url5xxCount"), ("SlowAlarm", "Duration")):
        alarm = stack.resources[name]["Properties"]
        assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", metric)
        # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html: name:alias
        dimensions = {each["Name"]: each["Value"] for each in alarm["Dimensions"]}
        assert dimensions == {"FunctionName": "<Function>", "Resource": f"<Function>:{live['Name']}"}


def test_the_ceiling_is_watched_where_there_is_one() -> None:
    def used(ceiling: str) -> Any:
        return Stack(ReservedConcurrency=ceiling).resources.get("CeilingAlarm", {}).get("Properties")

    assert TEMPLATE["Parameters"]["ReservedConcurrency"]["Default"] == "100"
    assert Stack().resources["Function"]["Properties"]["ReservedConcurrentExecutions"] == "100"
    assert "ReservedConcurrentExecutions" not in Stack(ReservedConcurrency="-1").resources["Function"]["Properties"]
    assert used("-1") is None
    assert used("0") is None, "a share of nothing"
    alarm = used("40")
    assert (alarm["MetricName"], alarm["Statistic"]) == ("ConcurrentExecutions", "Maximum")
    assert float(alarm["Threshold"]) == 0.8 * float(TEMPLATE["Parameters"]["ReservedConcurrency"]["Default"])


def test_alarms_write_to_a_topic_that_mails_the_address_if_there_is_one_and_can_be_turned_off() -> None:
    def actions(stack: Stack) -> list[Any]:
        return [each.get("AlarmActions") for each in stack.of_type("AWS::CloudWatch::Alarm").values()]

    assert actions(Stack(**VERIFIED, Database="true", TaskQueue="true")) == [["<AlarmTopic>"]] * 12
    assert actions(Stack(AlarmEmail="a@example.com", Database="true")) == [["<AlarmTopic>"]] * 8
    assert actions(Stack()) == [["<AlarmTopic>"]] * 6
    assert Stack(AlarmEmail="a@example.com").resources["AlarmTopic"]["Properties"]["Subscription"] == [
        {"Protocol": "email", "Endpoint": "a@example.com"}
    ]
    assert "Subscription" not in Stack().resources["AlarmTopic"]["Properties"]
    assert actions(Stack(Alarms="false")) == []
    assert Stack(Alarms="false", AlarmEmail="a@example.com").of_type("AWS::SNS::Topic") == {}


def test_the_budget_writes_to_the_address() -> None:
    assert Stack().of_type("AWS::Budgets::Budget") == {}
    (budget,) = Stack(MonthlyBudgetUsd="20", AlarmEmail="a@example.com").of_type("AWS::Budgets::Budget").values()
    assert budget["Budget"]["BudgetLimit"] == {"Amount": "20", "Unit": "USD"}
    assert {each["Subscribers"][0]["Address"] for each in budget["NotificationsWithSubscribers"]} == {"a@example.com"}


# --- the edge -------------------------------------------------------------------------------------


def test_there_is_no_edge_unless_it_is_asked_for_and_there_is_a_url_to_stand_in_front_of() -> None:
    for stack in (Stack(), Stack(**EDGE, LiveVersion="")):
        assert {"Edge", "Firewall"} & stack.resources.keys() == set()
        assert {"EdgeUrl", "EdgeHost"} & stack.outputs.keys() == set()
    # The version that goes live first is made before the edge.
    assert environment_of(Stack(**EDGE, LiveVersion=""))["TRUSTED_EDGE"] == "cloudfront"
    assert environment_of(Stack())["TRUSTED_EDGE"] == ""


def test_the_edge_sends_the_secret_that_the_service_asks_for_and_keeps_nothing() -> None:
    config = Stack(**EDGE).resources["Edge"]["Properties"]["DistributionConfig"]
    (origin,) = config["Origins"]
    assert origin["DomainName"] == "<Url.FunctionUrl>[2]"
    (header,) = origin["OriginCustomHeaders"]
    reference = "{{resolve:ssm:/upload/EDGE_SECRET:3}}"
    assert header == {"HeaderName": edge.HEADER, "HeaderValue": reference}
    assert origin["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"
    behaviour = config["DefaultCacheBehavior"]
    assert set(behaviour["AllowedMethods"]) >= {"GET", "HEAD", "POST", "DELETE", "OPTIONS"}
    assert behaviour["CachePolicyId"] == "4135ea2d-6df8-44a3-9df3-4b5a84be39ad", "CachingDisabled"
    assert behaviour["OriginRequestPolicyId"] == "b689b0a8-53d0-40ab-baf2-68738e2966ac", "AllViewerExceptHostHeader"
    arn = SECRET_ARN + ":SecretString:EDGE_SECRET::0f1e"
    config = Stack(EdgeSecretFrom=f"secretsmanager:{arn}").resources["Edge"]["Properties"]["DistributionConfig"]
    assert config["Origins"][0]["OriginCustomHeaders"][0]["HeaderValue"] == "{{resolve:secretsmanager:" + arn + "}}"


def test_the_edge_has_its_own_name_and_firewall_by_option() -> None:
    def config(**parameters: str) -> dict[str, Any]:
        found: dict[str, Any] = Stack(**parameters).resources["Edge"]["Properties"]["DistributionConfig"]
        return found

    assert {"Aliases", "WebACLId"} & config(**EDGE).keys() == set()
    assert Stack(**EDGE).outputs["EdgeUrl"] == "https://<Edge.DomainName>/"
    assert config(**OWN_EDGE)["Aliases"] == ["upload.example.com"]
    assert config(**OWN_EDGE)["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"
    assert Stack(**OWN_EDGE).outputs["EdgeUrl"] == "https://upload.example.com/"
    assert config(**EDGE, EdgeFirewall=WEB_ACL)["WebACLId"] == WEB_ACL
    assert Stack(**EDGE, EdgeFirewall=WEB_ACL).of_type("AWS::WAFv2::WebACL") == {}
    assert config(**EDGE, EdgeFirewall="managed")["WebACLId"] == "<Firewall.Arn>"
    broken = Stack(EdgeFirewall="managed", EdgeDomainName="upload.example.com").broken_rules()
    assert sorted(each.partition(" ")[0] for each in broken) == ["EdgeDomainName", "EdgeDomainName", "EdgeFirewall"]
    assert Stack(**OWN_EDGE, EdgeFirewall="managed").broken_rules() == []


def test_the_firewall_counts_by_address_and_blocks_no_upload_for_its_bytes() -> None:
    rules_of = Stack(**EDGE, EdgeFirewall="managed").resources["Firewall"]["Properties"]["Rules"]
    assert [each["Priority"] for each in rules_of] == list(range(len(rules_of)))
    rate = rules_of[0]["Statement"]["RateBasedStatement"]
    minute = int(RATE_LIMITS_IN_PRODUCTION["rate_limit_per_address"].partition("/")[0])
    assert (rate["AggregateKeyType"], int(rate["Limit"]) * 60 / rate["EvaluationWindowSec"]) == ("IP", minute)
    (common,) = (each["Statement"]["ManagedRuleGroupStatement"] for each in rules_of if each["Name"] == "common")
    counted = {each["Name"] for each in common["RuleActionOverrides"] if each["ActionToUse"] == {"Count": {}}}
    assert {"SizeRestrictions_BODY", "SizeRestrictions_URIPATH", "SizeRestrictions_QUERYSTRING"} <= counted


# --- the stack as a whole -------------------------------------------------------------------------


def test_names_are_generated_or_the_stacks_own_so_that_two_stacks_never_want_the_same() -> None:
    stack = Stack(**VPC, **DOMAIN, **VERIFIED, AlarmEmail="a@example.com", MonthlyBudgetUsd="20")
    naming = {"FunctionName", "RoleName", "BucketName", "LogGroupName", "AlarmName", "TopicName", "BudgetName", "Name"}
    chosen = {
        (name, value)
        for name, each in stack.resources.items()
        for member, value in each["Properties"].items()
        if member in naming and not str(value).startswith("<")
    }
    assert chosen == {
        ("Function", "upload"),
        ("Live", "live"),
        ("LogGroup", "/aws/lambda/upload"),
        ("Verifier", "upload-verifier"),
        ("VerifierLogGroup", "/aws/lambda/upload-verifier"),
    }
    # CloudFront asks for names, which the whole account shares.
    for name, member in (
        ("OriginAccess", "OriginAccessControlConfig"),
        ("UserContentHeaders", "ResponseHeadersPolicyConfig"),
    ):
        assert stack.resources[name]["Properties"][member]["Name"] == "upload-eu-north-1"


def test_what_costs_money_carries_the_name_of_its_stack() -> None:
    stack = Stack(**VERIFIED, Cdn="true", AlarmEmail="a@example.com", MalwareScanner="guardduty")
    own = ("Function", "Bucket", "LogGroup", "Role", "Distribution", "AlarmTopic")
    for name in (*own, "Verifier", "VerifierLogGroup", "VerifierRole", "MalwarePlan", "MalwareRole"):
        assert stack.resources[name]["Properties"]["Tags"] == [{"Key": "image-upload", "Value": "upload"}], name


def test_the_outputs_are_those_that_the_deployment_reads() -> None:
    assert set(Stack().outputs) == {"FunctionUrl", "FunctionName", "BucketName", "LogGroupName", "Region"}
    assert set(Stack(Cdn="true").outputs) - set(Stack().outputs) == {"CdnUrl", "DistributionArn"}
    assert set(Stack(Database="true").outputs) - set(Stack().outputs) == {"ArrivalsDeadUrl"}
    assert set(Stack(**VERIFIED).outputs) - set(Stack().outputs) == {"VerificationsDeadUrl"}
    assert set(Stack(TaskQueue="true").outputs) - set(Stack().outputs) == {
        "TaskQueueUrl",
        "TasksDeadUrl",
        "ArrivalsDeadUrl",
    }


@pytest.mark.full
def test_every_combination_of_options_refers_only_to_what_it_makes() -> None:
    options: list[dict[str, str]] = [
        *(
            {},
            DOMAIN,
            {"Cdn": "true"},
            EDGE,
            OWN_EDGE | {"EdgeFirewall": "managed"},
            VPC,
            {"KmsKeyArn": KEY},
            {"Alarms": "false"},
        ),
        *(
            {"Database": "true"},
            {"Database": "true", "LiveVersion": ""},
            {"TaskQueue": "true"},
            {"SweepSchedule": "off"},
        ),
        *(VERIFIED, {"Verify": "publish", "LiveVersion": ""}, {**VERIFIED, "MalwareScanner": "guardduty"}),
    ]
    for first in options:
        for second in options:
            for bucket in ("", "mine"):
                stack = Stack(**first | second, ExistingBucketName=bucket)
                assert stack.outputs["BucketName"] == (bucket or "<Bucket>")
                assert ("FunctionUrl" in stack.outputs) is ("LiveVersion" not in first | second)
