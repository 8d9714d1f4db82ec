"""A queue of SQS with a dead-letter queue, on the S3 server of the tests, which is moto's and knows other services."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3

from local.embedded_s3 import ACCESS_KEY, REGION, SECRET_KEY, EmbeddedS3

AWS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_DEFAULT_REGION": REGION}


class Sqs:
    """A queue and its dead-letter queue."""

    def __init__(self, endpoint_url: str, *, visibility_s: int = 60) -> None:
        self._client = boto3.client(
            "sqs",
            endpoint_url=endpoint_url,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )
        name = f"tasks-{secrets.token_hex(4)}"
        self.dead_url = self._client.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        arn = self._client.get_queue_attributes(QueueUrl=self.dead_url, AttributeNames=["QueueArn"])["Attributes"]
        redrive = {"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": 2}
        attributes = {"RedrivePolicy": json.dumps(redrive), "VisibilityTimeout": str(visibility_s)}
        self.url = self._client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

    def send(self, text: str) -> None:
        self._client.send_message(QueueUrl=self.url, MessageBody=text)

    def bodies(self, url: str | None = None) -> list[str]:
        """What waits, and is taken by that."""
        found = self._client.receive_message(QueueUrl=url or self.url, MaxNumberOfMessages=10).get("Messages", [])
        for each in found:
            self._client.delete_message(QueueUrl=url or self.url, ReceiptHandle=each["ReceiptHandle"])
        return [each["Body"] for each in found]

    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(each) for each in self.bodies()]

    def close(self) -> None:
        for url in (self.url, self.dead_url):
            self._client.delete_queue(QueueUrl=url)


@contextmanager
def sqs(s3: EmbeddedS3, **options: int) -> Iterator[Sqs]:
    made = Sqs(s3.endpoint_url, **options)
    try:
        yield made
    finally:
        made.close()
