# ruff: noqa: INP001  LocalStack runs it as a file
"""LocalStack runs this once it is ready: the bucket that the service expects.

https://docs.localstack.cloud/aws/configuration/config/initialization-hooks/
"""

import contextlib
import os

import boto3

region = os.environ["AWS_DEFAULT_REGION"]
s3 = boto3.client(
    "s3",
    endpoint_url=os.environ.get("AWS_ENDPOINT_URL", "http://127.0.0.1:4566"),
    region_name=region,
    # The pair that LocalStack checks presigned URLs with; it cannot be chosen.
    aws_access_key_id="test",
    aws_secret_access_key="test",  # noqa: S106  no secret, as it says
)
# us-east-1 is the one region that must not be named.
place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
    s3.create_bucket(Bucket=os.environ["S3_BUCKET_NAME"], **place)
