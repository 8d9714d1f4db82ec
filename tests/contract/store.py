"""A bucket on one of the servers, as a test sees it: what is in it, and whether S3 refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.header import decode_header, make_header
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from image_upload.aws.endpoints import Address, locate
from image_upload.aws.sigv4 import Credentials, Signer
from image_upload.s3.errors import error_code
from tests.contract.gaps import GAPS, HYPHENS_METADATA, PROMISES

REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Store:
    """One bucket. `s3` is boto3's client, which signs by itself: what it sees, S3 has."""

    name: str
    endpoint_url: str
    bucket: str
    access_key: str
    secret_key: str
    s3: Any

    @property
    def environ(self) -> dict[str, str]:
        """Settings that lead the service here."""
        return {
            "S3_BUCKET_NAME": self.bucket,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_SESSION_TOKEN": "",
            "AWS_S3_ENDPOINT_URL": self.endpoint_url,
            "S3_PUBLIC_ENDPOINT_URL": "",
        }

    def signer(self, address: Address | None = None) -> Signer:
        """The service's own signer, for what its routes do not mint: URLs of another time or another host."""
        address = address or locate(self.bucket, REGION, self.endpoint_url)
        return Signer(address, Credentials(self.access_key, self.secret_key))

    def head(self, key: str) -> dict[str, Any] | None:
        """HeadObject, None if nothing is stored under the key."""
        try:
            found: dict[str, Any] = self.s3.head_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            return None
        return found

    def read(self, key: str) -> bytes | None:
        """The object's bytes, None if nothing is stored under the key."""
        if self.head(key) is None:
            return None
        content: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content

    def metadata(self, key: str, *names: str, by_form: bool = False) -> dict[str, str]:
        """The object's user metadata by HeadObject, decoded, which has exactly these names."""
        hyphens = self.name in HYPHENS_METADATA and not by_form
        found = self.head(key)
        assert found is not None
        sent = {name.replace("_", "-") if hyphens else name: name for name in names}
        assert found["Metadata"].keys() == sent.keys()
        return {sent[name]: str(make_header(decode_header(value))) for name, value in found["Metadata"].items()}

    def write(self, key: str, content: bytes) -> None:
        """Store an object past the service, as another program would."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)

    def unfinished(self, key: str) -> list[str]:
        """The ids of the multipart uploads that S3 still keeps for a key."""
        listed = self.s3.list_multipart_uploads(Bucket=self.bucket, Prefix=key).get("Uploads", ())
        return [upload["UploadId"] for upload in listed if upload["Key"] == key]

    def left(self, folder: str) -> tuple[list[str], list[str]]:
        """The keys of a folder, and the keys of multipart uploads under way in it."""
        objects = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=f"{folder}/").get("Contents", ())
        uploads = self.s3.list_multipart_uploads(Bucket=self.bucket, Prefix=f"{folder}/").get("Uploads", ())
        # moto lists the uploads of all prefixes
        begun = [each["Key"] for each in uploads if each["Key"].startswith(f"{folder}/")]
        return [each["Key"] for each in objects], begun

    def refused(
        self, response: httpx.Response, *expected: str, gap: str | None, key: str, keeps: bytes | None = None
    ) -> None:
        """S3 gave one of the expected answers, and the key holds what it held before (None: nothing).

        An answer is a status and S3's code, or the status alone. Where the server is known to answer
        otherwise, exactly that must have come, and the test is skipped.
        """
        wrong = GAPS[self.name].get(gap) if gap else None
        if wrong is not None:
            assert _is(response, wrong), f"{self.name} no longer answers {wrong} to {gap}: {answer_of(response)}"
            assert gap is not None
            pytest.skip(f"{self.name}, gap {gap}: {PROMISES[gap][0]} is {wrong}, AWS: {PROMISES[gap][1]}")
        assert any(_is(response, answer) for answer in expected), f"{answer_of(response)}\n{response.text}"
        assert self.read(key) == keeps

    def lacks(self, *, gap: str, answered: str) -> None:
        """Skip where the server is known to give this answer, which is not AWS's. It must still be that one."""
        wrong = GAPS[self.name].get(gap)
        if wrong is not None:
            assert answered == wrong, f"{self.name} no longer answers {wrong} to {gap}: {answered}"
            pytest.skip(f"{self.name}, gap {gap}: {PROMISES[gap][0]} is {wrong}, AWS: {PROMISES[gap][1]}")


def _is(response: httpx.Response, answer: str) -> bool:
    if answer == "2xx":
        return response.is_success and b"<Error>" not in response.content
    return answer_of(response) == answer or str(response.status_code) == answer


def answer_of(response: httpx.Response) -> str:
    """`403 SignatureDoesNotMatch`, or the status alone where S3 names no code."""
    return f"{response.status_code} {error_code(response.content) or ''}".strip()


@contextmanager
def opened(name: str, endpoint_url: str, access_key: str, secret_key: str, bucket: str) -> Iterator[Store]:
    """A store over a server; the bucket is made if it is not there."""
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            # LocalStack cuts the connection where an object is broken: say so soon.
            retries={"max_attempts": 0},
            read_timeout=10,
        ),
    )
    try:
        if bucket not in [each["Name"] for each in s3.list_buckets()["Buckets"]]:
            s3.create_bucket(Bucket=bucket)
        yield Store(name, endpoint_url, bucket, access_key, secret_key, s3)
    finally:
        s3.close()
