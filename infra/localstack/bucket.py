# ruff: noqa: INP001  LocalStack runs it as a file
"""Create the bucket of the service. LocalStack runs this script when it is ready.

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
    # The fixed key pair by which LocalStack checks presigned URLs.
    aws_access_key_id="test",
    aws_secret_access_key="test",  # noqa: S106  no secret, as it says
)
# S3 refuses us-east-1 as a LocationConstraint.
place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
    s3.create_bucket(Bucket=os.environ["S3_BUCKET_NAME"], **place)
