"""The URL forms of S3: build the address of a bucket, and recognise one.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
https://docs.aws.amazon.com/general/latest/gr/s3.html
"""

import re
from typing import Final, NamedTuple
from urllib.parse import urlsplit


class Address(NamedTuple):
    """The address of one bucket, as clients use it.

    `host` is the Host header: lower case, with the port unless it is the scheme's own.
    `path_prefix` is "" in virtual-host style and "/bucket" in path style.
    """

    bucket: str
    region: str
    scheme: str
    host: str
    path_prefix: str

    @property
    def origin(self) -> str:
        """The address without its path: scheme://host[:port]."""
        return f"{self.scheme}://{self.host}"


# The start of a region's name → the domain of its partition. A test compares them with botocore's table.
_SUFFIXES: Final = {
    "cn-": "amazonaws.com.cn",
    "eusc-": "amazonaws.eu",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "us-isof-": "csp.hci.ic.gov",
    "eu-isoe-": "cloud.adc-e.uk",
}


def suffix_of(region: str) -> str:
    """Return the domain of a region's services, such as `amazonaws.com`."""
    return next((suffix for start, suffix in _SUFFIXES.items() if region.startswith(start)), "amazonaws.com")


def locate(bucket: str, region: str, endpoint: str | None = None, *, use_ssl: bool = True) -> Address:
    """Return the address of a bucket on AWS, or on the S3 server at `endpoint` (scheme://host[:port]).

    On AWS the host is regional: the global one answers with a redirect, which a browser's preflight does
    not follow. A dotted name goes into the path, because AWS's certificate for `*.s3…` covers one label
    only. Other servers get path style, which all of them support.
    """
    if endpoint is not None:
        parts = urlsplit(endpoint)
        return Address(bucket, region, parts.scheme, canonical_host(parts.scheme, parts.netloc), f"/{bucket}")
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    scheme = "https" if use_ssl else "http"
    if "." in bucket:
        return Address(bucket, region, scheme, f"s3.{region}.{suffix}", f"/{bucket}")
    return Address(bucket, region, scheme, f"{bucket}.s3.{region}.{suffix}", "")


def canonical_host(scheme: str, netloc: str) -> str:
    """Return host[:port] as HTTP clients put it into the Host header: lower case, no default port."""
    default = {"http": ":80", "https": ":443"}[scheme]
    return netloc.lower().removesuffix(default)


_BUCKET = r"(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])"
_REGION = r"[a-z]{2}(?:-[a-z]+)+-\d{1,2}"
# R is a region: s3, s3.dualstack.R, s3-R (legacy), s3-fips.R, s3-fips.dualstack.R, s3.R
_ENDPOINT = rf"(?:s3|s3-{_REGION}|s3(?:-fips)?(?:\.dualstack)?\.{_REGION})"
_SUFFIX = r"\.amazonaws\.com(?:\.cn)?"
_PATH_HOST = rf"(?a){_ENDPOINT}{_SUFFIX}"
_VIRTUAL_HOSTS = tuple(
    rf"(?a){form}{_SUFFIX}"
    for form in (
        rf"{_BUCKET}\.{_ENDPOINT}",
        rf"{_BUCKET}\.s3-accelerate(?:\.dualstack)?",
        # An access point has a name and an account instead of a bucket.
        rf"(?P<bucket>[a-z0-9][a-z0-9-]{{1,49}}-\d{{12}})\.s3-accesspoint(?:-fips)?(?:\.dualstack)?\.{_REGION}",
    )
)


def bucket_on_aws(host: str, path: str) -> tuple[str, str] | None:
    """Return bucket and (still encoded) key that a URL on one of AWS's own S3 hosts names, None for any other host.

    `host` is lower case and without a port; `path` starts with a slash. Website and control hosts
    are not S3's object API and give None.
    """
    if re.fullmatch(_PATH_HOST, host):
        bucket, _, key = path[1:].partition("/")
        return bucket, key
    for form in _VIRTUAL_HOSTS:
        match = re.fullmatch(form, host)
        if match:
            return match["bucket"], path[1:]
    return None
