"""A measured Python process: `python -m bench.worker SUBJECT` reads numbers and repeats its work that many times.

The first line it writes is a sample of what it makes; each further one holds the nanoseconds,
by the clock and of CPU time.
"""

import base64
import importlib
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from bench.surroundings import AWS, BODY, SERVICE

PARTS = 10_000
PART_BYTES = 1024**3
FORM_FILE_BYTES = 4_300_000
# boto3 is so slow that a tenth of the plan is enough to measure.
BOTO3_PARTS = PARTS // 10
UPLOAD_ID = "2~" + "VXBsb2FkIElEIGZvciA2aWWpbmcncyBteS1tb3ZpZS5tMnRzIHVwbG9hZA" * 2

Subject = Callable[[], tuple[Callable[[int], object], Any]]


def _key(number: int) -> str:
    return f"uploads/{number:032x}.jpg"


def sign_service() -> tuple[Callable[[int], object], Any]:
    """Sign with the service's signer. It reads the clock for each URL, as the peers do."""
    from image_upload.aws.endpoints import locate
    from image_upload.aws.sigv4 import Credentials, Signer

    credentials = Credentials(AWS["AWS_ACCESS_KEY_ID"], AWS["AWS_SECRET_ACCESS_KEY"], AWS["AWS_SESSION_TOKEN"])
    signer = Signer(locate(SERVICE["S3_BUCKET_NAME"], AWS["AWS_REGION"]), credentials)
    headers = {"Content-Type": "image/jpeg", "Content-Length": "123456"}
    numbers = itertools.count()

    def sign(count: int) -> str:
        url = ""
        for number in itertools.islice(numbers, count):
            now = datetime.now(UTC).replace(microsecond=0)
            url = signer.presign("PUT", _key(number), now=now, expires_s=300, headers=headers)
        return url

    return sign, sign(1)


def _boto3() -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client("s3", config=Config(signature_version="s3v4", s3={"addressing_style": "virtual"}))


def sign_boto3() -> tuple[Callable[[int], object], Any]:
    """Sign with boto3's generate_presigned_url."""
    client, numbers = _boto3(), itertools.count()
    bucket = SERVICE["S3_BUCKET_NAME"]

    def sign(count: int) -> str:
        url = ""
        for number in itertools.islice(numbers, count):
            params = {"Bucket": bucket, "Key": _key(number), "ContentType": "image/jpeg", "ContentLength": 123456}
            url = client.generate_presigned_url("put_object", Params=params, ExpiresIn=300)
        return url

    return sign, sign(1)


def parts_service() -> tuple[Callable[[int], object], Any]:
    """Plan a multipart upload by a whole invocation. S3's answer to CreateMultipartUpload is a constant."""
    from image_upload.s3.bucket import Bucket

    document = f"<InitiateMultipartUploadResult><UploadId>{UPLOAD_ID}</UploadId></InitiateMultipartUploadResult>"

    async def call(*_: Any, **__: Any) -> Any:
        return SimpleNamespace(status_code=200, content=document.encode(), extensions={"attempts": 1})

    Bucket.call = call  # type: ignore[method-assign]  # in the place of S3
    wanted = {
        "filename": "film.mp4",
        "contentType": "video/mp4",
        "size": PARTS * PART_BYTES,
        "purpose": "file",
        "accepts": ["multipart"],
        "compact": True,
    }
    invoke, answer = handler_of("upload", event("POST", "/uploads", json.dumps(wanted), None))
    assert len(json.loads(answer["body"])["signatures"]) == PARTS
    return invoke, {"bytes": len(answer["body"].encode())}


def parts_boto3() -> tuple[Callable[[int], object], Any]:
    """Sign a tenth of the parts one by one with boto3."""
    client, bucket = _boto3(), SERVICE["S3_BUCKET_NAME"]

    def plan() -> bytes:
        base = {"Bucket": bucket, "Key": _key(1), "UploadId": UPLOAD_ID, "ContentLength": PART_BYTES}
        urls = [
            client.generate_presigned_url("upload_part", Params={**base, "PartNumber": number}, ExpiresIn=3600)
            for number in range(1, BOTO3_PARTS + 1)
        ]
        return json.dumps({"urls": urls}).encode()

    def plans(count: int) -> int:
        return [len(plan()) for _ in range(count)][-1]

    return plans, {"bytes": plans(1)}


class Context:
    """The context that Lambda passes with the event."""

    aws_request_id = "8f507cfc-xmpl-4697-b07a-ac58fc914c95"
    function_name = "image-upload"
    memory_limit_in_mb = 1024

    def get_remaining_time_in_millis(self) -> int:
        """Return the time of an invocation that has just begun."""
        return 30_000


def form_event(path: str) -> dict[str, Any]:
    """Return a form with a file of 4.3 MB as a Function URL event, in base64."""
    boundary = "----WebKitFormBoundary7MA4YWxkTrZu0gW7"
    head = f"--{boundary}\r\nContent-Disposition: form-data; name="
    picture = f'{head}"file"; filename="cat.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    fields = f'{head}"uploadUrl"\r\n\r\n{os.environ["BENCH_UPLOAD_URL"]}\r\n'
    body = f"{fields}{picture}".encode() + os.urandom(FORM_FILE_BYTES) + f"\r\n--{boundary}--\r\n".encode()
    made = event("POST", path, None, None)
    made["headers"] |= {"content-type": f"multipart/form-data; boundary={boundary}", "content-length": str(len(body))}
    return {**made, "body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def event(method: str, path: str, body: str | None, token: str | None) -> dict[str, Any]:
    """Return a Function URL event: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html ."""
    host = "abcdefghijklmnopqrstuvwxyz012345.lambda-url.ap-northeast-2.on.aws"
    headers = {
        "accept": "*/*",
        "accept-encoding": "gzip, deflate, br",
        "host": host,
        "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "origin": "https://app.example.com",
        "x-amzn-trace-id": "Root=1-67000000-0123456789abcdef01234567",
        "x-forwarded-for": "203.0.113.7",
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    }
    if body is not None:
        headers |= {"content-type": "application/json", "content-length": str(len(body))}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": host.partition(".")[0],
            "domainName": host,
            "domainPrefix": host.partition(".")[0],
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": headers["user-agent"],
            },
            "requestId": "e1506fd5-9e7b-434f-bd42-4f8fa224b599",
            "routeKey": "$default",
            "stage": "$default",
            "time": "20/Nov/2026:10:00:00 +0000",
            "timeEpoch": 1795168800000,
        },
        **({"body": body} if body is not None else {}),
        "isBase64Encoded": False,
    }


def handler_of(module: str, sent: dict[str, Any]) -> tuple[Callable[[int], object], Any]:
    """Return a function that invokes a Lambda handler with the same event a number of times."""
    handler, context = importlib.import_module(module).handler, Context()

    def invoke(count: int) -> None:
        for _ in range(count):
            handler(sent, context)

    answer = handler(sent, context)
    assert answer["statusCode"] == 200, answer
    return invoke, answer


def _posted(token: str | None = None) -> dict[str, Any]:
    return event("POST", "/uploads", BODY, token)


def _with_token() -> tuple[Callable[[int], object], Any]:
    import jwt

    claims = {"sub": "user-1", "exp": int(time.time()) + 3600}
    return handler_of("upload", _posted(jwt.encode(claims, SERVICE["JWT_SECRET"], "HS256")))


SUBJECTS: dict[str, Subject] = {
    "sign service": sign_service,
    "sign boto3": sign_boto3,
    "parts service": parts_service,
    "parts boto3": parts_boto3,
    "handler service": lambda: handler_of("upload", _posted()),
    "handler service token": _with_token,
    "handler naive": lambda: handler_of("bench.peers.naive", _posted()),
    "handler hello": lambda: handler_of("bench.peers.hello", event("GET", "/", None, None)),
    "form service": lambda: handler_of("upload", form_event("/upload-with-presigned")),
    "form service retry": lambda: handler_of("upload", form_event("/upload-with-presigned-retry")),
    "form naive": lambda: handler_of("bench.peers.naive_proxy", form_event("/upload-with-presigned")),
    "form read": lambda: handler_of("bench.peers.naive_proxy", form_event("/read")),
    "handler hello_body": lambda: handler_of("bench.peers.hello_body", _posted()),
}


def main() -> None:
    """Serve one subject until the input ends."""
    run, sample = SUBJECTS[sys.argv[1]]()
    print(json.dumps({"sample": sample}), flush=True)
    for line in sys.stdin:
        started, cpu = time.perf_counter_ns(), time.process_time_ns()
        run(int(line))
        print(json.dumps({"ns": time.perf_counter_ns() - started, "cpu_ns": time.process_time_ns() - cpu}), flush=True)


if __name__ == "__main__":
    main()
