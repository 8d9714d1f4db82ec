"""deploy.sh as far as it goes without AWS: what it refuses, and how it says so. tests/e2e has the rest."""

import json
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.infra.template import PATH, TEMPLATE, parse

# Each runs deploy.sh, with tools that answer for AWS.
pytestmark = pytest.mark.full

ROOT = Path(__file__).resolve().parent.parent
TOOLS = (
    "awk bash cat cut date dirname find grep mktemp od rm sed sha256sum sleep sort tail tr".split()  # noqa: SIM905  a list of words
)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH with the tools that every system has, and nothing else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    program(folder, "curl", "exit 0")
    (folder / "no-template").touch()
    return folder


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!{shutil.which('bash')}\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def deploy(tools: Path, *arguments: str, checkout: Path = ROOT, **environ: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(checkout / "deploy.sh"), *arguments],
        env={"PATH": str(tools), "HOME": str(tools), "AWS_REGION": "ap-northeast-2"} | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 1 and one sentence that begins with the script's name."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("deploy.sh: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


def test_help_names_every_option_that_the_documents_have(tools: Path) -> None:
    done = deploy(tools, "--help")
    assert done.returncode == 0
    documented = {
        line.split("`")[1].split()[0]
        for line in (ROOT / "docs/deploy.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `--")
    }
    assert set(re.findall(r"^  (--[a-z-]+)", done.stdout, re.MULTILINE)) == documented


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nonsense"], "no option --nonsense"),
        (["--name"], "--name needs a value"),
        (["--name", "Upper"], "--name must be"),
        (["--name", "a_b; rm -rf /"], "--name must be"),
        (["--arch", "sparc"], "--arch must be"),
        (["--delete-bucket"], "--destroy"),
        (["--env-file", "missing.env"], "missing.env cannot be read"),
        (["--canary", "100:5"], "percent:minutes"),
        (["--canary", "10"], "percent:minutes"),
        (["--live", "latest"], "--live takes a version"),
    ],
)
def test_a_wrong_option_gives_one_sentence_before_anything_is_asked(
    tools: Path, arguments: list[str], said: str
) -> None:
    refused(deploy(tools, *arguments), said)


def test_a_missing_aws_cli_gives_one_sentence_with_the_remedy(tools: Path) -> None:
    refused(deploy(tools), "AWS CLI is missing", "install it")


def test_a_missing_curl_gives_one_sentence_with_the_remedy(tools: Path) -> None:
    (tools / "curl").unlink()
    refused(deploy(tools), "curl is missing", "install it")


def test_credentials_that_aws_refuses_give_one_sentence_with_the_remedy(tools: Path) -> None:
    program(tools, "aws", 'echo "An error occurred (ExpiredToken)" >&2; exit 254')
    refused(deploy(tools), "ExpiredToken", "aws sso login", "--profile")


def test_no_region_gives_one_sentence_with_the_remedy(tools: Path) -> None:
    program(tools, "aws", "exit 1")
    refused(deploy(tools, AWS_REGION=""), "--region")


# An account without anything in it.
EMPTY_ACCOUNT = """
case "$1 $2" in
    "sts get-caller-identity") echo 123456789012 ;;
    "cloudformation describe-stacks") echo "Stack does not exist" >&2; exit 254 ;;
    "ecr describe-images") exit 254 ;;
    *) echo "unexpected: $*" >&2; exit 99 ;;
esac
"""


def test_a_missing_engine_gives_one_sentence_before_anything_is_made(tools: Path) -> None:
    program(tools, "aws", EMPTY_ACCOUNT)
    refused(deploy(tools, "--yes"), "No container engine answers", "start Docker")


def test_without_a_terminal_to_confirm_on_nothing_is_changed(tools: Path) -> None:
    program(tools, "aws", EMPTY_ACCOUNT)
    refused(deploy(tools), "--yes")


def test_a_dry_run_says_what_would_be_made_and_makes_nothing(tools: Path) -> None:
    program(tools, "aws", EMPTY_ACCOUNT)
    done = deploy(tools, "--dry-run", "--origins", "https://app.example.com")
    assert done.returncode == 0, done.stderr
    assert "stack   will be created" in done.stdout
    assert "set     AllowedOrigins" in done.stdout
    assert done.stdout.endswith("Nothing was changed (--dry-run).\n")


def test_a_setting_that_is_none_is_named_and_nothing_is_made(tools: Path, tmp_path: Path) -> None:
    program(tools, "aws", EMPTY_ACCOUNT)
    (tmp_path / "env").write_text("JWT_SECRETT=x\n", encoding="utf-8")
    refused(deploy(tools, "--env-file", str(tmp_path / "env")), "JWT_SECRETT", "docs/settings.md")


@pytest.mark.parametrize("name", [".*", "^", "Cd.", "AllowedOrigins$", "-e", ""])
def test_a_parameter_is_compared_as_text_and_never_as_a_pattern(tools: Path, name: str) -> None:
    program(tools, "aws", EMPTY_ACCOUNT)
    refused(deploy(tools, "--dry-run", "--set", f"{name}=x"), "is no setting of a deployment")


def test_no_secret_of_an_env_file_is_printed(tools: Path, tmp_path: Path) -> None:
    program(tools, "aws", EMPTY_ACCOUNT)
    (tmp_path / "env").write_text('# mine\nJWT_SECRET="very secret indeed"\n\nLOG_LEVEL=DEBUG\n', encoding="utf-8")
    (tmp_path / "scratch").mkdir()
    done = deploy(tools, "--dry-run", "--env-file", str(tmp_path / "env"), TMPDIR=str(tmp_path / "scratch"))
    assert done.returncode == 0, done.stderr
    assert "set     JWT_SECRET" in done.stdout
    assert "set     LogLevel" in done.stdout
    assert "very secret" not in done.stdout + done.stderr
    assert list((tmp_path / "scratch").iterdir()) == [], "what was written on the way is gone"


def test_a_version_of_a_stack_that_is_not_there_cannot_be_made_live(tools: Path) -> None:
    program(tools, "aws", EMPTY_ACCOUNT)
    refused(deploy(tools, "--yes", "--live", "3"), "no version 3")


# An account with a stack whose version 7 is live, an image that is in the registry, and a version 8 to test. INVOKE
# and ALARM say what the emulated AWS answers. Each call is a line of `calls`.
DEPLOYED_ACCOUNT = """
echo "$*" >>"$HOME/calls"
case "$*" in
    "sts get-caller-identity"*) echo 123456789012 ;;
    "cloudformation describe-stacks"*)
        printf 'state\\t\\tUPDATE_COMPLETE\\nparameter\\tLiveVersion\\t%s\\n' "${LIVE-7}"
        printf 'parameter\\tJwtJwksUrl\\t%s\\n' "${PROVIDER:-}"
        printf 'parameter\\tDatabase\\t%s\\n' "${DATABASE:-false}"
        printf 'parameter\\tVerify\\t%s\\n' "${VERIFY:-}"
        printf 'parameter\\tEdgeSecretFrom\\t%s\\n' "${EDGE:-}"
        [ -z "${EDGE:-}" ] || printf 'output\\tEdgeUrl\\thttps://d111111abcdef8.cloudfront.net/\\n'
        printf 'output\\tFunctionUrl\\thttps://example.lambda-url.ap-northeast-2.on.aws/\\n' ;;
    "ecr describe-images"*) echo sha256:0123 ;;
    "ecr put-image"* | "ecr batch-get-image"*) echo "{}" ;;
    "lambda get-function "*) echo registry/name@sha256:0123 ;;
    "lambda publish-version"*) echo 8 ;;
    "ssm put-parameter"*) ;;
    "ssm get-parameters-by-path"*) echo "${STORED-3}" ;;
    "lambda invoke"*)
        for answer; do [ "${answer#fileb://}" = "$answer" ] || cat "${answer#fileb://}" >>"$HOME/operations"; done
        echo >>"$HOME/operations"
        eval "$INVOKE" ;;
    "cloudwatch describe-alarms"*) eval "${ALARM:-}" ;;
    "cloudformation describe-stack-resources"*) echo upload-CrashAlarm-1 ;;
    "s3api create-bucket"* | "s3 rb"*) ;;
    "cloudformation get-template"*) cat "${TEMPLATE:-$HOME/no-template}" ;;
    "cloudformation deploy"*)
        eval "${DEPLOY:-}"
        for word; do case $word in */template.yaml) cat "$word" >"$HOME/sent.yaml" ;; esac; done
        echo "No changes to deploy" ;;
    "lambda wait"* | "lambda update-alias"* | "logs filter-log-events"*) ;;
    *) echo "unexpected: $*" >&2; exit 99 ;;
esac
"""
PASSED = (
    """printf '{"passed": true, "lines": ["  ok      health: \\"ok\\", fine", "1 of 1 steps passed."]}' >"$answer" """
)
FAILED = """printf '{"passed": false, "lines": ["  FAILED  health: no bucket"]}' >"$answer" """
CRASHED = """printf '{"errorMessage": "1 setting is wrong", "errorType": "SettingsError"}' >"$answer" """


def calls(tools: Path) -> list[str]:
    return (tools / "calls").read_text(encoding="utf-8").splitlines()


def test_a_version_that_passes_goes_live_without_a_container_engine(tools: Path) -> None:
    program(tools, "aws", DEPLOYED_ACCOUNT)
    done = deploy(tools, "--yes", INVOKE=PASSED)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '  ok      health: "ok", fine\n1 of 1 steps passed.\n' in done.stdout
    assert "the way back: ./deploy.sh --name image-upload-service --live 7" in done.stdout
    said = calls(tools)
    (live,) = (each for each in said if "--parameter-overrides LiveVersion=8" in each)
    assert any("lambda invoke" in each and "--qualifier 8" in each for each in said[: said.index(live)])
    assert not any("migrate" in each for each in said), "no database, nothing to migrate"


@pytest.mark.parametrize(
    ("arguments", "environ", "asked"),
    [
        ([], {}, ["publish"]),
        pytest.param(["--set", "VERIFY=off"], {}, ["off"], marks=pytest.mark.full),
        ([], {"VERIFY": "report"}, []),  # chosen before, and kept
        # It tells of no file before its rules are set.
        (["--bucket", "mine"], {}, []),
        pytest.param(["--bucket", "mine", "--set", "VERIFY=publish"], {}, ["publish"], marks=pytest.mark.full),
    ],
)
def test_files_are_verified_before_they_are_published_unless_it_is_switched_off(
    tools: Path, arguments: list[str], environ: dict[str, Any], asked: list[str]
) -> None:
    program(tools, "aws", DEPLOYED_ACCOUNT)
    done = deploy(tools, "--yes", *arguments, INVOKE=PASSED, **environ)
    assert done.returncode == 0, done.stdout + done.stderr
    first, live = (each for each in calls(tools) if each.startswith("cloudformation deploy"))
    assert re.findall(r" Verify=(\w+)", first) == asked
    # Until the version has passed, the image of the one before verifies.
    assert "VerifierImageUri" not in first
    assert live.endswith(" LiveVersion=8 VerifierImageUri=registry/name@sha256:0123")


TEMPLATE_BUCKET = r"image-upload-service-template-[0-9a-f]{12}"


@pytest.mark.parametrize(
    ("region", "where"),
    [
        ("ap-northeast-2", " --create-bucket-configuration LocationConstraint=ap-northeast-2"),
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucketConfiguration.html: not that one.
        ("us-east-1", ""),
    ],
)
def test_the_template_goes_through_a_bucket_that_ends_with_the_run(tools: Path, region: str, where: str) -> None:
    program(tools, "aws", DEPLOYED_ACCOUNT)
    done = deploy(tools, "--yes", INVOKE=PASSED, AWS_REGION=region)
    assert done.returncode == 0, done.stdout + done.stderr
    said = calls(tools)
    (made,) = (each for each in said if each.startswith("s3api create-bucket"))
    found = re.fullmatch(f"s3api create-bucket --bucket ({TEMPLATE_BUCKET}){where}", made)
    assert found, made
    changes = [each for each in said if each.startswith("cloudformation deploy")]
    assert len(changes) == 2
    assert all(f"/template.yaml --s3-bucket {found[1]} " in each for each in changes)
    assert said[-1] == f"s3 rb s3://{found[1]} --force"


def test_a_template_that_is_refused_leaves_no_bucket_behind(tools: Path) -> None:
    program(tools, "aws", DEPLOYED_ACCOUNT)
    refused(
        deploy(tools, "--yes", INVOKE=PASSED, DEPLOY='echo "ValidationError" >&2; exit 254'),
        "CloudFormation refuses the change",
        "ValidationError",
    )
    assert re.fullmatch(f"s3 rb s3://{TEMPLATE_BUCKET} --force", calls(tools)[-1])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (FAILED, ["did not pass", "users still meet version 7"]),
        (CRASHED, ["did not pass", "users still meet version 7"]),
        ('echo "An error occurred (AccessDenied)" >&2; exit 254', ["could not be tested", "AccessDenied", "not live"]),
    ],
)
def test_a_version_that_fails_or_cannot_be_tested_never_goes_live(tools: Path, answer: str, words: list[str]) -> None:
    program(tools, "aws", DEPLOYED_ACCOUNT)
    done = deploy(tools, "--yes", INVOKE=answer)
    assert done.returncode == 1, done.stdout + done.stderr
    assert [word for word in words if word not in done.stderr] == []
    assert not any("LiveVersion" in each and "deploy" in each.split()[1] for each in calls(tools))
    assert not any("update-alias" in each for each in calls(tools))


def test_an_alarm_during_a_canary_gives_every_request_back_to_the_old_version(tools: Path) -> None:
    program(tools, "aws", DEPLOYED_ACCOUNT)
    # Silent before the canary, ringing from then on.
    alarm = '[ "$(grep -c describe-alarms "$HOME/calls")" = 1 ] || echo upload-CrashAlarm-1'
    done = deploy(tools, "--yes", "--canary", "5:1", INVOKE=PASSED, ALARM=alarm)
    assert done.returncode == 1
    assert "upload-CrashAlarm-1" in done.stderr
    assert "all requests meet version 7" in done.stderr
    weights = [each.partition("--routing-config ")[2] for each in calls(tools) if "update-alias" in each]
    assert weights == ['{"AdditionalVersionWeights": {"8": 0.05}}', '{"AdditionalVersionWeights": {}}']
    assert not any("--parameter-overrides LiveVersion" in each for each in calls(tools))


def test_a_canary_is_not_begun_while_an_alarm_rings(tools: Path) -> None:
    program(tools, "aws", DEPLOYED_ACCOUNT)
    done = deploy(tools, "--yes", "--canary", "5:1", INVOKE=PASSED, ALARM="echo upload-CrashAlarm-1")
    assert done.returncode == 1
    assert "rings already" in done.stderr
    assert not any("update-alias" in each for each in calls(tools))


def test_the_way_back_builds_nothing_and_changes_nothing_but_the_live_version(tools: Path) -> None:
    program(tools, "aws", DEPLOYED_ACCOUNT)
    done = deploy(tools, "--yes", "--live", "5", INVOKE=PASSED)
    assert done.returncode == 0, done.stdout + done.stderr
    changes = [each.partition("--parameter-overrides ")[2] for each in calls(tools) if "cloudformation deploy" in each]
    assert changes == ["LiveVersion=5 VerifierImageUri=registry/name@sha256:0123"]
    assert not any("publish-version" in each for each in calls(tools))


def operations(tools: Path) -> list[str]:
    return (tools / "operations").read_text(encoding="utf-8").splitlines()


def test_with_a_database_a_version_migrates_it_after_a_look_and_before_its_smoke_test(tools: Path) -> None:
    program(tools, "aws", DEPLOYED_ACCOUNT)
    done = deploy(tools, "--yes", INVOKE=PASSED, DATABASE="true")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [json.loads(each) for each in operations(tools)] == [
        {"operation": "migrate", "check": True},
        {"operation": "migrate", "check": False},
        {"operation": "smoke"},
    ]


def test_a_database_that_cannot_be_migrated_keeps_the_old_version_live_and_untried(tools: Path) -> None:
    program(tools, "aws", DEPLOYED_ACCOUNT)
    done = deploy(tools, "--yes", INVOKE=FAILED, DATABASE="true")
    assert done.returncode == 1
    assert "users still meet version 7" in done.stderr
    assert len(operations(tools)) == 1, "what was not migrated is not tested"
    assert not any("LiveVersion=8" in each for each in calls(tools))


def test_going_back_migrates_nothing(tools: Path) -> None:
    program(tools, "aws", DEPLOYED_ACCOUNT)
    deploy(tools, "--yes", "--live", "5", INVOKE=PASSED, DATABASE="true")
    assert [json.loads(each)["operation"] for each in operations(tools)] == ["smoke"]


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"LIVE": ""}, True),  # also where a stack is there, of a checkout before this one or after a first failure
        ({"LIVE": "", "PROVIDER": "https://id.example/keys"}, False),
        ({}, False),
    ],
)
def test_a_secret_is_made_until_a_version_is_live_and_only_where_none_else_proves_tokens(
    tools: Path, given: dict[str, Any], made: bool
) -> None:
    program(tools, "aws", DEPLOYED_ACCOUNT)
    done = deploy(tools, "--yes", INVOKE=PASSED, **given)
    assert done.returncode == 0, done.stdout + done.stderr
    stored = [each for each in calls(tools) if each.startswith("ssm put-parameter")]
    assert [each for each in stored if "--overwrite" in each] == []
    assert ["/JWT_SECRET " in each for each in stored] == [True] * made


OWN_EDGE = "ssm:/image-upload-service/EDGE_SECRET:2"


@pytest.mark.parametrize(
    ("arguments", "environ", "stored", "handed"),
    [
        ([], {}, 0, []),
        (["--edge"], {}, 1, ["ssm:/image-upload-service/EDGE_SECRET:3"]),
        # The run after a rotation hands the newest version over.
        ([], {"EDGE": OWN_EDGE}, 0, ["ssm:/image-upload-service/EDGE_SECRET:3"]),
        # What the operator names, and what is elsewhere, stays.
        (["--set", "EdgeSecretFrom="], {"EDGE": OWN_EDGE}, 0, [""]),
        ([], {"EDGE": "ssm:/edge-to-be/SECRET:1"}, 0, []),
    ],
)
def test_the_edge_sends_the_newest_secret_which_no_argument_holds(
    tools: Path, arguments: list[str], environ: dict[str, Any], stored: int, handed: list[str]
) -> None:
    program(tools, "aws", DEPLOYED_ACCOUNT)
    done = deploy(tools, "--yes", *arguments, INVOKE=PASSED, **environ)
    assert done.returncode == 0, done.stdout + done.stderr
    puts = [each for each in calls(tools) if each.startswith("ssm put-parameter")]
    # CloudFormation hands CloudFront a String alone.
    assert ["--type String --value file://" in each and "/EDGE_SECRET " in each for each in puts] == [True] * stored
    first = next(each for each in calls(tools) if each.startswith("cloudformation deploy"))
    assert re.findall(r" EdgeSecretFrom=(\S*)", first) == handed
    address = "https://d111111abcdef8.cloudfront.net" if environ else "https://example.lambda-url"
    assert f"NEXT_PUBLIC_UPLOAD_SERVICE_URL={address}" in done.stdout


def test_an_edge_without_its_secret_is_told_before_anything_changes(tools: Path) -> None:
    program(tools, "aws", DEPLOYED_ACCOUNT)
    refused(deploy(tools, "--yes", EDGE=OWN_EDGE, STORED="", INVOKE=PASSED), "EDGE_SECRET is not in Parameter Store")
    assert not any("cloudformation deploy" in each for each in calls(tools))


# --- folders whose purpose was removed ------------------------------------------------------------

RIGHT = "- !Sub ['arn:${AWS::Partition}:s3:::${Name}/scans/*', "
RULE = """\
          - Id: image-upload-expire-scan
            Status: Enabled
            Prefix: scans/
            ExpirationInDays: 30
            NoncurrentVersionExpiration: {NoncurrentDays: 1}
"""


def deployed_before(tools: Path) -> str:
    """The template of a stack that had more purposes: `letters`, and `scan` in another folder. Its path."""
    text = PATH.read_text(encoding="utf-8")
    # Both functions reach the folder of a checked purpose.
    right, other = (line for line in text.splitlines(keepends=True) if RIGHT in line)
    assert right == other
    rules = [RULE, RULE.replace("expire-scan", "expire-letter").replace("scans/", "letters/").replace("30", "90")]
    rules.append(rules[1].replace("letter", "letter-variants", 1).replace("Prefix: ", "Prefix: variants/"))
    assert text.count(RULE) == 1
    text = text.replace(RULE, "".join(rules).replace("Prefix: scans/", "Prefix: old-scans/"))
    for folder in ("old-scans", "letters", "kept-for-ever"):
        text = text.replace(right, right.replace("scans", folder) + right)
    (tools / "before.yaml").write_text(text, encoding="utf-8")
    return str(tools / "before.yaml")


def sent(tools: Path) -> dict[str, Any]:
    return parse((tools / "sent.yaml").read_text(encoding="utf-8"))


def folders_of(template: dict[str, Any]) -> list[str]:
    """The folders that the function's role reaches."""
    return re.findall(r"[$][{]Name[}]/([^/]+)/[*]", json.dumps(template["Resources"]["Role"]))


def life_times_of(template: dict[str, Any]) -> dict[str, tuple[str, int]]:
    """The folders that end, with the rule and its days."""
    rules = template["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    return {rule["Prefix"]: (rule["Id"], rule["ExpirationInDays"]) for rule in rules if "ExpirationInDays" in rule}


def test_a_folder_without_a_purpose_keeps_its_life_time_and_its_rights(tools: Path) -> None:
    program(tools, "aws", DEPLOYED_ACCOUNT)
    done = deploy(tools, "--yes", INVOKE=PASSED, TEMPLATE=deployed_before(tools))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("which has no purpose any more") == 3
    assert "  kept    letters/, which has no purpose any more" in done.stdout
    kept = sent(tools)
    assert sorted(folders_of(kept)) == sorted([*folders_of(TEMPLATE), "old-scans", "letters", "kept-for-ever"])
    assert kept["Resources"]["VerifierRole"] == TEMPLATE["Resources"]["VerifierRole"], "it publishes nothing there"
    assert life_times_of(kept) == life_times_of(TEMPLATE) | {
        "letters/": ("image-upload-expire-letter", 90),
        "variants/letters/": ("image-upload-expire-letter-variants", 90),
        "old-scans/": ("image-upload-kept-old-scans", 30),
    }
    first = (tools / "sent.yaml").read_text(encoding="utf-8")
    (tools / "after.yaml").write_text(first, encoding="utf-8")
    deploy(tools, "--yes", INVOKE=PASSED, TEMPLATE=str(tools / "after.yaml"))
    assert (tools / "sent.yaml").read_text(encoding="utf-8") == first, "and again"


def test_forgotten_folders_and_stacks_that_had_no_others_get_the_template_as_it_is(tools: Path) -> None:
    program(tools, "aws", DEPLOYED_ACCOUNT)
    for arguments, before in ((["--forget-folders"], deployed_before(tools)), ([], str(PATH))):
        done = deploy(tools, "--yes", *arguments, INVOKE=PASSED, TEMPLATE=before)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "no purpose any more" not in done.stdout
        assert sent(tools) == TEMPLATE


def test_a_file_of_purposes_that_the_template_does_not_know_is_not_deployed(tools: Path, tmp_path: Path) -> None:
    program(tools, "aws", DEPLOYED_ACCOUNT)
    checkout = tmp_path / "checkout"
    for name in ("deploy.sh", "purposes.toml", "infra", "docs/deploy.md", "image_upload/domain/shipped_purposes.py"):
        target = checkout / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, target)
    with (checkout / "purposes.toml").open("a", encoding="utf-8") as file:
        file.write("# mine\n")
    refused(deploy(tools, "--yes", checkout=checkout), "purposes.toml was edited", "make generate")
