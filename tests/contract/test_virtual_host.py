"""Signatures in virtual-host style, as AWS gets them: the bucket stands in the host name, not in the path."""

from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
import pytest

from image_upload.aws.endpoints import Address
from image_upload.aws.sigv4 import Signer
from tests.contract import plans
from tests.contract.plans import CONTENT, document
from tests.contract.store import REGION, Store

UNSIGNED = "403 SignatureDoesNotMatch"
TYPE = {"Content-Type": "image/jpeg"}
SIGNED = TYPE | {"Content-Length": str(len(CONTENT))}
KEY = "virtual/고양이 +1.jpg"

Send = Callable[..., httpx.Response]


@pytest.fixture
def signer(store: Store) -> Signer:
    port = urlsplit(store.endpoint_url).port
    return store.signer(Address(store.bucket, REGION, "http", f"{store.bucket}.s3.localhost:{port}", ""))


@pytest.fixture
def send(store: Store, signer: Signer, web: httpx.Client) -> Send:
    """Send straight to the server, with the URL's host in the Host header: no resolver need know it."""

    def request(method: str, url: str, *, headers: dict[str, str] | None = None, **body: object) -> httpx.Response:
        assert url.startswith(signer.address.origin + "/")
        direct = store.endpoint_url + url.removeprefix(signer.address.origin)
        return web.request(method, direct, headers={**(headers or {}), "Host": signer.address.host}, **body)  # type: ignore[arg-type]  # what the plan has

    return request


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(autouse=True)
def nothing_there(store: Store) -> None:
    store.s3.delete_object(Bucket=store.bucket, Key=KEY)


def test_a_put_is_stored_and_a_get_brings_it_back(store: Store, signer: Signer, send: Send) -> None:
    url = signer.presign("PUT", KEY, now=now(), expires_s=60, headers=SIGNED)
    assert send("PUT", url, content=CONTENT, headers=TYPE).status_code == 200
    assert store.read(KEY) == CONTENT
    assert send("GET", signer.presign("GET", KEY, now=now(), expires_s=60)).content == CONTENT


@pytest.mark.parametrize(
    ("content", "content_type"),
    [(CONTENT + b"x", "image/jpeg"), (CONTENT[:-1], "image/jpeg"), (CONTENT, "text/html")],
    ids=["one more", "one less", "another type"],
)
def test_another_file_than_signed_is_refused(
    store: Store, signer: Signer, send: Send, content: bytes, content_type: str
) -> None:
    url = signer.presign("PUT", KEY, now=now(), expires_s=60, headers=SIGNED)
    response = send("PUT", url, content=content, headers={"Content-Type": content_type})
    store.refused(response, UNSIGNED, gap="signature", key=KEY)


def test_a_changed_signature_is_refused(store: Store, signer: Signer, send: Send) -> None:
    url = plans.with_other_signature(signer.presign("PUT", KEY, now=now(), expires_s=60, headers=SIGNED))
    store.refused(send("PUT", url, content=CONTENT, headers=TYPE), UNSIGNED, gap="signature", key=KEY)


def test_a_signature_in_virtual_host_style_is_none_in_path_style(
    store: Store, signer: Signer, web: httpx.Client
) -> None:
    url = signer.presign("PUT", KEY, now=now(), expires_s=60, headers=SIGNED)
    in_path = url.replace(signer.address.origin, f"{store.endpoint_url}/{store.bucket}")
    store.refused(web.put(in_path, content=CONTENT, headers=TYPE), UNSIGNED, gap="signature", key=KEY)


def test_parts_make_an_object(store: Store, signer: Signer, send: Send) -> None:
    upload = store.s3.create_multipart_upload(Bucket=store.bucket, Key=KEY)["UploadId"]
    signed = signer.presign_parts(KEY, upload, [(1, len(CONTENT))], now=now(), expires_s=60)
    head, tail, signatures = signed
    etag = send("PUT", f"{head}1{tail}{next(signatures)}", content=CONTENT).headers["etag"]
    headers = {"x-amz-mp-object-size": str(len(CONTENT))}
    query = {"uploadId": upload}
    url = signer.presign("POST", KEY, now=now(), expires_s=60, headers=headers, query=query)
    parts = [{"partNumber": 1, "etag": etag}]
    assert send("POST", url, content=document(parts), headers=headers).status_code == 200
    assert store.read(KEY) == CONTENT


def test_a_part_of_another_length_is_refused(store: Store, signer: Signer, send: Send) -> None:
    upload = store.s3.create_multipart_upload(Bucket=store.bucket, Key=KEY)["UploadId"]
    signed = signer.presign_parts(KEY, upload, [(1, len(CONTENT))], now=now(), expires_s=60)
    head, tail, signatures = signed
    response = send("PUT", f"{head}1{tail}{next(signatures)}", content=CONTENT + b"x")
    store.s3.abort_multipart_upload(Bucket=store.bucket, Key=KEY, UploadId=upload)
    store.refused(response, UNSIGNED, gap="signature", key=KEY)


def form(signer: Signer) -> dict[str, str]:
    length = ["content-length-range", len(CONTENT), len(CONTENT)]
    return signer.sign_policy(KEY, [length], {**TYPE, "success_action_status": "201"}, now=now(), expires_s=60)


def test_a_form_is_stored(store: Store, signer: Signer, send: Send) -> None:
    response = send("POST", f"{signer.address.origin}/", data=form(signer), files={"file": CONTENT})
    assert response.status_code == 201
    assert store.read(KEY) == CONTENT


def test_a_form_with_a_longer_file_is_refused(store: Store, signer: Signer, send: Send) -> None:
    response = send("POST", f"{signer.address.origin}/", data=form(signer), files={"file": CONTENT + b"x"})
    store.refused(response, "400 EntityTooLarge", gap="policy", key=KEY)
