"""The operator's door."""

import os
import re
import subprocess

import httpx
import pytest

from image_upload.__main__ import COMMANDS
from local.ports import claim_port
from tests.conftest import Start
from tests.forked import ran

SECRET = "a-secret-of-more-than-thirty-two-bytes"


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "JWT_", "SMOKE_"))}
    return ran("image_upload", *arguments, environ=inherited | environ)


def test_without_a_command_all_are_listed() -> None:
    done = run()
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == list(COMMANDS)


def test_a_command_that_is_none_gives_the_list_and_2() -> None:
    done = run("smook")
    assert done.returncode == 2
    assert "no command 'smook'" in done.stderr
    assert "smoke" in done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_takes(name: str) -> None:
    done = run(name, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: python -m image_upload {name}")


def test_the_smoke_test_makes_its_own_token_where_it_knows_the_secret(start: Start) -> None:
    url = start(AUTH_REQUIRED="true", JWT_SECRET=SECRET)
    assert "401" in run("smoke", url).stdout
    done = run("smoke", url, JWT_SECRET=SECRET)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_smoke_test_leaves_nothing_behind(start: Start, web: httpx.Client) -> None:
    url = start()

    def stored() -> list[dict[str, object]]:
        files: list[dict[str, object]] = web.get(f"{url}/api/v1/s3/files").json()["files"]
        return files

    before = stored()
    done = run("smoke", url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "  ok      clean up: 5 pictures deleted, none left\n8 of 8 steps passed.\n" in done.stdout
    assert stored() == before


def test_the_smoke_test_fails_without_an_answer() -> None:
    with claim_port("127.0.0.1", 0, "PORT") as listening:
        port = listening.getsockname()[1]
    done = run("smoke", f"http://127.0.0.1:{port}")
    assert done.returncode == 1
    assert "0 of 8 steps passed" in done.stdout


# Settings of production, without the secrets; S3's port is closed.
IN_PRODUCTION = {
    "ENVIRONMENT": "production",
    "S3_BUCKET_NAME": "photos",
    "AWS_REGION": "eu-north-1",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_S3_ENDPOINT_URL": "https://127.0.0.1:1",
    "DATABASE_URL": "postgresql://user@127.0.0.1:1/images?connect_timeout=2",
}


@pytest.mark.full
@pytest.mark.parametrize(
    ("arguments", "reached"),
    [
        (["import", "examples", "--dry-run"], "S3 did not answer"),
        (["doctor"], "region"),
        (["bucket-rules"], "S3 cannot be asked"),
        (["migrate-db"], "The database could not be migrated"),
        (["sweep"], "The database"),
    ],
)
def test_what_answers_no_http_needs_no_secret_of_tokens(arguments: list[str], reached: str) -> None:
    done = run(*arguments, **IN_PRODUCTION)
    said = done.stdout + done.stderr
    assert reached in said
    assert "settings are missing" not in said
    assert "1 setting is missing" not in said


def test_the_doctor_warns_of_settings_with_which_no_service_would_start() -> None:
    said = run("doctor", **IN_PRODUCTION).stdout
    assert re.search(
        r"^  warn +settings .*a service would not start with them → JWT_SECRET: missing", said, re.MULTILINE
    )
    assert re.search(r"^  ok +settings ", run("doctor", **IN_PRODUCTION, JWT_SECRET=SECRET).stdout, re.MULTILINE)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_the_smoke_test_signs_with_the_services_own_algorithm(start: Start, algorithm: str) -> None:
    environ = {"JWT_SECRET": SECRET * 2, "JWT_ALGORITHM": algorithm, "JWT_ISSUER": "us", "JWT_AUDIENCE": "a,b"}
    done = run("smoke", start(AUTH_REQUIRED="true", **environ), **environ)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_smoke_test_takes_a_token_that_it_is_given(start: Start) -> None:
    environ = {"JWT_SECRET": SECRET, "JWT_ISSUER": "us"}
    token = run("token", "--sub", "user-1", **environ).stdout.strip()
    # Under another secret it would make one that is refused.
    done = run("smoke", start(AUTH_REQUIRED="true", **environ), SMOKE_TOKEN=token, JWT_SECRET=SECRET * 2)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_smoke_test_says_what_it_cannot_sign_with() -> None:
    done = run("smoke", "http://127.0.0.1:1", JWT_SECRET=SECRET, JWT_ALGORITHM="RS256")
    assert (done.returncode, done.stdout) == (2, "")
    assert "JWT_ALGORITHM" in done.stderr
