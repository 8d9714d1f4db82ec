"""The settings of forms, and of files that the service stores itself."""

from image_upload.limits import GIB, UPLOADS_AT_ONCE
from image_upload.settings.section import Known, Section, setting
from image_upload.settings.values import CommaList


def _some_time(value: float, _: Known) -> float:
    if value == 0:
        raise ValueError("no time at all")
    return value


class ProxySettings(Section):
    """How long and how much, and where a form may be sent to."""

    # --- Uploads ---------------------------------------------------------------------------------------

    timeout_s: float = setting(
        "TIMEOUT_SECONDS",
        default=300,
        least=0,
        most=86_400,
        description="seconds, above 0 and at most 86400",
        check=_some_time,
    )
    """Longest time for one form upload: receiving, every attempt, and the pauses. On Lambda it also ends two seconds
    before the function's own deadline."""

    spool_bytes: int = setting(
        "SPOOL_BYTES",
        default=10 * GIB,
        least=0,
        most=1 << 50,
        description="whole bytes; 0: no file waits on disk",
    )
    """Bytes of files that wait in the temporary directory at once: those with `file` in front of `uploadUrl`, and
    the copies of the retry route. Above: 503 `too-many-uploads`; a file that streams goes on without a copy."""

    uploads_per_address: int = setting(
        "UPLOADS_PER_ADDRESS",
        default=UPLOADS_AT_ONCE // 4,
        least=1,
        most=UPLOADS_AT_ONCE,
        description=f"a whole number from 1 to {UPLOADS_AT_ONCE}",
    )
    """Forms at once of one address (an IPv6 /64), or of one signed-in user. Above: 503 `too-many-uploads`. Behind a
    proxy set `TRUSTED_PROXIES`, or all clients are one address."""

    proxy_allowed_buckets: CommaList = setting(
        "PROXY_ALLOWED_BUCKETS",
        default=(),
        description="bucket names separated by commas, or * for any bucket on AWS's own hosts",
    )
    """Buckets beside our own that the form routes send to. `*` means any bucket; the hosts stay limited to AWS's S3
    hosts, the endpoints above and the next setting."""

    proxy_allowed_hosts: CommaList = setting(
        "PROXY_ALLOWED_HOSTS",
        default=(),
        description="host or host:port of further S3 servers, separated by commas",
    )
    """Further S3 servers that the form routes send to, by https. Their addresses must be public."""
