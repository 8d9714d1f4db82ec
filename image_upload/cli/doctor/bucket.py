"""Checks of S3 that store nothing: credentials, region, clock."""

from collections.abc import Generator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

import httpx

from image_upload.aws.credentials import CredentialSource
from image_upload.aws.endpoints import Address, locate
from image_upload.aws.sigv4 import Credentials, Signer
from image_upload.cli.doctor.report import Finding, State
from image_upload.errors import CredentialsUnavailable
from image_upload.limits import CLOCK_SKEW_MAX_S, MULTIPART_URL_EXPIRES_S, S3_CALL_EXPIRES_S
from image_upload.settings.storage import StorageSettings

# The Date header counts whole seconds, and an answer takes some time. A smaller difference cannot be measured.
_SKEW_SEEN_S: Final = 10


class CheckTarget(NamedTuple):
    """The bucket under test and the credentials for it. `origin` is the front end's."""

    settings: StorageSettings
    web: httpx.Client
    credentials: Credentials
    origin: str | None

    @property
    def inner(self) -> Address:
        """The bucket's address for the service itself."""
        return self._at(self.settings.s3_endpoint_url)

    @property
    def public(self) -> Address:
        """The bucket's address for clients."""
        return self._at(self.settings.s3_public_endpoint_url or self.settings.s3_endpoint_url)

    def _at(self, endpoint: str | None) -> Address:
        return locate(self.settings.s3_bucket_name, self.settings.aws_region, endpoint, use_ssl=self.settings.use_ssl)

    def sign(
        self, address: Address, method: str, key: str, headers: Mapping[str, str] | None = None, **query: str
    ) -> str:
        """Return a presigned URL that is valid for one minute."""
        now = datetime.now(UTC).replace(microsecond=0)
        return Signer(address, self.credentials).presign(
            method, key, now=now, expires_s=S3_CALL_EXPIRES_S, headers=headers, query=query
        )

    @property
    def grave(self) -> State:
        """The state for a store that does less than AWS: `FAIL` in production, else `warn`."""
        ours_to_develop = not self.settings.production and self.settings.s3_endpoint_url is not None
        return "warn" if ours_to_develop else "FAIL"


async def credentials(settings: StorageSettings) -> tuple[Credentials | None, list[Finding]]:
    """Return the credentials that the service would sign with, and the findings about them."""
    source = CredentialSource(settings)
    try:
        found = await source.current()
    except CredentialsUnavailable:
        remedy = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, sign in (aws sso login), or give the machine a role"
        return None, [Finding("credentials", "FAIL", "there are none", remedy)]
    return found, [_life_of(found, source.provider, settings, datetime.now(UTC))]


def _life_of(found: Credentials, provider: str, settings: StorageSettings, now: datetime) -> Finding:
    needed_s = max(settings.upload_url_expires_s, MULTIPART_URL_EXPIRES_S)
    if found.expires_at is None:
        kind = "temporary, their end is not known" if found.session_token else "no end"
        return Finding("credentials", "ok", f"from {provider}, {kind}")
    left = found.expires_at - now
    seen = f"from {provider}, {int(left.total_seconds() // 60)} minutes left"
    if left.total_seconds() < needed_s:
        remedy = (
            f"URLs end with them, and are meant to live for {needed_s} s; sign in again, or let sessions live longer"
        )
        return Finding("credentials", "warn", seen, remedy)
    return Finding("credentials", "ok", seen)


def region_and_clock(check_target: CheckTarget) -> Generator[Finding, None, bool]:
    """Check by HeadBucket that the bucket exists, its region, and the clock. Return whether more checks make sense."""
    asked_at = datetime.now(UTC)
    try:
        response = check_target.web.head(check_target.sign(check_target.inner, "HEAD", ""))
    except httpx.HTTPError as error:
        remedy = "check AWS_S3_ENDPOINT_URL and AWS_REGION, and that this machine may connect to it"
        yield Finding("region", "FAIL", f"no answer from {check_target.inner.origin} ({type(error).__name__})", remedy)
        return False
    right = yield from _region(check_target, response)
    yield _clock(response, asked_at, datetime.now(UTC), check_target.settings)
    return right


def _region(check_target: CheckTarget, response: httpx.Response) -> Generator[Finding, None, bool]:
    """Check the region, which comes with every answer.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html
    """
    settings, status = check_target.settings, response.status_code
    lives_in = response.headers.get("x-amz-bucket-region")
    host = check_target.inner.host
    if lives_in is not None and lives_in != settings.aws_region:
        remedy = f"set AWS_REGION={lives_in}"
        yield Finding("region", "FAIL", f"the bucket lives in {lives_in}, not in {settings.aws_region}", remedy)
        return False
    if status in (301, 307):
        yield Finding("region", "FAIL", f"{host} answered {status}", "set AWS_REGION to the bucket's region")
        return False
    if status == 404:
        remedy = "create it, or correct S3_BUCKET_NAME"
        yield Finding("region", "FAIL", f"there is no bucket {settings.s3_bucket_name} at {host}", remedy)
        return False
    if status == 403:
        yield Finding("region", "warn", f"{host} answered 403 to HeadBucket", "could not look: grant s3:ListBucket")
    elif status == 400:
        # A HEAD has no body that would name the reason, such as expired credentials.
        yield Finding("region", "warn", f"{host} answered 400 to HeadBucket", "the round trip below says why")
    elif status == 200:
        where = f"in {lives_in}" if lives_in else "and does not say its region"
        yield Finding("region", "ok", f"the bucket answers at {host} {where}")
    else:
        yield Finding(
            "region", "FAIL", f"{host} answered {status} to HeadBucket", "try again; if it stays, ask its operator"
        )
        return False
    return True


def _clock(response: httpx.Response, asked_at: datetime, answered_at: datetime, settings: StorageSettings) -> Finding:
    """Compare the clock with S3's. S3 accepts at most 15 minutes ahead; a URL of a slow clock expires sooner."""
    try:
        theirs = parsedate_to_datetime(response.headers["date"])
    except (KeyError, ValueError):
        return Finding("clock", "skip", "S3 did not say the time")
    ahead_s = ((asked_at + (answered_at - asked_at) / 2) - theirs).total_seconds()
    return clock("clock", ahead_s, behind_max_s=settings.upload_url_expires_s, other="S3's")


def clock(check: str, ahead_s: float, *, behind_max_s: float, other: str) -> Finding:
    """Return the finding for a clock that is `ahead_s` seconds ahead of another one (negative: behind)."""
    if abs(ahead_s) < _SKEW_SEEN_S:
        return Finding(check, "ok", f"within {_SKEW_SEEN_S} s of {other}")
    seen = f"this machine's clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} {other}"
    fatal = ahead_s > CLOCK_SKEW_MAX_S or -ahead_s >= min(behind_max_s, CLOCK_SKEW_MAX_S)
    return Finding(check, "FAIL" if fatal else "warn", seen, "set it by NTP: signatures and tokens carry the time")
