"""The settings of the database."""

from typing import Literal
from urllib.parse import parse_qs

from pydantic import SecretStr

from image_upload.settings.aws import AwsSettings
from image_upload.settings.section import Known, setting
from image_upload.settings.values import split_url

# Those under which nothing goes over the wire in the clear.
# https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION
_TLS_MODES = ("require", "verify-ca", "verify-full")


def _parameter(url: SecretStr, name: str) -> str | None:
    """Return a parameter of libpq behind a database URL's question mark."""
    return parse_qs(split_url(url.get_secret_value()).query).get(name, [None])[-1]


def _database_url(value: SecretStr | None, known: Known) -> SecretStr | None:
    if value is None:
        return None
    parts = split_url(value.get_secret_value())
    if parts.scheme == "sqlite":
        if known.production:
            raise ValueError("SQLite is possible only outside production")
    elif parts.scheme not in ("postgres", "postgresql"):
        raise ValueError("not a URL of PostgreSQL")
    elif known.production and _parameter(value, "sslmode") not in (None, *_TLS_MODES):
        raise ValueError(f"in production sslmode is one of {', '.join(_TLS_MODES)}")
    elif _parameter(value, "sslrootcert") == "system" and _parameter(value, "sslmode") not in (None, "verify-full"):
        raise ValueError("with sslrootcert=system sslmode is verify-full, or left out")
    return value


def _database_auth(value: str, known: Known) -> str:
    url = known.get("database_url")
    if value == "password" or url is None:
        return value
    parts = split_url(url.get_secret_value())
    if parts.scheme == "sqlite" or not parts.hostname or not parts.username or parts.password is not None:
        raise ValueError("a token needs a DATABASE_URL with host and user, and without a password")
    if _parameter(url, "sslmode") not in (None, "verify-full"):
        raise ValueError("a token is sent only to a verified server: leave sslmode out, or say verify-full")
    return value


class DatabaseSettings(AwsSettings):
    """Where the database is, and how to get in. A token for it is signed with the key pair."""

    # --- Records ---------------------------------------------------------------------------------------

    database_url: SecretStr | None = setting(
        "DATABASE_URL",
        default=None,
        description="postgresql://user:password@host[:port]/database, or sqlite:///file outside production",
        check=_database_url,
    )
    """The database of posts and file records. `postgres://` is the same. Parameters behind `?` go to libpq, such as
    `sslmode` and `sslrootcert` ([which one](records.md#set-up-postgresql)); in production `sslmode` is at least
    `require`, with `sslrootcert=system` always `verify-full`. Not set, the routes that need it answer 503
    `database-not-configured`."""

    database_auth: Literal["password", "rds-iam", "dsql-iam"] = setting(
        "DATABASE_AUTH",
        default="password",
        description="one of password, rds-iam, dsql-iam",
        check=_database_auth,
    )
    """`rds-iam` and `dsql-iam` put a token, signed with the service's own AWS credentials for each new connection,
    in the place of a password. The URL then holds a user and no password, and the server's certificate is verified
    (`sslmode=verify-full`) against AWS's authorities, or those that `sslrootcert` names."""
