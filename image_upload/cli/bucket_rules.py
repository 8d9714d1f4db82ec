"""`bucket-rules`: compare a bucket's configuration with what the service needs, and set it with --apply."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

from image_upload.bucket_config import diff, rules, subresources
from image_upload.bucket_config.diff import TO_DO, Diff, Line
from image_upload.bucket_config.subresources import Configuration, Refused, Subresource, Unreachable
from image_upload.settings import Settings, SettingsError, load, origins, read_dotenv
from image_upload.settings.storage import StorageSettings

_DISTRIBUTION = re.compile(r"arn:aws[a-z-]*:cloudfront::\d{12}:distribution/[A-Z0-9]+")


class Step(NamedTuple):
    """A subresource, and the function that compares its value with the wanted one."""

    subresource: Subresource
    compare: Callable[[Any], Diff]


def run(arguments: Sequence[str]) -> int:
    """Run `bucket-rules`. Return 0 if the bucket fits or was set, 1 if it does not fit, 2 if it cannot be read."""
    options = _parsed(arguments)
    environ = read_dotenv(os.environ)
    if options.bucket:
        environ["S3_BUCKET_NAME"] = options.bucket
    try:
        settings = load(environ, serving=False)
        steps = _steps(settings, options)
    except (SettingsError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    try:
        with closing(Configuration(settings.storage, settings.storage.s3_bucket_name)) as bucket:
            return _go(bucket, settings.storage, steps(bucket.partition), apply=options.apply)
    except Unreachable as error:
        print(error, file=sys.stderr)
        return 2


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m image_upload bucket-rules",
        description="Show what a bucket is set to against what the service needs, a line a rule; with --apply set it. "
        "Rules that are not the service's own stay as they are.",
        epilog="Settings (AWS_REGION, S3_BUCKET_NAME, CORS_ALLOW_ORIGINS …) come from the environment or .env.",
    )
    parser.add_argument("--bucket", help="the bucket (S3_BUCKET_NAME)")
    parser.add_argument("--apply", action="store_true", help="set what is missing or differs")
    parser.add_argument(
        "--origins", type=_origins, help="front ends that may upload, separated by commas (CORS_ALLOW_ORIGINS)"
    )
    parser.add_argument("--ia-after-days", type=int, help="move what cools to Standard-IA after so many days")
    parser.add_argument(
        "--glacier-after-days", type=int, help="move what cools to Glacier Instant Retrieval after so many days"
    )
    parser.add_argument(
        "--forget-folders", action="store_true", help="remove life times of folders that have no purpose any more"
    )
    parser.add_argument("--kms-key-id", help="encrypt with this key of KMS (id, ARN or alias) instead of S3's own")
    parser.add_argument(
        "--distribution-arn", type=_distribution, help="the CloudFront distribution that may read pictures"
    )
    parser.add_argument("--versioning", action="store_true", help="keep old versions, for 30 days")
    parser.add_argument(
        "--events",
        action="store_true",
        help="tell EventBridge of new objects, for records, webhooks and verification on Lambda",
    )
    return parser.parse_args(arguments)


def _origins(text: str) -> list[str]:
    named = [origin for origin in (part.strip() for part in text.split(",")) if origin]
    try:
        if named:
            return [origins.check(each) for each in named]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    raise argparse.ArgumentTypeError(f"{text!r} is no list of origins such as https://app.example.com")


def _distribution(text: str) -> str:
    if not _DISTRIBUTION.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no ARN such as arn:aws:cloudfront::111122223333:distribution/E2ABCDEF"
        )
    return text


def _steps(settings: Settings, options: argparse.Namespace) -> Callable[[str], list[Step]]:
    """Return a function from the partition to the steps. Raises `ValueError` for days that S3 would refuse."""
    every, forget = settings.storage.purposes.every(), options.forget_folders
    lifecycle = rules.lifecycle_rules(
        every, ia_after_days=options.ia_after_days, glacier_after_days=options.glacier_after_days
    )
    cors = rules.cors_rules(options.origins or settings.web.cors_allow_origins)

    def steps(partition: str) -> list[Step]:
        policy = rules.bucket_policy(partition, settings.storage.s3_bucket_name, every, options.distribution_arn)
        blocks = rules.public_access_block(on_aws=settings.storage.s3_endpoint_url is None)
        enabled = {"Status": "Enabled"}
        chosen = [
            Step(subresources.OWNERSHIP, partial(_whole, rules.ownership(), "the bucket's owner owns every object")),
            Step(subresources.ENCRYPTION, partial(_encryption, rules.encryption(options.kms_key_id))),
            Step(subresources.CORS, lambda found: diff.cors(found, cors)),
            Step(subresources.LIFECYCLE, lambda found: diff.lifecycle(found, lifecycle, every, forget_folders=forget)),
            # Before the blocks: behind them S3 refuses a policy with a public statement, even one that was there.
            Step(subresources.POLICY, lambda found: diff.policy(found, policy, keep=[f"{rules.OURS}cdn"])),
            Step(subresources.PUBLIC_ACCESS, partial(_whole, blocks, f"{len(blocks)} blocks")),
            Step(subresources.VERSIONING, partial(_whole, enabled, "versions are kept")),
            Step(subresources.NOTIFICATIONS, lambda found: diff.events(found, rules.events())),
        ]
        left_out = set()
        if not cors:
            left_out.add(subresources.CORS)
        if not options.versioning:
            left_out.add(subresources.VERSIONING)
        if not options.events:
            left_out.add(subresources.NOTIFICATIONS)
        if (settings.storage.s3_endpoint_url or "").startswith("http://") or not settings.storage.use_ssl:
            left_out.add(subresources.POLICY)
        return [step for step in chosen if step.subresource not in left_out]

    return steps


def _whole(wanted: rules.Rule, what: str, found: Any) -> Diff:
    return diff.single_value(found, wanted, what)


def _encryption(wanted: rules.Rule, found: Any) -> Diff:
    return diff.encryption(found, wanted)


def _go(bucket: Configuration, storage: StorageSettings, steps: Sequence[Step], *, apply: bool) -> int:
    where = f", at {storage.s3_endpoint_url}" if storage.s3_endpoint_url else ""
    print(f"Bucket {bucket.bucket} in {storage.aws_region}{where}")
    to_do = failed = 0
    for step in steps:
        try:
            found = step.compare(bucket.get(step.subresource))
        except Refused as refusal:
            failed += not refusal.unknown
            _say("skip" if refusal.unknown else "FAILED", step.subresource, f"could not look: {refusal}")
            continue
        outcome = _set(bucket, step, found) if apply else ""
        for line in found.lines:
            _say_line(line, step.subresource, outcome)
        wrong = sum(line.state in TO_DO for line in found.lines)
        to_do += wrong if outcome != "set" else 0
    looked_at = {step.subresource for step in steps}
    for subresource, reason in _LEFT_OUT.items():
        if subresource not in looked_at:
            _say("skip", subresource, reason)
    return _end(to_do, failed, apply=apply)


_LEFT_OUT = {
    subresources.CORS: "no origins: name your front ends with --origins https://app.example.com",
    subresources.POLICY: "the endpoint is plain http, and a policy that asks for TLS would refuse every request",
}


def _set(bucket: Configuration, step: Step, found: Diff) -> str:
    """Set the subresource. Return `set`, or why it failed, or "" if there is nothing to do."""
    if found.put is None:
        return ""
    try:
        bucket.put(step.subresource, found.put)
        # Some servers accept this subresource and do not store it.
        if (
            step.subresource is subresources.NOTIFICATIONS
            and step.compare(bucket.get(step.subresource)).put is not None
        ):
            return "S3 took it and does not show it: a server without EventBridge, or look again in a minute"
    except Refused as refusal:
        return str(refusal)
    return "set"


def _say_line(line: Line, subresource: Subresource, outcome: str) -> None:
    if line.state not in TO_DO or not outcome:
        _say(line.state, subresource, line.what)
    elif outcome == "set":
        _say("removed" if line.state == "unwanted" else "set", subresource, line.what)
    else:
        _say("FAILED", subresource, f"{line.what}: {outcome}")


def _say(state: str, subresource: Subresource, what: str) -> None:
    print(f"  {state:8}  {subresource.title:13}  {what}")


def _end(to_do: int, failed: int, *, apply: bool) -> int:
    if not to_do and not failed:
        print("The bucket fits.")
        return 0
    if failed:
        print(f"{failed} parts could not be looked at.")
    if to_do:
        what = "1 rule is" if to_do == 1 else f"{to_do} rules are"
        remedy = "see above." if apply else "set them with --apply."
        print(f"{what} missing or different: {remedy}")
    return 1
