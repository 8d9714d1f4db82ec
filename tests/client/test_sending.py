"""What a page's files become: each plan of the service, many at once, and what is refused before a byte is sent."""

import base64
import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from image_upload.limits import MULTIPART_FROM_BYTES
from tests.browser.storage import Storage
from tests.client.conftest import Make, Open
from tests.client.proxy import Proxy

pytestmark = pytest.mark.needs("chromium", "node", "ceph")

ALL_AT_ONCE = 6
PARTS_AT_ONCE = 4


def digest_of(storage: Storage, outcome: dict[str, Any]) -> str:
    """The digest of what an upload has stored; it must be over."""
    assert (outcome["problem"], outcome["state"]) == (None, "stored"), outcome
    assert outcome["sent"] == outcome["size"] == outcome["result"]["size"]
    return storage.sha256(outcome["result"]["key"])


@pytest.mark.parametrize("strategy", ["put", "post", "multipart", "resumable", "proxy"])
def test_a_file_is_stored_by_each_plan_of_the_service(made: Make, storage: Storage, strategy: str) -> None:
    tab = made(accepts=[strategy])
    found, digest = tab.run("const sent = file(1_000_000); return [await outcome(queue.add(sent)), await sha256(sent)]")
    assert digest_of(storage, found) == digest
    assert found["result"]["contentType"] == "application/octet-stream"
    assert tab.run(f"return sha256(await (await fetch({found['result']['url']!r})).blob())") == digest
    assert storage.open_uploads() == []


def test_the_ten_lines_of_the_guide_upload_what_is_chosen(
    open_tab: Open, origin: str, service: Proxy, s3: Proxy, token: str, tmp_path: Path
) -> None:
    (tmp_path / "a.bin").write_bytes(b"a" * 1000)
    tab = open_tab(f"window.session = {{ token: {token!r} }}")
    tab.run("document.body.append(Object.assign(document.createElement('p'), { id: 'line' }))")
    code = tab.run("return (await fetch('documented.js')).text()")
    assert code.count("\n") <= 12
    code = code.replace("https://uploads.example.com", service.url).replace('"./', f'"{origin}/')
    tab.run(f"await import(URL.createObjectURL(new Blob([{json.dumps(code)}], {{ type: 'text/javascript' }})))")
    tab.choose(tmp_path / "a.bin")
    tab.until("line.textContent === 'a.bin: stored, 1000 of 1000'")
    assert len(s3.requests("^PUT")) == 1


def test_a_large_file_goes_in_parts_at_once_and_its_progress_is_told(made: Make, storage: Storage, s3: Proxy) -> None:
    tab = made()
    told, found, digest = tab.run(
        f"""
        const large = file({MULTIPART_FROM_BYTES}), told = [], upload = queue.add(large);
        upload.subscribe(({{ state, sent, speed, secondsLeft }}) => told.push([state, sent, speed, secondsLeft]));
        return [await outcome(upload).then(() => told), seen(upload), await sha256(large)]
        """
    )
    assert digest_of(storage, found) == digest
    assert s3.peak == PARTS_AT_ONCE
    sent = [each[1] for each in told]
    assert sent == sorted(sent)
    assert len({each for each in sent if 0 < each < found["size"]}) > 10
    assert [each for each in told if each[2] > 0 and 0 < each[3] < 600]
    assert sum(put.bytes for put in s3.requests("^PUT")) == found["size"]


def test_many_files_share_six_requests(made: Make, storage: Storage, s3: Proxy, service: Proxy) -> None:
    tab = made()
    found = tab.run(
        """
        const one = (_, at) => file(100_000, `${at}.bin`, "application/octet-stream", at + 1);
        const added = await queue.addAll(Array.from({ length: 30 }, one));
        return Promise.all(added.map(outcome))
        """
    )
    assert len({digest_of(storage, each) for each in found}) == len(found) == 30
    assert 1 < s3.peak <= ALL_AT_ONCE
    assert len(service.requests("^GET /purposes")) == 1


def test_a_small_file_costs_three_requests_and_two_preflights(made: Make, s3: Proxy, service: Proxy) -> None:
    tab = made()
    assert tab.run("return outcome(queue.add(file(1000)))")["state"] == "stored"
    service.seen.clear()
    s3.seen.clear()
    assert tab.run("return outcome(queue.add(file(1000, 'second.bin')))")["state"] == "stored"
    # A browser keeps the answer to a preflight by its URL, and only that of POST /uploads is the same.
    shapes = [re.sub(r"(?<=/)(uppy-uploads|images)/.*", r"\1/…", seen.line) for seen in [*service.seen, *s3.seen]]
    assert shapes == [
        "POST /uploads",
        "OPTIONS /images/…",
        "POST /images/…",
        "OPTIONS /uppy-uploads/…",
        "PUT /uppy-uploads/…",
    ]


def test_a_picture_s_facts_are_told(made: Make, jpeg: bytes) -> None:
    tab = made(purpose="upload")
    code = "const bytes = Uint8Array.from(atob('%s'), (each) => each.charCodeAt(0));"
    found = tab.run(
        code % base64.b64encode(jpeg).decode()
        + "return outcome(queue.add(new File([bytes], 'a.jpg', { type: 'image/jpeg' })))"
    )
    assert found["state"] == "stored", found
    result = found["result"]
    assert (result["width"], result["height"], result["contentType"], result["size"]) == (
        64,
        64,
        "image/jpeg",
        len(jpeg),
    )


def test_a_file_that_waits_for_its_verdict_is_checking(made: Make, service: Proxy) -> None:
    verdict = service.spoil("^POST /images/.*/complete", status=202, hold=True, body='{"state": "checking"}')
    tab = made("const timer = setTimeout; window.setTimeout = (call, ms) => timer(call, Math.min(ms, 100));")
    tab.run("queue.add(file(1000))")
    tab.until("queue.items[0].state === 'checking'")
    verdict.released.set()
    assert tab.run("return outcome(queue.items[0])")["state"] == "stored"
    assert len(service.requests("^POST /images/.*/complete")) == 2


def test_a_digest_is_promised_where_one_request_carries_the_file(made: Make, s3: Proxy) -> None:
    tab = made()
    digest = tab.run("const sent = file(5000); await queue.add(sent).done; return sha256(sent)")
    (put,) = s3.requests("^PUT")
    assert put.headers["x-amz-checksum-sha256"] == base64.b64encode(bytes.fromhex(digest)).decode()


NAMES = {
    "composed": unicodedata.normalize("NFD", "고양이 사진.bin"),
    "emoji": "👩‍👩‍👧 100% & more?.bin",
    "long": "가" * 296 + ".bin",
    "none": "",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_any_name_is_sent_as_the_service_takes_it(made: Make, storage: Storage, name: str) -> None:
    tab = made()
    found = tab.run(f"return outcome(queue.add(file(1000, {name!r} || 'x'), {{ metadata: {{}} }}))")
    assert found["state"] == "stored", found
    assert len(found["name"]) <= 255
    assert unicodedata.is_normalized("NFC", found["name"])
    if name:
        assert found["name"].endswith(".bin")
        assert found["result"]["key"].endswith(".bin")
    assert storage.client.head_object(Bucket="uppy-uploads", Key=found["result"]["key"])["ContentLength"] == 1000


REFUSED = {
    "empty": ("file(0)", {}, "empty-file"),
    "type": ("file(1000, 'a.gif', 'image/gif')", {"purpose": "upload"}, "type-refused"),
    "no type": ("file(1000, 'a.exe', '')", {"purpose": "upload"}, "type-refused"),
    "size": ("file(10 * 2 ** 20 + 1, 'a.jpg', 'image/jpeg')", {"purpose": "upload"}, "file-too-large"),
}


@pytest.mark.parametrize(("file", "options", "code"), REFUSED.values(), ids=REFUSED)
def test_what_the_purpose_does_not_take_is_refused_before_a_byte_is_sent(
    made: Make, service: Proxy, s3: Proxy, file: str, options: dict[str, Any], code: str
) -> None:
    tab = made(**options, language="ko")
    found = tab.run(f"return outcome(queue.add({file}))")
    assert (found["state"], found["problem"]["code"]) == ("failed", code)
    assert found["problem"]["detail"]
    assert found["problem"]["remedy"]
    assert service.requests("^POST") == []
    assert s3.requests("") == []


def test_a_file_without_a_type_is_sent_where_any_type_is_taken(made: Make) -> None:
    tab = made()
    assert (
        tab.run("return outcome(queue.add(file(1000, 'a.xyz', '')))")["result"]["contentType"]
        == "application/octet-stream"
    )


def test_a_refusal_of_the_service_has_its_code_and_its_words(made: Make) -> None:
    tab = made(language="ko")
    found = tab.run(
        "return outcome(queue.add(file(1000, 'a.pdf', 'image/jpeg'), { purpose: 'upload', filename: 'b.jpg/' }))"
    )
    problem = found["problem"]
    assert (problem["code"], problem["status"]) == ("invalid-filename", 400)
    assert "파일" in problem["detail"]
    assert problem["request_id"]


def test_the_files_of_a_dropped_folder_are_added(made: Make, tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    for place in ("a.bin", "deep/er/b.bin", "deep/c.bin"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(place.encode())
    (tmp_path / "single.bin").write_bytes(b"single")
    tab = made()
    tab.run(
        """
        addEventListener("dragover", (event) => event.preventDefault());
        addEventListener("drop", (event) => (event.preventDefault(), queue.addAll(event.dataTransfer)));
        """
    )
    tab.drop(folder, tmp_path / "single.bin")
    tab.until("queue.items.length === 4 && queue.items.every(({ state }) => state === 'stored')")
    assert sorted(tab.run("return queue.items.map(({ name }) => name)")) == ["a.bin", "b.bin", "c.bin", "single.bin"]


def test_the_same_idempotency_key_is_one_object(made: Make, storage: Storage) -> None:
    tab = made()
    found = tab.run(
        """
        const options = { idempotencyKey: crypto.randomUUID() };
        const first = await outcome(queue.add(file(1000), options));
        return [first, await outcome(queue.add(file(1000), options))]
        """
    )
    assert digest_of(storage, found[0]) == digest_of(storage, found[1])
    assert found[0]["result"]["key"] == found[1]["result"]["key"]
