"""deploy.sh as far as it goes without AWS: what it refuses, and how it says so. tests/e2e has the rest."""

import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = (
    "awk bash cat cut date dirname find grep head mktemp rm sed sha256sum sort tail tr".split()  # noqa: SIM905  a list of words
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
    return folder


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!{shutil.which('bash')}\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def deploy(tools: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(ROOT / "deploy.sh"), *arguments],
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
    ],
)
def test_a_wrong_option_gives_one_sentence_before_anything_is_asked(
    tools: Path, arguments: list[str], said: str
) -> None:
    refused(deploy(tools, *arguments), said)


def test_a_missing_aws_cli_gives_one_sentence_with_the_remedy(tools: Path) -> None:
    refused(deploy(tools), "AWS CLI is missing", "install it")


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


def test_nobody_to_ask_changes_nothing(tools: Path) -> None:
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
    assert "set     JwtSecret" in done.stdout
    assert "very secret" not in done.stdout + done.stderr
    assert list((tmp_path / "scratch").iterdir()) == [], "what was written on the way is gone"
