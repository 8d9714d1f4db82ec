"""Read and write the subresources of a bucket's configuration. For the operator's commands only.

They use boto3 and not the service's own signer: these calls are rare, and their XML is large.
"""

import json
from typing import Any, Final, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, UnknownRegionError

from image_upload.settings.storage import StorageSettings

CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 20.0


class Subresource(NamedTuple):
    """One part of a bucket's configuration: boto3's calls, and the member of their parameters that has its value.

    `read_action` and `write_action` are the permissions for the calls. `nothing` is S3's code if it is not set.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
    """

    title: str
    read: str
    read_action: str
    write: str
    write_action: str
    member: str
    nothing: str


CORS: Final = Subresource(
    "CORS",
    "get_bucket_cors",
    "s3:GetBucketCORS",
    "put_bucket_cors",
    "s3:PutBucketCORS",
    "CORSConfiguration",
    "NoSuchCORSConfiguration",
)
LIFECYCLE: Final = Subresource(
    "life times",
    "get_bucket_lifecycle_configuration",
    "s3:GetLifecycleConfiguration",
    "put_bucket_lifecycle_configuration",
    "s3:PutLifecycleConfiguration",
    "LifecycleConfiguration",
    "NoSuchLifecycleConfiguration",
)
POLICY: Final = Subresource(
    "policy",
    "get_bucket_policy",
    "s3:GetBucketPolicy",
    "put_bucket_policy",
    "s3:PutBucketPolicy",
    "Policy",
    "NoSuchBucketPolicy",
)
PUBLIC_ACCESS: Final = Subresource(
    "public access",
    "get_public_access_block",
    "s3:GetBucketPublicAccessBlock",
    "put_public_access_block",
    "s3:PutBucketPublicAccessBlock",
    "PublicAccessBlockConfiguration",
    "NoSuchPublicAccessBlockConfiguration",
)
POLICY_STATUS: Final = Subresource(
    "policy status",
    "get_bucket_policy_status",
    "s3:GetBucketPolicyStatus",
    "",
    "",
    "PolicyStatus",
    "NoSuchBucketPolicy",
)
OWNERSHIP: Final = Subresource(
    "ownership",
    "get_bucket_ownership_controls",
    "s3:GetBucketOwnershipControls",
    "put_bucket_ownership_controls",
    "s3:PutBucketOwnershipControls",
    "OwnershipControls",
    "OwnershipControlsNotFoundError",
)
ENCRYPTION: Final = Subresource(
    "encryption",
    "get_bucket_encryption",
    "s3:GetEncryptionConfiguration",
    "put_bucket_encryption",
    "s3:PutEncryptionConfiguration",
    "ServerSideEncryptionConfiguration",
    "ServerSideEncryptionConfigurationNotFoundError",
)
VERSIONING: Final = Subresource(
    "versioning",
    "get_bucket_versioning",
    "s3:GetBucketVersioning",
    "put_bucket_versioning",
    "s3:PutBucketVersioning",
    "VersioningConfiguration",
    "",
)
NOTIFICATIONS: Final = Subresource(
    "events",
    "get_bucket_notification_configuration",
    "s3:GetBucketNotification",
    "put_bucket_notification_configuration",
    "s3:PutBucketNotification",
    "NotificationConfiguration",
    "",
)

# A server that does not implement a call answers with an empty document, or with one of these.
_UNKNOWN_STATUSES: Final = frozenset({405, 501})
_NEVER_EMPTY: Final = (OWNERSHIP, ENCRYPTION)


class Refused(Exception):
    """S3 refused a call. The message says why, and what to grant. `unknown`: this server does not implement it."""

    def __init__(self, message: str, *, denied: bool = False, unknown: bool = False) -> None:
        super().__init__(message)
        self.denied = denied
        self.unknown = unknown


class Unreachable(Exception):
    """No call is possible: no connection, no credentials or no such bucket. The message says what to do."""


class Configuration:
    """The configuration of one bucket, read and written by boto3. Call `close` at the end. Raises `Unreachable`."""

    def __init__(self, settings: StorageSettings, bucket: str) -> None:
        secret, token = settings.aws_secret_access_key, settings.aws_session_token
        self.bucket = bucket
        try:
            self._session = boto3.Session(
                region_name=settings.aws_region,
                aws_access_key_id=settings.aws_access_key_id,
                aws_secret_access_key=secret.get_secret_value() if secret else None,
                aws_session_token=token.get_secret_value() if token else None,
            )
        except BotoCoreError as error:  # AWS_PROFILE names no profile
            raise Unreachable(f"There are no credentials ({error}). {_ADVICE}") from None
        self._region = settings.aws_region
        self._s3: Any = self._session.client(
            "s3",
            endpoint_url=settings.s3_endpoint_url,
            use_ssl=settings.use_ssl,
            verify=None if settings.verify_ssl else False,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path" if settings.s3_endpoint_url else "auto"},
                request_checksum_calculation="when_required",
                connect_timeout=CONNECT_TIMEOUT_S,
                read_timeout=READ_TIMEOUT_S,
                retries={"mode": "standard", "max_attempts": 3},
            ),
        )

    @property
    def partition(self) -> str:
        """`aws`, `aws-cn` or `aws-us-gov`, by the region; `aws` for regions that AWS does not have."""
        try:
            return str(self._session.get_partition_for_region(self._region))
        except UnknownRegionError:
            return "aws"

    def close(self) -> None:
        """Close its connections."""
        self._s3.close()

    def get(self, subresource: Subresource) -> Any:
        """Return the subresource's value in boto3's shape (a policy as its document); None if it is not set.

        Raises `Refused`, `Unreachable`.
        """
        try:
            answer: dict[str, Any] = self._call(subresource.read)
        except _Answered as error:
            if error.code == subresource.nothing:
                return None
            raise self._refused(error, subresource.read_action) from None
        answer.pop("ResponseMetadata", None)
        answer.pop("MFADelete", None)  # it can be set only together with a code of the device
        value = answer.get(subresource.member, answer)
        if subresource is POLICY:
            return json.loads(value)
        if subresource in _NEVER_EMPTY and not value.get("Rules"):
            raise Refused("this S3 server has no such setting", unknown=True)
        return value

    def put(self, subresource: Subresource, value: Any) -> None:
        """Set the subresource to a value. Raises `Refused`, `Unreachable`."""
        parameters: dict[str, Any] = {subresource.member: json.dumps(value) if subresource is POLICY else value}
        if subresource is LIFECYCLE:
            # In S3's answer it is a member of the document, in a request a parameter of its own.
            rules = dict(value)
            size = rules.pop("TransitionDefaultMinimumObjectSize", None)
            parameters = {subresource.member: rules} | ({"TransitionDefaultMinimumObjectSize": size} if size else {})
        if subresource is NOTIFICATIONS:
            # Otherwise S3 sends a test event to every queue and topic, and refuses the call if one is gone.
            parameters["SkipDestinationValidation"] = True
        try:
            self._call(subresource.write, **parameters)
        except _Answered as error:
            raise self._refused(error, subresource.write_action) from None

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._s3, operation)(Bucket=self.bucket, **parameters)
        except ClientError as error:
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            raise _Answered(status, str(error.response.get("Error", {}).get("Code", ""))) from None
        except BotoCoreError as error:
            raise Unreachable(f"S3 cannot be asked ({type(error).__name__}). {_ADVICE}") from None
        return answer

    def _refused(self, error: "_Answered", action: str) -> Refused:
        if error.code == "NoSuchBucket":
            raise Unreachable(f"There is no bucket {self.bucket}. Create it, or name another one.")
        if error.code in _BAD_CREDENTIALS:
            raise Unreachable(f"S3 does not accept the credentials ({error.code}). {_ADVICE}")
        if error.status in _UNKNOWN_STATUSES:
            return Refused("this S3 server has no such setting", unknown=True)
        if error.status == 403:
            return Refused(f"S3 answered {error.code}: grant {action} to the caller of this command", denied=True)
        return Refused(f"S3 answered {error.status} {error.code}")


_ADVICE: Final = "Check AWS_REGION, AWS_S3_ENDPOINT_URL, and the credentials with: aws sts get-caller-identity"
_BAD_CREDENTIALS: Final = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "TokenInvalid", "RequestTimeTooSkewed"}
)


class _Answered(Exception):
    """S3 answered with an error of this status and code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
