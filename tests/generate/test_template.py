"""The template takes in what the code learns, and CloudFormation takes the template."""

import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from pydantic import SecretStr

from generate import template
from image_upload.settings import SECTIONS
from image_upload.settings.section import setting
from image_upload.settings.service import ServiceSettings
from tests.infra.template import PATH, TEMPLATE, parse


class Grown(ServiceSettings):
    """A section of some later day."""

    some_secret: SecretStr | None = setting("SOME_SECRET", default=None, description="a secret")
    some_url: SecretStr | None = setting("SOME_URL", default=None, description="a cache, with its password")
    mode: Literal["a", "b"] = setting("SOME_MODE", default="a", description="one of a, b")


@pytest.fixture
def grown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SECTIONS, "service", Grown)


def lint(file: Path) -> str:
    """What cfn-lint says, its hints included; nothing is ignored."""
    program = Path(sys.executable).with_name("cfn-lint")
    command = [str(program), "--include-checks", "I", "--regions", "us-east-1", "ap-northeast-2"]
    done = subprocess.run([*command, "--", str(file)], capture_output=True, text=True, check=False, timeout=120)
    return done.stdout + done.stderr


@pytest.mark.full
def test_cfn_lint_has_nothing_to_say() -> None:
    assert lint(PATH) == ""


@pytest.mark.full
def test_cfn_lint_would_say_something(tmp_path: Path) -> None:
    broken = tmp_path / "template.yaml"
    broken.write_text(PATH.read_text().replace("AuthType: NONE", "AuthType: NOBODY", 1))
    assert "NOBODY" in lint(broken)


def test_cloudformation_takes_the_template_from_a_bucket() -> None:
    assert len(PATH.read_bytes()) <= template.TEMPLATE_MAX_BYTES


@pytest.mark.usefixtures("grown")
def test_a_new_setting_becomes_a_parameter_by_itself() -> None:
    later = parse(template.generated(PATH.read_text()))
    new = {name: each for name, each in later["Parameters"].items() if name not in TEMPLATE["Parameters"]}
    assert new.pop("SomeMode")["AllowedValues"] == ["", "a", "b"]
    variables = later["Resources"]["Function"]["Properties"]["Environment"]["Variables"]
    assert variables["SOME_MODE"] == {"Ref": "SomeMode"}
    # A secret does not: not even a connection string, which may hold a password.
    assert new == {}
    assert not {"SOME_SECRET", "SOME_URL"} & variables.keys()
    listed = set(later["Metadata"]["SecretSettings"])
    assert listed - set(TEMPLATE["Metadata"]["SecretSettings"]) == {"SOME_SECRET", "SOME_URL"}
