"""Sign-in at a provider: begin, finish, exchange the code, renew the tokens, end the session.

browser ──begin──► provider ──finish──► front end ──exchange──► tokens ──renew──► tokens … ──end
"""

import logging
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlencode, urlsplit

from pydantic import SecretStr

from image_upload.auth import oauth_state
from image_upload.auth.oauth_state import StateCookie, Transaction
from image_upload.auth.token_issuer import access_token
from image_upload.database.database import Database
from image_upload.database.identity import Identity, Renewed, User
from image_upload.errors import GrantRefused, SignInNotConfigured
from image_upload.settings.auth import AuthSettings
from image_upload.settings.sign_in import SignInSettings
from image_upload.settings.values import is_loopback

if TYPE_CHECKING:
    from image_upload.database.sessions import Sessions

log = logging.getLogger(__name__)

PROVIDERS = ("google", "github")

_REFUSED = "This code or token was used before, is too old, or is none of this service. Sign in again."


class Provider(Protocol):
    """An identity provider."""

    async def authorization_url(self, transaction: Transaction) -> str:
        """Return the URL to redirect the browser to."""

    async def identity(self, answer: Mapping[str, str], transaction: Transaction) -> Identity:
        """Return the user's identity from the parameters of the provider's redirect."""


class SignedInUser(NamedTuple):
    """A user who has signed in, and the URL to redirect their browser to."""

    user: User
    location: str


class SignIn:
    """Sign-in at all providers. Each provider is built by its first sign-in. `auth` says how tokens are signed."""

    def __init__(self, settings: SignInSettings, auth: AuthSettings, database: Database) -> None:
        self._settings = settings
        self._auth = auth
        self._database = database
        self._providers: dict[str, Provider] = {}
        secret = settings.session_secret
        # Without a secret (outside production only) a sign-in must end in the process in which it began.
        self._state_cookie = StateCookie(secret.get_secret_value().encode() if secret else secrets.token_bytes(32))

    @property
    def _sessions(self) -> "Sessions":
        return self._database.sessions(self._settings.refresh_token_days)

    async def begin(self, name: str, base_url: str, challenge: str | None) -> tuple[str, str]:
        """Return the URL to redirect the browser to, and a cookie. `base_url` is the service's, from the request."""
        provider, redirect_uri = self._provider(name), self._redirect_uri(name, base_url)
        # Fail now, and not when the user comes back, if there is no database or no secret for tokens.
        _ = self._database.users
        access_token(self._auth, 1, 1)
        transaction = oauth_state.begin(name, redirect_uri, challenge)
        return await provider.authorization_url(transaction), self._state_cookie.close(transaction)

    async def finish(self, name: str, answer: Mapping[str, str], cookie: str | None) -> SignedInUser:
        """Return the user, and the URL to redirect to. Raises the problems that `?error=` reports to the front end."""
        provider = self._provider(name)
        transaction = self._state_cookie.open(cookie, name, answer.get("state"))
        user = await self._database.users.sign_in(await provider.identity(answer, transaction))
        log.info("signed in", extra={"fields": {"user_id": user.id, "provider": name}})
        if self._settings.oauth_token_in_url and transaction.challenge is None:
            token = access_token(self._auth, user.id, self._settings.jwt_expire_minutes)
            return SignedInUser(user, self.front_end(token=token))
        code = await self._sessions.begin(user.id, transaction.challenge)
        return SignedInUser(user, self.front_end(code=code))

    def front_end(self, **said: str) -> str:
        """Return the front end's callback URL with these parameters. Raises `SignInNotConfigured`."""
        if self._settings.frontend_callback_url is None:
            raise SignInNotConfigured("This service has no FRONTEND_CALLBACK_URL. Its operator sets it.")
        return f"{self._settings.frontend_callback_url}?{urlencode(said)}"

    async def exchange(self, code: str, challenge: str | None) -> dict[str, Any]:
        """Exchange a one-time code for tokens. Raises `GrantRefused`."""
        return await self._tokens(await self._sessions.redeem(code, challenge), "code")

    async def renew(self, refresh_token: str) -> dict[str, Any]:
        """Exchange a refresh token for tokens. It works once. Raises `GrantRefused`."""
        return await self._tokens(await self._sessions.renew(refresh_token), "refresh token")

    async def end(self, refresh_token: str) -> None:
        """End the session of a refresh token."""
        await self._sessions.end(refresh_token)

    async def test_token(self, email: str) -> dict[str, Any]:
        """Return a token for the user with this address, without sign-in. Never in production."""
        identity = Identity("test", "test", email, email, email_verified=True, name="Test User")
        user = await self._database.users.sign_in(identity)
        return self._answer(user, self._settings.jwt_expire_minutes)

    async def user(self, user_id: str) -> dict[str, Any]:
        """Return a token's user: id, email and name; the id alone for a user who did not sign in here."""
        user = None
        if self._database.is_configured and user_id.isascii() and user_id.isdigit() and len(user_id) <= _ID_DIGITS:
            user = await self._database.users.find(int(user_id))
        if user is None:
            return {"user_id": user_id, "email": None, "name": None}
        return _as_json(user)

    async def _tokens(self, renewed: Renewed | None, what: str) -> dict[str, Any]:
        user = None if renewed is None else await self._database.users.find(renewed.user_id)
        if user is None or renewed is None:
            log.warning("sign-in grant refused", extra={"fields": {"grant": what}})
            raise GrantRefused(_REFUSED, error="invalid_grant")
        answer = self._answer(user, self._settings.access_token_minutes)
        return {**answer, "refresh_token": renewed.refresh_token}

    def _answer(self, user: User, minutes: int) -> dict[str, Any]:
        return {
            "access_token": access_token(self._auth, user.id, minutes),
            "token_type": "bearer",
            "expires_in": minutes * 60,
            "user": _as_json(user),
        }

    def _provider(self, name: str) -> Provider:
        if name not in self._providers:
            self._providers[name] = _MAKERS[name](self._settings)
        return self._providers[name]

    def _redirect_uri(self, name: str, base_url: str) -> str:
        """Return the redirect URI, exactly as it is registered at the provider."""
        base = self._settings.oauth_redirect_base_url
        if base is None:
            # Otherwise a forged Host header would decide where the provider sends its codes.
            if self._settings.production or not is_loopback(urlsplit(base_url).hostname or ""):
                raise SignInNotConfigured(
                    "This service does not know its own address. Its operator sets OAUTH_REDIRECT_BASE_URL."
                )
            base = base_url.rstrip("/")
        return f"{base}/auth/oauth/{name}/callback"


# A row's id has 53 bits.
_ID_DIGITS = 16


def _as_json(user: User) -> dict[str, Any]:
    return {"user_id": user.id, "email": user.email, "name": user.name}


def _client_of(client_id: str | None, secret: SecretStr | None, scope: str, variable: str) -> Any:
    from image_upload.auth.oauth import Client  # 80 ms: Authlib and httpx, for those who sign in

    if client_id is None or secret is None:
        raise SignInNotConfigured(
            f"This way of signing in is not set up. The service's operator sets {variable}_CLIENT_ID and "
            f"{variable}_CLIENT_SECRET."
        )
    return Client(client_id, secret.get_secret_value(), scope)


def _google(settings: SignInSettings) -> Provider:
    client = _client_of(settings.google_client_id, settings.google_client_secret, "openid email profile", "GOOGLE")
    from image_upload.auth.openid import OpenIdProvider  # the same

    return OpenIdProvider("google", settings.google_issuer, client)


def _github(settings: SignInSettings) -> Provider:
    client = _client_of(settings.github_client_id, settings.github_client_secret, "user:email", "GITHUB")
    from image_upload.auth.github import GitHub  # the same

    return GitHub("github", settings.github_url, settings.github_api_url, client)


_MAKERS: Mapping[str, Callable[[SignInSettings], Provider]] = {"google": _google, "github": _github}
