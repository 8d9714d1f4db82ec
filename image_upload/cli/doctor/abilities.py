"""Checks of what not every store can do. Each says which setting to set, and what the service then does."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import quote

from image_upload.cli.doctor.report import Finding
from image_upload.cli.doctor.scratch import Scratch, answer_of, stored
from image_upload.s3 import xml

_BODY: Final = b"what the doctor stores"
_TYPE: Final = {"Content-Type": "application/octet-stream"}
_SIGNED: Final = {**_TYPE, "Content-Length": str(len(_BODY))}
_OTHER_ETAG: Final = '"00000000000000000000000000000000"'

_WITHOUT_FORMS: Final = (
    "set S3_FORM_POST=off: plans are PUTs or parts then, and an upload without a size is held to its limit once it has "
    "arrived"
)


def checks(scratch: Scratch, key: str, etag: str) -> Iterator[Finding]:
    """Check forms, overwriting, checksums, copies and the size of an object in parts. `key` has an object."""
    yield _form(scratch)
    yield _overwriting(scratch, key)
    yield _checksum(scratch)
    yield _copy(scratch, key, etag)
    yield _object_size(scratch)


def _form(scratch: Scratch) -> Finding:
    """Check that a form is stored, up to the length of its policy.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
    """
    check, target = "form POST", scratch.check_target
    is_on, key = target.settings.s3_form_post, scratch.key("-form")
    answer = scratch.send_form(key, _BODY, len(_BODY))
    if not (stored(answer) and scratch.send("HEAD", key).is_success):
        seen = f"a presigned form stores nothing ({answer_of(answer)})"
        if is_on:
            return Finding(check, target.grave, seen, _WITHOUT_FORMS)
        return Finding(check, "ok", f"{seen}, and S3_FORM_POST is off")
    longer = scratch.send_form(scratch.key("-longer-form"), _BODY + b"x", len(_BODY))
    if stored(longer):
        seen = "one byte more than a form's policy allows was stored"
        return Finding(check, target.grave if is_on else "ok", seen, _WITHOUT_FORMS if is_on else "")
    seen = f"one byte more than a form's policy allows is refused ({answer_of(longer)})"
    return Finding(check, "ok", seen if is_on else f"{seen}; S3_FORM_POST may be on here")


def _overwriting(scratch: Scratch, key: str) -> Finding:
    """Check that `If-None-Match` keeps an object.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    """
    check = "overwriting"
    answer = scratch.send("PUT", key, {**_SIGNED, "If-None-Match": "*"}, _BODY)
    if answer.status_code == 412:
        return Finding(check, "ok", f"If-None-Match keeps what is there ({answer_of(answer)})")
    if stored(answer):
        seen = "If-None-Match did not keep what was there"
        remedy = "nothing to set: ifNoneMatch does not hold here, and a URL can store again until it ends"
    else:
        seen = f"If-None-Match is answered {answer_of(answer)}"
        remedy = (
            "send no ifNoneMatch, and mint with a size where there are records or quotas: a PUT without one needs it"
        )
    return Finding(check, "warn", seen, remedy)


def _checksum(scratch: Scratch) -> Finding:
    """Check that other bytes than declared are refused.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
    """
    check, target = "checksum", scratch.check_target
    kind = target.settings.s3_checksums
    if kind == "off":
        return Finding(check, "skip", "S3_CHECKSUMS is off, so none is declared")
    instead = "md5" if kind == "sha256" and _compares(scratch, "md5") is None else "off"
    fault = _compares(scratch, kind)
    if fault is None:
        return Finding(check, "ok", f"other bytes than {_header(kind, _BODY)[0]} declares are refused")
    remedy = f"set S3_CHECKSUMS={instead}: POST /uploads refuses a sha256 then"
    forms = "by Content-MD5" if instead == "md5" else "by their ETag alone"
    return Finding(check, target.grave, fault, f"{remedy}, and what the service stores itself is compared {forms}")


def _header(kind: str, body: bytes) -> tuple[str, str]:
    """Return name and value of the header that declares a body."""
    if kind == "md5":
        return "Content-MD5", base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    return "x-amz-checksum-sha256", base64.b64encode(hashlib.sha256(body).digest()).decode()


def _compares(scratch: Scratch, kind: str) -> str | None:
    """Return None if S3 stores what is declared rightly, and nothing else; otherwise what it did."""
    name, right = _header(kind, _BODY)
    answer = scratch.send("PUT", scratch.key(f"-{kind}"), {**_SIGNED, name: right}, _BODY)
    if not stored(answer):
        return f"{name} is answered {answer_of(answer)}"
    wrong = _header(kind, _BODY[::-1])[1]
    if stored(scratch.send("PUT", scratch.key(f"-other-{kind}"), {**_SIGNED, name: wrong}, _BODY)):
        return f"other bytes than {name} declares were stored"
    return None


def _copy(scratch: Scratch, key: str, etag: str) -> Finding:
    """Check that an object can be copied, and only the one that is meant.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
    """
    check = "copy"
    source = {"x-amz-copy-source": quote(f"/{scratch.check_target.settings.s3_bucket_name}/{key}")}

    def copy(name: str, if_match: str) -> tuple[bool, str]:
        answer = scratch.send("PUT", scratch.key(name), {**source, "x-amz-copy-source-if-match": if_match})
        return stored(answer), answer_of(answer)

    copied, answer = copy("-copy", etag)
    if not copied:
        seen, remedy = f"CopyObject is answered {answer}", "a file that is checked first cannot be published here"
        return Finding(check, "warn", seen, f"nothing to set: {remedy}")
    copied, answer = copy("-other-copy", _OTHER_ETAG)
    if copied:
        seen, remedy = "another object than named was copied", "a file could be replaced after it was checked"
        return Finding(check, "warn", seen, f"nothing to set: {remedy}")
    return Finding(check, "ok", f"an object is copied, and another one than named is not ({answer})")


def _object_size(scratch: Scratch) -> Finding:
    """Check that parts become an object of the signed size only.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
    """
    check, key = "object size", scratch.key("-parts")
    begun = scratch.send("POST", key, _TYPE, uploads="")
    remedy = "upload in parts does not work: accept no multipart, and send no file above 5 GiB"
    if not stored(begun):
        return Finding(check, "FAIL", f"CreateMultipartUpload is answered {answer_of(begun)}", remedy)
    upload_id = xml.text(xml.parse(begun.content, "InitiateMultipartUploadResult"), "UploadId")
    try:
        part = scratch.send("PUT", key, {"Content-Length": str(len(_BODY))}, _BODY, partNumber="1", uploadId=upload_id)
        if not stored(part):
            return Finding(check, "FAIL", f"a part is answered {answer_of(part)}", remedy)
        complete = _complete(part.headers)
        answer = scratch.send("POST", key, {"x-amz-mp-object-size": str(len(_BODY) + 1)}, complete, uploadId=upload_id)
    finally:
        scratch.send("DELETE", key, uploadId=upload_id)
    if stored(answer):
        return Finding(
            check,
            "warn",
            "parts became an object of another size than signed",
            "nothing to set: the service compares the size after each completion, and removes what differs",
        )
    return Finding(check, "ok", f"parts of another size than signed become no object ({answer_of(answer)})")


def _complete(headers: Mapping[str, str]) -> bytes:
    part = f"<Part><PartNumber>1</PartNumber><ETag>{headers.get('etag', '')}</ETag></Part>"
    return f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
