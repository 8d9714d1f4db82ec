"""What each server is known to answer otherwise than AWS.

No free server refuses everything that AWS refuses. A test that meets a gap asserts the known wrong answer,
then skips: a server that gets better fails the test, and its gap goes.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# Gap → (what is asked of S3, what AWS documents as its answer).
PROMISES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "anonymous-write": ("a PUT without a signature", "403 AccessDenied"),
        "anonymous-read": ("a GET without a signature", "403 AccessDenied"),
        "signature": ("a presigned request that was changed: URL, length, type, signed header", "403"),
        "expiry": ("a presigned request after its end", "403 AccessDenied"),
        "unsigned-header": ("a PUT with an x-amz header that was not signed", "403 AccessDenied"),
        "checksum": ("a PUT of another SHA-256 than signed", "400 BadDigest"),
        "form-checksum": ("a form with a file of another SHA-256 than its policy's", "400 BadDigest"),
        "policy": ("a form against its policy: length, type, key, end", "400 or 403"),
        "policy-signature": ("a form whose policy or signature was changed", "403"),
        "policy-field": ("a form with a field that its policy does not name", "403 AccessDenied"),
        "aborted-part": ("a part of an aborted upload", "404 NoSuchUpload"),
        "aborted-abort": ("aborting an aborted or finished upload", "404 NoSuchUpload"),
        "aborted-complete": ("completing an aborted upload", "404 NoSuchUpload"),
        "object-size": ("completing to another length than signed", "400 InvalidRequest"),
        "raw-metadata": ("a PUT with a signed metadata header in plain UTF-8", "200"),
        "octet-stream": ("the type of x.pdf, sent as application/octet-stream", "application/octet-stream"),
        "listing-order": ("the order of a listing", "by the keys' bytes"),
        "double-slash": ("a listed key with two slashes in a row", "as it was sent"),
        "control-character": ("a listed key with a control character", "as it was sent"),
        "storage-class": ("a PUT with the class STANDARD_IA", "200"),
        "form-at-rest": ("a form's fields for storage class and encryption", "kept"),
        "encryption": ("the encryption of an object that was sent for AES256", "AES256"),
        "kms": ("a PUT to be encrypted with a key of KMS", "200"),
        "kept-checksum": ("the SHA-256 of an object that was sent with one", "the SHA-256"),
        "upload-order": ("uploads of one key that began within a second", "oldest first"),
        "copy-match": ("copying an object under another ETag than it has", "412 PreconditionFailed"),
        "complete-once": ("completing with If-None-Match onto an object", "412 PreconditionFailed"),
    }
)

# Server → gap → its answer. `2xx` is any success.
GAPS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "moto": {
            "anonymous-write": "2xx",
            "signature": "2xx",
            "expiry": "2xx",
            "unsigned-header": "2xx",
            "checksum": "2xx",
            "form-checksum": "2xx",
            "policy": "2xx",
            "policy-signature": "2xx",
            "policy-field": "2xx",
            "aborted-part": "500",
            "aborted-complete": "500",
            "object-size": "2xx",
            "kept-checksum": "none",
            "form-at-rest": "ignored",
            "copy-match": "2xx",
        },
        "localstack": {
            "anonymous-write": "2xx",
            "anonymous-read": "2xx",
            "form-checksum": "2xx",
            "policy-signature": "2xx",
            "policy-field": "2xx",
            "raw-metadata": "403 SignatureDoesNotMatch",
        },
        "seaweedfs": {
            "aborted-abort": "2xx",
            "object-size": "2xx",
            "octet-stream": "application/pdf",
            "listing-order": "by folder",
            "double-slash": "one slash",
            "control-character": "U+FFFD",
            "kms": "500 InternalError",
            "upload-order": "by id",
        },
        "ceph": {
            "unsigned-header": "2xx",
            "checksum": "2xx",
            "form-checksum": "2xx",
            "aborted-complete": "500 InternalError",
            "object-size": "2xx",
            "copy-match": "2xx",
            "complete-once": "2xx",
            "kept-checksum": "none",
            "storage-class": "400 InvalidArgument",
            "encryption": "none",
            "kms": "400 InvalidArgument",
        },
    }
)

# A header `x-amz-meta-original_filename` comes back as `original-filename`; a form's field keeps its name.
HYPHENS_METADATA: Final = frozenset({"ceph"})

# Settings of a bucket that a server does not have: it answers as if another question had been asked.
NO_BUCKET_SETTINGS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"ceph": frozenset({"ownership", "encryption"}), "seaweedfs": frozenset({"public access"})}
)
# Servers that keep EventBridge's place among those who are told of new objects. MiniStack does too: tests/infra.
KNOWS_EVENTBRIDGE: Final = frozenset({"localstack"})
