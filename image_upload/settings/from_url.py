"""The settings of imports from a URL."""

from image_upload.settings.aws import AwsSettings
from image_upload.settings.section import Known, setting
from image_upload.settings.values import CommaList, checked_url, split_url


def _hosts(value: tuple[str, ...], _: Known) -> tuple[str, ...]:
    for each in value:
        parts = split_url(f"//{each}")
        if not parts.hostname or parts.netloc != each or parts.username is not None or "*" in each:
            raise ValueError(f"{each!r} is neither a host nor host:port")
    return value


def _lambda_endpoint(value: str | None, known: Known) -> str | None:
    if value is not None:
        checked_url(value, ("https", "http"))
        if known.production:
            raise ValueError("it is possible only outside production")
    return value


class FromUrlSettings(AwsSettings):
    """Whether and from where files are imported. On Lambda the key pair signs the call that goes on with an import."""

    # --- Uploads ---------------------------------------------------------------------------------------

    from_url: bool = setting(
        "FROM_URL",
        default=True,
        description="true or false: POST /uploads/from-url",
    )
    """Whether the service imports files from URLs that users name. It connects to public addresses only, but from its
    own network: switch it off where that must not be."""

    from_url_private_hosts: CommaList = setting(
        "FROM_URL_PRIVATE_HOSTS",
        default=(),
        description="host or host:port of your own servers, separated by commas",
        check=_hosts,
    )
    """Servers that files are imported from although their addresses are not public, or their port is not the usual one.
    Every user who may upload can read from them what needs no password."""

    lambda_endpoint_url: str | None = setting(
        "AWS_ENDPOINT_URL_LAMBDA",
        default=None,
        description="scheme://host[:port], for an emulated AWS; only outside production",
        check=_lambda_endpoint,
    )
    """Where Lambda's API is, through which the function hands long imports to another invocation of itself. Not set, it
    is AWS's own in the function's region."""

    @property
    def private_hosts(self) -> frozenset[tuple[str, int]]:
        """The own servers as (host, port). Without a port: both usual ones."""
        found = set()
        for each in self.from_url_private_hosts:
            parts = split_url(f"//{each}")
            found |= {(parts.hostname or "", port) for port in ((80, 443) if parts.port is None else (parts.port,))}
        return frozenset(found)
