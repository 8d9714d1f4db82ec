"""Environment variables → one frozen `Settings` value, with every fault reported in one message.

`load` is called once, by the front door. Nothing else in the package reads the environment.
docs/settings.md describes each setting and is held to this file by a test.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeVar, get_args
from urllib.parse import parse_qs

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from image_upload.domain import purposes
from image_upload.limits import BUFFER_MIN_BYTES, GIB, MIB, PRESIGN_MAX_S, UPLOADS_AT_ONCE
from image_upload.settings import origins, secret_reference
from image_upload.settings.auth import AccountSettings
from image_upload.settings.values import CORS_HEADERS, CommaList, Surroundings, bucket_name, header_names, split_url

# Those whose objects S3 reads out at once: from the others a read URL would get 403 InvalidObjectState.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-class-intro.html
STORAGE_CLASSES = ("STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR")


# Those under which nothing goes over the wire in the clear.
# https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION
_TLS_MODES = ("require", "verify-ca", "verify-full")


# Secrets that belong to Lambda: it sets them from the function's role.
_LAMBDAS_SECRETS: Final = frozenset({"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"})


class SettingsError(Exception):
    """The settings cannot be used. The message lists every fault and where to read on."""


def _parameter(url: SecretStr, name: str) -> str | None:
    """Return a parameter of libpq behind a database URL's question mark."""
    return parse_qs(split_url(url.get_secret_value()).query).get(name, [None])[-1]


class Settings(AccountSettings):
    """Everything an operator can decide. Field order matters: a check may look at the fields above it."""

    s3_bucket_name: str = Field(
        validation_alias=AliasChoices("S3_BUCKET_NAME", "AWS_S3_BUCKET"),
        description="the bucket's name: 3 to 63 of a-z, 0-9, dot and hyphen",
    )
    aws_region: str = Field(
        validation_alias=AliasChoices("AWS_REGION", "AWS_DEFAULT_REGION"),
        pattern=r"^[a-z0-9-]{1,32}$",
        description="the bucket's region, such as ap-northeast-2",
    )
    aws_access_key_id: str | None = Field(
        None,
        validation_alias="AWS_ACCESS_KEY_ID",
        description="an access key id; without it the usual AWS credential chain is asked",
    )
    aws_secret_access_key: SecretStr | None = Field(
        None,
        validation_alias="AWS_SECRET_ACCESS_KEY",
        description="the secret that belongs to AWS_ACCESS_KEY_ID",
    )
    aws_session_token: SecretStr | None = Field(
        None,
        validation_alias="AWS_SESSION_TOKEN",
        description="the session token of temporary credentials",
    )
    use_ssl: bool = Field(
        True,
        validation_alias="AWS_S3_USE_SSL",
        description="true or false; false only outside production",
    )
    verify_ssl: bool = Field(
        True,
        validation_alias="AWS_S3_VERIFY_SSL",
        description="true or false; false only outside production",
    )
    s3_endpoint_url: str | None = Field(
        None,
        validation_alias=AliasChoices("AWS_S3_ENDPOINT_URL", "LOCALSTACK_ENDPOINT"),
        description="scheme://host[:port] of an S3 server; https in production; empty for AWS",
    )
    s3_public_endpoint_url: str | None = Field(
        None,
        validation_alias="S3_PUBLIC_ENDPOINT_URL",
        description="scheme://host[:port] that clients see in presigned URLs",
    )
    cdn_base_url: str | None = Field(
        None,
        validation_alias="CDN_BASE_URL",
        pattern=r"^https?://[^\s?#]+$",
        description="https://host[/path] of the CDN in front of the bucket",
    )
    s3_storage_classes: CommaList = Field(
        (),
        validation_alias="S3_STORAGE_CLASSES",
        description="purpose:class separated by commas, such as audio:STANDARD_IA,document:INTELLIGENT_TIERING; "
        f"classes are {', '.join(STORAGE_CLASSES)}",
    )
    s3_sse: Literal["none", "AES256", "aws:kms"] = Field(
        "none", validation_alias="S3_SSE", description="one of none, AES256, aws:kms"
    )
    s3_sse_kms_key_id: str | None = Field(
        None,
        validation_alias="S3_SSE_KMS_KEY_ID",
        pattern=r"^[A-Za-z0-9:/_-]{1,2048}$",
        description="the id, alias or ARN of a KMS key, with S3_SSE=aws:kms",
    )
    s3_checksums: Literal["sha256", "md5", "off"] = Field(
        "sha256", validation_alias="S3_CHECKSUMS", description="one of sha256, md5, off: what the store compares"
    )
    s3_form_post: bool = Field(
        default=True,
        validation_alias="S3_FORM_POST",
        description="true or false: whether the store takes presigned form POSTs",
    )
    upload_url_expires_s: int = Field(
        300,
        validation_alias="UPLOAD_URL_EXPIRES_SECONDS",
        ge=1,
        le=PRESIGN_MAX_S,
        description=f"whole seconds from 1 to {PRESIGN_MAX_S} (seven days, S3's own limit)",
    )
    timeout_s: float = Field(
        300,
        validation_alias="TIMEOUT_SECONDS",
        gt=0,
        le=86_400,
        description="seconds, above 0 and at most 86400",
    )
    buffer_bytes: int = Field(
        256 * MIB,
        validation_alias="BUFFER_BYTES",
        ge=BUFFER_MIN_BYTES,
        le=1 << 40,
        description=f"whole bytes from {BUFFER_MIN_BYTES} (16 MiB)",
    )
    spool_bytes: int = Field(
        10 * GIB,
        validation_alias="SPOOL_BYTES",
        ge=0,
        le=1 << 50,
        description="whole bytes; 0: no file waits on disk",
    )
    uploads_per_address: int = Field(
        UPLOADS_AT_ONCE // 4,
        validation_alias="UPLOADS_PER_ADDRESS",
        ge=1,
        le=UPLOADS_AT_ONCE,
        description=f"a whole number from 1 to {UPLOADS_AT_ONCE}",
    )
    proxy_allowed_buckets: CommaList = Field(
        (),
        validation_alias="PROXY_ALLOWED_BUCKETS",
        description="bucket names separated by commas, or * for any bucket on AWS's own hosts",
    )
    proxy_allowed_hosts: CommaList = Field(
        (),
        validation_alias="PROXY_ALLOWED_HOSTS",
        description="host or host:port of further S3 servers, separated by commas",
    )
    cors_allow_origins: CommaList = Field(
        (),
        validation_alias="CORS_ALLOW_ORIGINS",
        description="origins such as https://app.example.com or https://*.example.com separated by commas, or *",
    )
    cors_allow_headers: CommaList = Field(
        CORS_HEADERS,
        validation_alias="CORS_ALLOW_HEADERS",
        description="names of headers separated by commas, in place of the default ones; or *",
    )
    allow_gif: bool = Field(
        default=False,
        validation_alias="ALLOW_GIF",
        description="true or false: GIF as an image type",
    )
    database_url: SecretStr | None = Field(
        None,
        validation_alias="DATABASE_URL",
        description="postgresql://user:password@host[:port]/database, or sqlite:///file outside production",
    )
    database_auth: Literal["password", "rds-iam", "dsql-iam"] = Field(
        "password", validation_alias="DATABASE_AUTH", description="one of password, rds-iam, dsql-iam"
    )
    secrets_from: str | None = Field(
        None, validation_alias="SECRETS_FROM", description=f"{secret_reference.EXPECTED}; only on Lambda"
    )
    secrets_refresh_s: int = Field(
        300, validation_alias="SECRETS_REFRESH_SECONDS", ge=30, le=86_400, description="whole seconds from 30 to 86400"
    )
    debug: bool = Field(default=False, validation_alias="DEBUG", description="true or false")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias="LOG_LEVEL", description="one of DEBUG, INFO, WARNING, ERROR"
    )

    @field_validator("secrets_from")
    @classmethod
    def _secrets_from(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            if info.data.get("lambda_function_name") is None:
                raise ValueError("only Lambda reads it; here set the plain variables, such as JWT_SECRET")
            secret_reference.parse(value)
        return value

    @field_validator("s3_bucket_name")
    @classmethod
    def _bucket_name(cls, value: str) -> str:
        return bucket_name(value)

    @field_validator("log_level", mode="before")
    @classmethod
    def _log_level(cls, value: object, info: ValidationInfo) -> object:
        if info.data.get("debug"):
            return "DEBUG"
        return value.upper() if isinstance(value, str) else value

    @field_validator("aws_secret_access_key")
    @classmethod
    def _key_pair(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if (value is None) != (info.data.get("aws_access_key_id") is None):
            raise ValueError("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together")
        return value

    @field_validator("use_ssl", "verify_ssl")
    @classmethod
    def _tls(
        cls,
        value: bool,  # noqa: FBT001  pydantic passes it by position
        info: ValidationInfo,
    ) -> bool:
        if not value and info.data.get("environment") == "production":
            raise ValueError("false is possible only outside production")
        return value

    @field_validator("s3_endpoint_url", "s3_public_endpoint_url")
    @classmethod
    def _endpoint(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        if "://" not in value:
            value = ("https://" if info.data.get("use_ssl", True) else "http://") + value
        parts = split_url(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ValueError("not a URL of the form scheme://host[:port]")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError("a path, query or fragment does not belong into an endpoint")
        if parts.scheme == "http" and info.data.get("environment") == "production":
            raise ValueError("plain http is possible only outside production")
        return f"{parts.scheme}://{parts.netloc.lower()}"

    @field_validator("cors_allow_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(origins.check(each) for each in value)

    @field_validator("cors_allow_headers")
    @classmethod
    def _cors_headers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return header_names(value)

    @field_validator("s3_storage_classes")
    @classmethod
    def _storage_classes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = [purpose.name for purpose in purposes.every()]
        named = [item.partition(":")[0] for item in value]
        for item, purpose in zip(value, named, strict=True):
            if purpose not in known:
                raise ValueError(f"there is no such purpose; there are {', '.join(known)}")
            if item.partition(":")[2] not in STORAGE_CLASSES:
                raise ValueError(f"no storage class that can be read at once is named for {purpose}")
        if len(set(named)) != len(named):
            raise ValueError("a purpose is named twice")
        return value

    @field_validator("s3_sse_kms_key_id")
    @classmethod
    def _kms_key(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("s3_sse") != "aws:kms":
            raise ValueError("a key is only for S3_SSE=aws:kms")
        return value

    @field_validator("database_url")
    @classmethod
    def _database_url(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None:
            return None
        parts = split_url(value.get_secret_value())
        production = info.data.get("environment") == "production"
        if parts.scheme == "sqlite":
            if production:
                raise ValueError("SQLite is possible only outside production")
        elif parts.scheme not in ("postgres", "postgresql"):
            raise ValueError("not a URL of PostgreSQL")
        elif production and _parameter(value, "sslmode") not in (None, *_TLS_MODES):
            raise ValueError(f"in production sslmode is one of {', '.join(_TLS_MODES)}")
        elif _parameter(value, "sslrootcert") == "system" and _parameter(value, "sslmode") not in (None, "verify-full"):
            raise ValueError("with sslrootcert=system sslmode is verify-full, or left out")
        return value

    @field_validator("database_auth")
    @classmethod
    def _database_auth(cls, value: str, info: ValidationInfo) -> str:
        url = info.data.get("database_url")
        if value == "password" or url is None:
            return value
        parts = split_url(url.get_secret_value())
        if parts.scheme == "sqlite" or not parts.hostname or not parts.username or parts.password is not None:
            raise ValueError("a token needs a DATABASE_URL with host and user, and without a password")
        if _parameter(url, "sslmode") not in (None, "verify-full"):
            raise ValueError("a token is sent only to a verified server: leave sslmode out, or say verify-full")
        return value

    def storage_class_of(self, purpose: str) -> str | None:
        """Return the storage class that a purpose's objects are to have; None leaves it to S3."""
        return dict(item.split(":", 1) for item in self.s3_storage_classes).get(purpose)

    @property
    def on_lambda(self) -> bool:
        """Whether this process runs inside AWS Lambda."""
        return self.lambda_function_name is not None


def aliases(field: str) -> tuple[str, ...]:
    """Return the environment variables that set a field, the preferred one first."""
    alias = Settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (str(alias),)


def secret_settings() -> tuple[str, ...]:
    """Return the variables that hold a secret, by their preferred names: those that SECRETS_FROM may lead to."""
    named = {aliases(field)[0]: info.annotation for field, info in Settings.model_fields.items()}
    return tuple(
        name
        for name, annotation in named.items()
        if SecretStr in (annotation, *get_args(annotation)) and name not in _LAMBDAS_SECRETS
    )


_Section = TypeVar("_Section", bound=Surroundings)


def load(environ: Mapping[str, str], *, serving: bool = True) -> Settings:
    """Settings from a mapping shaped like `os.environ`. An empty value counts as not set.

    `serving` is false for what answers no HTTP, such as most commands: the secrets of tokens and sign-in may be
    missing then. What is given is checked in any case.
    Raises `SettingsError` with all faults in one message. Secrets are never repeated in it.
    """
    return load_section(Settings, environ, serving=serving)


def load_section(section: type[_Section], environ: Mapping[str, str], *, serving: bool) -> _Section:
    """Return the settings of one section alone, as `load` reads all of them."""
    given = {name: value.strip() for name, value in environ.items() if value.strip()}
    if given.get("ENVIRONMENT", given.get("ENV")) != "local":
        # The documents set it in every .env; only a local run may be led to LocalStack by it.
        given.pop("LOCALSTACK_ENDPOINT", None)
    try:
        return section.model_validate(given, context={"serving": serving})
    except ValidationError as error:
        raise SettingsError(_describe(error, serving=serving)) from None


def _describe(error: ValidationError, *, serving: bool) -> str:
    """One line a fault: the variable, what is wrong with it, what was expected."""
    by_alias = {alias: name for name in Settings.model_fields for alias in aliases(name)}
    lines = []
    for fault in error.errors(include_url=False, include_input=False):
        alias = str(fault["loc"][0])
        # A default that is refused is reported under the field's own name, a given value under its alias.
        name = alias if alias in Settings.model_fields else by_alias[alias]
        expected = Settings.model_fields[name].description
        wrong = "missing" if fault["type"] == "missing" else fault["msg"].removeprefix("Value error, ")
        lines.append(f"  {aliases(name)[0]}: {wrong}. Expected: {expected}.")
    count = "1 setting is" if len(lines) == 1 else f"{len(lines)} settings are"
    advice = (
        "Set them in the environment or in a .env file; .env.example is a working set and docs/settings.md "
        "describes each one."
    )
    start = "The service cannot start" if serving else "The command cannot begin"
    return "\n".join([f"{start}: {count} missing or wrong.", *lines, advice])


def read_dotenv(environ: Mapping[str, str], path: str = ".env") -> dict[str, str]:
    """Return the environment completed by a `.env` file where there is one; real variables win."""
    from dotenv import dotenv_values  # Lambda never needs it

    from_file: dict[str, Any] = dict(dotenv_values(path))
    return {name: value for name, value in from_file.items() if value is not None} | dict(environ)
