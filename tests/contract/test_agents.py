"""The curl line of the MCP server stores exactly the announced file, and a strict S3 refuses any other."""

import subprocess
from pathlib import Path

import httpx
import pytest

from image_upload.cli.agents.curl import download_line, upload_line
from tests.contract.conftest import strict_store
from tests.contract.plans import CONTENT, minted, spec
from tests.contract.store import Store

WANTED = [{}, {"purpose": "file", "metadata": {"note": "it's 고양이", "empty": ""}}]


def shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)


@strict_store
@pytest.mark.parametrize("wanted", WANTED, ids=["plain", "metadata"])
def test_a_line_stores_the_file_and_is_refused_once_its_length_has_changed(
    store: Store, service: str, web: httpx.Client, tmp_path: Path, wanted: dict[str, object]
) -> None:
    plan = minted(web, f"{service}/uploads", json=spec(accepts=["put"], **wanted))
    file, back = tmp_path / "it's [a] cat.jpg", tmp_path / "{back}.jpg"
    line = upload_line(str(file), plan["presignedUrl"], plan["headers"])

    file.write_bytes(CONTENT)
    assert shell(line).stdout == "HTTP 200\n"
    url = web.get(f"{service}/images/{plan['objectKey']}").json()["url"]
    assert shell(download_line(url, str(back))).returncode == 0
    assert back.read_bytes() == CONTENT

    file.write_bytes(CONTENT + b"x")
    done = shell(line)
    assert done.returncode == 22
    assert "<Code>SignatureDoesNotMatch</Code>" in done.stdout
    assert done.stdout.endswith("HTTP 403\n")
    assert store.read(plan["objectKey"]) == CONTENT
