"""The settings of signing in. `AccountSettings` adds those of tokens and limits, `Settings` all others."""

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from image_upload.limits import ISSUER_MAX_CHARS
from image_upload.settings.values import Surroundings, checked_url, is_loopback, serves

# As many bytes as the hash of what is derived from it.
SESSION_SECRET_MIN_BYTES = 32

# Where Vite serves a front end in development.
DEVELOPMENT_CALLBACK_URL = "http://localhost:5173/auth/callback"


class SignInSettings(Surroundings):
    """Providers, secrets and lives of what signing in hands out. A check may look at the fields above it."""

    google_client_id: str | None = Field(
        None, validation_alias="GOOGLE_CLIENT_ID", description="the client id that the provider gave you"
    )
    google_client_secret: SecretStr | None = Field(
        None, validation_alias="GOOGLE_CLIENT_SECRET", description="the secret that belongs to GOOGLE_CLIENT_ID"
    )
    google_issuer: str = Field(
        "https://accounts.google.com",
        validation_alias="GOOGLE_ISSUER",
        max_length=ISSUER_MAX_CHARS,
        description="https://host[/path] of an OpenID Connect provider, exactly as it writes it in `iss`",
    )
    github_client_id: str | None = Field(
        None, validation_alias="GITHUB_CLIENT_ID", description="the client id of an OAuth app"
    )
    github_client_secret: SecretStr | None = Field(
        None, validation_alias="GITHUB_CLIENT_SECRET", description="the secret that belongs to GITHUB_CLIENT_ID"
    )
    github_url: str = Field(
        "https://github.com",
        validation_alias="GITHUB_URL",
        max_length=ISSUER_MAX_CHARS,
        description="https://host of GitHub, or of your own",
    )
    github_api_url: str = Field(
        "https://api.github.com",
        validation_alias="GITHUB_API_URL",
        description="https://host[/path] of its API, such as https://github.example.com/api/v3",
    )
    session_secret: SecretStr | None = Field(
        None,
        validation_alias="SESSION_SECRET",
        description=f"a secret of at least {SESSION_SECRET_MIN_BYTES} bytes, such as the output of: "
        "openssl rand -hex 32",
    )
    oauth_redirect_base_url: str | None = Field(
        None,
        validation_alias="OAUTH_REDIRECT_BASE_URL",
        description="https://host[/path] under which browsers reach this service",
    )
    frontend_callback_url: str | None = Field(
        None,
        validation_alias="FRONTEND_CALLBACK_URL",
        description="https://host/path of the front end's page that ends a sign-in",
    )
    oauth_token_in_url: bool = Field(
        default=False, validation_alias="OAUTH_TOKEN_IN_URL", description="true or false; false is the safe one"
    )
    access_token_minutes: int = Field(
        15, validation_alias="ACCESS_TOKEN_MINUTES", ge=1, le=1_440, description="whole minutes from 1 to 1440"
    )
    refresh_token_days: int = Field(
        30, validation_alias="REFRESH_TOKEN_DAYS", ge=1, le=365, description="whole days from 1 to 365"
    )
    jwt_expire_minutes: int = Field(
        1_440, validation_alias="JWT_EXPIRE_MINUTES", ge=1, le=43_200, description="whole minutes from 1 to 43200"
    )

    @field_validator("google_client_secret", "github_client_secret")
    @classmethod
    def _client_secret(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        name = str(info.field_name).removesuffix("secret") + "id"
        if serves(info) and (value is None) != (info.data.get(name) is None):
            raise ValueError(f"{name.upper()} and {str(info.field_name).upper()} go together")
        return value

    @field_validator("google_issuer", "github_url", "github_api_url", "oauth_redirect_base_url")
    @classmethod
    def _base_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            if info.field_name == "oauth_redirect_base_url" and _needed(info):
                raise ValueError("missing; in production no header of a request is believed about it")
            return None
        _plain_only_here(value, info)
        # An issuer is compared as it is written, with its slash or without.
        return value if info.field_name == "google_issuer" else value.rstrip("/")

    @field_validator("session_secret")
    @classmethod
    def _session_secret(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None and _needed(info):
            raise ValueError("missing; a sign-in on its way is sealed with it")
        if (
            value is not None
            and info.data.get("environment") == "production"
            and len(value.get_secret_value().encode()) < SESSION_SECRET_MIN_BYTES
        ):
            raise ValueError(f"shorter than {SESSION_SECRET_MIN_BYTES} bytes")
        return value

    @field_validator("frontend_callback_url")
    @classmethod
    def _frontend_callback_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            if _needed(info):
                raise ValueError("missing; who has signed in is sent there, and nowhere else")
            return None if info.data.get("environment") == "production" else DEVELOPMENT_CALLBACK_URL
        _plain_only_here(value, info)
        return value


def _needed(info: ValidationInfo) -> bool:
    """Return whether users can sign in here, and nothing may be made up for it."""
    configured = info.data.get("google_client_id") or info.data.get("github_client_id")
    return serves(info) and bool(configured) and info.data.get("environment") == "production"


def _plain_only_here(url: str, info: ValidationInfo) -> None:
    """A URL of https; plain http only for this machine itself, outside production."""
    parts = checked_url(url, ("https", "http"))
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("a user name, query or fragment does not belong into it")
    production = info.data.get("environment") == "production"
    if parts.scheme == "http" and (production or not is_loopback(parts.hostname or "")):
        raise ValueError("plain http is possible only for this machine itself, outside production")
