"""What the function that verifies files may do in the bucket."""

from collections.abc import Iterable
from typing import Any

from image_upload.domain.keys import DEFAULT_FOLDER, OTHER_FOLDER, UNREADABLE, VARIANTS
from image_upload.domain.purposes import Purpose

# Copies of more than 5 GiB go in parts.
_WRITES = ["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"]


def statements(
    partition: str, bucket: str, purposes: Iterable[Purpose], *, kms_key_arn: str | None = None
) -> list[dict[str, Any]]:
    """Return its least permissions, as statements of an IAM policy.

    It takes arrivals away, and writes verdicts and variants. Under the keys of checked purposes it publishes and looks
    whether something is there, which takes the right to read; it deletes nothing there, and reaches no other purpose.
    Without the right to list, S3 answers 403 for a missing object.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
    """
    arn = f"arn:{partition}:s3:::{bucket}"
    published = [f"{arn}/{prefix}*" for prefix in dict.fromkeys(each.prefix for each in purposes if each.checked)]
    allowed: list[dict[str, Any]] = [
        {
            "Sid": "Arrivals",
            "Effect": "Allow",
            "Action": [*_WRITES, "s3:DeleteObject"],
            "Resource": [f"{arn}/{folder}*" for folder in (*UNREADABLE, VARIANTS)],
        },
        {"Sid": "Bucket", "Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [arn]},
    ]
    if published:  # a statement has to name something
        allowed.append({"Sid": "Published", "Effect": "Allow", "Action": _WRITES, "Resource": published})
    if kms_key_arn is not None:
        key_actions = ["kms:GenerateDataKey", "kms:Decrypt"]
        allowed.append({"Sid": "Key", "Effect": "Allow", "Action": key_actions, "Resource": [kms_key_arn]})
    return allowed


def scanned(partition: str, bucket: str, purposes: Iterable[Purpose]) -> dict[str, Any]:
    """Return the statement that it needs besides where every file is scanned: the others are published, too."""
    folders = [each.prefix for each in purposes if not each.checked]
    folders += [f"{folder}/" for folder in (DEFAULT_FOLDER, OTHER_FOLDER)]
    resources = [f"arn:{partition}:s3:::{bucket}/{prefix}*" for prefix in dict.fromkeys(folders)]
    return {"Sid": "Scanned", "Effect": "Allow", "Action": _WRITES, "Resource": resources}
