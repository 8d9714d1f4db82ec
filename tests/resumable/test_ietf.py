"""The IETF's protocol at `/resumable`. Each docstring is the sentence of the draft that the test holds."""

import base64
import hashlib
import random
import re
import socket
from urllib.parse import urlsplit

import httpx
import jwt
import pytest

from tests.conftest import Start
from tests.faults.watching import eventually
from tests.resumable.speaking import IETF, PARTIAL, Ietf, Tus, digest, stored

TEN = b"0123456789"
MIB = 1 << 20
PROBLEMS = "https://iana.org/assignments/http-problem-types#"
A_FILE = "/resumable?purpose=file"


@pytest.fixture
def ietf(service: str, web: httpx.Client) -> Ietf:
    return Ietf(web, service)


def limits(answer: httpx.Response) -> dict[str, int]:
    found = dict(re.findall(r"([a-z-]+)=(\d+)", answer.headers["upload-limit"]))
    return {name: int(number) for name, number in found.items()}


# --- Creation -------------------------------------------------------------------------------------


def test_the_limits_are_told_before_an_upload_begins(ietf: Ietf) -> None:
    """When responding to an OPTIONS request [...] the server MUST include the Upload-Limit header field."""
    options = ietf.ask("OPTIONS")
    assert options.status_code == 204
    assert set(limits(options)) == {"max-size", "max-age"}, "no limit of an append outside Lambda"


def test_an_empty_creation_tells_the_url_of_the_upload(ietf: Ietf) -> None:
    """The server MUST include the Location response header field [...] and MUST include the Upload-Limit."""
    made = ietf.ask("POST", A_FILE, Upload_Complete="?0", Upload_Length=10)
    assert made.status_code == 201
    assert made.headers["location"].startswith("/resumable/upl1.")
    assert (made.headers["upload-complete"], made.headers["upload-offset"]) == ("?0", "0")
    assert limits(made)["max-age"] > 86_000


def test_a_creation_with_all_bytes_gets_the_answer_of_the_file(ietf: Ietf) -> None:
    """If the request content was fully processed, no resumable upload is needed."""
    made = ietf.ask("POST", A_FILE, TEN, Upload_Complete="?1", Content_Disposition='inline; filename="a.bin"')
    assert (made.status_code, made.headers["upload-complete"]) == (200, "?1")
    assert (made.json()["size"], made.json()["objectKey"].endswith(".bin")) == (10, True)
    assert stored(ietf, made.headers["location"]) == TEN


def test_a_creation_with_some_bytes_goes_on(ietf: Ietf) -> None:
    """The client intends to transfer the representation over multiple requests."""
    made = ietf.ask("POST", A_FILE, TEN[:4], Upload_Complete="?0", Upload_Length=10)
    assert (made.status_code, made.headers["upload-offset"], made.headers["upload-complete"]) == (201, "4", "?0")
    done = ietf.append(made.headers["location"], 4, TEN[4:], Upload_Complete="?1")
    assert (done.status_code, done.headers["upload-complete"]) == (200, "?1")
    assert stored(ietf, made.headers["location"]) == TEN


def test_the_fields_of_the_representation_describe_the_file(ietf: Ietf) -> None:
    """The Content-Type header field indicates the media type. Content-Disposition [can] transmit a filename."""
    given = {
        "Upload-Complete": "?0",
        "Content-Type": "image/png",
        "Content-Disposition": "inline; filename*=UTF-8''%EC%82%AC%EC%A7%84.png",
    }
    made = ietf.ask("POST", "/resumable?purpose=profile", **given)
    assert made.status_code == 201, made.text
    assert ietf.ask("GET", made.headers["location"]).json()["objectKey"].startswith("profiles/anonymous/")
    wrong = ietf.ask("POST", "/resumable?purpose=profile", **{**given, "Content-Type": "text/html"})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "unsupported-file-type")


def test_a_content_encoding_is_refused(ietf: Ietf) -> None:
    """RFC 9110 section 15.5.16: the server ought to respond with an Accept-Encoding header field."""
    refused = ietf.ask("POST", A_FILE, TEN, Upload_Complete="?1", Content_Encoding="gzip")
    assert (refused.status_code, refused.headers["accept-encoding"]) == (415, "identity")


@pytest.mark.parametrize("complete", ["1", "true", "?2", "", "?1, ?1"])
def test_without_a_valid_completeness_it_is_not_this_protocol(ietf: Ietf, complete: str) -> None:
    """Other values MUST cause the entire header field to be ignored."""
    refused = ietf.ask("POST", A_FILE, TEN, Upload_Complete=complete)
    assert (refused.status_code, refused.json()["code"]) == (412, "upload-protocol-unknown")
    assert refused.headers["tus-version"] == "1.0.0"


@pytest.mark.parametrize(
    ("version", "status"), [("8", 201), ("7", 201), ("6", 201), ("5", 412), ("9", 412), ("x", 412)]
)
def test_the_interop_versions_that_are_spoken(ietf: Ietf, version: str, status: int) -> None:
    """The current interop version is 8. Implementations [...] use [it] to identify the iteration of the draft."""
    assert ietf.ask("POST", A_FILE, Upload_Complete="?0", Upload_Draft_Interop_Version=version).status_code == status


def test_the_final_protocol_needs_no_version(service: str, web: httpx.Client) -> None:
    ietf = Ietf(web, service, {})
    location = ietf.begin(10)
    assert ietf.append(location, 0, TEN, Upload_Complete="?1").status_code == 200
    assert stored(ietf, location) == TEN


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Upload-Complete": "?0", "Upload-Length": "999999999999999"}, 413, "file-too-large"),
        ({"Upload-Complete": "?0", "Content-Disposition": "inline; filename=.."}, 400, "invalid-filename"),
    ],
)
def test_a_file_that_may_not_be_is_refused(ietf: Ietf, headers: dict[str, str], status: int, code: str) -> None:
    """The server might not create an upload resource if the length [...] is larger than the maximum size."""
    refused = ietf.ask("POST", A_FILE, **headers)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert limits(refused)["max-size"] > 0, "413 SHOULD include the Upload-Limit header field"
    assert "location" not in refused.headers


@pytest.mark.parametrize("headers", [{"Upload-Complete": "?1"}, {"Upload-Complete": "?0", "Upload-Length": "0"}])
def test_an_empty_file_is_refused_though_the_draft_allows_one(ietf: Ietf, headers: dict[str, str]) -> None:
    """Section 4.1.3: the value MUST be a non-negative integer. The service takes no empty file in any way."""
    refused = ietf.ask("POST", A_FILE, **headers)
    assert (refused.status_code, refused.json()["code"]) == (400, "empty-file")
    assert "location" not in refused.headers


# --- Offset ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_successful_answer_says_all_of_the_state(ietf: Ietf, method: str) -> None:
    """MUST include the offset, [the completeness, the length, and the limits], and SHOULD include no-store."""
    location = ietf.begin(10)
    ietf.append(location, 0, TEN[:4])
    found = ietf.ask(method, location)
    assert found.is_success
    assert {name: found.headers[name] for name in ("upload-offset", "upload-complete", "upload-length")} == {
        "upload-offset": "4",
        "upload-complete": "?0",
        "upload-length": "10",
    }
    assert "max-size" in limits(found)
    assert found.headers["cache-control"] == "no-store"
    assert "upload-length" not in ietf.ask(method, ietf.begin()).headers, "unless the client has not supplied one"


# --- Append ---------------------------------------------------------------------------------------


def test_an_unknown_length_ends_with_the_upload(ietf: Ietf) -> None:
    """An upload is marked as completed [when] the request content was fully processed."""
    location = ietf.begin()
    assert ietf.append(location, 0, TEN[:4]).status_code == 204
    done = ietf.append(location, 4, iter([TEN[4:6], TEN[6:]]), Upload_Complete="?1")
    assert (done.status_code, done.headers["upload-offset"], done.headers["upload-length"]) == (200, "10", "10")
    assert stored(ietf, location) == TEN


def test_an_empty_append_completes(ietf: Ietf) -> None:
    """The request has no content. Once the request is processed by the server, the upload is complete."""
    location = ietf.begin()
    ietf.append(location, 0, TEN)
    assert ietf.ask("HEAD", location).headers["upload-complete"] == "?0"
    assert ietf.append(location, 10, b"", Upload_Complete="?1").headers["upload-complete"] == "?1"
    assert stored(ietf, location) == TEN


def test_the_final_answer_comes_again(ietf: Ietf) -> None:
    """The server can choose to replay the final response to the client if the request [...] is valid."""
    location = ietf.begin(10)
    first = ietf.append(location, 0, TEN, Upload_Complete="?1")
    again = ietf.append(location, 10, b"", Upload_Complete="?1")
    assert (again.status_code, again.json()) == (200, first.json())


@pytest.mark.parametrize("provided", [0, 4, 6, 10, 11])
def test_an_append_at_another_offset_is_a_conflict(ietf: Ietf, provided: int) -> None:
    """Reject the request with a 409 (Conflict) status code and the Upload-Complete header field set to false."""
    location = ietf.begin(10)
    ietf.append(location, 0, TEN[:5])
    refused = ietf.append(location, provided, b"x")
    assert refused.status_code == 409
    assert (refused.headers["upload-complete"], refused.headers["upload-offset"]) == ("?0", "5")
    problem = refused.json()
    assert problem["type"] == f"{PROBLEMS}mismatching-upload-offset"
    assert (problem["expected-offset"], problem["provided-offset"]) == (5, provided)
    assert ietf.offset(location) == 5


@pytest.mark.parametrize("kind", ["", "application/octet-stream", "application/offset+octet-stream", "image/png"])
def test_an_append_of_another_media_type_is_refused(ietf: Ietf, kind: str) -> None:
    """RFC 5789 section 2.2: Such a response SHOULD include an Accept-Patch response header field."""
    location = ietf.begin(10)
    refused = ietf.append(location, 0, TEN, Content_Type=kind)
    assert (refused.status_code, refused.headers["accept-patch"]) == (415, "application/partial-upload")
    assert ietf.offset(location) == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Upload-Offset": "0"},
        {"Upload-Complete": "?0"},
        {"Upload-Offset": "-1", "Upload-Complete": "?0"},
        {"Upload-Offset": "0.0", "Upload-Complete": "?0"},
        {"Upload-Offset": "0, 0", "Upload-Complete": "?0"},
        {"Upload-Offset": "0", "Upload-Complete": "0"},
    ],
)
def test_an_append_needs_both_fields(ietf: Ietf, headers: dict[str, str]) -> None:
    """The client MUST indicate the offset [...]. The request MUST include the Upload-Complete header field."""
    location = ietf.begin(10)
    refused = ietf.ask("PATCH", location, TEN, **PARTIAL, **headers)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid-upload-header")
    assert ietf.offset(location) == 0


@pytest.mark.parametrize(
    ("begun", "headers"),
    [
        (10, {"Upload-Length": "11"}),
        (10, {"Upload-Complete": "?1"}),
        (None, {"Upload-Complete": "?1", "Upload-Length": "6"}),
    ],
)
def test_lengths_that_disagree_are_refused(ietf: Ietf, begun: int | None, headers: dict[str, str]) -> None:
    """If multiple requests include indicators, their indicated values MUST match."""
    location = ietf.begin(begun)
    refused = ietf.append(location, 0, TEN[:5], **headers)
    assert refused.status_code == 400
    assert refused.json()["type"] == f"{PROBLEMS}inconsistent-upload-length"
    assert refused.headers["upload-complete"] == "?0"
    assert ietf.offset(location) == 0
    created = ietf.ask("POST", A_FILE, TEN, Upload_Complete="?1", Upload_Length=11)
    assert created.json()["type"] == f"{PROBLEMS}inconsistent-upload-length"


@pytest.mark.parametrize("chunked", [False, True])
def test_more_bytes_than_the_length_invalidate_the_upload(ietf: Ietf, chunked: bool) -> None:
    """Rejecting the request once the offset exceeds the length, marking the upload resource invalid."""
    location = ietf.begin(10)
    ietf.append(location, 0, TEN[:5])
    refused = ietf.append(location, 5, iter([b"1234", b"56"]) if chunked else b"123456")
    assert refused.status_code == 400
    assert ietf.ask("HEAD", location).status_code == 410
    assert ietf.append(location, 5, TEN[5:]).status_code == 410


@pytest.mark.full
def test_bytes_that_arrived_before_a_break_count(ietf: Ietf) -> None:
    """The server SHOULD append as much of the patch document as possible."""
    content = random.Random(18).randbytes(10 * MIB)
    location, where = ietf.begin(len(content)), urlsplit(ietf.url)
    head = f"PATCH {location} HTTP/1.1\r\nHost: service\r\nContent-Length: {len(content)}\r\nUpload-Offset: 0\r\n"
    fields = "Upload-Complete: ?1\r\nContent-Type: application/partial-upload\r\n\r\n"
    with socket.create_connection((where.hostname, where.port)) as connection:
        connection.sendall((head + fields).encode() + content[: 9 * MIB])
        eventually(lambda: ietf.offset(location) == 8 * MIB, "a part that is whole", within_s=30)
    eventually(lambda: ietf.offset(location) == 9 * MIB, "what arrived of the next one", within_s=30)
    assert ietf.append(location, 9 * MIB, content[9 * MIB :], Upload_Complete="?1").status_code == 200
    assert stored(ietf, location) == content


# --- Digests --------------------------------------------------------------------------------------


def test_content_of_another_digest_is_not_appended(ietf: Ietf) -> None:
    """If the digests don't match the server SHOULD [...] not append the content to the upload resource."""
    location = ietf.begin(10)
    refused = ietf.append(location, 0, TEN, Content_Digest=digest(b"other"))
    assert (refused.status_code, refused.json()["code"]) == (400, "checksum-mismatch")
    assert ietf.append(location, 0, TEN, Content_Digest="sha-256=:AAAA:").status_code == 400
    assert ietf.offset(location) == 0
    sha512 = base64.b64encode(hashlib.sha512(TEN[:5]).digest()).decode()
    assert ietf.append(location, 0, TEN[:5], Content_Digest=f"md5=:AAAA:, sha-512=:{sha512}:").status_code == 204
    assert ietf.append(location, 5, TEN[5:], Content_Digest=digest(TEN[5:]), Upload_Complete="?1").status_code == 200
    assert stored(ietf, location) == TEN


def test_a_representation_of_another_digest_is_no_file(ietf: Ietf) -> None:
    """If the digests don't match, the server SHOULD consider the upload failed, not process [it] further."""
    refused = ietf.ask("POST", A_FILE, TEN, Upload_Complete="?1", Repr_Digest=digest(b"other"))
    assert (refused.status_code, refused.json()["code"]) == (400, "checksum-mismatch")
    made = ietf.ask("POST", A_FILE, TEN, Upload_Complete="?1", Repr_Digest=digest(TEN))
    assert made.status_code == 200
    location = ietf.begin(10)
    refused = ietf.append(location, 0, TEN, Upload_Complete="?1", Repr_Digest=digest(b"other"))
    assert (refused.status_code, refused.json()["code"], ietf.offset(location)) == (400, "checksum-mismatch", 0)
    assert ietf.append(location, 0, TEN, Upload_Complete="?1", Repr_Digest=digest(TEN)).status_code == 200


def test_a_digest_of_more_than_its_request_carries_is_refused_and_changes_nothing(ietf: Ietf) -> None:
    """RFC 9530 section 3: Repr-Digest is of the selected representation, not of the partial content of a request."""
    refused = ietf.ask("POST", A_FILE, TEN[:5], Upload_Complete="?0", Repr_Digest=digest(TEN))
    assert (refused.status_code, refused.json()["field"]) == (400, "Repr-Digest")
    assert "location" not in refused.headers
    location = ietf.begin(10)
    assert ietf.append(location, 0, TEN[:5]).status_code == 204
    for complete in ("?0", "?1"):
        refused = ietf.append(location, 5, TEN[5:], Upload_Complete=complete, Repr_Digest=digest(TEN))
        assert (refused.status_code, refused.json()["field"], ietf.offset(location)) == (400, "Repr-Digest", 5)
    assert ietf.append(location, 5, TEN[5:], Upload_Complete="?1", Content_Digest=digest(TEN[5:])).status_code == 200
    assert stored(ietf, location) == TEN


# --- Cancellation ---------------------------------------------------------------------------------


def test_a_cancelled_upload_is_deactivated(ietf: Ietf) -> None:
    """Upon receiving a DELETE request, the server SHOULD deactivate the upload resource."""
    location = ietf.begin(10)
    ietf.append(location, 0, TEN[:5])
    assert ietf.ask("DELETE", location).status_code == 204
    assert ietf.ask("HEAD", location).status_code == 410
    assert ietf.append(location, 5, TEN[5:]).status_code == 410


# --- Both protocols -------------------------------------------------------------------------------


def test_an_upload_of_one_protocol_goes_on_by_the_other(ietf: Ietf, service: str, web: httpx.Client) -> None:
    tus, location = Tus(web, service), ietf.begin(10)
    ietf.append(location, 0, TEN[:4])
    assert tus.offset(location) == 4
    assert tus.append(location, 4, TEN[4:]).headers["upload-offset"] == "10"
    assert ietf.ask("HEAD", location).headers["upload-complete"] == "?1"
    assert stored(ietf, location) == TEN


def test_an_upload_of_post_uploads_is_the_same_upload(ietf: Ietf, service: str, web: httpx.Client) -> None:
    wanted = {"filename": "a.bin", "contentType": "application/octet-stream", "purpose": "file", "size": 10}
    plan = web.post(f"{service}/uploads", json={**wanted, "accepts": ["resumable"]}).json()
    assert plan["strategy"] == "resumable"
    assert Tus(web, service).append(plan["uploadUrl"], 0, TEN[:4]).status_code == 204
    done = ietf.append(plan["uploadUrl"], 4, TEN[4:], Upload_Complete="?1")
    assert done.json()["objectKey"] == plan["objectKey"]


def test_an_upload_is_its_owner_s_alone(start: Start, web: httpx.Client) -> None:
    """The server SHOULD ensure that only authorized clients can access the upload resource."""
    secret = "a-secret-of-more-than-thirty-two-bytes"
    url = start(JWT_SECRET=secret, AUTH_REQUIRED="true")
    owner, other = (
        Ietf(web, url, {**IETF, "Authorization": f"Bearer {jwt.encode({'sub': sub, 'exp': 2**33}, secret, 'HS256')}"})
        for sub in ("owner", "other")
    )
    location = owner.begin(10)
    owner.append(location, 0, TEN[:5])
    for method in ("HEAD", "GET", "DELETE"):
        assert other.ask(method, location).status_code == 404
    assert other.append(location, 5, TEN[5:]).status_code == 404
    altered = location[:-1] + ("A" if location[-1] != "A" else "B")
    assert owner.ask("HEAD", altered).status_code == 403
    assert owner.offset(location) == 5
