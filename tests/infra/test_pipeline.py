"""The workflow that deploys, the role that it takes, and the stages that it knows."""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError

from generate.template import NOT_PARAMETERS, setting_parameters
from image_upload.settings import every_setting
from tests.generate.test_template import lint
from tests.infra import readers
from tests.infra.ministack import REGION, ministack
from tests.infra.template import TEMPLATE, Stack, parse
from tests.infra.test_deployer import DEPLOYER
from tests.infra.test_deployer_enforced import finished

ROOT: Final = Path(__file__).parents[2]
GITHUB: Final = parse((ROOT / "infra/github.yaml").read_text(encoding="utf-8"))
WORKFLOWS: Final = sorted((ROOT / ".github/workflows").glob("*.yml"))
DEPLOY: Final[dict[str | bool, Any]] = yaml.safe_load(
    (ROOT / ".github/workflows/deploy.yml").read_text(encoding="utf-8")
)
STAGES: Final = {path.stem: path for path in (ROOT / "infra/stages").glob("*.env")}
# YAML 1.1 takes the key `on` for true.
TRIGGERS: Final[dict[str, Any]] = DEPLOY[True]
REPOSITORY: Final = "octo-org@123/octo-repo@456"
ISSUER: Final = "token.actions.githubusercontent.com"
# Options of deploy.sh that come with the deployment by versions.


def steps(job: str) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = DEPLOY["jobs"][job]["steps"]
    return made


# --- the workflow ---------------------------------------------------------------------------------


def test_only_the_job_that_deploys_can_get_a_token_and_nothing_may_write() -> None:
    assert DEPLOY["permissions"] == {}
    assert {name: job["permissions"] for name, job in DEPLOY["jobs"].items()} == {
        "dependencies": {"contents": "read"},
        "deploy": {"contents": "read", "id-token": "write"},
    }


def test_no_secret_and_no_key_is_in_the_workflow_or_a_stage() -> None:
    texts = [path.read_text(encoding="utf-8") for path in [*WORKFLOWS, *STAGES.values()]]
    assert [text for text in texts if re.search(r"secrets\.|AKIA[0-9A-Z]{16}|_SECRET=|PASSWORD=", text)] == []


def test_every_gate_stands_in_front_of_the_deployment() -> None:
    assert DEPLOY["jobs"]["deploy"]["needs"] == "dependencies"
    assert any("pip-audit --requirement" in step.get("run", "") for step in steps("dependencies"))
    runs = [step["run"].split()[0:2] for step in steps("deploy") if "run" in step]
    assert runs == [["./deploy.sh", "--yes"], ["python", "infra/scan_gate.py"], ["./deploy.sh", "--yes"]]
    assert not [step for job in DEPLOY["jobs"] for step in steps(job) if "continue-on-error" in step or "if" in step]


def test_no_deployment_is_broken_off_and_none_runs_beside_another() -> None:
    assert DEPLOY["concurrency"] == {"group": "deploy", "cancel-in-progress": False}
    assert all(job["timeout-minutes"] <= 60 for job in DEPLOY["jobs"].values())


def test_a_push_goes_to_staging_a_release_to_production_and_a_hand_to_either() -> None:
    assert TRIGGERS["push"] == {"branches": ["main"]}
    assert TRIGGERS["release"] == {"types": ["published"]}
    assert (
        set(TRIGGERS["workflow_dispatch"]["inputs"]["stage"]["options"]) == STAGES.keys() == {"staging", "production"}
    )
    job = DEPLOY["jobs"]["deploy"]
    chosen = "${{ inputs.stage || (github.event_name == 'release' && 'production') || 'staging' }}"
    assert (job["environment"], job["env"]["STAGE"]) == (chosen, chosen)


def test_every_option_that_the_workflow_gives_to_deploy_sh_is_one() -> None:
    usage = subprocess.run(["./deploy.sh", "--help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    given = {
        option
        for step in steps("deploy")
        if "./deploy.sh" in step.get("run", "")
        for option in re.findall(r"--[a-z-]+", step["run"])
    }
    assert given - set(re.findall(r"--[a-z-]+", usage)) == set()


@pytest.mark.full
@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: str(path.name))
def test_shellcheck_finds_nothing_in_what_a_workflow_runs(workflow: Path) -> None:
    document = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    shellcheck = Path(sys.executable).with_name("shellcheck")
    for job in document["jobs"].values():
        for script in [step["run"] for step in job["steps"] if "run" in step]:
            command = [str(shellcheck), "--shell", "bash", "-"]
            done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
            assert done.stdout == "", script


@pytest.mark.needs("readers")
def test_githubs_schema_takes_every_workflow() -> None:
    program = str(readers.programs() / "python")
    command = [program, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, WORKFLOWS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("readers")
def test_zizmor_finds_nothing_in_the_workflow_that_deploys() -> None:
    command = [str(readers.programs() / "zizmor"), "--offline", "--no-progress", ".github/workflows/deploy.yml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# --- the stages -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_settings_and_parameters_that_there_are(stage: str) -> None:
    lines = [line for line in STAGES[stage].read_text().splitlines() if line and not line.startswith("#")]
    given = dict(line.split("=", 1) for line in lines)
    own = TEMPLATE["Parameters"].keys() - setting_parameters().keys()
    settings = {name for field in every_setting().values() for name in field.variables} - NOT_PARAMETERS.keys()
    assert given.keys() - own - settings == set()
    hidden = {name for name, each in TEMPLATE["Parameters"].items() if each.get("NoEcho")}
    assert given.keys() & hidden == set()
    Stack(**{name: value for name, value in given.items() if name in own})


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_deploys_under_the_boundary_that_its_deployer_makes(stage: str) -> None:
    name = f"image-upload-{stage}"
    assert f'--name "{name.replace(stage, "$STAGE")}"' in steps("deploy")[-1]["run"]
    made = Stack(DEPLOYER, Name=name, Boundary="true").outputs["PermissionsBoundary"]
    assert f"\nPermissionsBoundary={made}\n" in STAGES[stage].read_text()


# --- the role -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "repository", ["*", "octo-org/*", "octo-org", "octo-org/octo-repo:*", "octo-org/octo-repo?", "a/b/c", "a@*/b"]
)
def test_no_pattern_can_stand_for_the_repository(repository: str) -> None:
    with pytest.raises(ValueError, match="does not match"):
        Stack(GITHUB, Repository=repository)


@pytest.mark.parametrize("repository", ["octo-org/octo-repo", REPOSITORY])
def test_the_role_trusts_one_environment_of_one_repository(repository: str) -> None:
    made = Stack(GITHUB, Repository=repository, Stage="production").resources
    (trust,) = made["Role"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust == {
        "Sid": "GitHub",
        "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": {"Federated": "<Provider>"},
        "Condition": {
            "StringEquals": {
                f"{ISSUER}:aud": "sts.amazonaws.com",
                f"{ISSUER}:sub": f"repo:{repository}:environment:production",
            }
        },
    }
    assert made["Role"]["Properties"]["ManagedPolicyArns"] == ["<image-upload-staging-deployer-policies>"]
    assert DEPLOYER["Outputs"]["Policies"]["Export"]["Name"] == {"Fn::Sub": "${AWS::StackName}-policies"}


def test_a_second_stage_uses_the_provider_of_the_account() -> None:
    made = Stack(GITHUB, Repository=REPOSITORY, MakeProvider="false").resources
    (trust,) = made["Role"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert list(made) == ["Role"]
    assert trust["Principal"] == {"Federated": f"arn:aws:iam::123456789012:oidc-provider/{ISSUER}"}


@pytest.mark.full
def test_cfn_lint_finds_nothing_in_the_role() -> None:
    assert lint(ROOT / "infra/github.yaml") == ""


def token(**claims: str) -> str:
    """An ID token with the claims of GitHub's; MiniStack does not look at the signature."""
    made = {"iss": f"https://{ISSUER}", "aud": "sts.amazonaws.com"} | claims
    parts = (json.dumps(each).encode() for each in ({"alg": "RS256", "typ": "JWT"}, made))
    return ".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), "c2ln"])


@pytest.mark.needs("ministack")
def test_another_repository_stage_branch_or_audience_gets_no_session() -> None:
    with ministack(enforces=True) as url:

        def client(service: str) -> Any:
            return boto3.client(
                service, endpoint_url=url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
            )

        made: dict[str, str] = {}
        for stack, file, parameters in (
            ("image-upload-staging-deployer", "deployer", {"Name": "image-upload-staging"}),
            # It knows no AWS::IAM::OIDCProvider.
            ("github", "github", {"Repository": REPOSITORY, "MakeProvider": "false"}),
        ):
            client("cloudformation").create_stack(
                StackName=stack,
                TemplateBody=(ROOT / f"infra/{file}.yaml").read_text(encoding="utf-8"),
                Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
                Capabilities=["CAPABILITY_NAMED_IAM"],
            )
            found = finished(client("cloudformation"), stack)
            assert found["StackStatus"] == "CREATE_COMPLETE", found
            made |= {each["OutputKey"]: each["OutputValue"] for each in found["Outputs"]}

        def session(**claims: str) -> Any:
            return client("sts").assume_role_with_web_identity(
                RoleArn=made["RoleArn"], RoleSessionName="run", WebIdentityToken=token(**claims)
            )["Credentials"]

        own = f"repo:{REPOSITORY}:environment:staging"
        for claims in (
            {"sub": own.replace("octo-repo", "other")},
            {"sub": own.replace("octo-org", "other")},
            {"sub": own.replace("456", "457")},
            {"sub": own.replace("staging", "production")},
            {"sub": f"repo:{REPOSITORY}:ref:refs/heads/main"},
            {"sub": f"repo:{REPOSITORY}:pull_request"},
            {"sub": own, "aud": "https://github.com/octo-org"},
            {"sub": own, "iss": "https://issuer.example.com"},
        ):
            with pytest.raises(ClientError, match="Not authorized to perform sts:AssumeRoleWithWebIdentity"):
                session(**claims)
        key = session(sub=own)
        deployer = boto3.client(
            "ecr",
            endpoint_url=url,
            region_name=REGION,
            aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"],
            aws_session_token=key["SessionToken"],
        )
        deployer.create_repository(repositoryName="image-upload-staging")
        with pytest.raises(ClientError, match="AccessDenied"):
            deployer.create_repository(repositoryName="image-upload-production")
