"""The settings of sign-in."""

from pydantic import SecretStr

from image_upload.limits import ISSUER_MAX_CHARS
from image_upload.settings.section import Check, Known, Section, setting
from image_upload.settings.values import checked_url, is_loopback

# As many bytes as the hash that derives a key from it.
SESSION_SECRET_MIN_BYTES = 32

# The origin of Vite's development server.
DEVELOPMENT_CALLBACK_URL = "http://localhost:5173/auth/callback"


def _client_secret_of(provider: str) -> Check:
    def check(value: SecretStr | None, known: Known) -> SecretStr | None:
        if known.serving and (value is None) != (known.get(f"{provider}_client_id") is None):
            raise ValueError(f"{provider.upper()}_CLIENT_ID and {provider.upper()}_CLIENT_SECRET go together")
        return value

    return check


def _needed(known: Known) -> bool:
    """Return whether users can sign in here, and nothing may be made up for it."""
    configured = known.get("google_client_id") or known.get("github_client_id")
    return known.serving and bool(configured) and known.production


def _https(url: str, known: Known) -> str:
    """Return a URL of https; plain http only for this machine itself, outside production."""
    parts = checked_url(url, ("https", "http"))
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("a user name, query or fragment does not belong into it")
    if parts.scheme == "http" and (known.production or not is_loopback(parts.hostname or "")):
        raise ValueError("plain http is possible only for this machine itself, outside production")
    return url


def _issuer(value: str, known: Known) -> str:
    """Return it as it is written, with its slash or without: so it is compared."""
    if len(value) > ISSUER_MAX_CHARS:
        raise ValueError(f"longer than {ISSUER_MAX_CHARS} characters")
    return _https(value, known)


def _github_url(value: str, known: Known) -> str:
    return _issuer(value, known).rstrip("/")


def _github_api_url(value: str, known: Known) -> str:
    return _https(value, known).rstrip("/")


def _redirect_base_url(value: str | None, known: Known) -> str | None:
    if value is None and _needed(known):
        raise ValueError("missing; in production no header of a request is believed about it")
    return None if value is None else _https(value, known).rstrip("/")


def _session_secret(value: SecretStr | None, known: Known) -> SecretStr | None:
    if value is None and _needed(known):
        raise ValueError("missing; a sign-in on its way is sealed with it")
    if value is not None and known.production and len(value.get_secret_value().encode()) < SESSION_SECRET_MIN_BYTES:
        raise ValueError(f"shorter than {SESSION_SECRET_MIN_BYTES} bytes")
    return value


def _callback_url(value: str | None, known: Known) -> str | None:
    if value is None:
        if _needed(known):
            raise ValueError("missing; who has signed in is sent there, and nowhere else")
        return None if known.production else DEVELOPMENT_CALLBACK_URL
    return _https(value, known)


class SignInSettings(Section):
    """Providers, secrets and lives of what signing in hands out. A check may look at the fields above its own."""

    # --- Signing in ------------------------------------------------------------------------------------

    google_client_id: str | None = setting(
        "GOOGLE_CLIENT_ID",
        default=None,
        description="the client id that the provider gave you",
    )
    """Opens `GET /auth/oauth/google`. Without it: 503 `sign-in-not-configured`."""

    google_client_secret: SecretStr | None = setting(
        "GOOGLE_CLIENT_SECRET",
        default=None,
        description="the secret that belongs to GOOGLE_CLIENT_ID",
        check=_client_secret_of("google"),
    )
    """Goes together with the id; one alone is refused."""

    google_issuer: str = setting(
        "GOOGLE_ISSUER",
        default="https://accounts.google.com",
        description="https://host[/path] of an OpenID Connect provider, exactly as it writes it in `iss`",
        check=_issuer,
    )
    """Any other provider of OpenID Connect in Google's place. What it needs is found by discovery below it."""

    github_client_id: str | None = setting(
        "GITHUB_CLIENT_ID",
        default=None,
        description="the client id of an OAuth app",
    )
    """Opens `GET /auth/oauth/github`."""

    github_client_secret: SecretStr | None = setting(
        "GITHUB_CLIENT_SECRET",
        default=None,
        description="the secret that belongs to GITHUB_CLIENT_ID",
        check=_client_secret_of("github"),
    )
    """Goes together with the id."""

    github_url: str = setting(
        "GITHUB_URL",
        default="https://github.com",
        description="https://host of GitHub, or of your own",
        check=_github_url,
    )
    """Your own GitHub Enterprise Server."""

    github_api_url: str = setting(
        "GITHUB_API_URL",
        default="https://api.github.com",
        description="https://host[/path] of its API, such as https://github.example.com/api/v3",
        check=_github_api_url,
    )
    """The API of it, such as `https://github.example.com/api/v3`."""

    session_secret: SecretStr | None = setting(
        "SESSION_SECRET",
        default=None,
        description=f"a secret of at least {SESSION_SECRET_MIN_BYTES} bytes, such as the output of: "
        "openssl rand -hex 32",
        check=_session_secret,
    )
    """Seals the cookie of a sign-in on its way. Changing it ends those, ten minutes' worth, and nothing else.
    Outside production, without one, each process makes one up."""

    oauth_redirect_base_url: str | None = setting(
        "OAUTH_REDIRECT_BASE_URL",
        default=None,
        description="https://host[/path] under which browsers reach this service",
        check=_redirect_base_url,
    )
    """Where browsers reach this service. `/auth/oauth/google/callback` behind it is what you register with the
    provider. Outside production, without it, the address of the request counts if it is this machine's own
    (`localhost`, `127.0.0.1`); in production no header of a request decides about it."""

    frontend_callback_url: str | None = setting(
        "FRONTEND_CALLBACK_URL",
        default=None,
        description="https://host/path of the front end's page that ends a sign-in",
        check=_callback_url,
    )
    """The one page that a sign-in leads back to."""

    oauth_token_in_url: bool = setting(
        "OAUTH_TOKEN_IN_URL",
        default=False,
        description="true or false; false is the safe one",
    )
    """True sends the browser back with `?token=`, as older front ends expect, unless it came with a
    `code_challenge`. A token in an address lies in histories and logs, and lives `JWT_EXPIRE_MINUTES`."""

    access_token_minutes: int = setting(
        "ACCESS_TOKEN_MINUTES",
        default=15,
        least=1,
        most=1_440,
        description="whole minutes from 1 to 1440",
    )
    """How long an access token lives that came with a refresh token. So long, too, it outlives signing out: no route
    asks the database about a token."""

    refresh_token_days: int = setting(
        "REFRESH_TOKEN_DAYS",
        default=30,
        least=1,
        most=365,
        description="whole days from 1 to 365",
    )
    """How long after a sign-in it can be renewed."""

    jwt_expire_minutes: int = setting(
        "JWT_EXPIRE_MINUTES",
        default=1_440,
        least=1,
        most=43_200,
        description="whole minutes from 1 to 43200",
    )
    """How long a token lives that cannot be renewed: that of `POST /auth/oauth/test-token`, and `?token=`."""
