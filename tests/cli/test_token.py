"""`token`: what it prints is accepted by a service with the same secret, and nothing weak is signed."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import jwt
import pytest

from image_upload.__main__ import main
from tests.conftest import Start
from tests.forked import ran

SECRET = "a-secret-of-more-than-sixty-four-bytes-for-every-hash-that-there-is-"
SPEC = {"filename": "a.jpg", "contentType": "image/jpeg", "size": 3}


def run(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command in a folder whose `.env` is the only one that it can find."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "JWT_"))}
    return ran("image_upload", "token", *arguments, environ=inherited | environ, cwd=folder)


Here = Callable[..., tuple[int, str, str]]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Here:
    """The command in this process, for what is refused: its exit code, and what it wrote to its two outputs."""

    def run_here(*arguments: str, **environ: str) -> tuple[int, str, str]:
        for name in [name for name in os.environ if name.startswith(("AWS_", "JWT_"))]:
            monkeypatch.delenv(name)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        try:
            code = main(["token", *arguments])
        except SystemExit as end:
            code = int(str(end.code))
        return code, *capsys.readouterr()

    return run_here


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_the_service_accepts_what_it_prints(algorithm: str, start: Start, web: httpx.Client, tmp_path: Path) -> None:
    environ = {"JWT_SECRET": SECRET, "JWT_ALGORITHM": algorithm, "JWT_ISSUER": "https://app", "JWT_AUDIENCE": "uploads"}
    url = start(AUTH_REQUIRED="true", **environ)
    done = run(tmp_path, "--sub", "user-1", **environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    bearer = {"Authorization": f"Bearer {done.stdout.strip()}"}
    assert web.post(f"{url}/uploads", json=SPEC, headers=bearer).status_code == 200
    assert web.post(f"{url}/uploads", json=SPEC).status_code == 401


def test_scopes_carry_the_prefix_and_limit_the_token(start: Start, web: httpx.Client, tmp_path: Path) -> None:
    environ = {"JWT_SECRET": SECRET, "JWT_SCOPE_PREFIX": "uploads/"}
    url = start(AUTH_REQUIRED="true", **environ)
    token = run(tmp_path, "--sub", "user-1", "--scope", "mint", **environ).stdout.strip()
    bearer = {"Authorization": f"Bearer {token}"}
    assert web.post(f"{url}/uploads", json=SPEC, headers=bearer).status_code == 200
    assert web.get(f"{url}/api/v1/s3/files", headers=bearer).json()["code"] == "scope-missing"
    both = run(tmp_path, "--sub", "user-1", "--scope", "mint", "--scope", "admin", **environ).stdout.strip()
    assert jwt.decode(both, SECRET, algorithms=["HS256"])["scope"] == "uploads/mint uploads/admin"


@pytest.mark.parametrize(
    ("options", "life_s"),
    [([], 3_600), (["--expires", "90s"], 90), (["--expires", "15m"], 900), (["--expires", "30d"], 2_592_000)],
)
def test_it_lives_as_long_as_it_is_told(options: list[str], life_s: int, tmp_path: Path) -> None:
    before = int(time.time())
    token = run(tmp_path, "--sub", "사용자-1", *options, JWT_SECRET=SECRET).stdout.strip()
    claims = jwt.decode(token, SECRET, algorithms=["HS256"])
    assert set(claims) == {"sub", "exp"}
    assert claims["sub"] == "사용자-1"
    assert before + life_s <= claims["exp"] <= int(time.time()) + life_s


def test_the_secret_may_stand_in_a_dotenv_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"JWT_SECRET={SECRET}\nS3_BUCKET_NAME=\n", encoding="utf-8")
    token = run(tmp_path, "--sub", "user-1").stdout.strip()
    assert jwt.decode(token, SECRET, algorithms=["HS256"])["sub"] == "user-1"


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "There is no JWT_SECRET to sign with."),
        ({"JWT_SECRET": "hunter2"}, "JWT_SECRET: shorter than 32 bytes."),
        ({"JWT_SECRET": "hunter2", "ENVIRONMENT": "local"}, "JWT_SECRET: shorter than 32 bytes."),
        ({"JWT_SECRET": "hunter2" * 8, "JWT_ALGORITHM": "HS512"}, "JWT_SECRET: shorter than 64 bytes."),
        ({"JWT_SECRET": SECRET, "JWT_ALGORITHM": "none"}, "JWT_ALGORITHM: "),
        ({"JWT_SECRET": SECRET, "JWT_ALGORITHM": "RS256"}, "JWT_ALGORITHM: "),
    ],
)
def test_no_token_without_a_secret_that_production_would_take(environ: dict[str, str], said: str, here: Here) -> None:
    code, out, err = here("--sub", "user-1", **environ)
    assert (code, out) == (2, "")
    assert said in err
    assert "openssl rand -hex 32" in err or "HS256" in err
    assert "hunter" not in err
    assert SECRET not in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--sub"),
        (["--sub", ""], "no user id"),
        (["--sub", "anonymous"], "no user id"),
        (["--sub", "a\nb"], "no user id"),
        (["--sub", "x" * 256], "no user id"),
        (["--sub", "u", "--expires", "31d"], "at most 30d"),
        (["--sub", "u", "--expires", "9999999d"], "at most 30d"),
        (["--sub", "u", "--expires", "0s"], "no time"),
        (["--sub", "u", "--expires", "-1h"], "argument --expires"),
        (["--sub", "u", "--expires", "1h1m"], "no time"),
        (["--sub", "u", "--expires", "\N{ARABIC-INDIC DIGIT ONE}h"], "no time"),
        (["--sub", "u", "--scope", "everything"], "invalid choice"),
    ],
)
def test_what_the_service_would_refuse_is_not_signed(arguments: list[str], said: str, here: Here) -> None:
    code, out, err = here(*arguments, JWT_SECRET=SECRET)
    assert (code, out) == (2, "")
    assert said in err
