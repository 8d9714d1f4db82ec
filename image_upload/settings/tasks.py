"""The settings of what is handed to workers: the queue of their tasks."""

import re
from typing import Literal, NamedTuple

from pydantic import SecretStr

from image_upload.settings.aws import AwsSettings
from image_upload.settings.section import Known, setting
from image_upload.settings.values import checked_url

# https://docs.aws.amazon.com/general/latest/gr/sqs-service.html; a FIFO queue, whose name ends in .fifo, needs groups.
_SQS_HOST = r"sqs(?:-fips)?\.(?P<region>[a-z0-9-]{1,32})\.amazonaws\.com(?:\.cn)?"
_SQS_PATH = r"(?a)/\d{12}/[A-Za-z0-9_-]{1,80}"
_STREAM_PATH = r"(?a)(?:/(?P<database>\d{1,4}))?/(?P<stream>[A-Za-z0-9_.-]{1,200})"


class QueueAddress(NamedTuple):
    """Where messages go: a queue of SQS by its URL, or a stream of the Redis at `url`.

    `region`: that of AWS's own SQS; None for another host, which an operator names outside production.
    """

    kind: Literal["sqs", "redis"]
    url: str
    stream: str = ""
    region: str | None = None


def _address(text: str, *, production: bool) -> QueueAddress:
    parts = checked_url(text, ("https", "http", "rediss", "redis"))
    if parts.query or parts.fragment:
        raise ValueError("a query or a fragment does not belong into it")
    if parts.scheme in ("http", "redis") and production:
        raise ValueError("without TLS it is possible only outside production")
    if parts.scheme in ("rediss", "redis"):
        match = re.fullmatch(_STREAM_PATH, parts.path)
        if match is None:
            raise ValueError("its path is not /stream or /database/stream")
        path = f"/{match['database'] or 0}"
        return QueueAddress("redis", parts._replace(path=path).geturl(), match["stream"])
    if parts.username is not None or not re.fullmatch(_SQS_PATH, parts.path):
        raise ValueError("not the URL of a standard queue of SQS")
    host = re.fullmatch(_SQS_HOST, parts.netloc)
    if production and host is None:
        raise ValueError("another host than AWS's is possible only outside production")
    return QueueAddress("sqs", text, region=host["region"] if host else None)


def _queue_url(value: SecretStr | None, known: Known) -> SecretStr | None:
    if value is not None:
        _address(value.get_secret_value(), production=known.production)
    return value


def _service_url(value: str | None, known: Known) -> str | None:
    if value is None:
        return None
    parts = checked_url(value, ("https", "http"))
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("a user name, a query or a fragment does not belong into it")
    if parts.scheme == "http" and known.production:
        raise ValueError("plain http is possible only outside production")
    return value.rstrip("/")


class TasksSettings(AwsSettings):
    """Where tasks for workers go. Calls of SQS are signed with the key pair."""

    # --- Workers ---------------------------------------------------------------------------------------

    queue_url: SecretStr | None = setting(
        "QUEUE_URL",
        default=None,
        description="https://sqs.REGION.amazonaws.com/ACCOUNT/QUEUE, or rediss://[user:password@]host[:port]"
        "[/database]/STREAM; redis:// and an emulated SQS only outside production",
        check=_queue_url,
    )
    """The queue that your workers read: docs/jobs.md. Without it `POST /images/{key}/scan` is 503, and the `task` of a
    purpose is not started. It needs `JWT_SECRET`. For SQS the role needs `sqs:SendMessage` on the queue."""

    scan_task: str = setting(
        "SCAN_TASK",
        default="vision_analysis_task",
        pattern=r"[a-z0-9_.-]{1,64}",
        description="the name of a task: 1 to 64 of a-z, 0-9, _, - and dot",
    )
    """What `POST /images/{key}/scan` starts for a purpose without a `task` of its own."""

    service_url: str | None = setting(
        "SERVICE_URL",
        default=None,
        description="https://host[/path] under which workers reach this service; http only outside production",
        check=_service_url,
    )
    """In front of the `result_url` of each message. Without it `result_url` is a path, and the worker must know the
    host."""

    @property
    def queue(self) -> QueueAddress | None:
        """The parsed `queue_url`."""
        return None if self.queue_url is None else _address(self.queue_url.get_secret_value(), production=False)
