"""The settings of rate limits and quotas."""

from typing import Literal

from pydantic import SecretStr

from image_upload.limits import QUOTA_MAX
from image_upload.settings.section import Check, Known, Section, setting
from image_upload.settings.values import OFF, CommaList, checked_url, network, rate

# The requests of one browser to Uppy's routes on a line of 800 Mbit/s (a URL for each 5 MiB), and those of an office.
RATE_LIMITS_IN_PRODUCTION = {"rate_limit_per_user": "1200/minute", "rate_limit_per_address": "3000/minute"}


def _redis_url(value: SecretStr | None, known: Known) -> SecretStr | None:
    if value is not None:
        parts = checked_url(value.get_secret_value(), ("rediss", "redis"))
        if parts.scheme == "redis" and known.production:
            raise ValueError("without TLS it is possible only outside production")
    return value


def _rate_limit(field: str) -> Check:
    def check(value: str | None, known: Known) -> str:
        if value is None:
            return RATE_LIMITS_IN_PRODUCTION[field] if known.production else OFF
        rate(value)
        return value

    return check


def _trusted_proxies(value: tuple[str, ...], known: Known) -> tuple[str, ...]:
    if value and known.on_lambda:
        raise ValueError("a Function URL passes on only the part of X-Forwarded-For that every client can write")
    for each in value:
        network(each)
    return value


class UsageSettings(Section):
    """Rate limits and quotas, where they are counted, and which address counts."""

    # --- Rate limits and quotas -----------------------------------------------------------------------

    redis_url: SecretStr | None = setting(
        "REDIS_URL",
        default=None,
        description="rediss://[user:password@]host[:port][/database] of a Redis; redis:// only outside production",
        check=_redis_url,
    )
    """Where rate limits and quotas are counted for all processes. Without it quotas are counted in the database, if
    `DATABASE_URL` is set, and each process counts the rest by itself; on Lambda that is each environment, so that a
    client whose requests are spread over ten of them may send ten times as many."""

    rate_limit_per_user: str | None = setting(
        "RATE_LIMIT_PER_USER",
        default=None,
        description="number/time, such as 120/minute or 10/5 seconds, or off",
        check=_rate_limit("rate_limit_per_user"),
    )
    """Requests of one signed-in user, from wherever. The default is above what Uppy asks for parts on a line of 800
    Mbit/s."""

    rate_limit_per_address: str | None = setting(
        "RATE_LIMIT_PER_ADDRESS",
        default=None,
        description="number/time, such as 120/minute or 10/5 seconds, or off",
        check=_rate_limit("rate_limit_per_address"),
    )
    """Requests from one address, signed in or not; of IPv6 from one /64. An office shares one address. Behind
    CloudFront set `TRUSTED_EDGE`, or the address is CloudFront's, and all its clients share it."""

    rate_limit_fails: Literal["open", "closed"] = setting(
        "RATE_LIMIT_FAILS",
        default="open",
        description="open or closed",
    )
    """If Redis, or the database that counts quotas, does not answer: `open` counts in the process until it does,
    `closed` answers 503 `rate-limit-unavailable`."""

    quota_bytes_per_day: int | None = setting(
        "QUOTA_BYTES_PER_DAY",
        default=None,
        least=1,
        most=QUOTA_MAX,
        description="bytes that a user may store in a day, a whole number from 1; empty for no quota",
    )
    """Bytes that one user may store in a day of UTC. What is minted is reserved with its size until its end is
    known: docs/decisions/quotas.md. Above: 429 `quota-exceeded` with what is left. On Lambda it needs `REDIS_URL` or
    `DATABASE_URL` to mean one user rather than one user in each environment."""

    quota_files_per_day: int | None = setting(
        "QUOTA_FILES_PER_DAY",
        default=None,
        least=1,
        most=QUOTA_MAX,
        description="files that a user may store in a day, a whole number from 1; empty for no quota",
    )
    """The same in files."""

    quota_bytes_total: int | None = setting(
        "QUOTA_BYTES_TOTAL",
        default=None,
        least=1,
        most=QUOTA_MAX,
        description="bytes that a user may have in store, a whole number from 1; empty for no quota",
    )
    """Bytes that one user may have in store at a time, with what is minted and not sent yet. `DELETE` gives them
    back, and so does the life time of a purpose. Needs `DATABASE_URL`, where all quotas are then counted, also with
    `REDIS_URL`. What was stored before it was set does not count."""

    quota_files_total: int | None = setting(
        "QUOTA_FILES_TOTAL",
        default=None,
        least=1,
        most=QUOTA_MAX,
        description="files that a user may have in store, a whole number from 1; empty for no quota",
    )
    """The same in files."""

    trusted_proxies: CommaList = setting(
        "TRUSTED_PROXIES",
        default=(),
        description="addresses or networks such as 10.0.0.0/8 separated by commas; not on Lambda",
        check=_trusted_proxies,
    )
    """Whose `X-Forwarded-For` is believed. The client is the rightmost address in it that is none of these. On
    Lambda the address is the Function URL's own `sourceIp`: of `X-Forwarded-For` a Function URL passes on the
    leftmost part only, which a client can write. Run uvicorn with `--no-proxy-headers`, so that nothing else decides
    about it."""

    @property
    def has_quotas(self) -> bool:
        """Whether anything is limited for a day or in total."""
        limits = (
            *(self.quota_bytes_per_day, self.quota_files_per_day),
            *(self.quota_bytes_total, self.quota_files_total),
        )
        return any(each is not None for each in limits)
