"""The sample events through `upload.handler`, each in a process of its own, by `test_local.py event`."""

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.forked import ran

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"^\| `(?P<file>[\w-]+\.json)` \|.*\| (?P<status>\d{3}) \| (?:`(?P<code>[\w-]+)`)? ?\|$", re.MULTILINE)
DOCUMENTED = {
    row["file"]: (int(row["status"]), row["code"]) for row in ROW.finditer((ROOT / "events/README.md").read_text())
}
# What is no request, and what the handler returns for it.
OTHER_ROW = re.compile(r"^\| `(?P<file>[\w-]+\.json)` \|.*\| `(?P<answer>\{.*\})` \|$", re.MULTILINE)
OTHERS = {row["file"]: json.loads(row["answer"]) for row in OTHER_ROW.finditer((ROOT / "events/README.md").read_text())}

# What an operator asks, and whether it goes well.
OPERATION_ROW = re.compile(r"^\| `(?P<file>[\w-]+\.json)` \|.*\| `(?P<passed>true|false)` \|$", re.MULTILINE)
OPERATIONS = {
    row["file"]: row["passed"] == "true" for row in OPERATION_ROW.finditer((ROOT / "events/README.md").read_text())
}


def replay(file: Path) -> dict[str, Any]:
    """What is answered to the event in a file, with an empty S3 and database behind it each time."""
    done = ran("test_local", "event", str(file), environ=os.environ)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_every_event_is_of_one_kind() -> None:
    kinds = [*DOCUMENTED, *OTHERS, *OPERATIONS]
    assert sorted(kinds) == sorted(path.name for path in (ROOT / "events").glob("*.json"))


@pytest.mark.full
@pytest.mark.parametrize("file", sorted(OTHERS))
def test_an_event_that_is_no_request_gets_the_documented_answer(file: str) -> None:
    assert replay(ROOT / "events" / file) == OTHERS[file]


@pytest.mark.parametrize("file", sorted(OPERATIONS))
def test_an_operation_ends_as_documented(file: str) -> None:
    answer = replay(ROOT / "events" / file)
    assert answer["passed"] is OPERATIONS[file], answer
    assert answer["lines"]


# tests/runtime/test_function.py has the same answers of one process.
@pytest.mark.full
@pytest.mark.parametrize("file", sorted(DOCUMENTED))
def test_an_event_gets_the_documented_answer(file: str) -> None:
    answer = replay(ROOT / "events" / file)
    status, code = DOCUMENTED[file]
    assert answer["statusCode"] == status, answer
    assert answer["isBase64Encoded"] is False, "JSON and problem documents are text"
    assert status == 204 or answer["body"].endswith("}\n")
    document = json.loads(answer["body"]) if status != 204 else {}
    assert document.get("code") == code
    if code is not None:
        assert answer["headers"]["content-type"] == "application/problem+json"
    assert not [name for name in answer["headers"] if name.startswith("access-control")]


def test_a_form_that_is_stored_by_an_event_says_so() -> None:
    body = json.loads(replay(ROOT / "events/proxied-upload.json")["body"])
    assert body["file_size"] == (ROOT / "examples/photo.jpg").stat().st_size
    assert body["success"] is True


def test_a_binary_form_survives_base64(tmp_path: Path) -> None:
    event = json.loads((ROOT / "events/proxied-upload.json").read_text())
    every_byte = bytes(range(256)) * 8
    body = base64.b64decode(event["body"])
    head, _, rest = body.partition(b"image/jpeg\r\n\r\n")
    tail = rest[rest.index(b"\r\n------WebKitFormBoundary") :]
    event["body"] = base64.b64encode(head + b"image/jpeg\r\n\r\n" + every_byte + tail).decode()
    file = tmp_path / "binary.json"
    file.write_text(json.dumps(event))
    assert json.loads(replay(file)["body"])["file_size"] == len(every_byte)


@pytest.mark.full
@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ("a%20b%2Bc%25d.jpg", "a b+c%d.jpg"),
        ("a%2Fb", "a/b"),
        ("a%252Fb", "a%2Fb"),
        ("a+b", "a+b"),
        ("%EA%B3%A0%EC%96%91%EC%9D%B4//1.jpg", "고양이//1.jpg"),
    ],
)
# AWS does not say in which of its two spellings the second one comes.
@pytest.mark.parametrize("decoded", [False, True])
def test_a_key_is_decoded_exactly_once(tmp_path: Path, raw: str, key: str, decoded: bool) -> None:
    event = json.loads((ROOT / "events/exists.json").read_text())
    event["rawPath"] = f"/api/v1/s3/file/{raw}/exists"
    event["requestContext"]["http"]["path"] = unquote(event["rawPath"]) if decoded else event["rawPath"]
    file = tmp_path / "event.json"
    file.write_text(json.dumps(event))
    assert json.loads(replay(file)["body"]) == {"key": key, "exists": False}


def test_an_unusable_environment_stops_the_start_with_one_message(tmp_path: Path) -> None:
    """Off Lambda, and where no .env lies; tests/runtime says what Lambda is told."""
    done = subprocess.run(
        [sys.executable, "-c", "import upload"], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "S3_BUCKET_NAME: missing" in done.stderr
    assert "JWT_SECRET: missing" in done.stderr
    assert "Traceback" not in done.stderr
