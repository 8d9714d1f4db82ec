"""Scan arrivals for malware: the interface of a scanner, and which one the settings name."""

from typing import TYPE_CHECKING, ClassVar, Protocol

from image_upload.verification.verdict import Verdict

if TYPE_CHECKING:
    from image_upload.s3.bucket import Bucket
    from image_upload.s3.objects import StoredObject
    from image_upload.settings.verification import VerificationSettings


class Scanner(Protocol):
    """A scanner. `answers_at_once`: it scans when it is asked, so what waits has to be asked for again."""

    answers_at_once: ClassVar[bool]

    async def scan(self, arrival: "StoredObject", within_s: float) -> Verdict:
        """Return the verdict about exactly these bytes; `waiting` after `within_s` seconds.

        Raises `S3Failure`: 412 or 404 if the arrival was replaced.
        """


def scanner_of(bucket: "Bucket", settings: "VerificationSettings") -> Scanner | None:
    """Return the scanner that the settings name; None for none."""
    match settings.malware_scanner:
        case "clamd":
            from image_upload.verification.clamd import Clamd  # what scans is needed where something arrives

            assert settings.clamd_url is not None  # the settings were checked
            return Clamd(bucket, settings.clamd_url)
        case "guardduty":
            from image_upload.verification.guardduty import GuardDuty  # the same

            return GuardDuty(bucket)
        case "off":
            return None
