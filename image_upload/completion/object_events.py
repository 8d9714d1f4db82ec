"""Read S3's event notifications, and EventBridge's events of S3 and of GuardDuty's scans.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
https://docs.aws.amazon.com/guardduty/latest/ug/monitor-with-eventbridge-s3-malware-protection.html

An event says which key to look at, and nothing else of it counts: what S3 has decides.
"""

from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from image_upload.domain import keys

_SCANNED = "GuardDuty Malware Protection Object Scan Result"


class NotFromS3(Exception):
    """The document is neither an S3 notification nor an EventBridge event of S3 or GuardDuty."""


class Created(NamedTuple):
    """A new object, with its decoded key. `is_scanned`: GuardDuty says that it has scanned it."""

    bucket: str
    key: str
    is_scanned: bool = False


def created(event: Any) -> list[Created]:
    """Return the new objects of an event, or the scanned arrival; none for other events. Raises `NotFromS3`.

    S3 sends a test event when a notification is set, and events of deletions if a rule selects them.
    """
    match event:
        case {
            "source": "aws.s3",
            "detail-type": str(kind),
            "detail": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}},
        }:
            # Unlike in a notification, the key is not encoded here.
            return [Created(bucket, key)] if kind == "Object Created" else []
        case {
            "source": "aws.guardduty",
            "detail-type": str(kind),
            "detail": {"s3ObjectDetails": {"bucketName": str(bucket), "objectKey": str(key)}},
        }:
            is_arrival = kind == _SCANNED and key.startswith(keys.INCOMING)
            return [Created(bucket, key, is_scanned=True)] if is_arrival else []
        case {"Service": "Amazon S3", "Event": "s3:TestEvent"}:
            return []
        case {"Records": [_, *_] as records}:
            return [each for record in records for each in _of_record(record)]
    raise NotFromS3


def _of_record(record: Any) -> list[Created]:
    match record:
        case {
            "eventSource": "aws:s3",
            "eventName": str(name),
            "s3": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}},
        }:
            return [Created(bucket, unquote_plus(key))] if name.startswith("ObjectCreated:") else []
    raise NotFromS3
