"""Objects that the checks store: random keys of one folder, all removed at the end."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import httpx

from image_upload.aws.sigv4 import Signer
from image_upload.cli.doctor.bucket import CheckTarget
from image_upload.cli.doctor.report import Finding
from image_upload.limits import S3_CALL_EXPIRES_S
from image_upload.s3.errors import error_code

REMEDIES: Final[Mapping[str, str]] = {
    "AccessDenied": "grant {action} on the folder to these credentials (docs/bucket.md), and kms:GenerateDataKey and "
    "kms:Decrypt where the bucket has a key of KMS",
    "ExpiredToken": "the credentials have ended; sign in again",
    "InvalidToken": "the session token belongs to other credentials; sign in again",
    "InvalidAccessKeyId": "S3 does not know the access key; check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY, and that nothing on the way changes headers",
    "RequestTimeTooSkewed": "set this machine's clock (NTP)",
    "AuthorizationQueryParametersError": "set AWS_REGION to the bucket's region",
    "NoSuchBucket": "create the bucket, or correct S3_BUCKET_NAME",
}


class Scratch:
    """The folder of the default purpose at the endpoint that clients see."""

    def __init__(self, check_target: CheckTarget) -> None:
        self.check_target = check_target
        self._stem = f"{check_target.settings.purposes.default.prefix}doctor-{secrets.token_hex(16)}"
        # The key and version of what may have been stored.
        self._stored: list[tuple[str, str | None]] = []

    def key(self, name: str) -> str:
        """Return a key of this run."""
        return f"{self._stem}{name}"

    def send(
        self, method: str, key: str, headers: Mapping[str, str] | None = None, body: bytes = b"", **query: str
    ) -> httpx.Response:
        """Send a presigned request, as a browser at the origin would. `headers` are signed.

        The Content-Length that is sent is the body's, whichever was signed.
        """
        target = self.check_target
        origin = {"Origin": target.origin} if target.origin else {}
        sent = {**(headers or {}), **({"Content-Length": str(len(body))} if method in ("PUT", "POST") else {})}
        url = target.sign(target.public, method, key, headers, **query)
        # A request for a part, and one that begins an upload, store no object.
        stores = method in ("PUT", "POST") and not {"partNumber", "uploads"} & query.keys()
        return self._noted(key, target.web.build_request(method, url, content=body, headers=sent | origin), stores)

    def send_form(self, key: str, body: bytes, most_bytes: int) -> httpx.Response:
        """Send a presigned form whose policy takes at most `most_bytes`."""
        target, address = self.check_target, self.check_target.public
        fields = Signer(address, target.credentials).sign_policy(
            key,
            [["content-length-range", 1, most_bytes]],
            {"Content-Type": "application/octet-stream", "success_action_status": "201"},
            now=datetime.now(UTC).replace(microsecond=0),
            expires_s=S3_CALL_EXPIRES_S,
        )
        url = f"{address.origin}{address.path_prefix}/"
        return self._noted(key, target.web.build_request("POST", url, data=fields, files={"file": body}), stores=True)

    def _noted(self, key: str, request: httpx.Request, stores: bool) -> httpx.Response:  # noqa: FBT001  private
        try:
            response = self.check_target.web.send(request)
        except httpx.ConnectError:
            raise
        except httpx.HTTPError:
            if stores:
                self._stored.append((key, None))  # the answer was lost, so the object may exist
            raise
        if stores and stored(response):
            self._stored.append((key, response.headers.get("x-amz-version-id")))
        return response

    def remove(self) -> Finding | None:
        """Delete what was stored. Return a finding if something stays."""
        target, kept = self.check_target, 0
        has_versions = any(version is not None for _, version in self._stored)
        try:
            for key, told in self._stored:
                # Not every store tells the version in its answer to a form.
                version = told or (self.send("HEAD", key).headers.get("x-amz-version-id") if has_versions else None)
                if version is not None and version != "null":
                    gone = self.send("DELETE", key, versionId=version)
                    if gone.is_success:
                        continue
                    kept += 1
                gone = self.send("DELETE", key)
                if not gone.is_success:
                    remedy = REMEDIES.get(error_code(gone.content) or "", "").format(action="s3:DeleteObject")
                    return Finding("clean-up", "FAIL", f"{key} stays: DELETE was answered {answer_of(gone)}", remedy)
        except httpx.HTTPError as error:
            return Finding(
                "clean-up", "FAIL", f"an object in {target.settings.s3_bucket_name} may stay", type(error).__name__
            )
        if kept:
            return Finding("clean-up", "ok", f"removed; old versions that stay until the life times end them: {kept}")
        return None


def stored(response: httpx.Response) -> bool:
    """Return whether S3 has done it: a 200 of some calls may hold an error."""
    return response.is_success and b"<Error>" not in response.content


def answer_of(response: httpx.Response) -> str:
    """Return `403 AccessDenied`, or the status alone if S3 names no code."""
    return f"{response.status_code} {error_code(response.content) or ''}".rstrip()
