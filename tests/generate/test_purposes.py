"""What is made of purposes.toml follows the file that is in place."""

from pathlib import Path
from typing import Any

import pytest

from generate import purposes, template
from image_upload.domain import purpose_file
from tests.test_purposes import OWN

USER_FILE = '[user-file]\nscope = "billing"\n'
GROUPS = '[mixed]\nkey = "mixed/{id}"\ntypes = ["documents", "image/heic"]\nscope = "a\'b"\n'


@pytest.fixture
def in_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    file = tmp_path / "purposes.toml"
    file.write_text(OWN + GROUPS + USER_FILE, encoding="utf-8")
    monkeypatch.setattr(purposes, "FILE", file)
    return file


@pytest.mark.usefixtures("in_place")
def test_the_template_has_the_life_times_and_rights_of_the_file() -> None:
    first, *_ = template.bucket_rules()["LifecycleConfiguration"]["Rules"]
    assert (first["Id"], first["ExpirationInDays"]) == ("image-upload-expire-Invoice", 3650)
    said = str(template.role_statements())
    assert [folder in said for folder in ("invoices/*", "avatars/*", "mixed/*", "scans/*")] == [True, True, True, False]


@pytest.mark.usefixtures("in_place")
def test_the_page_lists_the_purposes_of_the_file() -> None:
    blocks = ("purposes", "internal purpose", "types")
    page = purposes.page("".join(f"<!-- generated: {each} -->\n<!-- end -->\n" for each in blocks))
    more = "variants `thumb:320:webp,card:1280:avif`, task `faces.find`, files_per_day `100`"
    assert f"| `avatar` | `avatars/{{user}}/{{id}}` | for ever | images | 2 MiB | yes | no | yes | {more} |" in page
    assert "| 3650 days | `application/pdf` `application/xml` | 20 MiB | no | no |" in page
    assert "| 5 GiB | no | yes | no | scope `billing` |" in page
    assert "scans/" not in page


def test_the_values_are_those_of_the_file(in_place: Path) -> None:
    written: dict[str, Any] = {}
    exec(purposes.compiled(""), written)
    assert written["PURPOSES"] == purpose_file.parse(in_place.read_text(encoding="utf-8"))


def test_a_file_with_faults_ends_make_generate(in_place: Path) -> None:
    in_place.write_text("[a]", encoding="utf-8")
    with pytest.raises(SystemExit, match="line 1, a: key is missing"):
        purposes.compiled("")
