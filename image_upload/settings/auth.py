"""The settings that decide who may use the service, and how much. `Settings` adds all others."""

from typing import Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from image_upload.limits import QUOTA_MAX
from image_upload.settings.sign_in import SignInSettings
from image_upload.settings.values import OFF, CommaList, checked_url, is_loopback, network, rate, serves

# RFC 7518 section 3.2: a key holds at least as many bits as the hash.
JWT_SECRET_MIN_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}

# What one browser asks of Uppy's routes on a line of 800 Mbit/s (a URL for each 5 MiB), and what an office does.
RATE_LIMITS_IN_PRODUCTION = {"rate_limit_per_user": "1200/minute", "rate_limit_per_address": "3000/minute"}


class AccountSettings(SignInSettings):
    """Tokens and rate limits. Field order matters: a check may look at the fields above it."""

    auth_required: bool | None = Field(
        None,
        validation_alias="AUTH_REQUIRED",
        description="true or false; empty means true in production, else false",
    )
    jwt_algorithm: Literal["HS256", "HS384", "HS512"] = Field(
        "HS256",
        validation_alias="JWT_ALGORITHM",
        description="one of HS256, HS384, HS512: the algorithm of JWT_SECRET; public keys bring their own",
    )
    jwt_jwks_url: str | None = Field(
        None,
        validation_alias="JWT_JWKS_URL",
        description="https://host/path of an identity provider's JSON Web Key Set",
    )
    jwt_scope_prefix: str | None = Field(
        None, validation_alias="JWT_SCOPE_PREFIX", description="what stands before `admin` and `mint` in a token"
    )
    jwt_secret: SecretStr | None = Field(
        None,
        validation_alias="JWT_SECRET",
        description=f"a secret of at least {JWT_SECRET_MIN_BYTES['HS256']} bytes, such as the output of: "
        "openssl rand -hex 32",
    )
    jwt_previous_secret: SecretStr | None = Field(
        None,
        validation_alias="JWT_PREVIOUS_SECRET",
        description="the JWT_SECRET of before, while its tokens and tickets are still about",
    )
    jwt_issuer: str | None = Field(None, validation_alias="JWT_ISSUER", description="the `iss` every token must carry")
    jwt_audience: CommaList = Field(
        (),
        validation_alias="JWT_AUDIENCE",
        description="the `aud` every token must carry; of several separated by commas, one. The first is what the "
        "service signs",
    )
    redis_url: SecretStr | None = Field(
        None,
        validation_alias="REDIS_URL",
        description="rediss://[user:password@]host[:port][/database] of a Redis for rate limits and quotas",
    )
    rate_limit_per_user: str | None = Field(
        None, validation_alias="RATE_LIMIT_PER_USER", description="number/time, such as 120/minute, or off"
    )
    rate_limit_per_address: str | None = Field(
        None, validation_alias="RATE_LIMIT_PER_ADDRESS", description="number/time, such as 120/minute, or off"
    )
    rate_limit_fails: Literal["open", "closed"] = Field(
        "open", validation_alias="RATE_LIMIT_FAILS", description="open or closed"
    )
    quota_bytes_per_day: int | None = Field(
        None,
        validation_alias="QUOTA_BYTES_PER_DAY",
        ge=1,
        le=QUOTA_MAX,
        description="bytes that a user may store in a day, a whole number from 1; empty for no quota",
    )
    quota_files_per_day: int | None = Field(
        None,
        validation_alias="QUOTA_FILES_PER_DAY",
        ge=1,
        le=QUOTA_MAX,
        description="files that a user may store in a day, a whole number from 1; empty for no quota",
    )
    trusted_proxies: CommaList = Field(
        (),
        validation_alias="TRUSTED_PROXIES",
        description="addresses or networks such as 10.0.0.0/8 separated by commas; not on Lambda",
    )

    @field_validator("auth_required")
    @classmethod
    def _auth_default(
        cls,
        value: bool | None,  # noqa: FBT001  the same
        info: ValidationInfo,
    ) -> bool:
        return info.data.get("environment") == "production" if value is None else value

    @field_validator("jwt_jwks_url")
    @classmethod
    def _jwks_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            parts = checked_url(value, ("https", "http"))
            if parts.username is not None:
                raise ValueError("a user name does not belong into it")
            production = info.data.get("environment") == "production"
            if parts.scheme == "http" and (production or not is_loopback(parts.hostname or "")):
                raise ValueError("plain http is possible only for this machine itself, outside production")
        return value

    @field_validator("jwt_secret")
    @classmethod
    def _jwt_secret(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None and not serves(info):
            return None
        if value is None and (info.data.get("google_client_id") or info.data.get("github_client_id")):
            raise ValueError("missing; who signs in gets a token that is signed with it")
        if value is None and info.data.get("auth_required") and info.data.get("jwt_jwks_url") is None:
            raise ValueError("missing, and JWT_JWKS_URL too; without either nobody could pass AUTH_REQUIRED")
        return cls._long_enough(value, info)

    @field_validator("jwt_previous_secret")
    @classmethod
    def _jwt_previous_secret(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        # The same as JWT_SECRET is no fault: of two parameters in a store one changes first.
        if serves(info) and value is not None and info.data.get("jwt_secret") is None:
            raise ValueError("it goes together with a JWT_SECRET")
        return cls._long_enough(value, info)

    @staticmethod
    def _long_enough(value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        least = JWT_SECRET_MIN_BYTES[info.data.get("jwt_algorithm", "HS256")]
        if (
            value is not None
            and info.data.get("environment") == "production"
            and len(value.get_secret_value().encode()) < least
        ):
            raise ValueError(f"shorter than {least} bytes")
        return value

    @field_validator("jwt_issuer")
    @classmethod
    def _jwt_issuer(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and serves(info) and info.data.get("jwt_jwks_url") is not None:
            raise ValueError("missing; keys alone do not say whose tokens they are for")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_url(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None:
            parts = checked_url(value.get_secret_value(), ("rediss", "redis"))
            if parts.scheme == "redis" and info.data.get("environment") == "production":
                raise ValueError("without TLS it is possible only outside production")
        return value

    @field_validator("rate_limit_per_user", "rate_limit_per_address")
    @classmethod
    def _rate_limit(cls, value: str | None, info: ValidationInfo) -> str:
        if value is None:
            production = info.data.get("environment") == "production"
            return RATE_LIMITS_IN_PRODUCTION[str(info.field_name)] if production else OFF
        rate(value)
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _trusted_proxies(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if value and info.data.get("lambda_function_name") is not None:
            raise ValueError("a Function URL passes on only the part of X-Forwarded-For that anybody can write")
        for each in value:
            network(each)
        return value
