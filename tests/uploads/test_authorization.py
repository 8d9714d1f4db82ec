"""AUTHORIZE: the operator's own check is asked for every upload, and can refuse and narrow, never widen."""

import logging
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from image_upload.auth import authorization
from image_upload.domain.keys import owner_tag_in
from image_upload.settings import SettingsError, load
from tests.conftest import Start, problem
from tests.database.databases import empty, migrated

ROOT = Path(__file__).resolve().parents[2]
GIVEN = {"ENVIRONMENT": "test", "S3_BUCKET_NAME": "photos", "AWS_REGION": "eu-north-1"}
SECRET = "a-secret-of-more-than-thirty-two-bytes"
HEAD = """
import asyncio, threading, time
from image_upload.auth.authorization import Narrowed
from image_upload.errors import UploadRefused, NotFound
seen = []
"""
Hook = Callable[[str], str]


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    """Write a module with this function; what AUTHORIZE says of it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "teams_own"
    package.mkdir()
    (package / "__init__.py").touch()

    def write(function: str) -> str:
        (package / "uploads.py").write_text(HEAD + function, encoding="utf-8")
        return "teams_own.uploads:authorize"

    yield write
    for name in ("teams_own.uploads", "teams_own"):
        sys.modules.pop(name, None)


def seen() -> list[Any]:
    return sys.modules["teams_own.uploads"].seen  # type: ignore[no-any-return]  # a module of the test


def bearer(user_id: str, scope: str = "") -> dict[str, str]:
    claims = {"sub": user_id, "exp": time.time() + 600, "scope": scope}
    return {"Authorization": "Bearer " + jwt.encode(claims, SECRET, "HS256")}


SPEC = {"filename": "a.jpg", "contentType": "image/jpeg", "size": 5}
FILE = {"file": ("a.jpg", b"12345", "image/jpeg")}
# Every way to begin an upload: the request, and the purpose and folder that the function is told.
WAYS: dict[str, tuple[str, str, dict[str, Any], str | None, str]] = {
    "uploads": ("POST", "/uploads", {"json": SPEC}, "upload", "uploads"),
    "form": ("POST", "/uploads", {"json": {**SPEC, "accepts": ["post"]}}, "upload", "uploads"),
    "parts": ("POST", "/uploads", {"json": {**SPEC, "accepts": ["multipart"]}}, "upload", "uploads"),
    "post": ("POST", "/posts", {"json": SPEC}, "upload", "uploads"),
    "version 1": ("POST", "/images/presigned-url/scan", {"json": {"content_type": "image/jpeg"}}, "scan", "scans"),
    "version 1 file": ("POST", "/files/upload-url", {"params": {"filename": "a.jpg"}}, "user-file", "users"),
    "uppy": ("GET", "/s3/params", {"params": {"filename": "a.jpg", "type": "image/jpeg"}}, "upload", "uploads"),
    "uppy parts": ("POST", "/s3/multipart", {"json": {"filename": "a.jpg", "type": "image/jpeg"}}, "upload", "uploads"),
    "stored": ("POST", "/api/v1/s3/upload", {"files": FILE}, "upload", "uploads"),
    "stored for a purpose": ("POST", "/api/v1/s3/upload", {"data": {"purpose": "chat"}, "files": FILE}, "chat", "chat"),
    "stored in a folder": ("POST", "/api/v1/s3/upload", {"data": {"folder": "own/x"}, "files": FILE}, None, "own/x"),
}
REFUSING = """
def authorize(principal, upload):
    seen.append((principal.user_id, upload.purpose, upload.folder))
    if principal.user_id == "mallory":
        raise UploadRefused("Your plan has no room. Ask {sales}.")
"""


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_upload_asks_the_function(
    way: str, hook: Hook, start: Start, web: httpx.Client, tmp_path: Path
) -> None:
    records = migrated(empty("sqlite", lambda: pytest.fail("a file needs no server"), tmp_path)).url
    service = start(AUTHORIZE=hook(REFUSING), JWT_SECRET=SECRET, DATABASE_URL=records)
    method, path, given, purpose, folder = WAYS[way]
    refused = web.request(method, service + path, headers=bearer("mallory"), **given)
    assert problem(refused, 403, "upload-refused")["detail"] == "Your plan has no room. Ask {sales}."
    web.request(method, service + path, headers=bearer("alice"), **given)
    assert seen() == [("mallory", purpose, folder), ("alice", purpose, folder)]
    listed = web.get(f"{service}/api/v1/s3/files", headers=bearer("mallory")).json()
    # What other tests have left without an owner is shown to every user here.
    assert [each["key"] for each in listed["files"] if owner_tag_in(each["key"]) is not None] == []


def test_a_refused_file_refuses_its_batch(hook: Hook, start: Start, web: httpx.Client) -> None:
    function = "def authorize(principal, upload):\n    if upload.size_bytes > 5: raise UploadRefused('Too long.')"
    service = start(AUTHORIZE=hook(function))
    refused = web.post(f"{service}/uploads/batch", json={"uploads": [SPEC, {**SPEC, "size": 6}]})
    (fault,) = problem(refused, 400, "batch-refused")["errors"]
    assert fault == {"index": 1, "code": "upload-refused", "detail": "Too long."}


def test_the_function_sees_who_asks_for_what_and_can_change_nothing(
    hook: Hook, start: Start, web: httpx.Client
) -> None:
    function = "async def authorize(principal, upload):\n    seen.append((principal, upload))"
    service = start(AUTHORIZE=hook(function), JWT_SECRET=SECRET, UPLOAD_URL_EXPIRES_SECONDS="120")
    spec = {**SPEC, "metadata": {"album": "7"}}
    assert web.post(f"{service}/uploads", json=spec, headers=bearer("alice", "video")).status_code == 200
    ((principal, upload),) = seen()
    assert (principal.user_id, principal.signed_in, principal.scopes) == ("alice", True, {"video"})
    assert upload == ("upload", "uploads", "image/jpeg", "a.jpg", 5, 10 * 1024 * 1024, 120, {"album": "7"})
    for change in ("upload.max_bytes = 1", "upload.metadata['a'] = 'b'", "principal.scopes.add('admin')"):
        with pytest.raises((AttributeError, TypeError)):
            exec(change, {"upload": upload, "principal": principal})


def test_what_was_not_allowed_before_is_not_asked(hook: Hook, start: Start, web: httpx.Client) -> None:
    service = start(AUTHORIZE=hook("def authorize(principal, upload): seen.append(upload)"))
    problem(web.post(f"{service}/uploads", json={**SPEC, "size": 11 * 1024 * 1024}), 400, "file-too-large")
    assert seen() == []


def narrowing(values: str) -> str:
    return f"def authorize(principal, upload):\n    return Narrowed({values})"


def test_the_function_narrows_size_types_time_and_metadata(hook: Hook, start: Start, web: httpx.Client) -> None:
    values = "max_bytes=10, types=['image/jpeg', 'audio/*'], expires_s=30, metadata={'team': 'red'}"
    service = start(AUTHORIZE=hook(narrowing(values)))
    plan = web.post(f"{service}/uploads", json=SPEC).json()
    assert plan["expiresIn"] == 30
    assert plan["headers"]["x-amz-meta-team"] == "red"
    assert web.put(plan["presignedUrl"], content=b"12345", headers=plan["headers"]).status_code == 200
    form = web.post(f"{service}/uploads", json={**SPEC, "accepts": ["post"]}).json()
    assert form["fields"]["x-amz-meta-team"] == "red"
    assert problem(web.post(f"{service}/uploads", json={**SPEC, "size": 11}), 400, "file-too-large")["max_bytes"] == 10
    png = {**SPEC, "filename": "a.png", "contentType": "image/png"}
    refused = problem(web.post(f"{service}/uploads", json=png), 400, "unsupported-file-type")
    assert refused["allowed"] == ["audio/*", "image/jpeg"]
    sound = {**SPEC, "filename": "a.mp3", "contentType": "audio/mpeg", "purpose": "audio"}
    assert web.post(f"{service}/uploads", json={**sound, "metadata": {"class_id": "c"}}).status_code == 200
    stored = web.post(f"{service}/api/v1/s3/upload", files=FILE).json()
    assert web.get(f"{service}/images/{stored['key']}/metadata").json()["metadata"]["team"] == "red"
    long = {"file": ("a.jpg", b"x" * 11, "image/jpeg")}
    problem(web.post(f"{service}/api/v1/s3/upload", files=long), 400, "file-too-large")


def test_the_function_cannot_widen(hook: Hook, start: Start, web: httpx.Client) -> None:
    values = "max_bytes=10**12, types=['*/*'], expires_s=9999, metadata={}"
    service = start(AUTHORIZE=hook(narrowing(values)), UPLOAD_URL_EXPIRES_SECONDS="120")
    for change, code in (({"size": 11 * 1024 * 1024}, "file-too-large"), ({"contentType": "text/html"}, None)):
        problem(web.post(f"{service}/uploads", json=SPEC | change), 400, code or "unsupported-file-type")
    assert web.post(f"{service}/uploads", json=SPEC).json()["expiresIn"] == 120


BROKEN = {
    "raises": "def authorize(principal, upload): raise KeyError('secret-of-the-team')",
    "raises another problem": "def authorize(principal, upload): raise NotFound('secret-of-the-team')",
    "ends the process": "def authorize(principal, upload): raise SystemExit('secret-of-the-team')",
    "async raises": "async def authorize(principal, upload): raise KeyError('secret-of-the-team')",
    "async ends the process": "async def authorize(principal, upload): raise SystemExit(1)",
    "is cancelled": "async def authorize(principal, upload): raise asyncio.CancelledError",
    "allows in words": "def authorize(principal, upload): return True",
    "returns a tuple": "def authorize(principal, upload): return (1, None, None, None)",
    "no size": narrowing("max_bytes=0"),
    "a size of text": narrowing("max_bytes='10'"),
    "a true size": narrowing("max_bytes=True"),
    "a time that is over": narrowing("expires_s=-1"),
    "types of one text": narrowing("types='image/jpeg'"),
    "types of numbers": narrowing("types=[1]"),
    "metadata of numbers": narrowing("metadata={'a': 1}"),
    "metadata of a list": narrowing("metadata=['a']"),
}


@pytest.mark.parametrize("way", BROKEN)
def test_a_broken_function_lets_nothing_through_and_says_nothing(
    way: str, hook: Hook, start: Start, web: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    service = start(AUTHORIZE=hook(BROKEN[way]))
    with caplog.at_level(logging.ERROR):
        for path, given in (("/uploads", {"json": SPEC}), ("/api/v1/s3/upload", {"files": FILE})):
            refused = web.post(service + path, **given)
            problem(refused, 503, "authorization-unavailable")
            assert "secret-of-the-team" not in refused.text
    assert "the function of AUTHORIZE cannot be used" in caplog.text
    assert web.get(service).status_code == 200


HANGING = {
    "in a thread": "def authorize(principal, upload):\n    if upload.size_bytes == 6: threading.Event().wait()",
    "async": "async def authorize(principal, upload):\n    if upload.size_bytes == 6: await asyncio.Event().wait()",
    "async and stubborn": (
        "async def authorize(principal, upload):\n"
        "    while upload.size_bytes == 6:\n"
        "        try: await asyncio.sleep(3600)\n"
        "        except asyncio.CancelledError: seen.append(1)\n"
        "        if len(seen) > 1: break\n"
    ),
}


@pytest.mark.parametrize("way", HANGING)
def test_a_function_that_hangs_is_not_waited_for(
    way: str, hook: Hook, start: Start, web: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authorization, "AUTHORIZE_TIMEOUT_S", 0.2)
    service = start(AUTHORIZE=hook(HANGING[way]))
    problem(web.post(f"{service}/uploads", json={**SPEC, "size": 6}), 503, "authorization-unavailable")
    assert web.post(f"{service}/uploads", json=SPEC).status_code == 200


def test_threads_that_never_end_are_bounded(
    hook: Hook, start: Start, web: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authorization, "AUTHORIZE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(authorization, "AUTHORIZE_THREADS_MAX", 3)
    function = "let = threading.Event()\ndef authorize(principal, upload): seen.append(1); let.wait()"
    service = start(AUTHORIZE=hook(function))
    for _ in range(6):
        problem(web.post(f"{service}/uploads", json=SPEC), 503, "authorization-unavailable")
    assert len(seen()) == 3
    assert len([each for each in threading.enumerate() if each.name == "authorize"]) >= 3
    sys.modules["teams_own.uploads"].let.set()
    deadline = time.monotonic() + 30
    while web.post(f"{service}/uploads", json=SPEC).status_code != 200:
        assert time.monotonic() < deadline


# --- the start ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("authorize", "not of the form module:function"),
        ("a.b:", "not of the form module:function"),
        (":f", "not of the form module:function"),
        ("a b:f", "not of the form module:function"),
        ("no_such_module_at_all:f", "the module no_such_module_at_all cannot be imported (ModuleNotFoundError"),
        ("teams_own.broken:f", "the module teams_own.broken cannot be imported (ZeroDivisionError"),
        ("teams_own.uploads:nothing", "the module teams_own.uploads has no function nothing"),
        ("teams_own.uploads:seen", "the module teams_own.uploads has no function seen"),
        ("teams_own.uploads:one", "one does not take two arguments"),
    ],
)
def test_a_name_that_leads_nowhere_stops_the_start(value: str, said: str, hook: Hook, tmp_path: Path) -> None:
    hook("def one(principal): ...")
    (tmp_path / "teams_own/broken.py").write_text("1 / 0", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(GIVEN | {"AUTHORIZE": value})
    assert f"AUTHORIZE: {said}" in str(caught.value)


def test_a_command_does_not_import_it() -> None:
    assert load(GIVEN | {"AUTHORIZE": "no_such_module:f"}, serving=False).auth.authorize is None


def test_an_object_with_an_async_call_is_a_function(hook: Hook, start: Start, web: httpx.Client) -> None:
    function = "class Check:\n    async def __call__(self, principal, upload): seen.append(upload)\nauthorize = Check()"
    assert web.post(f"{start(AUTHORIZE=hook(function))}/uploads", json=SPEC).status_code == 200
    assert len(seen()) == 1


# A process that starts, to see what it imports.
@pytest.mark.full
def test_a_start_without_it_imports_nothing_for_it() -> None:
    script = "import sys, upload; print('image_upload.auth.authorization' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=GIVEN, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"


def test_the_example_does_what_it_says(hook: Hook, start: Start, web: httpx.Client) -> None:
    text = (ROOT / "docs/purposes.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    service = start(AUTHORIZE=hook(example), JWT_SECRET=SECRET)
    video = {"filename": "a.mp4", "contentType": "video/mp4", "size": 3 * 1024 * 1024, "purpose": "file"}
    large = {**SPEC, "size": 3 * 1024 * 1024}
    assert (
        "no room for videos"
        in problem(web.post(f"{service}/uploads", json=video, headers=bearer("alice")), 403, "upload-refused")["detail"]
    )
    assert web.post(f"{service}/uploads", json=video, headers=bearer("alice", "video")).status_code == 200
    assert web.post(f"{service}/uploads", json=large, headers=bearer("alice")).status_code == 200
    problem(web.post(f"{service}/uploads", json=large), 400, "file-too-large")
    assert web.post(f"{service}/uploads", json=SPEC).json()["expiresIn"] == 60
