"""Run the shell blocks of README.md and docs/deploy.md, in order, against an emulated AWS with the real AWS CLI.

What the emulator cannot show is in docs/unverified.md.
"""

import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import boto3
import httpx
import jwt
import pytest
from botocore.config import Config
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from image_upload.web import edge
from tests.e2e.world import ROOT, World
from tests.infra.template import parse
from tests.test_purposes import OWN

pytestmark = pytest.mark.needs("namespaces", "image")

NAME = "image-upload-service"
ORIGIN = "https://app.example.com"
SCRIPT = b"<script>alert('uploaded')</script>"
PICTURE = (ROOT / "examples/photo.jpg").read_bytes()


def blocks(document: str) -> list[str]:
    """The shell blocks of a document, in order."""
    return re.findall(r"^```sh\n(.*?)^```", (ROOT / document).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


DRY_RUN, DEPLOY = blocks("README.md")
UPLOAD, AGAIN, DESTROY = blocks("docs/deploy.md")


def shell(aws: World, block: str, *, fails: bool = False) -> str:
    return aws.run("bash", "-euo", "pipefail", "-c", block, fails=fails)


def cloud(aws: World, service: str) -> Any:
    """A client of AWS's SDK, in this process: the CLI takes half a second for each question."""
    return boto3.client(
        service,
        # It else presigns for S3's host of all regions.
        config=Config(signature_version="s3v4", s3={"addressing_style": "virtual"}) if service == "s3" else None,
        region_name=aws.environ["AWS_REGION"],
        aws_access_key_id=aws.environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws.environ["AWS_SECRET_ACCESS_KEY"],
        verify=aws.environ["AWS_CA_BUNDLE"],
    )


def output(aws: World, key: str) -> str:
    (stack,) = cloud(aws, "cloudformation").describe_stacks(StackName=NAME)["Stacks"]
    (value,) = (each["OutputValue"] for each in stack["Outputs"] if each["OutputKey"] == key)
    assert isinstance(value, str)
    return value


def functions(aws: World) -> list[str]:
    return sorted(each["FunctionName"] for each in cloud(aws, "lambda").list_functions()["Functions"])


def objects(aws: World) -> list[dict[str, Any]]:
    contents: list[dict[str, Any]] = cloud(aws, "s3").list_objects_v2(Bucket=output(aws, "BucketName"))["Contents"]
    return contents


def buckets(aws: World) -> list[str]:
    return [each["Name"] for each in cloud(aws, "s3").list_buckets()["Buckets"]]


def repositories(aws: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cloud(aws, "ecr").describe_repositories()["repositories"]
    return found


def secrets_of(aws: World, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cloud(aws, "ssm").get_parameters_by_path(Path=f"/{name}/")["Parameters"]
    return found


def live(aws: World) -> dict[str, Any]:
    """What users meet: the alias, and what a deployment decides of its version."""
    alias = cloud(aws, "lambda").get_alias(FunctionName=NAME, Name="live")
    found = cloud(aws, "lambda").get_function(FunctionName=NAME, Qualifier="live")
    kept = ("Environment", "MemorySize", "Timeout", "Architectures", "Role", "PackageType")
    return {
        "version": alias["FunctionVersion"],
        "weights": alias.get("RoutingConfig"),
        "image": found["Code"]["ImageUri"],
        **{name: found["Configuration"][name] for name in kept},
    }


def secret(aws: World, setting: str) -> str:
    found = cloud(aws, "ssm").get_parameter(Name=f"/{NAME}/{setting}", WithDecryption=True)
    value: str = found["Parameter"]["Value"]
    return value


def store(aws: World, setting: str, value: str) -> None:
    """Rotate a secret, as docs/deploy.md does with the CLI."""
    cloud(aws, "ssm").put_parameter(Name=f"/{NAME}/{setting}", Value=value, Type="SecureString", Overwrite=True)


def minted(web: httpx.Client, url: str, key: str) -> httpx.Response:
    """A plan for an upload, asked for with a token under this secret."""
    token = jwt.encode({"sub": "user-1", "exp": int(time.time()) + 600}, key, algorithm="HS256")
    return web.post(
        f"{url}uploads",
        json={"filename": "photo.jpg", "contentType": "image/jpeg", "size": 1},
        headers={"Authorization": f"Bearer {token}"},
    )


def within(seconds: float, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.5)


@contextmanager
def asking(web: httpx.Client, url: str, key: str) -> Iterator[list[tuple[int, int | None]]]:
    """A client that mints ten times a second: the status and `expiresIn` of every answer."""
    answers: list[tuple[int, int | None]] = []
    over = threading.Event()

    def ask_on() -> None:
        while not over.wait(0.1):
            answer = minted(web, url, key)
            answers.append((answer.status_code, answer.json().get("expiresIn")))

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask_on)
        try:
            yield answers
        finally:
            over.set()
            running.result()


def public_key() -> dict[str, Any]:
    """A key of an identity provider, as a JSON Web Key."""
    key = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True)
    return {**key, "kid": "1", "use": "sig", "alg": "ES256"}


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
    assert cloud(aws, "cloudformation").list_stacks()["StackSummaries"] == []
    assert repositories(aws) == []


def test_the_first_run_makes_everything_and_proves_it(aws: World) -> None:
    said = shell(aws, DEPLOY)
    assert re.search(r"^(\d+) of \1 steps passed\.$", said, re.MULTILINE)
    assert f"NEXT_PUBLIC_UPLOAD_SERVICE_URL={output(aws, 'FunctionUrl').rstrip('/')}\n" in said
    deployed = live(aws)
    assert re.fullmatch(
        rf"\d{{12}}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com/{NAME}@sha256:[0-9a-f]{{64}}", deployed["image"]
    )
    assert (deployed["MemorySize"], deployed["Timeout"]) == (1024, 300)
    assert (deployed["version"], deployed["weights"]) == ("1", None)
    key = secret(aws, "JWT_SECRET")
    assert re.fullmatch(r"[0-9a-f]{64}", key)
    assert key not in said
    assert key not in json.dumps(cloud(aws, "lambda").get_function(FunctionName=NAME), default=str)
    (repository,) = repositories(aws)
    assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
    assert "live" in tags_of(aws, deployed["image"])


def tags_of(aws: World, image: str) -> list[str]:
    """The tags of an image in the registry."""
    digest = image.partition("@")[2]
    (found,) = cloud(aws, "ecr").describe_images(repositoryName=NAME, imageIds=[{"imageDigest": digest}])[
        "imageDetails"
    ]
    tags: list[str] = found["imageTags"]
    return tags


def test_the_bucket_is_closed_and_has_its_rules(aws: World) -> None:
    bucket = output(aws, "BucketName")
    block = cloud(aws, "s3").get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True}
    (rule,) = cloud(aws, "s3").get_bucket_cors(Bucket=bucket)["CORSRules"]
    assert rule["AllowedOrigins"] == [ORIGIN]
    assert "ETag" in rule["ExposeHeaders"]


def test_curl_stores_a_picture_through_the_function_url(aws: World) -> None:
    assert "stored: 200" in shell(aws, UPLOAD)
    # By the other function, whose first environment has to start.
    within(120, lambda: any(each["Key"].startswith("uploads/") for each in objects(aws)))
    newest = max(objects(aws), key=lambda each: each["LastModified"])
    stored = cloud(aws, "s3").get_object(Bucket=output(aws, "BucketName"), Key=newest["Key"])["Body"].read()
    assert stored == PICTURE


def test_the_second_function_publishes_a_picture_and_rejects_a_script_that_calls_itself_one(
    aws: World, web: httpx.Client
) -> None:
    url, bucket = output(aws, "FunctionUrl"), output(aws, "BucketName")
    token = jwt.encode({"sub": "user-1", "exp": int(time.time()) + 600}, secret(aws, "JWT_SECRET"), algorithm="HS256")
    known = {"Authorization": f"Bearer {token}"}
    assert live(aws)["Environment"]["Variables"]["VERIFIER"] == "function"

    def put(filename: str, content_type: str, content: bytes) -> str:
        spec = {"filename": filename, "contentType": content_type, "size": len(content)}
        plan = web.post(f"{url}uploads", json=spec, headers=known).json()
        assert web.put(plan["presignedUrl"], content=content, headers=plan["headers"]).status_code == 200
        key: str = plan["objectKey"]
        return key

    def verified(key: str) -> httpx.Response:
        """What a client that waits is told, once it is not `checking` any more."""
        deadline = time.monotonic() + 120
        while (answer := web.post(f"{url}images/{key}/complete?wait=20", headers=known)).status_code == 202:
            assert time.monotonic() < deadline, answer.text
        return answer

    good, bad = put("photo.jpg", "image/jpeg", PICTURE), put("photo.png", "image/png", SCRIPT)
    stored = verified(good)
    assert (stored.status_code, stored.json()["state"]) == (200, "stored"), stored.text
    assert cloud(aws, "s3").get_object(Bucket=bucket, Key=good)["Body"].read() == PICTURE
    refused = verified(bad)
    assert (refused.status_code, refused.json()["fault"]) == (409, "disguised"), refused.text
    keys = [each["Key"] for each in objects(aws)]
    assert bad not in keys
    assert f"rejected/{bad}" in keys
    assert not [key for key in keys if key.startswith("incoming/")]


def test_a_file_is_imported_from_a_url_by_the_function_itself_and_published_by_the_second(
    aws: World, web: httpx.Client
) -> None:
    """`wait` 0 makes it a job, for which the function invokes itself."""
    url, bucket = output(aws, "FunctionUrl"), output(aws, "BucketName")
    token = jwt.encode({"sub": "user-1", "exp": int(time.time()) + 600}, secret(aws, "JWT_SECRET"), algorithm="HS256")
    known = {"Authorization": f"Bearer {token}"}
    s3 = cloud(aws, "s3")
    s3.put_object(Bucket=bucket, Key="elsewhere/photo.jpg", Body=PICTURE, ContentType="image/jpeg")
    source = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "elsewhere/photo.jpg"})
    asked = {"url": source, "purpose": "upload", "wait": 0}
    begun = web.post(f"{url}uploads/from-url", json=asked, headers=known)
    assert begun.status_code == 202, begun.text

    def job() -> dict[str, Any]:
        found: dict[str, Any] = web.get(f"{url}jobs/{begun.json()['job_id']}", headers=known).json()
        return found

    within(120, lambda: job()["state"] in ("done", "failed"))
    assert job()["error"] is None
    key = job()["result"]["objectKey"]
    within(120, lambda: key in [each["Key"] for each in objects(aws)])
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == PICTURE
    assert key.startswith("uploads/")


def test_the_function_url_alone_answers_cors(aws: World, web: httpx.Client) -> None:
    url = output(aws, "FunctionUrl")
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    preflight = web.options(f"{url}uploads", headers=asked | {"Access-Control-Request-Headers": "content-type"})
    assert preflight.headers.get_list("access-control-allow-origin") == [ORIGIN]
    assert web.get(url, headers={"Origin": ORIGIN}).headers.get_list("access-control-allow-origin") == [ORIGIN]
    foreign = web.get(url, headers={"Origin": "https://evil.example"})
    assert foreign.headers.get_list("access-control-allow-origin") == []


def test_minting_without_a_token_is_refused(aws: World, web: httpx.Client) -> None:
    spec = {"filename": "photo.jpg", "contentType": "image/jpeg", "size": 1}
    refused = web.post(f"{output(aws, 'FunctionUrl')}uploads", json=spec)
    assert (refused.status_code, refused.json()["code"]) == (401, "token-missing")


def test_a_second_run_changes_nothing(aws: World) -> None:
    before = live(aws)
    said = shell(aws, AGAIN)
    assert "already in the registry" in said
    assert said.count("no changes") == 2, "neither the stack nor the live version"
    assert live(aws) == before


def test_an_image_in_the_registry_is_deployed_without_a_container_engine(aws: World) -> None:
    before = live(aws)
    said = shell(aws, "CONTAINER_ENGINE=no-such-engine ./deploy.sh --yes --set UPLOAD_URL_EXPIRES_SECONDS=120")
    assert "modify" in said
    after = live(aws)
    assert after["Environment"]["Variables"]["UPLOAD_URL_EXPIRES_SECONDS"] == "120"
    assert (before["version"], after["version"]) == ("1", "2")


def test_a_version_that_does_not_work_is_never_seen_by_a_client_that_asks_all_the_time(
    aws: World, web: httpx.Client
) -> None:
    before = live(aws)
    with asking(web, output(aws, "FunctionUrl"), secret(aws, "JWT_SECRET")) as answers:
        # The new version would say 60, and does not start for another setting.
        said = shell(
            aws, "./deploy.sh --yes --set UPLOAD_URL_EXPIRES_SECONDS=60 --set RATE_LIMIT_PER_USER=nonsense", fails=True
        )
        seen = len(answers)
        assert "RATE_LIMIT_PER_USER" in said
        assert "did not pass and is not live; users still meet version" in said
        # Mended, it replaces the old version at once and for good.
        shell(aws, "./deploy.sh --yes --set RATE_LIMIT_PER_USER=")
        within(30, lambda: answers[-1] == (200, 60))
    assert seen > 20, "the client did ask meanwhile"
    assert set(answers[:seen]) == {(200, 120)}
    assert set(answers) == {(200, 120), (200, 60)}
    assert answers == sorted(answers, key=lambda answer: answer != (200, 120)), "never back and forth"
    assert int(live(aws)["version"]) == int(before["version"]) + 2


def test_the_way_back_makes_the_version_before_live_and_keeps_both_images(aws: World) -> None:
    now = live(aws)
    shell(aws, "./deploy.sh --yes --live 2")
    back = live(aws)
    assert (back["version"], back["Environment"]["Variables"]["UPLOAD_URL_EXPIRES_SECONDS"]) == ("2", "120")
    assert "live" in tags_of(aws, back["image"])
    assert "previous" in tags_of(aws, now["image"])


def test_an_alarm_during_a_canary_takes_the_new_version_back(aws: World) -> None:
    before = live(aws)
    watched = cloud(aws, "cloudwatch")
    names = [each["AlarmName"] for each in watched.describe_alarms()["MetricAlarms"]]
    alarm = next(name for name in names if "CrashAlarm" in name)

    def ring(state: str) -> None:
        watched.set_alarm_state(AlarmName=alarm, StateValue=state, StateReason="test")

    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(shell, aws, "./deploy.sh --yes --canary 20:5 --set LogLevel=ERROR", fails=True)
        within(300, lambda: live(aws)["weights"] is not None or run.done())
        weights = live(aws)["weights"]
        ring("ALARM")
        said = run.result()
    ring("OK")
    (share,) = weights["AdditionalVersionWeights"].values()
    assert share == 0.2
    assert f"An alarm rings ({alarm})" in said
    assert live(aws) == before


def test_a_canary_without_an_alarm_becomes_the_live_version(aws: World) -> None:
    before = live(aws)
    said = shell(aws, "./deploy.sh --yes --canary 20:1 --set LogLevel=ERROR --set SECRETS_REFRESH_SECONDS=30")
    after = live(aws)
    assert "no alarm" in said
    assert (after["weights"], after["Environment"]["Variables"]["LOG_LEVEL"]) == (None, "ERROR")
    assert int(after["version"]) > int(before["version"])


def test_a_secret_is_rotated_without_a_deployment(aws: World, web: httpx.Client) -> None:
    url, version = output(aws, "FunctionUrl"), live(aws)["version"]
    old, new = secret(aws, "JWT_SECRET"), "n" * 64
    assert minted(web, url, new).status_code == 401
    store(aws, "JWT_PREVIOUS_SECRET", old)
    store(aws, "JWT_SECRET", new)
    within(60, lambda: minted(web, url, new).status_code == 200)
    assert minted(web, url, old).status_code == 200, "who is signed in stays signed in"
    assert live(aws)["version"] == version


def test_the_origin_secret_refuses_the_bare_url_and_rotates_without_a_deployment(aws: World, web: httpx.Client) -> None:
    """The edge is played here; tests/infra/test_edge_emulated.py has the emulated CloudFront before the service."""
    url, version, old, new = output(aws, "FunctionUrl"), live(aws)["version"], "o" * 64, "n" * 64
    ssm = cloud(aws, "ssm")

    def status(*secret: str) -> int:
        return web.get(f"{url}errors", headers=[(edge.HEADER, each) for each in secret]).status_code

    def put(setting: str, value: str) -> None:
        ssm.put_parameter(Name=f"/{NAME}/{setting}", Value=value, Type="String", Overwrite=True)

    assert status() == 200
    put("EDGE_SECRET", old)
    within(60, lambda: status() == 403)
    assert (status(old), status(new)) == (200, 403)
    put("EDGE_PREVIOUS_SECRET", old)
    put("EDGE_SECRET", new)
    within(60, lambda: status(new) == 200)
    assert (status(), status(old)) == (403, 200)
    ssm.delete_parameter(Name=f"/{NAME}/EDGE_PREVIOUS_SECRET")
    within(60, lambda: status(old) == 403)
    assert (status(), status(new)) == (403, 200)
    ssm.delete_parameter(Name=f"/{NAME}/EDGE_SECRET")
    within(60, lambda: status() == 200)
    assert live(aws)["version"] == version


def test_a_dry_run_shows_what_would_change_and_changes_nothing(aws: World) -> None:
    before = live(aws)
    said = shell(aws, "./deploy.sh --dry-run --set LogLevel=DEBUG")
    assert re.search(r"^  modify +AWS::Lambda::Function", said, re.MULTILINE)
    assert "no changes" not in said
    assert live(aws) == before


def test_a_first_version_that_does_not_work_has_no_url_and_a_mended_one_has(aws: World) -> None:
    """With an identity provider alone: no secret of the service's own to make tokens with."""
    provider = "image-upload-e2e-provider"
    region, s3 = aws.environ["AWS_REGION"], cloud(aws, "s3")
    s3.create_bucket(Bucket=provider, CreateBucketConfiguration={"LocationConstraint": region})
    s3.put_object(Bucket=provider, Key="jwks.json", Body=json.dumps({"keys": [public_key()]}))
    keys = f"https://{provider}.s3.{region}.amazonaws.com/jwks.json"
    deploy = f"./deploy.sh --yes --name second --set JWT_JWKS_URL={keys} --set JWT_ISSUER=https://provider.example"
    said = shell(aws, f"{deploy} --set JWT_AUDIENCE=uploads --set RATE_LIMIT_PER_USER=nonsense", fails=True)
    assert "did not pass and is not live. Mend" in said
    (stack,) = cloud(aws, "cloudformation").describe_stacks(StackName="second")["Stacks"]
    assert "FunctionUrl" not in {each["OutputKey"] for each in stack["Outputs"]}
    said = shell(aws, f"{deploy} --set RATE_LIMIT_PER_USER=")
    assert re.search(r"^(\d+) of \1 steps passed\.$", said, re.MULTILINE)
    assert secrets_of(aws, "second") == []
    shell(aws, "./deploy.sh --yes --name second --destroy --delete-bucket")
    s3.delete_object(Bucket=provider, Key="jwks.json")
    s3.delete_bucket(Bucket=provider)
    assert functions(aws) == [NAME, f"{NAME}-verifier"]


def deployed_folders(aws: World) -> tuple[set[str], dict[str, int]]:
    """The folders that the function reaches, and the days of those that end: MiniStack keeps no rules of a bucket."""
    role = live(aws)["Role"].rpartition("/")[2]
    policy = cloud(aws, "iam").get_role_policy(RoleName=role, PolicyName="function")["PolicyDocument"]
    template = parse(cloud(aws, "cloudformation").get_template(StackName=NAME)["TemplateBody"])
    rules = template["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    ends = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "ExpirationInDays" in rule}
    return {each.split("/")[1] for each in policy["Statement"][0]["Resource"]}, ends


def test_own_purposes_replace_the_shipped_ones_whose_folders_stay_until_they_are_forgotten(
    aws: World, web: httpx.Client
) -> None:
    shipped, ends = deployed_folders(aws)
    assert (ends["scans/"], ends["chat/"]) == (30, 7)
    (aws.project / "purposes.toml").write_text(OWN, encoding="utf-8")
    assert "run 'make generate'" in shell(aws, "./deploy.sh --yes", fails=True)
    shell(aws, ".venv/bin/python -m generate")
    assert "  kept    scans/, which has no purpose any more" in shell(aws, "./deploy.sh --yes")
    assert deployed_folders(aws) == (shipped | {"invoices", "avatars"}, ends | {"invoices/": 3650})
    token = jwt.encode({"sub": "user-1", "exp": int(time.time()) + 600}, secret(aws, "JWT_SECRET"), algorithm="HS256")
    listed = web.get(f"{output(aws, 'FunctionUrl')}purposes", headers={"Authorization": f"Bearer {token}"}).json()
    assert [each["name"] for each in listed["purposes"]] == ["Invoice", "avatar"]
    shell(aws, "./deploy.sh --yes --forget-folders")
    folders, left = deployed_folders(aws)
    assert shipped - folders == {"scans", "profiles", "chat", "misc", "audio", "documents"}
    assert folders - shipped == {"invoices", "avatars"}
    assert "invoices/" in left
    assert not {"scans/", "chat/"} & left.keys()


def test_destroy_keeps_the_bucket_and_what_is_in_it(aws: World) -> None:
    bucket, held = output(aws, "BucketName"), len(objects(aws))
    assert f"--bucket {bucket}" in shell(aws, DESTROY)
    assert len(cloud(aws, "s3").list_objects_v2(Bucket=bucket)["Contents"]) == held
    assert functions(aws) == []
    assert NAME not in {each["repositoryName"] for each in repositories(aws)}
    assert secrets_of(aws, NAME) == []


def test_a_kept_bucket_is_used_again_and_deleted_when_asked_for(aws: World) -> None:
    (bucket,) = buckets(aws)
    said = shell(aws, f"./deploy.sh --yes --bucket {bucket}")
    assert output(aws, "BucketName") == bucket
    assert "bucket-rules" in said
    shell(aws, "./deploy.sh --yes --destroy --delete-bucket")
    assert buckets(aws) == []
