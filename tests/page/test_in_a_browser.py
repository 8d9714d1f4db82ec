"""People use the page: with the mouse, with the keyboard alone, with a screen reader, on a phone."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from PIL import Image

from image_upload.app import create_app
from image_upload.database.migration import migrate
from image_upload.settings import load
from local.ports import claim_port
from local.service import local_environ, running
from tests.auth.sign_in_servers import CLIENT, CLIENT_SECRET, signing_in
from tests.browser.driving import Browser
from tests.contract.store import Store
from tests.database.databases import empty, settings_with
from tests.page.conftest import SECRET, Visit, visiting
from tests.test_purposes import OWN

pytestmark = pytest.mark.needs("chromium", "node", "seaweedfs")

MIB = 2**20
PHONE = {"viewport": {"width": 390, "height": 844}, "hasTouch": True, "isMobile": True, "deviceScaleFactor": 2}
NAMES = ["Harbour at dawn.jpg", "mountain-ridge.jpg", "설악산 가을.jpg", "lake.png"]
# A stored file has two objects with a verdict; these are the files themselves.
FILES = re.compile(r"(uploads|files|documents|profiles)/")


def stored(store: Store) -> dict[str, bytes]:
    listed = store.s3.list_objects_v2(Bucket=store.bucket).get("Contents", ())
    found = {each["Key"]: store.read(each["Key"]) for each in listed if FILES.match(each["Key"])}
    return {key: content for key, content in found.items() if content is not None}


def test_pictures_are_stored_as_they_are_and_shown_again_after_a_reload(
    browser: Browser, any_store: Store, pictures: list[str]
) -> None:
    with visiting(browser, any_store, STRIP_LOCATION="off") as visit:
        found = visit.run("store", files=pictures)
    assert found["empty"] is True
    assert found["summary"] == "4 of 4 stored"
    assert found["said"][0].startswith("Sending 4 files.")
    assert found["said"][-1].endswith("All 4 files are stored.")
    assert any("Half of it is sent." in each for each in found["said"])
    assert sorted(found["names"]) == sorted(NAMES)
    assert min(found["pictures"]) > 0
    assert sorted(stored(any_store).values()) == sorted(Path(each).read_bytes() for each in pictures)
    # The first paint is the first answer: nothing else is asked for before the page is there.
    assert found["requests"][0] == f"GET {visit.service}/"


def test_a_stored_file_can_be_linked_downloaded_and_seen(visit: Visit, pictures: list[str], web: httpx.Client) -> None:
    found = visit.run("manage", files=pictures[:1])
    (content,) = stored(visit.store).values()
    assert found["toast"] == "Link copied. It works for 1 day."
    assert web.get(found["link"]).content == content
    assert (found["savedAs"], bytes(found["saved"])) == ("Harbour at dawn.jpg", content)


def test_everything_works_with_the_keyboard_alone_and_the_focus_is_never_lost(
    visit: Visit, pictures: list[str]
) -> None:
    found = visit.run("keyboard", files=pictures[3:])
    assert found["first"] == "choose"
    assert found["afterChoosing"] == "uploads-title"
    labels = ["Pause", "Resume", "Remove", "Delete"]
    assert found["passed"] == [f"{label} lake.png" for label in labels]
    assert found["afterEnd"] == "Remove lake.png"
    assert found["afterRemoval"] == "choose"
    assert (found["inDialog"], found["afterEscape"]) == ("Cancel", "Delete lake.png")
    assert found["afterDeletion"] == "stored-title"
    assert found["said"][-1] == "lake.png deleted."
    assert stored(visit.store) == {}


def test_what_a_purpose_does_not_take_is_said_before_anything_is_sent(visit: Visit) -> None:
    found = visit.run("refused", expects=("409",))
    assert found["before"] == []
    assert "3 files were not added" in found["notice"]
    assert "notes.txt: this type is not taken" in found["notice"]
    assert "empty.jpg: the file is empty" in found["notice"]
    assert "large.jpg: 10 MiB is too large" in found["notice"]
    assert found["asksFor"].startswith("Fill in class_id first.")
    assert found["accept"].startswith("audio/*,.mp3")


def test_a_teams_own_purposes_are_those_of_the_page(
    browser: Browser, seaweedfs: Store, pictures: list[str], tmp_path: Path
) -> None:
    own = tmp_path / "purposes.toml"
    own.write_text(OWN, encoding="utf-8")
    invoice = tmp_path / "march.pdf"
    invoice.write_bytes(b"%PDF-1.7\n%%EOF\n")
    with visiting(browser, seaweedfs, PURPOSES_FILE=str(own)) as visit:
        found = visit.run("purposes", files=[str(invoice), pictures[0]])
    assert found["offered"] == ["Invoice", "avatar"]
    assert found["texts"] == [
        "Files (PDF, XML), up to 20 MiB. Kept for 3650 days.",
        "Images (JPG, PNG, WEBP, AVIF), up to 2 MiB.",
    ]
    listed = seaweedfs.s3.list_objects_v2(Bucket=seaweedfs.bucket)["Contents"]
    folders = {each["Key"].partition("/")[0] for each in listed}
    assert {"invoices", "avatars", "variants"} <= folders


def test_files_and_folders_are_dropped_anywhere_on_the_page(visit: Visit, pictures: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "deep.bin").write_bytes(b"deep")
    (folder / "flat.bin").write_bytes(b"flat")
    (folder / "empty.bin").write_bytes(b"")
    found = visit.run("dropped", files=pictures[:2], folder=str(folder), purpose="file", count=5)
    fine = [(name, "stored") for name in [*NAMES[:2], "deep.bin", "flat.bin"]]
    assert sorted(map(tuple, found["states"])) == sorted([*fine, ("empty.bin", "failed")])
    content = [*(Path(each).read_bytes() for each in pictures[:2]), b"deep", b"flat"]
    assert sorted(stored(visit.store).values()) == sorted(content)


def test_a_picture_is_pasted_and_so_are_several(visit: Visit) -> None:
    found = visit.run("pasted")
    assert found["one"] == [["image.png", "stored"]]
    assert found["all"] == [["one.png", "stored"], ["two.png", "stored"], ["image.png", "stored"]]
    assert all(content.startswith(b"\x89PNG") for content in stored(visit.store).values())


def test_a_phone_offers_its_camera_where_pictures_are_taken(visit: Visit, pictures: list[str]) -> None:
    found = visit.run("photographed", files=pictures[:1], context=PHONE)
    assert found["shown"] == [True, False]
    assert found["asked"] == ["image/*", "environment", False]
    assert found["states"] == [["Harbour at dawn.jpg", "stored"]]


def test_thumbnails_are_the_small_pictures_without_a_cdn_too_and_a_blur_until_they_are_there(
    visit: Visit, pictures: list[str]
) -> None:
    with visiting(visit.browser, visit.store, VARIANTS="thumb:320") as visit_with_variants:
        found = visit_with_variants.run("thumbnails", files=pictures)
    assert found["widths"] == [320] * len(pictures)
    assert [path for path in found["loaded"] if "/variants/" not in path] == []
    for name, (red, green, blue, alpha) in zip(found["names"], found["colours"], strict=True):
        with Image.open(next(each for each in pictures if each.endswith(name))) as picture:
            middle = picture.convert("RGB").resize((5, 5), Image.Resampling.BOX).getpixel((2, 2))
        assert alpha == 255
        assert isinstance(middle, tuple)
        assert max(abs(a - b) for a, b in zip((red, green, blue), middle, strict=True)) < 64


def test_a_failure_says_why_and_can_be_tried_again(visit: Visit) -> None:
    refusal = {"code": "quota-exceeded", "detail": "You have used your quota of today.", "status": 400}
    found = visit.run("retried", problem=refusal, expects=("400",))
    assert found["failed"] == "You have used your quota of today."
    assert "one.bin failed: You have used your quota of today." in " ".join(found["said"])
    assert found["said"][-1].endswith("one.bin is stored.")


def test_an_upload_that_a_reload_interrupted_is_named_and_goes_on(visit: Visit, tmp_path: Path) -> None:
    path = tmp_path / "holiday.bin"
    path.write_bytes(bytes(range(256)) * (101 * MIB // 256))
    found = visit.run("resumed", path=str(path), expects=("net::ERR",))
    assert found["said"].startswith("holiday.bin")
    assert 0 < found["partsSentAgain"] < 13
    assert list(stored(visit.store).values()) == [path.read_bytes()]


def test_offline_the_page_says_so_and_goes_on_by_itself(visit: Visit) -> None:
    found = visit.run("offline", expects=("net::ERR_INTERNET_DISCONNECTED",))
    assert "You are offline" in " ".join(found["said"])
    assert "Online again." in " ".join(found["said"])


def test_a_service_that_does_not_answer_is_named_and_asked_again(visit: Visit) -> None:
    found = visit.run("down", aborts="**/purposes", expects=("net::ERR_FAILED",))
    assert found["notice"].startswith("The service does not answer")
    assert found["gone"] is True


def test_a_thousand_files_are_listed_some_a_frame_in_a_bounded_place_and_spoken_of_once(visit: Visit) -> None:
    found = visit.run("thousand")
    assert found["rowsAFrame"] <= 50  # the first of them are drawn before their frame
    assert found["names"] == [f"scan-{each}.bin" for each in range(1000)]
    assert found["pageHeight"] < 3_000
    assert [each for each in found["said"] if "Sending" in each] == ["Sending 1,000 files."]


def test_the_page_speaks_korean_to_browsers_that_do(visit: Visit) -> None:
    found = visit.run("look", files=[], states="first", context={"locale": "ko-KR"})
    assert found["lang"] == "ko"


# --- who is there ----------------------------------------------------------------------------------


def test_a_token_is_asked_for_where_there_is_no_sign_in_and_stays_in_the_tab(
    browser: Browser, seaweedfs: Store
) -> None:
    token = jwt.encode({"sub": "user-1", "exp": int(time.time()) + 600}, SECRET, algorithm="HS256")
    with visiting(browser, seaweedfs, AUTH_REQUIRED="true") as visit:
        found = visit.run("token", token=token, expects=("401",))
    assert found["hidden"] is True
    assert found["refused"].startswith("Your sign-in is not valid")
    assert found["kept"] == found["keptAfterReload"] == [0, 0]


def test_a_user_signs_in_at_a_provider_and_is_back_on_the_page(
    browser: Browser, seaweedfs: Store, tmp_path: Path
) -> None:
    place = empty("sqlite", lambda: pytest.fail("no server is needed"), tmp_path)
    migrate(settings_with(place.url))
    listening = claim_port("127.0.0.1", 0, "PORT")
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with signing_in() as github:
        github.redirect_bases.append(address)
        github.asks_first = True
        environ = {
            "AUTH_REQUIRED": "true",
            "JWT_SECRET": SECRET,
            "FRONTEND_CALLBACK_URL": f"{address}/",
            "DATABASE_URL": place.url,
            "GITHUB_URL": github.url,
            "GITHUB_API_URL": f"{github.url}/api",
            "GITHUB_CLIENT_ID": CLIENT,
            "GITHUB_CLIENT_SECRET": CLIENT_SECRET,
        }
        with running(create_app(load(local_environ({}, seaweedfs.environ) | environ)), listening) as url:
            found = browser.run({"scenario": "signIn", "page": f"{url}/"})
    assert found["crashes"] == []
    assert found["here"].startswith("ann")
    assert found["address"] == f"{address}/", "no code is left in the address"
    assert (found["states"], found["left"]) == ([["me.png", "stored"]], [])


# --- for everyone -------------------------------------------------------------------------------------

FINE = {"violations": [], "tooWide": 0, "tooSmall": []}
CONTEXTS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"colorScheme": "dark"},
    "a narrow phone": {"viewport": {"width": 320, "height": 640}, "hasTouch": True, "isMobile": True},
    "a phone in the dark": PHONE | {"colorScheme": "dark"},
    "at 200 %": {"viewport": {"width": 550, "height": 400}, "deviceScaleFactor": 2},
    "forced colours": {"forcedColors": "active", "reducedMotion": "reduce"},
}


@pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS)
def test_no_state_has_a_barrier_that_axe_finds_or_is_too_wide_or_too_small_to_hit(
    visit: Visit, pictures: list[str], context: dict[str, Any]
) -> None:
    found = visit.run("look", files=pictures[:2], context=context, expects=("400",))
    for state in ("empty", "sending", "stored", "dialog", "dragging"):
        assert found[state] == FINE, state


@pytest.fixture
def closed(browser: Browser, seaweedfs: Store) -> Iterator[Visit]:
    with visiting(browser, seaweedfs, AUTH_REQUIRED="true") as visit:
        yield visit


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nor_has_the_sign_in_or_a_service_that_is_down(visit: Visit, closed: Visit, scheme: str) -> None:
    context = {"colorScheme": scheme}
    assert closed.run("look", files=[], states="first", context=context)["first"] == FINE
    down = visit.run(
        "look", files=[], states="first", context=context, aborts="**/purposes", expects=("net::ERR_FAILED",)
    )
    assert down["first"] == FINE
