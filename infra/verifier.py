"""What the function that verifies files may do in the bucket."""

from collections.abc import Iterable
from typing import Any

from image_upload.domain.keys import JOBS, OWN_FOLDERS
from image_upload.domain.purposes import Purpose


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
    # Copies of more than 5 GiB go in parts.
    writes = ["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"]
    allowed: list[dict[str, Any]] = [
        {
            "Sid": "Arrivals",
            "Effect": "Allow",
            "Action": [*writes, "s3:DeleteObject"],
            "Resource": [f"{arn}/{folder}*" for folder in OWN_FOLDERS if folder != JOBS],
        },
        {"Sid": "Bucket", "Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [arn]},
    ]
    if published:  # a statement has to name something
        allowed.append({"Sid": "Published", "Effect": "Allow", "Action": writes, "Resource": published})
    if kms_key_arn is not None:
        key_actions = ["kms:GenerateDataKey", "kms:Decrypt"]
        allowed.append({"Sid": "Key", "Effect": "Allow", "Action": key_actions, "Resource": [kms_key_arn]})
    return allowed
