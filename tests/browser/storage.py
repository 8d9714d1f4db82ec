"""The bucket that the browser sends to."""

import hashlib
from dataclasses import dataclass
from typing import Any

from tests.contract.servers import S3Server

BUCKET, REGION = "uppy-uploads", "us-east-1"


@dataclass(frozen=True)
class Storage:
    """A bucket on a strict S3, set up as docs/uppy.md says."""

    name: str
    server: S3Server
    client: Any

    @property
    def environ(self) -> dict[str, str]:
        return {
            "S3_BUCKET_NAME": BUCKET,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": self.server.access_key,
            "AWS_SECRET_ACCESS_KEY": self.server.secret_key,
            "AWS_S3_ENDPOINT_URL": self.server.endpoint_url,
        }

    def allow(self, rules: list[dict[str, Any]]) -> None:
        """Replace the bucket's CORS rules."""
        self.client.put_bucket_cors(Bucket=BUCKET, CORSConfiguration={"CORSRules": rules})

    def keys(self, prefix: str) -> list[str]:
        listed = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [item["Key"] for item in listed.get("Contents", ())]

    def sha256(self, key: str) -> str:
        body = self.client.get_object(Bucket=BUCKET, Key=key)["Body"]
        with body:
            return hashlib.sha256(body.read()).hexdigest()

    def content_type(self, key: str) -> str:
        return str(self.client.head_object(Bucket=BUCKET, Key=key)["ContentType"])

    def open_uploads(self) -> list[str]:
        """Keys of multipart uploads that were begun and neither completed nor aborted."""
        listed = self.client.list_multipart_uploads(Bucket=BUCKET)
        return [item["Key"] for item in listed.get("Uploads", ())]

    def abort_all(self) -> None:
        for item in self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()):
            self.client.abort_multipart_upload(Bucket=BUCKET, Key=item["Key"], UploadId=item["UploadId"])
