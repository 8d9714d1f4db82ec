"""The README's deployment chapter word by word, against an emulated AWS, with the real AWS CLI. One story, in order.

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

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

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


def live(aws: World) -> dict[str, Any]:
    """What users meet: the alias, and what a deployment decides of its version."""
    alias = ask(aws, "lambda", "get-alias", "--function-name", NAME, "--name", "live")
    found = ask(aws, "lambda", "get-function", "--function-name", NAME, "--qualifier", "live")
    kept = ("Environment", "MemorySize", "Timeout", "Architectures", "Role", "PackageType")
    return {
        "version": alias["FunctionVersion"],
        "weights": alias.get("RoutingConfig"),
        "image": found["Code"]["ImageUri"],
        **{name: found["Configuration"][name] for name in kept},
    }


def secret(aws: World, setting: str) -> str:
    found = ask(aws, "ssm", "get-parameter", "--name", f"/{NAME}/{setting}", "--with-decryption")
    value: str = found["Parameter"]["Value"]
    return value


def store(aws: World, setting: str, value: str) -> None:
    """Rotate a secret as docs/deploy.md says."""
    ask(
        aws,
        "ssm",
        "put-parameter",
        "--overwrite",
        "--type",
        "SecureString",
        "--name",
        f"/{NAME}/{setting}",
        "--value",
        value,
    )


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
    assert ask(aws, "cloudformation", "list-stacks")["StackSummaries"] == []
    assert ask(aws, "ecr", "describe-repositories")["repositories"] == []


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
    assert key not in json.dumps(ask(aws, "lambda", "get-function", "--function-name", NAME))
    (repository,) = ask(aws, "ecr", "describe-repositories")["repositories"]
    assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
    assert "live" in tags_of(aws, deployed["image"])


def tags_of(aws: World, image: str) -> list[str]:
    """The tags of an image in the registry."""
    digest = image.partition("@")[2]
    (found,) = ask(aws, "ecr", "describe-images", "--repository-name", NAME, "--image-ids", f"imageDigest={digest}")[
        "imageDetails"
    ]
    tags: list[str] = found["imageTags"]
    return tags


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
    shell(aws, "./deploy.sh --yes --set LogLevel=WARNING")
    variables = live(aws)["Environment"]["Variables"]
    assert (variables["UPLOAD_URL_EXPIRES_SECONDS"], variables["LOG_LEVEL"]) == ("120", "WARNING")


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
    shell(aws, f"./deploy.sh --yes --live {now['version']}")
    assert live(aws) == now


def test_an_alarm_during_a_canary_takes_the_new_version_back(aws: World) -> None:
    before = live(aws)
    alarms = ask(aws, "cloudwatch", "describe-alarms")["MetricAlarms"]
    alarm = next(each["AlarmName"] for each in alarms if "CrashAlarm" in each["AlarmName"])

    def ring(state: str) -> None:
        aws.run(
            "aws",
            "cloudwatch",
            "set-alarm-state",
            "--alarm-name",
            alarm,
            "--state-value",
            state,
            "--state-reason",
            "test",
        )

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
    said = shell(aws, "./deploy.sh --yes --canary 20:1 --set LogLevel=ERROR")
    after = live(aws)
    assert "no alarm" in said
    assert (after["weights"], after["Environment"]["Variables"]["LOG_LEVEL"]) == (None, "ERROR")
    assert int(after["version"]) > int(before["version"])


def test_a_secret_is_rotated_without_a_deployment(aws: World, web: httpx.Client) -> None:
    shell(aws, "./deploy.sh --yes --set SECRETS_REFRESH_SECONDS=30")
    url, version = output(aws, "FunctionUrl"), live(aws)["version"]
    old, new = secret(aws, "JWT_SECRET"), "n" * 64
    assert minted(web, url, new).status_code == 401
    store(aws, "JWT_PREVIOUS_SECRET", old)
    store(aws, "JWT_SECRET", new)
    within(60, lambda: minted(web, url, new).status_code == 200)
    assert minted(web, url, old).status_code == 200, "who is signed in stays signed in"
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
    aws.run("aws", "s3", "mb", f"s3://{provider}")
    (aws.project / "jwks.json").write_text(json.dumps({"keys": [public_key()]}), encoding="utf-8")
    aws.run("aws", "s3", "cp", "jwks.json", f"s3://{provider}/jwks.json")
    keys = f"https://{provider}.s3.{aws.environ['AWS_REGION']}.amazonaws.com/jwks.json"
    deploy = f"./deploy.sh --yes --name second --set JWT_JWKS_URL={keys} --set JWT_ISSUER=https://provider.example"
    said = shell(aws, f"{deploy} --set JWT_AUDIENCE=uploads --set RATE_LIMIT_PER_USER=nonsense", fails=True)
    assert "did not pass and is not live. Mend" in said
    (stack,) = ask(aws, "cloudformation", "describe-stacks", "--stack-name", "second")["Stacks"]
    assert "FunctionUrl" not in {each["OutputKey"] for each in stack["Outputs"]}
    said = shell(aws, f"{deploy} --set RATE_LIMIT_PER_USER=")
    assert re.search(r"^(\d+) of \1 steps passed\.$", said, re.MULTILINE)
    assert ask(aws, "ssm", "get-parameters-by-path", "--path", "/second/")["Parameters"] == []
    shell(aws, "./deploy.sh --yes --name second --destroy --delete-bucket")
    aws.run("aws", "s3", "rb", "--force", f"s3://{provider}")
    assert [each["FunctionName"] for each in ask(aws, "lambda", "list-functions")["Functions"]] == [NAME]


def test_destroy_keeps_the_bucket_and_what_is_in_it(aws: World) -> None:
    bucket = output(aws, "BucketName")
    held = len(ask(aws, "s3api", "list-objects-v2", "--bucket", bucket)["Contents"])
    assert f"--bucket {bucket}" in shell(aws, DESTROY)
    assert len(ask(aws, "s3api", "list-objects-v2", "--bucket", bucket)["Contents"]) == held
    assert ask(aws, "lambda", "list-functions")["Functions"] == []
    assert NAME not in {each["repositoryName"] for each in ask(aws, "ecr", "describe-repositories")["repositories"]}
    assert ask(aws, "ssm", "get-parameters-by-path", "--path", f"/{NAME}/")["Parameters"] == []


def test_a_kept_bucket_is_used_again_and_deleted_when_asked_for(aws: World) -> None:
    (bucket,) = (each["Name"] for each in ask(aws, "s3api", "list-buckets")["Buckets"])
    said = shell(aws, f"./deploy.sh --yes --bucket {bucket}")
    assert output(aws, "BucketName") == bucket
    assert "bucket-rules" in said
    shell(aws, "./deploy.sh --yes --destroy --delete-bucket")
    assert ask(aws, "s3api", "list-buckets")["Buckets"] == []
