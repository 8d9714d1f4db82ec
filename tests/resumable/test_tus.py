"""tus 1.0.0 at `/resumable`. Each docstring is the sentence of its protocol.md that the test holds."""

import base64
import hashlib
import zlib
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import httpx
import pytest
from starlette.requests import Request

from image_upload.errors import InvalidUploadHeader
from image_upload.limits import TICKET_EXPIRES_S
from image_upload.resumable.receiving import Receiver
from image_upload.resumable.tus import EXTENSIONS
from image_upload.resumable.tus import Tus as Protocol
from local.embedded_s3 import EmbeddedS3
from tests.conftest import Start, settings_for
from tests.resumable.processes import Process
from tests.resumable.speaking import BYTES, TUS, Tus, metadata, stored

TEN = b"0123456789"
# Without the `class_id` that its purpose needs.
A_SONG = metadata(filename="a.mp3", filetype="audio/mpeg", purpose="audio")
A_FILE = metadata(filename="a.bin", purpose="file")


@pytest.fixture
def tus(service: str, web: httpx.Client) -> Tus:
    return Tus(web, service)


# --- Extensions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extension", "method", "headers"),
    [
        ("creation", "POST", {"Upload-Length": "10"}),
        ("creation-with-upload", "POST", {"Upload-Length": "10", "Content-Length": "10"}),
        ("creation-defer-length", "POST", {"Upload-Defer-Length": "1"}),
        ("checksum", "PATCH", {"Upload-Checksum": "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="}),
        ("termination", "DELETE", {}),
        ("concatenation", "POST", {"Upload-Concat": "partial"}),
    ],
)
def test_an_extension_that_is_taken_out_is_neither_announced_nor_taken(
    s3: EmbeddedS3, extension: str, method: str, headers: dict[str, str]
) -> None:
    """If the Server supports [extensions] it MUST include [them]. It MUST be omitted if none is supported."""
    own = Process(settings_for(s3))
    receiver = Receiver(own.uploads, lambda _: "127.0.0.1", 1)
    given = [(name.lower().encode(), value.encode()) for name, value in {**TUS, **headers}.items()]
    request = Request({"type": "http", "method": method, "path": "/resumable", "headers": given})
    every = Protocol(receiver, own.service)
    every.check(request)
    assert extension in every.options()["Tus-Extension"].split(",")
    without = Protocol(receiver, own.service, [each for each in EXTENSIONS if each != extension])
    assert without.options()["Tus-Extension"].split(",") == [each for each in EXTENSIONS if each != extension]
    assert ("Tus-Checksum-Algorithm" in without.options()) == (extension != "checksum")
    with pytest.raises(InvalidUploadHeader, match=extension):
        without.check(request)


# --- Core -----------------------------------------------------------------------------------------


def test_an_upload_goes_on_at_the_offset_that_head_says(tus: Tus) -> None:
    """Given the offset, the Client uses the PATCH method to resume the upload."""
    location = tus.begin(10)
    assert tus.append(location, 0, TEN[:7]).headers["upload-offset"] == "7"
    assert tus.offset(location) == 7
    assert tus.append(location, 7, TEN[7:]).headers["upload-offset"] == "10"
    assert stored(tus, location) == TEN


def test_every_answer_names_the_version(tus: Tus) -> None:
    """The Tus-Resumable header MUST be included in every request and response except for OPTIONS requests."""
    location = tus.begin(10)
    for answer in (
        tus.ask("OPTIONS"),
        tus.ask("HEAD", location),
        tus.ask("GET", location),
        tus.append(location, 0, TEN[:1]),
        tus.append(location, 0, TEN[:1]),
        tus.ask("PUT", location),
        tus.ask("HEAD", "/resumable/nothing"),
        tus.ask("GET", "/resumable/a/b"),
        tus.ask("DELETE", location),
    ):
        assert answer.headers["tus-resumable"] == "1.0.0", answer.request.method


@pytest.mark.parametrize("version", ["0.2.2", "1.0.1", "", "1.0.0, 1.0.0"])
def test_another_version_is_refused_and_nothing_is_done(tus: Tus, version: str) -> None:
    """It MUST respond with the 412 Precondition Failed status and MUST include the Tus-Version header."""
    location = tus.begin(10)
    for method, path in (("POST", "/resumable"), ("HEAD", location), ("PATCH", location), ("DELETE", location)):
        refused = tus.ask(method, path, Tus_Resumable=version, Upload_Offset=0, **BYTES)
        assert (refused.status_code, refused.headers["tus-version"]) == (412, "1.0.0")
        assert "location" not in refused.headers
    assert tus.offset(location) == 0


def test_head_always_says_the_offset_and_is_not_kept(tus: Tus) -> None:
    """The Server MUST always include the Upload-Offset header [...] even if the offset is 0, or [...] completed."""
    location = tus.begin(3)
    for offset in (0, 3):
        head = tus.ask("HEAD", location)
        assert head.status_code == 200
        assert (head.headers["upload-offset"], head.headers["upload-length"]) == (str(offset), "3")
        assert head.headers["cache-control"] == "no-store"
        tus.append(location, 0, b"123")


@pytest.mark.parametrize("location", ["/resumable/nothing", "/resumable/upl1.e30.AAAAAAAAAAAAAAAAAAAAAA"])
def test_what_is_not_there_has_no_offset(tus: Tus, location: str) -> None:
    """The Server SHOULD return either the 404 Not Found, 410 Gone or 403 Forbidden status without the Upload-Offset."""
    head = tus.ask("HEAD", location)
    assert head.status_code == 403
    assert "upload-offset" not in head.headers
    assert tus.append(location, 0, b"1").status_code == 403


@pytest.mark.parametrize("kind", ["", "application/octet-stream", "application/partial-upload", "text/plain"])
def test_bytes_of_another_content_type_are_refused(tus: Tus, kind: str) -> None:
    """All PATCH requests MUST use [...], otherwise the server SHOULD return a 415 Unsupported Media Type status."""
    location = tus.begin(10)
    assert tus.append(location, 0, TEN, Content_Type=kind).status_code == 415
    assert tus.ask("PATCH", location, TEN, Upload_Offset=0).status_code == 415
    assert tus.offset(location) == 0


def test_an_append_at_another_offset_changes_nothing(tus: Tus) -> None:
    """If the offsets do not match, the Server MUST respond with the 409 Conflict status without modifying [it]."""
    location = tus.begin(10)
    tus.append(location, 0, TEN[:5])
    for offset in (0, 4, 6, 10, 11, 2**63, "9" * 400):
        assert tus.append(location, offset, b"x").status_code == 409, offset
        assert tus.offset(location) == 5
    tus.append(location, 5, TEN[5:])
    assert stored(tus, location) == TEN


@pytest.mark.parametrize("offset", ["-1", "", "five", "1.0", "+5", "5, 5"])
def test_an_offset_that_is_no_number_is_refused(tus: Tus, offset: str) -> None:
    """The value MUST be a non-negative integer."""
    location = tus.begin(10)
    assert tus.append(location, offset, b"x").status_code == 400
    assert tus.ask("PATCH", location, b"x", **BYTES).status_code == 400, "none at all"
    assert tus.offset(location) == 0


def test_a_body_that_is_chunked_or_empty_is_appended_like_any_other(tus: Tus) -> None:
    """The new offset MUST be the sum of the offset before the PATCH request and the number of bytes received."""

    def pieces() -> Iterator[bytes]:
        yield TEN[:2]
        yield TEN[2:6]

    location = tus.begin(10)
    assert tus.append(location, 0, pieces()).headers["upload-offset"] == "6"
    assert tus.append(location, 6).headers["upload-offset"] == "6"
    assert tus.append(location, 6, TEN[6:]).status_code == 204
    assert stored(tus, location) == TEN


def test_more_bytes_than_the_upload_has_are_refused_and_what_was_stored_stays(tus: Tus) -> None:
    location = tus.begin(10)
    tus.append(location, 0, TEN[:5])
    refused = tus.append(location, 5, b"123456")
    assert refused.status_code == 400
    assert refused.text.startswith("length-exceeded: ")
    assert tus.append(location, 5, iter([b"123", b"456"])).status_code == 400
    assert tus.append(location, 5, TEN[5:]).status_code == 204
    assert tus.append(location, 10, b"1").status_code == 400, "nor of a finished one"
    assert tus.append(location, 10).headers["upload-offset"] == "10"
    assert stored(tus, location) == TEN


def test_the_service_says_what_it_can_do(tus: Tus) -> None:
    """A successful response indicated by the 204 No Content or 200 OK status MUST contain the Tus-Version header."""
    options = tus.ask("OPTIONS", Tus_Resumable="0.0.1")
    assert options.status_code == 204, "the Server MUST ignore the header"
    assert options.headers["tus-version"] == "1.0.0"
    assert options.headers["tus-max-size"].isdigit()
    assert options.headers["tus-checksum-algorithm"] == "sha1,sha256,md5,crc32"
    assert set(options.headers["tus-extension"].split(",")) == {
        "creation",
        "creation-with-upload",
        "creation-defer-length",
        "expiration",
        "checksum",
        "termination",
        "concatenation",
    }


def test_the_method_of_the_override_counts(tus: Tus) -> None:
    """The actual method of the request MUST be ignored."""
    location = tus.begin(10)
    appended = tus.ask("POST", location, TEN, Upload_Offset=0, X_HTTP_Method_Override="PATCH", **BYTES)
    assert appended.status_code == 204
    assert tus.ask("GET", location, X_HTTP_Method_Override="HEAD").content == b""
    other = tus.begin(10)
    assert tus.ask("POST", other, X_HTTP_Method_Override="DELETE").status_code == 204
    assert tus.ask("HEAD", other).status_code == 410
    for method in ("TRACE", "patch", "", "PATCH, PATCH"):
        assert tus.ask("POST", location, X_HTTP_Method_Override=method).status_code == 405


def test_errors_are_a_line_of_text_for_people(tus: Tus) -> None:
    refused = tus.ask("POST", Upload_Length="many")
    assert refused.headers["content-type"] == "text/plain; charset=utf-8"
    assert refused.text == (
        "invalid-upload-header: Upload-Length is not a number of bytes. Send one such as Upload-Length: 5242880.\n"
    )


# --- Creation -------------------------------------------------------------------------------------


def test_a_new_upload_has_a_location_and_an_offset_of_0(tus: Tus) -> None:
    """The Server MUST acknowledge a successful upload creation with the 201 Created status."""
    made = tus.ask("POST", Upload_Length=10, **A_FILE)
    assert made.status_code == 201
    assert made.headers["location"].startswith("/resumable/upl1.")
    assert tus.offset(made.headers["location"]) == 0


def test_metadata_comes_back_as_it_was_sent_and_makes_the_upload(tus: Tus) -> None:
    """Responses to HEAD requests MUST include the Upload-Metadata header and its value as specified by the Client."""
    given = metadata(filename="사진.jpg", filetype="image/jpeg", purpose="profile", relativePath="null")
    given["Upload-Metadata"] += ",is_confidential"
    location = tus.begin(10, **given)
    assert tus.ask("HEAD", location).headers["upload-metadata"] == given["Upload-Metadata"]
    assert tus.ask("GET", location).json()["objectKey"].startswith("profiles/anonymous/")
    long = metadata(filename="a.bin", purpose="file", more="x" * 2000)
    assert tus.ask("HEAD", tus.begin(10, **long)).headers["upload-metadata"] == long["Upload-Metadata"]


def test_an_empty_file_is_refused_though_tus_allows_one(tus: Tus) -> None:
    """The value MUST be a non-negative integer. The service takes no empty file in any way."""
    refused = tus.ask("POST", Upload_Length=0, **A_FILE)
    assert (refused.status_code, refused.text.partition(":")[0]) == (400, "empty-file")
    location = tus.begin()
    assert tus.append(location, 0, b"", Upload_Length=0).status_code == 400
    assert tus.append(location, 0, TEN, Upload_Length=10).status_code == 204


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({}, 400, "invalid-upload-header"),
        ({"Upload-Length": "-1"}, 400, "invalid-upload-header"),
        ({"Upload-Length": "10", "Upload-Defer-Length": "1"}, 400, "invalid-upload-header"),
        ({"Upload-Defer-Length": "2"}, 400, "invalid-upload-header"),
        ({"Upload-Length": str(10**18), **A_FILE}, 413, "file-too-large"),
        ({"Upload-Length": "9" * 400, **A_FILE}, 413, "file-too-large"),
        ({"Upload-Length": "10", "Upload-Metadata": "filename"}, 400, "unsupported-file-type"),
        ({"Upload-Length": "10", "Upload-Metadata": "filename %%%"}, 400, "invalid-upload-header"),
        ({"Upload-Length": "10", **metadata(filename="../a.jpg")}, 400, "invalid-filename"),
        ({"Upload-Length": "10", **metadata(filename="a.jpg", purpose="none")}, 422, "validation-failed"),
        ({"Upload-Length": "10", **metadata(filename="a.exe")}, 400, "unsupported-file-type"),
        (
            {"Upload-Length": "10", **metadata(filename="a.mp3", filetype="audio/mpeg", purpose="audio")},
            400,
            "invalid-metadata",
        ),
        ({"Upload-Length": "99999999", **metadata(filename="a.jpg", purpose="profile")}, 413, "file-too-large"),
        ({"Upload-Length": "10", "Upload-Concat": "whole"}, 400, "invalid-upload-header"),
    ],
)
def test_an_upload_that_may_not_be_is_not_begun(tus: Tus, given: dict[str, str], status: int, code: str) -> None:
    """If the length of the upload exceeds the maximum, [...] the Server MUST respond with the 413 status."""
    refused = tus.ask("POST", **given)
    assert (refused.status_code, refused.text.partition(":")[0]) == (status, code)
    assert "location" not in refused.headers


# --- Creation with upload -------------------------------------------------------------------------


def test_the_first_bytes_may_come_with_the_creation(tus: Tus) -> None:
    """The Server [...] MUST include the Upload-Offset header in the response."""
    given = {"Upload-Length": "10", **A_FILE, **BYTES}
    made = tus.ask("POST", content=TEN[:4], **given)
    assert (made.status_code, made.headers["upload-offset"]) == (201, "4")
    assert tus.append(made.headers["location"], 4, TEN[4:]).status_code == 204
    whole = tus.ask("POST", content=TEN, **given)
    assert (whole.status_code, whole.headers["upload-offset"]) == (201, "10")
    assert stored(tus, made.headers["location"]) == stored(tus, whole.headers["location"]) == TEN


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (TEN, {"Content-Type": "text/plain"}, 415),
        (TEN, {}, 415),
        (TEN + b"1", BYTES, 400),
        (TEN, {**BYTES, "Upload-Checksum": "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="}, 460),
        (TEN, {**BYTES, "Upload-Checksum": "sha3 AAAA"}, 400),
    ],
)
def test_first_bytes_that_are_refused_leave_no_upload(
    tus: Tus, content: bytes, headers: dict[str, str], status: int
) -> None:
    """Similar rules as for the PATCH request and response apply."""
    given = {"Upload-Length": "10", **A_FILE, **headers}
    refused = tus.ask("POST", content=content, **given)
    assert refused.status_code == status
    assert "location" not in refused.headers


# --- Deferred length ------------------------------------------------------------------------------


def test_a_length_may_come_later_and_then_stays(tus: Tus) -> None:
    """As long as the length [...] is not known, the Server MUST set Upload-Defer-Length: 1 in all responses to HEAD."""
    location = tus.begin()
    tus.append(location, 0, TEN[:4])
    head = tus.ask("HEAD", location).headers
    assert (head["upload-defer-length"], head["upload-offset"]) == ("1", "4")
    assert "upload-length" not in head
    assert tus.append(location, 4, TEN[4:6], Upload_Length=10).status_code == 204
    head = tus.ask("HEAD", location).headers
    assert head["upload-length"] == "10"
    assert "upload-defer-length" not in head
    assert tus.append(location, 6, TEN[6:], Upload_Length=11).status_code == 400
    assert tus.append(location, 6, TEN[6:], Upload_Length=10).status_code == 204
    assert stored(tus, location) == TEN


@pytest.mark.parametrize("length", ["3", "-1", "ten", str(10**18), "0"])
def test_a_late_length_that_cannot_be_is_refused(tus: Tus, length: str) -> None:
    location = tus.begin()
    tus.append(location, 0, TEN[:4])
    assert tus.append(location, 4, b"", Upload_Length=length).status_code in (400, 413)
    assert tus.offset(location) == 4


# --- Expiration -----------------------------------------------------------------------------------


def test_an_unfinished_upload_says_until_when_it_can_go_on(tus: Tus) -> None:
    """This header MUST be included in every PATCH response if the upload is going to expire."""
    made = tus.ask("POST", Upload_Length=10, **A_FILE)
    location = made.headers["location"]
    first = tus.append(location, 0, TEN[:5])
    for answer in (made, first, tus.ask("HEAD", location)):
        ends = parsedate_to_datetime(answer.headers["upload-expires"])
        left_s = (ends - parsedate_to_datetime(answer.headers["date"])).total_seconds()
        # The server's clock of `Date` ticks once a second.
        assert 0 < left_s <= TICKET_EXPIRES_S + 1
    assert "upload-expires" not in tus.append(location, 5, TEN[5:]).headers, "what is finished does not expire"


# --- Checksum -------------------------------------------------------------------------------------


def checksums(content: bytes) -> dict[str, bytes]:
    return {
        "sha1": hashlib.sha1(content, usedforsecurity=False).digest(),
        "sha256": hashlib.sha256(content).digest(),
        "md5": hashlib.md5(content, usedforsecurity=False).digest(),
        "crc32": zlib.crc32(content).to_bytes(4, "big"),
    }


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5", "crc32"])
def test_bytes_of_another_checksum_are_discarded(tus: Tus, algorithm: str) -> None:
    """The uploaded chunk MUST be discarded, and the upload and its offset MUST NOT be updated."""
    location = tus.begin(10)
    right, wrong = (f"{algorithm} {base64.b64encode(checksums(each)[algorithm]).decode()}" for each in (TEN, b"other"))
    assert tus.append(location, 0, TEN, Upload_Checksum=wrong).status_code == 460
    assert tus.append(location, 0, TEN, Upload_Checksum="sha512 AAAA").status_code == 400
    assert tus.append(location, 0, TEN, Upload_Checksum=f"{algorithm} AAAA").status_code == 400
    assert tus.offset(location) == 0
    assert tus.append(location, 0, TEN, Upload_Checksum=right).status_code == 204
    assert stored(tus, location) == TEN


# --- Termination ----------------------------------------------------------------------------------


def test_what_is_cancelled_is_gone(tus: Tus) -> None:
    """For all future requests to this URL, the Server SHOULD respond with the 404 Not Found or 410 Gone status."""
    location = tus.begin(10)
    tus.append(location, 0, TEN[:5])
    assert tus.ask("DELETE", location).status_code == 204
    for method in ("HEAD", "GET"):
        assert tus.ask(method, location).status_code == 410
    assert tus.append(location, 5, TEN[5:]).status_code == 410
    assert tus.ask("DELETE", location).status_code in (204, 410)


def test_a_finished_file_is_not_deleted_by_its_upload(tus: Tus) -> None:
    location = tus.begin(10)
    tus.append(location, 0, TEN)
    assert tus.ask("DELETE", location).status_code == 404
    assert stored(tus, location) == TEN


# --- Concatenation --------------------------------------------------------------------------------


def test_partial_uploads_are_joined_in_their_order(tus: Tus, service: str) -> None:
    """The partial uploads MUST be concatenated as per the order specified in the list."""
    first, second = (tus.begin(5, Upload_Concat="partial") for _ in range(2))
    assert tus.ask("HEAD", first).headers["upload-concat"] == "partial"
    tus.append(second, 0, TEN[5:])
    tus.append(first, 0, TEN[:5])
    concat = f"final;{first} {service}{second}"
    made = tus.ask("POST", Upload_Concat=concat, **A_FILE)
    assert made.status_code == 201, made.text
    head = tus.ask("HEAD", made.headers["location"]).headers
    assert head["upload-concat"] == concat
    assert (head["upload-offset"], head["upload-length"]) == ("10", "10")
    assert stored(tus, made.headers["location"]) == TEN
    refused = tus.append(made.headers["location"], 10, b"1")
    assert refused.status_code == 403, "The Server MUST respond with the 403 Forbidden status to PATCH requests"


def test_a_partial_upload_needs_no_type_and_is_no_file(tus: Tus) -> None:
    """The Server SHOULD NOT process these partial uploads until they are concatenated to form a final upload."""
    made = tus.ask("POST", Upload_Length=5, Upload_Concat="partial")
    tus.append(made.headers["location"], 0, TEN[:5])
    known = tus.ask("GET", made.headers["location"]).json()
    assert (known["objectKey"], known["completed"]) == (None, True)


def test_what_cannot_be_joined_is_refused(tus: Tus) -> None:
    """The Client MUST NOT include the Upload-Length header in the final upload creation."""
    whole, unfinished, partial = tus.begin(5), *(tus.begin(5, Upload_Concat="partial") for _ in range(2))
    tus.append(partial, 0, TEN[:5])
    for concat, status in (
        (f"final;{whole}", 400),
        (f"final;{unfinished}", 400),
        (f"final;{partial} {unfinished}", 400),
        ("final;/resumable/nothing", 403),
        ("final;", 400),
    ):
        assert tus.ask("POST", Upload_Concat=concat, **A_FILE).status_code == status, concat
    assert tus.ask("POST", Upload_Concat=f"final;{partial}", Upload_Length=5, **A_FILE).status_code == 400
    picture = metadata(filename="a.exe")
    assert tus.ask("POST", Upload_Concat=f"final;{partial}", **picture).status_code == 400, "its purpose decides"
    assert tus.ask("POST", Upload_Concat=f"final;{partial}", **A_FILE).status_code == 201


# --- What is beside the specification -------------------------------------------------------------


def test_limits_are_a_hint_on_every_answer(tus: Tus) -> None:
    location = tus.begin(10)
    for answer in (tus.ask("OPTIONS"), tus.ask("HEAD", location), tus.append(location, 3), tus.ask("POST")):
        assert answer.headers["upload-limit"].startswith("max-size=")
        assert "max-append-size" not in answer.headers["upload-limit"]


def test_pages_of_allowed_origins_may_send_and_read_the_headers(start: Start, web: httpx.Client) -> None:
    origin = "https://app.example.com"
    tus = Tus(web, start(CORS_ALLOW_ORIGINS=origin), {**TUS, "Origin": origin})
    asked = ["Tus-Resumable", "Upload-Length", "Upload-Metadata", "Upload-Offset", "Upload-Concat", "Upload-Checksum"]
    for method in ("POST", "PATCH", "HEAD", "DELETE"):
        preflight = tus.ask(
            "OPTIONS",
            Access_Control_Request_Method=method,
            Access_Control_Request_Headers=", ".join(asked).lower(),
        )
        assert preflight.status_code == 200, preflight.text
        assert method in preflight.headers["access-control-allow-methods"]
    made = tus.ask("POST", Upload_Length=10, **A_FILE)
    exposed = made.headers["access-control-expose-headers"].split(", ")
    assert {"Location", "Upload-Offset", "Upload-Length", "Upload-Expires", "Tus-Resumable"} <= set(exposed)
    refused = tus.append(made.headers["location"], 5, b"1")
    assert refused.status_code == 409
    assert "Upload-Limit" in refused.headers["access-control-expose-headers"]


def test_where_it_is_switched_off_there_is_nothing(start: Start, web: httpx.Client) -> None:
    tus = Tus(web, start(RESUMABLE="false"))
    refused = tus.ask("POST", Upload_Length=10)
    assert (refused.status_code, refused.json()["code"]) == (404, "not-found")
