"""Run the shell blocks of README.md and docs/deploy.md, in order, against an emulated AWS with the real AWS CLI.

What the emulator cannot show is in docs/unverified.md.
"""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jwt
import pytest

from tests.e2e.cloud import (
    DEFAULT,
    asking,
    cloud,
    functions,
    live,
    minted,
    objects,
    output,
    repositories,
    secret,
    secrets,
    shell,
    store,
    tags_of,
    within,
)
from tests.e2e.world import ROOT, World
from tests.infra.template import parse
from tests.test_purposes import OWN

pytestmark = pytest.mark.needs("namespaces", "image")

STACK = DEFAULT
ORIGIN = "https://app.example.com"
SCRIPT = b"<script>alert('uploaded')</script>"
PICTURE = (ROOT / "examples/photo.jpg").read_bytes()


def blocks(document: str) -> list[str]:
    """The shell blocks of a document, in order."""
    return re.findall(r"^```sh\n(.*?)^```", (ROOT / document).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


DRY_RUN, DEPLOY = blocks("README.md")
UPLOAD, AGAIN, DESTROY = blocks("docs/deploy.md")


def test_a_dry_run_says_what_would_be_made_and_makes_nothing(aws: World) -> None:
    said = shell(aws, DRY_RUN)
    assert "stack   will be created" in said
    assert "Nothing was changed" in said
    listed = cloud(aws, "cloudformation").list_stacks()["StackSummaries"]
    assert STACK not in [each["StackName"] for each in listed]
    assert repositories(aws) == []


def test_the_first_run_makes_everything_and_proves_it(aws: World) -> None:
    said = shell(aws, DEPLOY)
    assert re.search(r"^(\d+) of \1 steps passed\.$", said, re.MULTILINE)
    assert f"NEXT_PUBLIC_UPLOAD_SERVICE_URL={output(aws, 'FunctionUrl').rstrip('/')}\n" in said
    deployed = live(aws)
    assert re.fullmatch(
        rf"\d{{12}}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com/{STACK}@sha256:[0-9a-f]{{64}}", deployed["image"]
    )
    assert (deployed["MemorySize"], deployed["Timeout"]) == (1024, 300)
    assert (deployed["version"], deployed["weights"]) == ("1", None)
    key = secret(aws, "JWT_SECRET")
    assert re.fullmatch(r"[0-9a-f]{64}", key)
    assert key not in said
    assert key not in json.dumps(cloud(aws, "lambda").get_function(FunctionName=STACK), default=str)
    (repository,) = repositories(aws)
    assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
    assert "live" in tags_of(aws, deployed["image"])


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
        within(30, lambda: len(answers) > 0)
        earlier = len(answers)
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
    assert seen > earlier, "the client did ask meanwhile"
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
    alarm = next(name for name in names if name.startswith(STACK) and "CrashAlarm" in name)

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


def test_a_dry_run_shows_what_would_change_and_changes_nothing(aws: World) -> None:
    before = live(aws)
    said = shell(aws, "./deploy.sh --dry-run --set LogLevel=DEBUG")
    assert re.search(r"^  modify +AWS::Lambda::Function", said, re.MULTILINE)
    assert "no changes" not in said
    assert live(aws) == before


def deployed_folders(aws: World) -> tuple[set[str], dict[str, int]]:
    """The folders that the function reaches, and the days of those that end: MiniStack keeps no rules of a bucket."""
    role = live(aws)["Role"].rpartition("/")[2]
    policy = cloud(aws, "iam").get_role_policy(RoleName=role, PolicyName="function")["PolicyDocument"]
    template = parse(cloud(aws, "cloudformation").get_template(StackName=STACK)["TemplateBody"])
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
    assert repositories(aws) == []
    assert secrets(aws) == []
