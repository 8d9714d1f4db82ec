"""What the documents say of the image is what its files say."""

import re

from tests.image.base import INSTALL, TOOLS
from tests.runtime.process import ROOT


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_what_has_to_be_installed_is_said_the_same_everywhere() -> None:
    assert f"\n{INSTALL}\n" in read("docs/container.md")
    assert f" {' '.join(TOOLS)} " in read(".ci/run")


def test_every_build_argument_is_documented_with_its_default() -> None:
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", read("Dockerfile"), re.MULTILINE))
    documented = dict(re.findall(r"^\| `([A-Z_]+)` \| `(\S+)` \|", read("docs/container.md"), re.MULTILINE))
    assert documented == arguments
    assert set(arguments) == {"BASE_IMAGE", "REVISION"}
