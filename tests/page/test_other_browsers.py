"""The page and the client in Firefox and in WebKit, Safari's engine. All that they do is tried in Chromium."""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import pytest

from image_upload.settings import load
from local.service import WIRED, local_environ
from tests.conftest import serving
from tests.contract.store import Store
from tests.faults.watching import eventually
from tests.page.conftest import SECRET
from tests.page.webdriver import Tab, firefox, webkit

MB: Final = 1_000_000
# As much as goes in parts, so that some are stored and some are not when the page is left.
LARGE_BYTES: Final = 130 * MB

# Bytes that follow from the size: each engine makes the same.
CLIENT: Final = """
const { uploads } = await import("/client.js");
const queue = uploads({ service: location.origin, purpose: "file" });
const file = (size, name) => {
  const words = new Uint32Array(size / 4);
  let word = 1;
  for (let at = 0; at < words.length; at += 1) words[at] = word = (Math.imul(word, 1664525) + 1013904223) >>> 0;
  return new File([words], name, { type: "application/octet-stream", lastModified: 1 });
};
const sha256 = async (blob) => {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
};
const ended = async (upload) => {
  await upload.done.catch(() => {});
  return { state: upload.state, resumed: upload.resumed, key: upload.result?.key, code: upload.problem?.code };
};
"""


@pytest.fixture
def service(seaweedfs: Store) -> Iterator[str]:
    """The service as `make dev` runs it."""
    with serving(load(WIRED | local_environ({"JWT_SECRET": SECRET}, seaweedfs.environ))) as url:
        yield url


@pytest.fixture(
    params=[
        pytest.param(firefox, marks=pytest.mark.needs("firefox"), id="firefox"),
        pytest.param(webkit, marks=pytest.mark.needs("webkit"), id="webkit"),
    ]
)
def tab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tab]:
    started: AbstractContextManager[Tab] = request.param(tmp_path)
    with started as tab:
        yield tab


def test_a_chosen_picture_is_stored_and_listed(tab: Tab, service: str, pictures: list[str]) -> None:
    tab.open(f"{service}/")
    eventually(lambda: tab.run("return document.querySelectorAll('option').length") > 0, "not ready", within_s=60)
    tab.choose(*map(Path, pictures[:2]))
    text = "return document.body.innerText"
    eventually(lambda: "2 of 2 stored" in tab.run(text), "not stored", within_s=60)
    names = [Path(each).name for each in pictures[:2]]
    # Among the uploads, and among the files that are stored.
    eventually(lambda: all(tab.run(text).count(each) >= 2 for each in names), "they are not listed", within_s=60)


def test_a_file_in_parts_goes_on_after_the_page_was_left(tab: Tab, service: str, seaweedfs: Store) -> None:
    tab.open(f"{service}/")
    begun = f"{CLIENT} window.upload = queue.add(file({LARGE_BYTES}, 'large.bin')); return sha256(upload.file)"
    sha256 = tab.run(begun)
    halfway = f"return upload.sent > {LARGE_BYTES // 2} && upload.state"
    eventually(lambda: bool(tab.run(halfway)), "half of it is not sent", within_s=60)
    tab.open(f"{service}/")
    found = tab.run(f"{CLIENT} return ended(queue.add(file({LARGE_BYTES}, 'large.bin')))")
    assert (found["state"], found["resumed"]) == ("stored", True)
    body = seaweedfs.s3.get_object(Bucket=seaweedfs.bucket, Key=found["key"])["Body"]
    assert hashlib.file_digest(body, "sha256").hexdigest() == sha256


def test_a_name_in_any_script_is_taken_and_a_wrong_type_refused_before_it_is_sent(tab: Tab, service: str) -> None:
    tab.open(f"{service}/")
    korean = tab.run(f"{CLIENT} return ended(queue.add(file(300_000, '한글 사진😀.bin'.normalize('NFD'))))")
    assert korean["state"] == "stored"
    profile = "uploads({ service: location.origin, purpose: 'profile' })"
    assert tab.run(f"{CLIENT} return ended({profile}.add(file(8, 'a.exe')))")["code"] == "type-refused"
