"""Read what Amazon GuardDuty says of an arrival: a tag that it puts on each object under `incoming/`.

https://docs.aws.amazon.com/guardduty/latest/ug/monitor-enable-s3-object-tagging-malware-protection.html

The tag is the truth. GuardDuty's event says only when to look. No client can write the tag: S3 refuses a presigned PUT
with `x-amz-tagging`, which is not among the signed headers, and a form with a field `tagging`, which its policy does
not name; and the role that signs has no s3:PutObjectTagging.
"""

from typing import ClassVar, Final

from image_upload.s3 import objects
from image_upload.s3.bucket import Bucket
from image_upload.s3.errors import S3Failure
from image_upload.s3.objects import StoredObject
from image_upload.verification.verdict import CLEAN, Verdict

TAG: Final = "GuardDutyMalwareScanStatus"
# What is none of these was not scanned: UNSUPPORTED (with a password, nested too deeply), ACCESS_DENIED, FAILED.
_FOUND: Final = {"NO_THREATS_FOUND": "clean", "THREATS_FOUND": "infected"}


class GuardDuty:
    """GuardDuty's malware protection of one bucket."""

    answers_at_once: ClassVar[bool] = False

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def scan(self, arrival: StoredObject, within_s: float) -> Verdict:
        """Return the verdict of the tag; without one `waiting`."""
        status = (await objects.tags(self._bucket, arrival.key)).get(TAG)
        if status is None:
            return Verdict("waiting")
        # Tags are of the object that is there when they are read. It has to be the one that was described.
        now = await objects.head(self._bucket, arrival.key)
        if now is None or (now.etag, now.last_modified) != (arrival.etag, arrival.last_modified):
            raise S3Failure("GetObjectTagging", 412)
        match _FOUND.get(status):
            case "clean":
                return CLEAN
            case "infected":
                return Verdict("infected", "GuardDuty")
            case _:
                return Verdict("unscannable", status[:40])
