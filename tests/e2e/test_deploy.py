"""The README's deployment chapter word by word, against an emulated AWS, with the real AWS CLI. One story, in order.

What the emulator cannot show is in docs/unverified.md.
"""

import json
import re
import ssl
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.world import ROOT, World

pytestmark = pytest.mark.needs("namespaces", "image")

NAME = "image-upload-service"
ORIGIN = "https://app.example.com"
PICTURE = (ROOT / "examples/photo.jpg").read_bytes()


def chapter() -> list[str]:
    """The shell blocks of "Deploy to AWS"."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^## Deploy to AWS\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert found
    return re.findall(r"^```sh\n(.*?)^```", found[1], re.MULTILINE | re.DOTALL)


DRY_RUN, DEPLOY, UPLOAD, AGAIN, DESTROY = chapter()


def shell(aws: World, block: str, *, fails: bool = False) -> str:
    return aws.run("bash", "-euo", "pipefail", "-c", block, fails=fails)


def ask(aws: World, *command: str) -> Any:
    """The answer of the AWS CLI."""
    return json.loads(aws.run("aws", *command, "--output", "json"))


def output(aws: World, key: str) -> str:
    (stack,) = ask(aws, "cloudformation", "describe-stacks", "--stack-name", NAME)["Stacks"]
    (value,) = (each["OutputValue"] for each in stack["Outputs"] if each["OutputKey"] == key)
    assert isinstance(value, str)
    return value


def function(aws: World) -> dict[str, Any]:
    """What a deployment decides of the function, without what changes by itself."""
    found = ask(aws, "lambda", "get-function", "--function-name", NAME)
    kept = ("Environment", "MemorySize", "Timeout", "Architectures", "Role", "PackageType")
    return {"image": found["Code"]["ImageUri"], **{name: found["Configuration"][name] for name in kept}}


@pytest.fixture(scope="session")
def web(aws: World) -> Iterator[httpx.Client]:
    with httpx.Client(
        trust_env=False, verify=ssl.create_default_context(cafile=aws.environ["SSL_CERT_FILE"]), timeout=60
    ) as client:
        yield client


def test_a_dry_run_says_what_would_be_made_and_makes_nothing(aws: World) -> None:
    said = shell(aws, DRY_RUN)
    assert "stack   will be created" in said
    assert "Nothing was changed" in said
    assert ask(aws, "cloudformation", "list-stacks")["StackSummaries"] == []
    assert ask(aws, "ecr", "describe-repositories")["repositories"] == []


def test_the_first_run_makes_everything_and_proves_it(aws: World) -> None:
    said = shell(aws, DEPLOY)
    assert re.search(r"^(\d+) of \1 steps passed\.$", said, re.MULTILINE)
    assert f"NEXT_PUBLIC_UPLOAD_SERVICE_URL={output(aws, 'FunctionUrl').rstrip('/')}\n" in said
    deployed = function(aws)
    assert re.fullmatch(
        rf"\d{{12}}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com/{NAME}@sha256:[0-9a-f]{{64}}", deployed["image"]
    )
    assert (deployed["MemorySize"], deployed["Timeout"]) == (1024, 300)
    secret = deployed["Environment"]["Variables"]["JWT_SECRET"]
    assert re.fullmatch(r"[0-9a-f]{64}", secret)
    assert secret not in said
    (repository,) = ask(aws, "ecr", "describe-repositories")["repositories"]
    assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
    policy = json.loads(ask(aws, "ecr", "get-lifecycle-policy", "--repository-name", NAME)["lifecyclePolicyText"])
    assert policy["rules"][0]["selection"]["countNumber"] == 10


def test_the_bucket_is_closed_and_has_its_rules(aws: World) -> None:
    bucket = output(aws, "BucketName")
    block = ask(aws, "s3api", "get-public-access-block", "--bucket", bucket)["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True}
    (rule,) = ask(aws, "s3api", "get-bucket-cors", "--bucket", bucket)["CORSRules"]
    assert rule["AllowedOrigins"] == [ORIGIN]
    assert "ETag" in rule["ExposeHeaders"]


def test_curl_stores_a_picture_through_the_function_url(aws: World) -> None:
    assert "stored: 200" in shell(aws, UPLOAD)
    bucket = output(aws, "BucketName")
    newest = max(
        ask(aws, "s3api", "list-objects-v2", "--bucket", bucket)["Contents"], key=lambda each: each["LastModified"]
    )
    aws.run("aws", "s3", "cp", f"s3://{bucket}/{newest['Key']}", "back.jpg")
    assert (aws.project / "back.jpg").read_bytes() == PICTURE


def test_the_function_url_alone_answers_cors(aws: World, web: httpx.Client) -> None:
    url = output(aws, "FunctionUrl")
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    preflight = web.options(f"{url}uploads", headers=asked | {"Access-Control-Request-Headers": "content-type"})
    assert preflight.headers.get_list("access-control-allow-origin") == [ORIGIN]
    assert web.get(url, headers={"Origin": ORIGIN}).headers.get_list("access-control-allow-origin") == [ORIGIN]
    foreign = web.get(url, headers={"Origin": "https://evil.example"})
    assert foreign.headers.get_list("access-control-allow-origin") == []


def test_nobody_mints_without_a_token(aws: World, web: httpx.Client) -> None:
    wish = {"filename": "photo.jpg", "contentType": "image/jpeg", "size": 1}
    refused = web.post(f"{output(aws, 'FunctionUrl')}uploads", json=wish)
    assert (refused.status_code, refused.json()["code"]) == (401, "token-missing")


def test_a_second_run_changes_nothing(aws: World) -> None:
    before = function(aws)
    said = shell(aws, AGAIN)
    assert "already in the registry" in said
    assert "no changes" in said
    assert function(aws) == before


def test_a_deployment_that_does_not_work_is_taken_back_with_its_secret(aws: World) -> None:
    before = function(aws)
    # Too short for production: the function refuses to start.
    (aws.project / "bad.env").write_text("JWT_SECRET=short\nLOG_LEVEL=ERROR\n", encoding="utf-8")
    said = shell(aws, "./deploy.sh --yes --env-file bad.env", fails=True)
    assert "The smoke test failed" in said
    assert "taken back to what it was" in said
    assert before["Environment"]["Variables"]["JWT_SECRET"] not in said
    assert function(aws) == before


def test_a_setting_is_changed_and_stays(aws: World) -> None:
    assert "modify" in shell(aws, "./deploy.sh --yes --set UploadUrlExpiresSeconds=120")
    assert function(aws)["Environment"]["Variables"]["UPLOAD_URL_EXPIRES_SECONDS"] == "120"
    shell(aws, "./deploy.sh --yes --set LogLevel=WARNING")
    variables = function(aws)["Environment"]["Variables"]
    assert (variables["UPLOAD_URL_EXPIRES_SECONDS"], variables["LOG_LEVEL"]) == ("120", "WARNING")


def test_a_dry_run_shows_what_would_change_and_changes_nothing(aws: World) -> None:
    before = function(aws)
    said = shell(aws, "./deploy.sh --dry-run --set LogLevel=DEBUG")
    assert re.search(r"^  modify +AWS::Lambda::Function", said, re.MULTILINE)
    assert "no changes" not in said
    assert function(aws) == before


def test_a_first_deployment_that_does_not_work_leaves_nothing(aws: World) -> None:
    buckets = ask(aws, "s3api", "list-buckets")["Buckets"]
    said = shell(aws, "./deploy.sh --yes --name second --env-file bad.env", fails=True)
    assert "The first deployment was taken back" in said
    assert [each["Name"] for each in ask(aws, "s3api", "list-buckets")["Buckets"]] == [each["Name"] for each in buckets]
    assert [each["FunctionName"] for each in ask(aws, "lambda", "list-functions")["Functions"]] == [NAME]


def test_destroy_keeps_the_bucket_and_what_is_in_it(aws: World) -> None:
    bucket = output(aws, "BucketName")
    held = len(ask(aws, "s3api", "list-objects-v2", "--bucket", bucket)["Contents"])
    assert f"--bucket {bucket}" in shell(aws, DESTROY)
    assert len(ask(aws, "s3api", "list-objects-v2", "--bucket", bucket)["Contents"]) == held
    assert ask(aws, "lambda", "list-functions")["Functions"] == []
    assert NAME not in {each["repositoryName"] for each in ask(aws, "ecr", "describe-repositories")["repositories"]}


def test_a_kept_bucket_is_used_again_and_deleted_when_asked_for(aws: World) -> None:
    (bucket,) = (each["Name"] for each in ask(aws, "s3api", "list-buckets")["Buckets"])
    said = shell(aws, f"./deploy.sh --yes --bucket {bucket}")
    assert output(aws, "BucketName") == bucket
    assert "bucket-rules" in said
    shell(aws, "./deploy.sh --yes --destroy --delete-bucket")
    assert ask(aws, "s3api", "list-buckets")["Buckets"] == []
