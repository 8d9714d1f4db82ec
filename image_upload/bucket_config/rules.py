"""What the bucket must be set to and what the service's role must be allowed, derived from the purposes.

Pure functions that return what S3's API takes, in boto3's names. The stack's template, the command that sets an
existing bucket, and the one that looks whether all is well use these and hold no rules of their own.
docs/bucket.md says why each is there.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from image_upload.domain.purposes import Purpose
from image_upload.limits import (
    CORS_MAX_AGE_S,
    EXPIRED_VERSIONS_KEPT_DAYS,
    OLD_VERSIONS_KEPT_DAYS,
    S3_IA_MIN_DAYS,
    TICKET_EXPIRES_S,
)

Rule = dict[str, Any]

# In front of the id of every rule that is ours. Rules of others are left alone.
OURS: Final = "image-upload-"

_DAY_S: Final = 86_400

# What a browser's script may read of S3's answer. S3 takes no wildcard here, so each checksum has its name.
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_CORSRule.html
EXPOSED_HEADERS: Final = (
    "ETag",
    "Location",
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
    "x-amz-request-id",
    "x-amz-version-id",
)


def cors_rules(origins: Sequence[str]) -> list[Rule]:
    """CORSRules for the front ends at these origins; no origin, no rule.

    What a browser sends is pinned by the signature in its URL, so every header may be sent.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/ManageCorsUsing.html
    """
    if not origins:
        return []
    return [
        {
            "ID": f"{OURS}browsers",
            "AllowedOrigins": list(origins),
            "AllowedMethods": ["PUT", "POST", "GET", "HEAD", "DELETE"],
            "AllowedHeaders": ["*"],
            "ExposeHeaders": list(EXPOSED_HEADERS),
            "MaxAgeSeconds": CORS_MAX_AGE_S,
        }
    ]


def lifecycle_rules(
    purposes: Iterable[Purpose], *, ia_after_days: int | None = None, glacier_after_days: int | None = None
) -> list[Rule]:
    """Rules of the bucket's LifecycleConfiguration.

    What has a life time ends with it. An upload that was begun and not finished ends when its ticket does. Versions
    count only where the bucket keeps them. With `ia_after_days`, `glacier_after_days` what `cools` moves to
    STANDARD_IA, then to GLACIER_IR: a presigned GET reads both at once, and would fail on GLACIER.
    Raises `ValueError` for days that S3 refuses.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html
    """
    purposes = list(purposes)
    transitions = _transitions(ia_after_days, glacier_after_days)
    expiring = [
        _rule(
            f"expire-{purpose.name}",
            purpose.prefix,
            Expiration={"Days": purpose.kept_days},
            NoncurrentVersionExpiration={"NoncurrentDays": EXPIRED_VERSIONS_KEPT_DAYS},
        )
        for purpose in purposes
        if purpose.kept_days is not None
    ]
    cooling = [
        _rule(f"cool-{purpose.name}", purpose.prefix, Transitions=transitions)
        for purpose in purposes
        if purpose.cools and transitions
    ]
    return [
        *expiring,
        *cooling,
        _rule(
            "abort-unfinished",
            "",
            # S3 counts whole days and rounds up to midnight UTC, so no ticket outlives its upload.
            AbortIncompleteMultipartUpload={"DaysAfterInitiation": -(-TICKET_EXPIRES_S // _DAY_S)},
        ),
        _rule(
            "old-versions",
            "",
            Expiration={"ExpiredObjectDeleteMarker": True},
            NoncurrentVersionExpiration={"NoncurrentDays": OLD_VERSIONS_KEPT_DAYS},
        ),
    ]


def _rule(name: str, prefix: str, **actions: Any) -> Rule:
    return {"ID": f"{OURS}{name}", "Status": "Enabled", "Filter": {"Prefix": prefix}, **actions}


def _transitions(ia_after_days: int | None, glacier_after_days: int | None) -> list[Rule]:
    """Raises `ValueError`; see `S3_IA_MIN_DAYS`."""
    if ia_after_days is not None and ia_after_days < S3_IA_MIN_DAYS:
        raise ValueError(f"S3 moves nothing to Standard-IA before {S3_IA_MIN_DAYS} days, not after {ia_after_days}")
    earliest = 0 if ia_after_days is None else ia_after_days + S3_IA_MIN_DAYS
    if glacier_after_days is not None and glacier_after_days < earliest:
        raise ValueError(
            f"S3 keeps what is in Standard-IA there for {S3_IA_MIN_DAYS} days, so Glacier begins after "
            f"{earliest} days or later, not after {glacier_after_days}"
        )
    days = (("STANDARD_IA", ia_after_days), ("GLACIER_IR", glacier_after_days))
    return [{"Days": after, "StorageClass": name} for name, after in days if after is not None]


def public_access_block(*, on_aws: bool = True) -> dict[str, bool]:
    """PublicAccessBlockConfiguration: nothing in the bucket can be made public, by anybody, by accident.

    Not `on_aws` without BlockPublicAcls, with which Ceph refuses every PUT. Public ACLs are ignored all the same.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html
    https://github.com/ceph/ceph/pull/30033
    """
    blocks = ("IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    return dict.fromkeys(("BlockPublicAcls", *blocks) if on_aws else blocks, True)


def ownership() -> Rule:
    """OwnershipControls: the bucket's owner owns every object, and there are no ACLs."""
    return {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def events() -> Rule:
    """NotificationConfiguration: EventBridge is told of every object. Which rule hears of it is set there.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-event-notifications-eventbridge.html
    """
    return {"EventBridgeConfiguration": {}}


def encryption(kms_key_id: str | None = None) -> Rule:
    """ServerSideEncryptionConfiguration: S3's own keys, or one of KMS with a bucket key, which spares calls of KMS.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-key.html
    """
    if kms_key_id is None:
        return {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": kms_key_id}
    return {"Rules": [{"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}]}


def statements(
    partition: str,
    bucket: str,
    purposes: Iterable[Purpose],
    *,
    folders: Sequence[str] = (),
    kms_key_arn: str | None = None,
) -> list[Rule]:
    """Return the least rights of the service's role, as statements of an IAM policy.

    Objects only in the purposes' folders, and in those that `POST /api/v1/s3/upload` is to store into beside them
    (`folders`, without slashes at their ends). The bucket itself may be listed without a condition: HeadBucket, which
    health asks, names no prefix that a condition could compare, and without this right S3 answers 403 for an object
    that is not there.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
    """
    arn = f"arn:{partition}:s3:::{bucket}"
    prefixes = [*(purpose.prefix for purpose in purposes), *(f"{folder}/" for folder in folders)]
    allowed = [
        {
            "Sid": "ImageUploadObjects",
            "Effect": "Allow",
            "Action": [
                "s3:PutObject",
                "s3:GetObject",
                "s3:DeleteObject",
                "s3:AbortMultipartUpload",
                "s3:ListMultipartUploadParts",
            ],
            "Resource": [f"{arn}/{prefix}*" for prefix in dict.fromkeys(prefixes)],
        },
        {
            "Sid": "ImageUploadBucket",
            "Effect": "Allow",
            "Action": ["s3:ListBucket", "s3:ListBucketMultipartUploads"],
            "Resource": [arn],
        },
    ]
    if kms_key_arn is not None:
        # Decrypt also for uploads: S3 reads the parts to join them.
        # https://repost.aws/knowledge-center/s3-large-file-encryption-kms-key
        key_actions = ["kms:GenerateDataKey", "kms:Decrypt"]
        allowed.append({"Sid": "ImageUploadKey", "Effect": "Allow", "Action": key_actions, "Resource": [kms_key_arn]})
    return allowed


def bucket_policy(
    partition: str, bucket: str, purposes: Iterable[Purpose], distribution_arn: str | None = None
) -> list[Rule]:
    """Statements of the bucket's own policy: nobody without TLS, and CloudFront where a CDN may serve.

    https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-restricting-access-to-s3.html
    """
    arn = f"arn:{partition}:s3:::{bucket}"
    wanted: list[Rule] = [
        {
            "Sid": f"{OURS}tls-only",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]
    if distribution_arn is not None:
        wanted.append(
            {
                "Sid": f"{OURS}cdn",
                "Effect": "Allow",
                "Principal": {"Service": "cloudfront.amazonaws.com"},
                "Action": "s3:GetObject",
                "Resource": [f"{arn}/{purpose.prefix}*" for purpose in purposes if purpose.cdn],
                "Condition": {"StringEquals": {"AWS:SourceArn": distribution_arn}},
            }
        )
    return wanted
