"""A worker: it takes tasks from the queue, does them, and posts their results. README.md has the lines to run it.

    QUEUE_URL     the service's own: https://sqs.… or redis://…/STREAM
    SERVICE_URL   where the service is, if its messages do not say it (http://127.0.0.1:8000)
    CLAIM_AFTER_S Redis only: a message that another worker took so long ago, and did not finish, is taken over (60)

A message may come twice. Its `id` is the same then, and the service keeps the first result: doing the work again costs
time and changes nothing. If your task has other effects (a mail, a payment), note the `id` in a transaction with them.
"""

import io
import json
import os
import re
import signal
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from PIL import Image, ImageStat

PICTURE_MAX_BYTES: Final = 16 * 1024 * 1024
FORMATS: Final = ("JPEG", "PNG", "WEBP", "AVIF", "GIF")
TIMEOUT_S: Final = 30
# A message that failed so often is set aside. For SQS the queue's own redrive policy says it.
MOST_ATTEMPTS: Final = 3


class TaskFailed(Exception):
    """The task cannot be done, today or later. The text is shown to the file's owner."""


# --- your own code --------------------------------------------------------------------------------


def vision_analysis_task(image_url: str, user_id: str | None = None) -> dict[str, Any]:
    """Return the size and the mean colour of a picture. Put your model here."""
    try:
        with Image.open(io.BytesIO(download(image_url)), formats=FORMATS) as picture:
            mean = ImageStat.Stat(picture.convert("RGB").resize((64, 64))).mean
            return {
                "width": picture.width,
                "height": picture.height,
                "colour": "#" + "".join(f"{round(each):02x}" for each in mean),
            }
    except (OSError, Image.DecompressionBombError) as error:
        if isinstance(error, urllib.error.URLError | TimeoutError):
            raise  # the network's fault, so the message comes again
        raise TaskFailed("The file is not a picture that can be read.") from None


# The tasks by the names that messages have. The keyword arguments are the message's `kwargs`.
TASKS: Final[Mapping[str, Callable[..., dict[str, Any]]]] = {"vision_analysis_task": vision_analysis_task}


# --- one message ----------------------------------------------------------------------------------


def download(url: str) -> bytes:
    """Return a file. Raises `OSError`, and `TaskFailed` for one that is longer than `PICTURE_MAX_BYTES`."""
    with opened(urllib.request.Request(url)) as answer:
        data: bytes = answer.read(PICTURE_MAX_BYTES + 1)
    if len(data) > PICTURE_MAX_BYTES:
        raise TaskFailed("The file is too long for this task.")
    return data


def opened(request: urllib.request.Request) -> Any:
    """Send a request. Raises `OSError`, `ValueError` for another scheme than http and https."""
    if request.type not in ("https", "http"):
        raise ValueError("neither http nor https")
    return urllib.request.urlopen(request, timeout=TIMEOUT_S)


def handle(text: str) -> None:
    """Do the task of a message and post its result. Raises whatever means that the message must come again."""
    message = json.loads(text)
    task = TASKS[message["task"]]
    try:
        result = {"state": "done", "result": task(**message["kwargs"])}
    except TaskFailed as reason:
        result = {"state": "failed", "error": str(reason)}
    post(message, result)
    print(f"{message['id']}  {message['task']}  {message['key']}  {json.dumps(result)}", flush=True)


def post(message: dict[str, Any], result: dict[str, Any]) -> None:
    """Post a result. An answer that no repetition changes (the job is over, or gone) counts as posted."""
    base = os.environ.get("SERVICE_URL", "http://127.0.0.1:8000").rstrip("/")
    path = message["result_url"]
    headers = {"Authorization": f"Bearer {message['token']}", "Content-Type": "application/json"}
    url = base + path if path.startswith("/") else path
    try:
        with opened(urllib.request.Request(url, json.dumps(result).encode(), headers)):
            pass
    except urllib.error.HTTPError as error:
        if error.code not in (404, 409):
            raise


# --- the queues -----------------------------------------------------------------------------------


class Queue(Protocol):
    """Yields messages. One whose block ends without an exception is removed; any other comes again."""

    def messages(self) -> Iterator[Any]:
        """Yield context managers, each of one message's text; None while there is none."""


class SqsQueue:
    """A queue of SQS. What fails `maxReceiveCount` times goes to its dead-letter queue."""

    def __init__(self, url: str) -> None:
        import boto3  # not needed for Redis

        parts = urlsplit(url)
        region = re.fullmatch(r"sqs(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?", parts.netloc)
        aws = {"region_name": region[1]} if region else {"endpoint_url": f"{parts.scheme}://{parts.netloc}"}
        self._sqs = boto3.client("sqs", **aws)
        self._url = url

    def messages(self) -> Iterator[Any]:
        """See `Queue`."""
        while True:
            answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=1, WaitTimeSeconds=5)
            found = answer.get("Messages", [])
            yield self._one(found[0]) if found else None

    @contextmanager
    def _one(self, message: dict[str, Any]) -> Iterator[str]:
        yield message["Body"]
        self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])


class RedisStream:
    """A stream of Redis, read by a consumer group. What fails `MOST_ATTEMPTS` times goes to the stream `…-dead`."""

    GROUP = "workers"

    def __init__(self, url: str) -> None:
        import redis

        rest, _, self._stream = url.rpartition("/")
        self._redis: Any = redis.Redis.from_url(rest, decode_responses=True, protocol=2)
        self._name = f"{os.uname().nodename}-{os.getpid()}"
        self._claim_after_ms = int(float(os.environ.get("CLAIM_AFTER_S", "60")) * 1000)
        try:
            self._redis.xgroup_create(self._stream, self.GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # another worker has made it
                raise

    def messages(self) -> Iterator[Any]:
        """See `Queue`."""
        while True:
            found = self._left() or self._new()
            yield self._one(*found) if found else None

    def _left(self) -> tuple[str, dict[str, str]] | None:
        """Take over a message that a worker did not finish."""
        _, entries, *_ = self._redis.xautoclaim(self._stream, self.GROUP, self._name, self._claim_after_ms, count=1)
        for entry, fields in entries:
            (state,) = self._redis.xpending_range(self._stream, self.GROUP, entry, entry, 1)
            if state["times_delivered"] <= MOST_ATTEMPTS:
                return entry, fields
            self._redis.xadd(f"{self._stream}-dead", fields, maxlen=10_000)
            self._remove(entry)
            print(f"set aside after {MOST_ATTEMPTS} attempts: {entry}", file=sys.stderr, flush=True)
        return None

    def _new(self) -> tuple[str, dict[str, str]] | None:
        found = self._redis.xreadgroup(self.GROUP, self._name, {self._stream: ">"}, count=1, block=1000)
        for _, entries in found or ():
            for entry, fields in entries:
                return entry, fields
        return None

    @contextmanager
    def _one(self, entry: str, fields: dict[str, str]) -> Iterator[str]:
        yield fields["message"]
        self._remove(entry)

    def _remove(self, entry: str) -> None:
        self._redis.xack(self._stream, self.GROUP, entry)
        self._redis.xdel(self._stream, entry)


def queue_of(url: str) -> Queue:
    """Return the queue of QUEUE_URL."""
    return RedisStream(url) if urlsplit(url).scheme in ("redis", "rediss") else SqsQueue(url)


def main() -> None:
    """Handle messages, one after another, until SIGTERM; the task that has begun is finished first."""
    ending = threading.Event()
    # The first process of a container ignores the signal unless it says what to do.
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    for taken in queue_of(os.environ["QUEUE_URL"]).messages():
        try:
            if taken is not None:
                with taken as text:
                    handle(text)
        except Exception as error:  # noqa: BLE001  one message must not stop the others: it comes again
            # Without the text of the exception, which may hold a presigned URL.
            print(f"a message failed, and comes again: {type(error).__name__}", file=sys.stderr, flush=True)
        if ending.is_set():
            return


if __name__ == "__main__":
    main()
