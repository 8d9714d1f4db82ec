"""`aws` is called as any program is: what a caller gives to one call is that call's alone."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.aws_cli import VERSION

pytestmark = pytest.mark.needs("awscli")


def test_a_call_has_its_callers_words_environment_folder_umask_and_files(aws_cli: Path, tmp_path: Path) -> None:
    def call(*words: str, environ: dict[str, str], said: str = "") -> subprocess.CompletedProcess[str]:
        command = [str(aws_cli / "aws"), *words]
        given = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)} | environ
        return subprocess.run(
            command, cwd=tmp_path, env=given, input=said, umask=0o027, capture_output=True, text=True, check=False
        )

    assert call("--version", environ={}).stdout.startswith(f"aws-cli/{VERSION} ")
    mine, other = {"AWS_CONFIG_FILE": "here/mine"}, {"AWS_CONFIG_FILE": "here/other"}
    assert call("configure", environ=mine, said="key\nsecret\neu-west-9\ntext\n").returncode == 0
    assert (tmp_path / "here").stat().st_mode & 0o777 == 0o750
    found = [call("configure", "get", "region", environ=each) for each in (mine, other, mine)]
    assert [(each.returncode, each.stdout) for each in found] == [(0, "eu-west-9\n"), (1, ""), (0, "eu-west-9\n")]
    wrong = call("no-such-service", environ=mine)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "usage: " in wrong.stderr
