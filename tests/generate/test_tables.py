"""What the code learns later stands in the documents by itself, or the generator says what is missing."""

import re
from typing import Any

import pytest

import generate.settings
from generate import errors, limits, routes, settings
from generate.blocks import BlockError, table
from generate.declarations import Declaration, declarations, paragraphs
from generate.files import ROOT
from image_upload.errors import Problem
from image_upload.settings import SECTIONS
from image_upload.settings.section import setting
from image_upload.settings.uploads import UploadSettings


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_a_table_stands_between_blank_lines() -> None:
    assert table(("Code", "Status"), [("`a`", "400")]) == "\n| Code | Status |\n|---|---|\n| `a` | 400 |\n\n"


def test_a_name_is_declared_with_the_text_below_it_and_its_section() -> None:
    source = '''
# --- First ---
A: int = 1
"""What it
means.

source
"""
B: int = 2
class C:
    # --- Second ---
    d: int = 3
    """One."""
'''
    assert list(declarations(source)) == [
        Declaration("A", ["What it means.", "source"], "First"),
        Declaration("B", [], "First"),
        Declaration("d", ["One."], "Second"),
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("see docs/records.md#set-up.", "see [records.md](records.md#set-up)."),
        ("(docs/decisions/quotas.md)", "([decisions/quotas.md](decisions/quotas.md))"),
        ("[a](docs/b.md) and https://example.com/docs/c.md", "[a](docs/b.md) and https://example.com/docs/c.md"),
    ],
)
def test_a_page_that_is_named_becomes_a_link(text: str, line: str) -> None:
    assert paragraphs(text) == [line]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("S3_OBJECT_MAX_BYTES", "53,687,091,200,000 (48.8 TiB)"),
        ("PRESIGN_MAX_S", "604,800 (7 days)"),
        ("JWKS_FRESH_S", "3,600 (1 hour)"),
        ("REDIS_TIMEOUT_S", "0.5"),
        ("S3_PARTS_MAX", "10,000"),
    ],
)
def test_a_limit_is_written_as_it_is_read(name: str, value: str) -> None:
    assert limits.value_of(name) == value


def test_a_new_route_gets_a_section_with_its_facts() -> None:
    whole = read("docs/routes.md")
    block = re.search(r"<!-- generated: getHealth -->\n.*?<!-- end -->\n", whole, re.DOTALL)
    assert block is not None
    later = routes.page(whole.replace(block[0], ""))
    assert later.endswith(block[0])
    assert later.count("[`GET /`](#get-)") == whole.count("[`GET /`](#get-)")


def test_a_section_of_a_route_that_is_gone_is_named() -> None:
    with pytest.raises(BlockError, match="getNothing"):
        routes.page(read("docs/routes.md") + "<!-- generated: getNothing -->\n<!-- end -->\n")


def test_an_error_that_does_not_say_what_to_do_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = next(kind for kind in Problem.__subclasses__() if kind.code == "not-found")
    monkeypatch.setattr(missing, "__doc__", "There is no such path.")
    with pytest.raises(BlockError, match="NotFound"):
        errors.page(read("docs/errors.md"))


class Later(UploadSettings):
    some_mode: str = setting("SOME_MODE", default="a", description="one of a, b")


def test_a_setting_without_a_text_below_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[str, Any] = {**SECTIONS, "uploads": Later}
    monkeypatch.setattr(generate.settings, "SECTIONS", known)
    with pytest.raises(BlockError, match="some_mode"):
        settings.page(read("docs/settings.md"))


def test_a_default_that_depends_on_the_environment_says_so() -> None:
    defaults = {each.setting.variables[0]: each.default for each in settings.described()}
    assert defaults["AUTH_REQUIRED"] == "`true` in production, else `false`"
    assert defaults["S3_BUCKET_NAME"] == "required"
    assert defaults["ENVIRONMENT"] == "`production`"
    assert defaults["CDN_BASE_URL"] == "not set"
