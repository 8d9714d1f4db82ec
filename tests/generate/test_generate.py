"""What is generated is up to date; an edit by hand and a lost block are found."""

import shutil
from pathlib import Path

import pytest

from generate.blocks import BlockError, fill
from generate.files import FILES, ROOT, stale


def test_every_generated_file_is_what_the_code_says() -> None:
    assert list(stale()) == [], "run make generate, and commit what it changes"


@pytest.mark.parametrize(
    ("path", "before", "after"),
    [
        pytest.param("infra/template.yaml", "s3:GetObject", "s3:*", marks=pytest.mark.full),
        ("docker-compose.yml", "  LOG_LEVEL: ${LOG_LEVEL:-}\n", ""),
    ],
)
def test_an_edit_of_generated_lines_is_found_and_put_right(tmp_path: Path, path: str, before: str, after: str) -> None:
    for each in FILES:
        (tmp_path / each).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / each, tmp_path / each)
    right = (ROOT / path).read_text(encoding="utf-8")
    assert before in right
    (tmp_path / path).write_text(right.replace(before, after, 1), encoding="utf-8")
    assert stale(tmp_path) == {path: right}


def test_a_lost_or_unknown_block_is_an_error() -> None:
    text = "<!-- generated: errors -->\n<!-- end -->\n"
    assert fill(text, {"errors": "one\n"}) == "<!-- generated: errors -->\none\n<!-- end -->\n"
    for broken in (text.replace("<!-- end -->", ""), text + text, text.replace("errors", "faults")):
        with pytest.raises(BlockError, match="errors"):
            fill(broken, {"errors": "one\n"})


def test_lines_are_indented_as_the_marks_of_their_block() -> None:
    assert (
        fill("  # generated: a b\n  # end\n", {"a b": "x:\n  - y\n"}) == "  # generated: a b\n  x:\n    - y\n  # end\n"
    )
