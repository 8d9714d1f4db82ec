"""Check the bucket's configuration, as far as the credentials can read it. A refused read is not a missing rule."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any, Final

from image_upload.bucket_config import diff, subresources
from image_upload.bucket_config import rules as wanted
from image_upload.bucket_config.diff import Diff
from image_upload.bucket_config.subresources import Configuration, Refused, Subresource, Unreachable
from image_upload.cli.doctor.report import Finding, State
from image_upload.completion import leftovers
from image_upload.errors import CredentialsUnavailable
from image_upload.s3.bucket import Bucket
from image_upload.s3.errors import S3Failure
from image_upload.settings import Settings, origins

# The rule counts whole days, and S3 may take another day to abort.
_OVERDUE_DAYS: Final = 3
_SWEEP: Final = "let a timer run: python -m image_upload sweep --multiparts --apply"
_REMEDY: Final = "python -m image_upload bucket-rules --apply"


def checks(settings: Settings, origin: str | None) -> Iterator[Finding]:
    """Compare CORS rules, public access, lifecycle, encryption and events with `image_upload.bucket_config.rules`."""
    # Only a bucket in production must have lifecycle rules.
    grave: State = "FAIL" if settings.service.production else "warn"
    every = settings.storage.purposes.every()
    blocks = wanted.public_access_block(on_aws=settings.storage.s3_endpoint_url is None)
    lifecycle, encryption = wanted.lifecycle_rules(every), wanted.encryption()
    try:
        with closing(Configuration(settings.storage, settings.storage.s3_bucket_name)) as bucket:
            if origin is not None:
                remedy = f"{_REMEDY} --origins {origin}"
                yield _look(bucket, subresources.CORS, lambda found: _cors(found, origin), "warn", remedy)
            yield _look(
                bucket,
                subresources.PUBLIC_ACCESS,
                lambda found: diff.single_value(found, blocks, f"{len(blocks)} blocks"),
                "warn",
            )
            yield _public(bucket)
            yield _look(
                bucket,
                subresources.LIFECYCLE,
                lambda found: diff.lifecycle(found, lifecycle, every),
                grave,
            )
            yield _unfinished(bucket, settings)
            yield _look(
                bucket,
                subresources.ENCRYPTION,
                lambda found: diff.encryption(found, encryption),
                grave,
            )
            if settings.database.database_url is not None or settings.verification.verifier == "function":
                yield _told(bucket, settings)
    except Unreachable as error:
        yield Finding("bucket rules", "FAIL", "S3's configuration cannot be asked", str(error))


def _cors(found: Any, origin: str) -> Diff:
    """Compare the CORS rules. The service's rule may name any origins that include the front end."""
    ours = [rule for rule in (found or {}).get("CORSRules", []) if str(rule.get("ID", "")).startswith(wanted.OURS)]
    named = [each for rule in ours for each in rule["AllowedOrigins"]]
    fits = origins.ANY in named or origins.matches(origin, named)
    return diff.cors(found, wanted.cors_rules(named if fits else [origin]))


def _look(
    bucket: Configuration, subresource: Subresource, compare: Callable[[Any], Diff], grave: State, remedy: str = _REMEDY
) -> Finding:
    try:
        lines = compare(bucket.get(subresource)).lines
    except Refused as refusal:
        return _refused(subresource, _title(subresource), refusal)
    # `unwanted` is no finding: rules for cheaper storage are the operator's choice.
    wrong = [line for line in lines if line.state in ("missing", "differs")]
    if wrong:
        return Finding(_title(subresource), grave, ", ".join(f"{line.state}: {line.what}" for line in wrong), remedy)
    return Finding(_title(subresource), "ok", ", ".join(line.what for line in lines if line.state == "ok"))


def _unfinished(bucket: Configuration, settings: Settings) -> Finding:
    """Check that a working lifecycle rule aborts the uploads that an interrupted client or process leaves open.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpu-abort-incomplete-mpu-lifecycle-config.html
    """
    title = "open uploads"
    try:
        rules = (bucket.get(subresources.LIFECYCLE) or {}).get("Rules", [])
    except Refused as refusal:
        if not refusal.unknown:
            return _refused(subresources.LIFECYCLE, title, refusal)
        rules = []
    if not any(_aborts_all(rule) for rule in rules):
        return Finding(title, "warn", "no rule of the bucket aborts those that are left", f"{_REMEDY}, or {_SWEEP}")
    try:
        count = asyncio.run(_overdue(settings))
    except (S3Failure, CredentialsUnavailable):
        return Finding(
            title, "warn", "a rule aborts those that are left", "could not look: grant s3:ListBucketMultipartUploads"
        )
    if count:
        seen = f"{count} are older than {_OVERDUE_DAYS} days, although a rule aborts them: this store ignores it"
        return Finding(title, "warn", seen, _SWEEP)
    return Finding(title, "ok", "a rule aborts those that are left, and none is overdue")


def _told(bucket: Configuration, settings: Settings) -> Finding:
    """Check that the bucket sends events for new objects.

    Without them records wait for a client or the sweep, and with `VERIFIER=function` files wait for the sweep.
    """
    subresource = subresources.NOTIFICATIONS
    try:
        found = bucket.get(subresource)
    except Refused as refusal:
        return _refused(subresource, subresource.title, refusal)
    if wanted.events().keys() <= found.keys():
        return Finding(subresource.title, "ok", "EventBridge is told of new objects")
    rules = [rule for name in _OTHERS_TOLD for rule in found.get(name, [])]
    if any(event.startswith("s3:ObjectCreated:") for rule in rules for event in rule["Events"]):
        return Finding(subresource.title, "ok", "a notification of the bucket's own tells of new objects")
    if settings.storage.s3_endpoint_url is not None:
        return Finding(subresource.title, "skip", "no word of new objects: records wait for their client or the sweep")
    return Finding(subresource.title, "warn", "EventBridge is not told of new objects", f"{_REMEDY} --events")


# https://docs.aws.amazon.com/AmazonS3/latest/API/API_NotificationConfiguration.html
_OTHERS_TOLD: Final = ("LambdaFunctionConfigurations", "QueueConfigurations", "TopicConfigurations")


def _aborts_all(rule: Mapping[str, Any]) -> bool:
    """Return whether a rule aborts uploads of every key: its filter is empty, or an empty prefix in either form."""
    covers_all = rule.get("Filter", {"Prefix": rule.get("Prefix", "")}) in ({}, {"Prefix": ""})
    return rule.get("Status") == "Enabled" and "AbortIncompleteMultipartUpload" in rule and covers_all


async def _overdue(settings: Settings) -> int:
    bucket = Bucket(settings.storage)
    try:
        return len([each async for each in leftovers.open_uploads(bucket, leftovers.before(_OVERDUE_DAYS * 86_400))])
    finally:
        await bucket.aclose()


def _public(bucket: Configuration) -> Finding:
    """Check S3's own answer on whether the bucket's policy is public."""
    subresource = subresources.POLICY_STATUS
    try:
        status = bucket.get(subresource)
    except Refused as refusal:
        return _refused(subresource, _title(subresource), refusal)
    if status and status.get("IsPublic"):
        remedy = "take the statement with Principal * out of the bucket's policy"
        return Finding(subresource.title, "FAIL", "S3 says that the policy makes the bucket public", remedy)
    return Finding(subresource.title, "ok", "the policy is not public" if status else "there is no policy")


def _title(subresource: Subresource) -> str:
    """Return the title. `CORS rules` differs from `CORS`, the check of a browser's preflight."""
    return "CORS rules" if subresource is subresources.CORS else subresource.title


def _refused(subresource: Subresource, title: str, refusal: Refused) -> Finding:
    if refusal.unknown:
        return Finding(title, "skip", str(refusal))
    if refusal.denied:
        remedy = f"could not look: grant {subresource.read_action} to the caller of doctor"
        return Finding(title, "warn", "S3 answered 403", remedy)
    return Finding(title, "warn", str(refusal), "try again")
