"""IAM tokens in place of a database password. A token is a presigned URL without its scheme.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.Connecting.html
https://docs.aws.amazon.com/aurora-dsql/latest/userguide/SECTION_authentication-token.html

A test compares them with botocore's. A connection stays open after its token has expired.
"""

import re
from datetime import datetime

from image_upload.aws.endpoints import Address, canonical_host
from image_upload.aws.sigv4 import Credentials, Signer
from image_upload.limits import DATABASE_TOKEN_EXPIRES_S

# name.id.REGION.rds.amazonaws.com[.cn], id.dsql.REGION.on.aws
_REGION_IN_HOST = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-\d{1,2})\.(?:rds\.amazonaws\.com(?:\.cn)?|on\.aws)$")

# https://docs.aws.amazon.com/aurora-dsql/latest/userguide/authentication-authorization.html: a role of its own
_DSQL_ADMIN = "admin"


def region_of(host: str, default: str) -> str:
    """Return the region in an AWS host's name; `default` for any other host."""
    match = _REGION_IN_HOST.search(host)
    return match[1] if match else default


def rds(host: str, port: int, user: str, *, region: str, credentials: Credentials, now: datetime) -> str:
    """Return a token for a PostgreSQL of RDS or Aurora, or for RDS Proxy. Its action is `rds-db:connect`."""
    # The signed Host header leaves out the scheme's default port; the token has it.
    signed = canonical_host("https", f"{host}:{port}")
    signer = Signer(Address("", region, "https", signed, ""), credentials, service="rds-db")
    return f"{host}:{port}{_token(signer, {'Action': 'connect', 'DBUser': user}, now).removeprefix(signed)}"


def dsql(host: str, user: str, *, region: str, credentials: Credentials, now: datetime) -> str:
    """Return a token for Aurora DSQL. Its action is `dsql:DbConnect`, for the user admin `dsql:DbConnectAdmin`."""
    signer = Signer(Address("", region, "https", host, ""), credentials, service="dsql")
    return _token(signer, {"Action": "DbConnectAdmin" if user == _DSQL_ADMIN else "DbConnect"}, now)


def _token(signer: Signer, query: dict[str, str], now: datetime) -> str:
    url = signer.presign("GET", "", now=now, expires_s=DATABASE_TOKEN_EXPIRES_S, query=query)
    return url.removeprefix("https://")
