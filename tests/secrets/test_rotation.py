"""Secrets that change while a function runs, under the real awslambdaric: without a deployment, without a 5xx."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import jwt
import pytest

from image_upload.limits import SECRETS_RETRY_S
from tests.infra.ministack import REGION, ministack
from tests.runtime.api import WITHIN_S
from tests.runtime.process import ROOT, Function, function
from tests.secrets.store import ENVIRON, NEVER_SHOWN, PATH, SecretStore, hang_up, refuse, secret_store

OLD, NEW = f"{NEVER_SHOWN}{'o' * 32}", f"{NEVER_SHOWN}{'n' * 32}"
REFRESH_S = 300
GIVEN = {name: value for name, value in ENVIRON.items() if name != "AWS_LAMBDA_FUNCTION_NAME"}


class Running(NamedTuple):
    """A function and the hand on its clock."""

    function: Function
    clock: Path

    def ask(self, secret: str) -> int:
        """The status that a request with a token of this secret gets."""
        event: dict[str, Any] = json.loads((ROOT / "events/health.json").read_text(encoding="utf-8"))
        token = jwt.encode({"sub": "user-1", "exp": time.time() + 3600}, secret, "HS256")
        event |= {"rawPath": "/auth/me", "headers": {"host": "example.com", "authorization": f"Bearer {token}"}}
        event["requestContext"]["http"]["path"] = "/auth/me"
        answer = self.function.api.answer(event)
        assert answer["statusCode"] in {200, 401}, answer
        return int(answer["statusCode"])

    def later(self, seconds: float) -> None:
        self.clock.write_text(str(float(self.clock.read_text(encoding="utf-8")) + seconds + 1), encoding="utf-8")

    def lines(self, message: str) -> list[dict[str, Any]]:
        """Its log lines whose message begins so."""
        lines = [json.loads(line) for line in self.function.said().splitlines() if line.startswith("{")]
        return [line for line in lines if line["message"].startswith(message)]


@contextlib.contextmanager
def started(home: Path, environ: dict[str, str]) -> Iterator[Running]:
    clock = home / "clock"
    clock.write_text("0", encoding="utf-8")
    wanted = {
        **GIVEN,
        "JWT_SECRET": "",
        "CLOCK_AHEAD": str(clock),
        "SECRETS_REFRESH_SECONDS": str(REFRESH_S),
        **environ,
    }
    with function(home, {}, handler="tests.runtime.ahead.handler", **wanted, forks=True) as running:
        yield Running(running, clock)
        assert NEVER_SHOWN not in running.said()
        assert NEVER_SHOWN not in json.dumps(running.api.init_errors)


@pytest.fixture
def store() -> Iterator[SecretStore]:
    with secret_store() as store:
        store.secrets = {"JWT_SECRET": OLD}
        yield store


# --- a store on loopback --------------------------------------------------------------------------


def test_an_unchanged_secret_is_looked_at_again_after_its_time_and_not_before(
    tmp_path: Path, store: SecretStore
) -> None:
    with started(tmp_path, store.environ()) as running:
        assert [running.ask(OLD), running.ask(NEW)] == [200, 401]
        assert len(store.asked) == 1
        running.later(REFRESH_S)
        assert [running.ask(OLD), running.ask(OLD)] == [200, 200]
        assert len(store.asked) == 2
        assert running.lines("secrets have changed") == []


@pytest.mark.parametrize(
    ("secrets", "reason"),
    [
        ({"JWT_SECRET": NEW, "REDIS_URL": f"redis://:{NEVER_SHOWN}/x@h"}, "REDIS_URL: not a URL"),
        pytest.param({}, "JWT_SECRET: missing", marks=pytest.mark.full),
        ({"JWT_SECRET": NEW, "AUTH_REQUIRED": "false"}, f"ssm:{PATH} holds AUTH_REQUIRED"),
        pytest.param(
            {"JWT_SECRET": NEW, "AWS_SECRET_ACCESS_KEY": "k"},
            f"ssm:{PATH} holds AWS_SECRET_ACCESS_KEY",
            marks=pytest.mark.full,
        ),
        pytest.param(
            {"JWT_SECRET": NEW, "DATABASE_URL": f"mysql://u:{NEVER_SHOWN}@h/d"},
            "DATABASE_URL: not a URL of PostgreSQL",
            marks=pytest.mark.full,
        ),
    ],
)
def test_what_is_wrong_stops_the_start_and_later_leaves_what_works_in_use(
    tmp_path: Path, store: SecretStore, secrets: dict[str, str], reason: str
) -> None:
    environ = store.environ(AUTH_REQUIRED="true")
    with started(tmp_path, environ) as running:
        assert running.ask(OLD) == 200
        store.secrets = secrets
        running.later(REFRESH_S)
        assert [running.ask(OLD), running.ask(NEW)] == [200, 401]
        (line,) = running.lines("secrets were not refreshed")
        assert line["level"] == "ERROR"
        assert reason in line["reason"]
        assert not line["reason"].startswith("The service cannot start")
        store.secrets = {"JWT_SECRET": NEW}
        running.later(SECRETS_RETRY_S)
        assert [running.ask(OLD), running.ask(NEW)] == [401, 200]
    store.secrets = secrets
    other = tmp_path / "other"
    other.mkdir()
    with started(other, environ) as running:
        assert running.function.process.wait(WITHIN_S) == 1
        (error,) = running.function.api.init_errors
        assert error["errorType"] == "SettingsError"
        assert reason in error["errorMessage"]


def test_a_store_that_is_away_changes_nothing_and_is_asked_again_after_a_minute(
    tmp_path: Path, store: SecretStore
) -> None:
    with started(tmp_path, store.environ()) as running:
        assert running.ask(OLD) == 200
        store.secrets = {"JWT_SECRET": NEW}
        for act in (hang_up, refuse("AccessDeniedException"), refuse("ThrottlingException")):
            store.script = [act, act]
            running.later(REFRESH_S)
            asked = len(store.asked)
            assert [running.ask(OLD), running.ask(OLD)] == [200, 200]
            assert asked < len(store.asked) <= asked + 2, "not at every request"
            store.script = []
        running.later(SECRETS_RETRY_S)
        assert [running.ask(OLD), running.ask(NEW)] == [401, 200]
        reasons = [line["reason"] for line in running.lines("secrets were not refreshed")]
        assert [text in reason for text, reason in zip(("no answer", "AccessDenied", "Throttl"), reasons, strict=True)]
        (line,) = running.lines("secrets have changed")
        assert line["settings"] == ["JWT_SECRET"]


def test_a_start_without_its_secrets_is_an_init_error_with_the_code_and_what_to_do(
    tmp_path: Path, store: SecretStore
) -> None:
    store.script = [refuse("AccessDeniedException", "User: arn:... is not authorized to perform: ...")]
    with started(tmp_path, store.environ()) as running:
        assert running.function.process.wait(WITHIN_S) == 1
        (error,) = running.function.api.init_errors
    assert error["errorType"] == "SettingsError"
    for text in ("The service cannot start", "AccessDeniedException", "ssm:GetParametersByPath", "kms:Decrypt"):
        assert text in error["errorMessage"]


def test_of_a_variable_and_a_referenced_secret_the_referenced_one_counts_with_a_warning(
    tmp_path: Path, store: SecretStore
) -> None:
    with started(tmp_path, store.environ(JWT_SECRET=NEW)) as running:
        assert [running.ask(OLD), running.ask(NEW)] == [200, 401]
        (line,) = running.lines("a secret is given by SECRETS_FROM and by a variable")
    assert (line["level"], line["settings"]) == ("WARNING", ["JWT_SECRET"])


# --- an emulated AWS ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def aws() -> Iterator[tuple[str, Callable[[str], Any]]]:
    """Where it is, and clients of it."""
    with ministack() as url:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        yield url, lambda service: boto3.client(service, endpoint_url=url, region_name=REGION, **keys)


@pytest.mark.needs("ministack")
@pytest.mark.parametrize("service", ["ssm", "secretsmanager"])
def test_a_secret_is_rotated_without_a_deployment(
    tmp_path: Path, aws: tuple[str, Callable[[str], Any]], service: str
) -> None:
    """As docs/deploy.md says it: the new secret beside the old one, and later the new one alone."""
    url, client_of = aws
    client, path = client_of(service), f"/rotated-{service}/"

    def put(**secrets: str) -> None:
        if service == "secretsmanager":
            client.put_secret_value(SecretId="upload", SecretString=json.dumps(secrets))
            return
        for name, value in secrets.items():
            client.put_parameter(Name=path + name, Value=value, Type="SecureString", Overwrite=True)
        listed = client.get_parameters_by_path(Path=path)["Parameters"]
        for name in {each["Name"] for each in listed} - {path + name for name in secrets}:
            client.delete_parameter(Name=name)

    if service == "secretsmanager":
        client.create_secret(Name="upload", SecretString="{}")
    put(JWT_SECRET=OLD)
    reference = f"ssm:{path}" if service == "ssm" else "secretsmanager:upload"
    environ = {
        "SECRETS_FROM": reference,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL_SSM": url,
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": url,
    }
    with started(tmp_path, environ) as running:
        assert [running.ask(OLD), running.ask(NEW)] == [200, 401]
        put(JWT_SECRET=OLD, JWT_PREVIOUS_SECRET=OLD)
        running.later(REFRESH_S)
        assert [running.ask(OLD), running.ask(NEW)] == [200, 401], "two parameters cannot change at one moment"
        put(JWT_SECRET=NEW, JWT_PREVIOUS_SECRET=OLD)
        assert [running.ask(OLD), running.ask(NEW)] == [200, 401], "not before its time"
        running.later(REFRESH_S)
        assert [running.ask(OLD), running.ask(NEW)] == [200, 200]
        put(JWT_SECRET=NEW)
        running.later(REFRESH_S)
        assert [running.ask(OLD), running.ask(NEW)] == [401, 200]
        put(JWT_SECRET=OLD, DATABASE_URL=f"mysql://u:{NEVER_SHOWN}@host/db")
        running.later(REFRESH_S)
        assert [running.ask(OLD), running.ask(NEW)] == [401, 200]
        changes = [line["settings"] for line in running.lines("secrets have changed")]
        (refused,) = running.lines("secrets were not refreshed")
    assert changes == [["JWT_PREVIOUS_SECRET"], ["JWT_SECRET"], ["JWT_PREVIOUS_SECRET"]]
    assert "DATABASE_URL: not a URL of PostgreSQL" in refused["reason"]
