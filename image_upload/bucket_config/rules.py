"""The bucket's configuration and the service role's permissions, derived from the purposes.

These pure functions return what S3's API takes, in boto3's names. The stack's template, `bucket-rules` and `doctor`
use them and have no rules of their own. docs/bucket.md gives the reason for each rule.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from image_upload.domain.keys import (
    DEFAULT_FOLDER,
    INCOMING,
    JOBS,
    OTHER_FOLDER,
    OWN_FOLDERS,
    QUARANTINE,
    REJECTED,
    RESUMABLE,
    VARIANTS,
)
from image_upload.domain.purposes import Purpose
from image_upload.limits import (
    CORS_MAX_AGE_S,
    EXPIRED_VERSIONS_KEPT_DAYS,
    JOBS_KEPT_DAYS,
    OLD_VERSIONS_KEPT_DAYS,
    QUARANTINE_KEPT_DAYS,
    RESUMABLE_KEPT_DAYS,
    S3_IA_MIN_DAYS,
    TICKET_EXPIRES_S,
)

Rule = dict[str, Any]

# The prefix of the ids of the service's rules. All other rules are kept.
OURS: Final = "image-upload-"

_DAY_S: Final = 86_400

# The headers of S3's answer that a browser's script may read. S3 takes no wildcard here, so each checksum is named.
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
    """Return CORSRules for front ends at these origins; none without an origin.

    All request headers are allowed, because the URL's signature decides which ones S3 accepts.
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
    """Return the rules of the bucket's LifecycleConfiguration.

    - Objects of a purpose with a life time expire after it, jobs after `JOBS_KEPT_DAYS`, and what is left of resumable
      uploads after `RESUMABLE_KEPT_DAYS`, when their tickets have ended.
    - What was not verified within a day, and verdicts on what was removed, expire; malware is kept for an operator
      for `QUARANTINE_KEPT_DAYS`. Variants expire with the files of their purpose.
    - An unfinished multipart upload is aborted when its ticket expires.
    - Old versions expire, if the bucket keeps versions.
    - With `ia_after_days` and `glacier_after_days`, objects of purposes that cool move to STANDARD_IA, then to
      GLACIER_IR. A presigned GET can read both at once; on GLACIER it would fail.

    Raises `ValueError` for days that S3 refuses.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html
    """
    purposes = list(purposes)
    transitions = _transitions(ia_after_days, glacier_after_days)
    ending = [(f"expire-{purpose.name}", purpose.prefix, purpose.kept_days) for purpose in purposes]
    own = (("jobs", JOBS, JOBS_KEPT_DAYS), ("resumable", RESUMABLE, RESUMABLE_KEPT_DAYS))
    expiring = [
        _rule(
            name,
            prefix,
            Expiration={"Days": days},
            NoncurrentVersionExpiration={"NoncurrentDays": EXPIRED_VERSIONS_KEPT_DAYS},
        )
        for name, prefix, days in (*ending, *own)
        if days is not None
    ]
    cooling = [
        _rule(f"cool-{purpose.name}", purpose.prefix, Transitions=transitions)
        for purpose in purposes
        if purpose.cools and transitions
    ]
    variants = [
        _rule(
            f"expire-{purpose.name}-variants",
            f"{VARIANTS}{purpose.prefix}",
            Expiration={"Days": purpose.kept_days},
            NoncurrentVersionExpiration={"NoncurrentDays": EXPIRED_VERSIONS_KEPT_DAYS},
        )
        for purpose in purposes
        if purpose.kept_days is not None and purpose.checked and purpose.holds_pictures
    ]
    kept_out = [
        _rule(
            f"expire-{folder.strip('/')}",
            folder,
            Expiration={"Days": days},
            NoncurrentVersionExpiration={"NoncurrentDays": EXPIRED_VERSIONS_KEPT_DAYS},
        )
        for folder, days in ((INCOMING, 1), (REJECTED, 1), (QUARANTINE, QUARANTINE_KEPT_DAYS))
    ]
    return [
        *expiring,
        *variants,
        *kept_out,
        *cooling,
        _rule(
            "abort-unfinished",
            "",
            # S3 counts whole days and rounds up to midnight UTC, so an upload lasts at least as long as its ticket.
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
    """Return the transitions. Raises `ValueError` for days below `S3_IA_MIN_DAYS`."""
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
    """Return a PublicAccessBlockConfiguration: nothing in the bucket can be made public by accident.

    If not `on_aws`, leave BlockPublicAcls out: with it Ceph refuses every PUT. IgnorePublicAcls makes public ACLs
    ineffective anyway.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html
    https://github.com/ceph/ceph/pull/30033
    """
    blocks = ("IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    return dict.fromkeys(("BlockPublicAcls", *blocks) if on_aws else blocks, True)


def ownership() -> Rule:
    """Return OwnershipControls: the bucket's owner owns every object, and ACLs are off."""
    return {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def events() -> Rule:
    """Return a NotificationConfiguration that sends every event to EventBridge. Rules there select the targets.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-event-notifications-eventbridge.html
    """
    return {"EventBridgeConfiguration": {}}


def encryption(kms_key_id: str | None = None) -> Rule:
    """Return a ServerSideEncryptionConfiguration: S3's own keys, or a KMS key with a bucket key to save KMS calls.

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
    """Return the least permissions of the service's role, as statements of an IAM policy.

    They allow objects in the purposes' folders, in those of jobs and of forms without purpose and folder, and in
    `folders` (without slashes at their ends), which `POST /api/v1/s3/upload` may store into. Listing the bucket has no
    condition: the HeadBucket of the health check has no prefix to compare, and without this permission S3 answers 403
    for a missing object.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
    """
    arn = f"arn:{partition}:s3:::{bucket}"
    named = (DEFAULT_FOLDER, OTHER_FOLDER, *folders)
    prefixes = [*(purpose.prefix for purpose in purposes), *(f"{folder}/" for folder in named), *OWN_FOLDERS]
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
        # Uploads need Decrypt too: S3 reads the parts to join them.
        # https://repost.aws/knowledge-center/s3-large-file-encryption-kms-key
        key_actions = ["kms:GenerateDataKey", "kms:Decrypt"]
        allowed.append({"Sid": "ImageUploadKey", "Effect": "Allow", "Action": key_actions, "Resource": [kms_key_arn]})
    return allowed


def bucket_policy(
    partition: str, bucket: str, purposes: Iterable[Purpose], distribution_arn: str | None = None
) -> list[Rule]:
    """Return the statements of the bucket policy: deny requests without TLS, and allow CloudFront where a CDN serves.

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
                "Resource": [
                    f"{arn}/{folder}{purpose.prefix}*"
                    for purpose in purposes
                    for folder in (("", VARIANTS) if purpose.checked and purpose.holds_pictures else ("",))
                    if purpose.cdn
                ],
                "Condition": {"StringEquals": {"AWS:SourceArn": distribution_arn}},
            }
        )
    return wanted
