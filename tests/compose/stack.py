"""The compose file as the tests read it: parsed, its variables still in it."""

import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from image_upload.settings import every_setting

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / ".env.local.example"


# A variable with none in its default.
_INNERMOST = re.compile(r"\$\{(\w+)([^${}]*)\}")


class Variable(NamedTuple):
    """`${name:-default}` or `${name:?message}`; `rest` is what follows the name, without the variables in it."""

    name: str
    rest: str


@cache
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"]
    return found


@cache
def volumes() -> set[str]:
    return set(yaml.safe_load(FILE.read_text(encoding="utf-8"))["volumes"])


def variables() -> list[Variable]:
    """Every variable that the file takes from the env file, as often as it does."""
    text = re.sub(r"^\s*#.*$", "", FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = []
    while inner := _INNERMOST.findall(text):
        found += [Variable(name, rest) for name, rest in inner]
        text = _INNERMOST.sub("", text)
    return found


def example(*, all_lines: bool = False) -> dict[str, str]:
    """What `.env.local.example` sets; with `all_lines` also what it has commented out."""
    text = EXAMPLE.read_text(encoding="utf-8")
    return dict(re.findall(rf"^{'(?:# )?' if all_lines else ''}([A-Z]\w+)=(.*)$", text, re.MULTILINE))


def settings_names() -> set[str]:
    """Every environment variable that is a setting of the service."""
    return {name for field in every_setting().values() for name in field.variables}


def filled(text: str, given: dict[str, str]) -> str:
    """A value of the file with its variables replaced, as compose does it."""

    def value(match: re.Match[str]) -> str:
        return given.get(match[1]) or (match[2].removeprefix(":-") if match[2].startswith(":-") else "")

    while _INNERMOST.search(text):
        text = _INNERMOST.sub(value, text)
    return text
