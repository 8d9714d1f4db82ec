"""What is published is small, needs nothing, and is of the service's version."""

import gzip
import json
import re
import subprocess
from pathlib import Path

import pytest

from image_upload import __version__

CLIENT = Path(__file__).resolve().parent.parent.parent / "client"
PACKAGE = json.loads((CLIENT / "package.json").read_text(encoding="utf-8"))


def test_the_versions_are_one() -> None:
    (version,) = re.findall(r'VERSION = "(.+)"', (CLIENT / "upload.js").read_text(encoding="utf-8"))
    assert version == PACKAGE["version"] == __version__


def test_the_package_needs_nothing_but_react_for_its_hook() -> None:
    assert not {"dependencies", "devDependencies", "scripts"} & PACKAGE.keys()
    assert PACKAGE["peerDependenciesMeta"] == {name: {"optional": True} for name in PACKAGE["peerDependencies"]}
    imported = re.findall(
        r'from "(.+)"', "".join((CLIENT / name).read_text("utf-8") for name in ("upload.js", "react.js"))
    )
    assert set(imported) == {"react", "./upload.js"}


def test_the_module_is_below_12_kilobytes_as_it_is_transferred() -> None:
    assert len(gzip.compress((CLIENT / "upload.js").read_bytes(), 9)) < 12_000


@pytest.mark.needs("node")
def test_a_queue_can_be_made_while_a_server_renders_the_page() -> None:
    code = f"import {{ uploads }} from '{(CLIENT / 'upload.js').as_uri()}'; console.log(uploads({{}}).items.length)"
    command = ["node", "--input-type=module", "-e", code]
    assert subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout == "0\n"


def test_every_file_of_the_package_is_there() -> None:
    exported = [
        path
        for entry in PACKAGE["exports"].values()
        for path in (entry.values() if isinstance(entry, dict) else [entry])
    ]
    assert [path for path in exported if not (CLIENT / path).is_file()] == []
    assert {path.removeprefix("./") for path in exported} == {*PACKAGE["files"], "package.json"}
