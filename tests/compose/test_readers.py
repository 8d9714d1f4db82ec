"""What others make of docker-compose.yml: the specification's schema, podman-compose, Docker where it is."""

import os
import subprocess
import sys

import pytest
import yaml

from local.embedded_s3 import ACCESS_KEY, SECRET_KEY, EmbeddedS3
from tests.compose.stack import ROOT, services
from tests.compose.test_file import PROFILES
from tests.compose.tools import podman_compose, python, read
from tests.needs import unavailable

with_podman_compose = pytest.mark.needs("readers", "podman")
EXAMPLE = "--env-file", ".env.local.example"


def of_profiles(*wanted: str) -> set[str]:
    return {name for name, profiles in PROFILES.items() if profiles & set(wanted)}


@pytest.mark.needs("readers")
def test_the_file_follows_the_compose_specification() -> None:
    done = read([python(), "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"])
    assert done.returncode == 0, done.stdout + done.stderr


# podman-compose knows no optional dependency: `api` is left out where `infra` is not asked for.
@with_podman_compose
@pytest.mark.parametrize("profiles", [("infra",), ("test",), ("infra", "api"), ("infra", "api", "test")])
def test_a_profile_selects_its_services(profiles: tuple[str, ...]) -> None:
    done = read(podman_compose(*EXAMPLE, "config", "--services"), COMPOSE_PROFILES=",".join(profiles))
    assert set(done.stdout.split()) == of_profiles(*profiles), done.stderr


@with_podman_compose
def test_plain_up_with_the_example_means_infra_and_api() -> None:
    kept = {name: os.environ[name] for name in ("PATH", "HOME")}
    done = subprocess.run(
        podman_compose(*EXAMPLE, "config", "--services"), cwd=ROOT, env=kept, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) == of_profiles("infra", "api")


@with_podman_compose
def test_without_an_env_file_one_sentence_says_what_to_do() -> None:
    done = read(podman_compose("--env-file", os.devnull, "--profile", "infra", "config"))
    assert done.returncode != 0
    assert "S3_BUCKET_NAME" in done.stderr
    assert "Copy .env.local.example to .env, or" in done.stderr


@with_podman_compose
def test_the_resolved_file_publishes_on_loopback_and_leaves_no_variable() -> None:
    done = read(podman_compose(*EXAMPLE, "config"), COMPOSE_PROFILES="infra,api,test,scan")
    assert done.returncode == 0, done.stderr
    assert "${" not in done.stdout
    resolved = yaml.safe_load(done.stdout)["services"]
    assert set(resolved) == set(services())
    ports = [port for service in resolved.values() for port in service.get("ports", ())]
    assert len(ports) == 7
    assert {port.split(":")[0] for port in ports} == {"127.0.0.1"}


@pytest.mark.needs("docker")
@pytest.mark.parametrize("profile", ["infra", "api", "test"])
def test_docker_compose_selects_the_same_services(profile: str) -> None:
    if read(["docker", "compose", "version"]).returncode != 0:
        unavailable("docker", "its compose plugin is missing")
    done = read(["docker", "compose", *EXAMPLE, "--profile", profile, "config", "--services"])
    assert set(done.stdout.split()) == of_profiles(profile), done.stderr


@pytest.mark.full
def test_the_script_that_localstack_runs_makes_the_bucket_in_its_region(s3: EmbeddedS3) -> None:
    import boto3  # this test alone needs it

    # What LocalStack gives its scripts; the endpoint stands for its own port.
    environ = {
        "S3_BUCKET_NAME": "made-by-the-script",
        "AWS_DEFAULT_REGION": "ap-northeast-2",
        "AWS_ENDPOINT_URL": s3.endpoint_url,
        "PATH": os.environ["PATH"],
    }
    for _ in range(2):  # its volume may hold the bucket already
        subprocess.run([sys.executable, "infra/localstack/bucket.py"], cwd=ROOT, env=environ, check=True)
    client = boto3.client(
        "s3",
        endpoint_url=s3.endpoint_url,
        region_name="ap-northeast-2",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    assert client.get_bucket_location(Bucket="made-by-the-script")["LocationConstraint"] == "ap-northeast-2"
    client.close()
