"""The plans that the service mints, asked for over HTTP, and what a client makes of them."""

import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

CONTENT = b"\xff\xd8\xff\xe0 what the file holds \xff\xd9"
MIB = 1024 * 1024


def content_of(size: int) -> bytes:
    """Noise, the same in every run."""
    return random.Random(size).randbytes(size)  # no secret


def sha256_of(content: bytes) -> str:
    """In hexadecimal, as a request names it."""
    return hashlib.sha256(content).hexdigest()


def now() -> datetime:
    """In whole seconds, as the signer wants it."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True, slots=True)
class Put:
    """A presigned PUT, from whichever route. `headers` are those to send."""

    key: str
    url: str
    headers: dict[str, str]
    expires_in: int

    def send(
        self,
        web: httpx.Client,
        content: bytes = CONTENT,
        *,
        url: str | None = None,
        without: str | None = None,
        method: str = "PUT",
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send it as it was minted but for what is given. The client counts the Content-Length itself.

        `headers` replace some of the plan's or are added; `without` leaves one of them out.
        """
        changes = {name.lower(): value for name, value in (headers or {}).items()}
        planned = {name.lower(): value for name, value in self.headers.items()}
        sent = {name: value for name, value in (planned | changes).items() if name not in ("content-length", without)}
        return web.request(method, url or self.url, content=content, headers=sent)


Minting = Callable[[httpx.Client, str], Put]


def minted(web: httpx.Client, url: str, **request: Any) -> dict[str, Any]:
    """The JSON of a minting route, which must have succeeded."""
    response = web.post(url, **request)
    assert response.status_code == 200, response.text
    plan: dict[str, Any] = response.json()
    return plan


def spec(**fields: Any) -> dict[str, Any]:
    """A request for `POST /uploads`; keyword arguments replace its fields."""
    return {"filename": "cat.jpg", "contentType": "image/jpeg", "size": len(CONTENT), **fields}


def mint_put(web: httpx.Client, service: str, **fields: Any) -> Put:
    """`POST /uploads`."""
    plan = minted(web, f"{service}/uploads", json=spec(**fields))
    assert plan["strategy"] == "put"
    return Put(plan["objectKey"], plan["presignedUrl"], plan["headers"], plan["expiresIn"])


def mint_for_proxy(web: httpx.Client, service: str) -> Put:
    """A proxy plan: its uploadUrl, which the client could also send to S3 itself."""
    plan = minted(web, f"{service}/uploads", json=spec(accepts=["proxy"]))
    return Put(plan["objectKey"], plan["fields"]["uploadUrl"], {"Content-Type": "image/jpeg"}, plan["expiresIn"])


def mint_image(web: httpx.Client, service: str) -> Put:
    """The images family without a size: any length will do."""
    plan = minted(web, f"{service}/images/presigned-url", json={"content_type": "image/jpeg"})
    return Put(plan["key"], plan["upload_url"], plan["headers"], plan["expires_in"])


def mint_scan(web: httpx.Client, service: str) -> Put:
    """The images family with a size, which is signed."""
    body = {"content_type": "image/jpeg", "size": len(CONTENT)}
    plan = minted(web, f"{service}/images/presigned-url/scan", json=body)
    return Put(plan["key"], plan["upload_url"], plan["headers"], plan["expires_in"])


def mint_file(web: httpx.Client, service: str) -> Put:
    """The files family: any length, and a name in Korean within the key."""
    plan = minted(web, f"{service}/files/upload-url", params={"filename": "보고서 😀.pdf"})
    return Put(plan["object_key"], plan["presigned_url"], plan["headers"], plan["expires_in"])


# Plans that sign a length, and all there are.
SIZED: Mapping[str, Minting] = {
    "uploads": mint_put,
    "proxy": mint_for_proxy,
    "images-size": mint_scan,
}
PUTS: Mapping[str, Minting] = {**SIZED, "images": mint_image, "files": mint_file}


def begin(web: httpx.Client, service: str, size: int = len(CONTENT), **fields: Any) -> dict[str, Any]:
    """Begin a multipart upload with `POST /uploads`."""
    asked = {"filename": "a.bin", "contentType": "application/octet-stream", "purpose": "file", "size": size}
    plan = minted(web, f"{service}/uploads", json={**asked, "accepts": ["multipart"], **fields})
    assert plan["strategy"] == "multipart"
    return plan


def part_urls(plan: Mapping[str, Any]) -> list[str]:
    """The URL of each part, whole or put together from a compact plan."""
    if "parts" in plan:
        return [part["url"] for part in plan["parts"]]
    return [
        plan["template"].replace("{partNumber}", str(number)).replace("{signature}", signature)
        for number, signature in enumerate(plan["signatures"], 1)
    ]


def send_parts(web: httpx.Client, plan: Mapping[str, Any], content: bytes, *numbers: int) -> list[dict[str, Any]]:
    """Send the parts with these numbers, or all; what POST /uploads/{ticket}/complete wants to know of them."""
    sent = []
    for number, url in enumerate(part_urls(plan), 1):
        if number in (numbers or (number,)):
            start = (number - 1) * plan["partSize"]
            response = web.put(url, content=content[start : start + plan["partSize"]])
            assert response.status_code == 200, response.text
            sent.append({"partNumber": number, "etag": response.headers["etag"]})
    return sent


def follow(web: httpx.Client, request: Mapping[str, Any], **changes: Any) -> httpx.Response:
    """Send one of a multipart plan's presigned requests: complete, abort, list."""
    return web.request(**{**request, **changes})


def document(parts: list[dict[str, Any]]) -> bytes:
    """The body of CompleteMultipartUpload."""
    listed = "".join(
        f"<Part><PartNumber>{part['partNumber']}</PartNumber><ETag>{part['etag']}</ETag></Part>" for part in parts
    )
    return f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()


def with_other_signature(url: str) -> str:
    """One digit of the signature changed."""
    before, _, signature = url.partition("X-Amz-Signature=")
    return f"{before}X-Amz-Signature={'1' if signature[0] == '0' else '0'}{signature[1:]}"


def with_longer_life(url: str) -> str:
    """Its end put off by an hour."""
    changed = url.replace("X-Amz-Expires=", "X-Amz-Expires=36")
    assert changed != url
    return changed


def without_signature(url: str) -> str:
    """The bare address."""
    return url.partition("?")[0]


def for_key(url: str, key: str, other: str) -> str:
    """The same signature under another key."""
    path = urlsplit(url).path
    assert path.endswith(quote(key, safe="/~"))
    return url.replace(quote(key, safe="/~"), quote(other, safe="/~"), 1)
