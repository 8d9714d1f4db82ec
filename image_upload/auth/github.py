"""Sign-in at GitHub, which uses OAuth 2.0 and an API instead of an ID token.

https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
https://docs.github.com/en/rest/users/emails
"""

from collections.abc import Mapping
from typing import Any

from image_upload.auth import oauth
from image_upload.auth.oauth import Client, Endpoints
from image_upload.auth.oauth_state import Transaction
from image_upload.auth.openid import identity_of
from image_upload.auth.provider_client import Outgoing, failed
from image_upload.database.identity import Identity


class GitHub:
    """github.com, or a GitHub Enterprise Server. Its answers are trusted because they come by TLS from its API."""

    def __init__(self, name: str, url: str, api_url: str, client: Client) -> None:
        self._name = name
        self._url = url
        self._api_url = api_url
        self._client = client
        self._endpoints = Endpoints(f"{url}/login/oauth/authorize", f"{url}/login/oauth/access_token")

    async def authorization_url(self, transaction: Transaction) -> str:
        """Return the URL to redirect the browser to."""
        return oauth.authorization_url(self._client, self._endpoints, transaction)

    async def identity(self, answer: Mapping[str, str], transaction: Transaction) -> Identity:
        """Return the user's identity, with a verified primary address. Raises `SignInDenied` and `ProviderFailed`."""
        code = oauth.check_answer(answer, self._endpoints)
        async with Outgoing(self._url, self._api_url) as calls:
            tokens = await oauth.exchange(calls, self._client, self._endpoints, transaction, code)
            user = await calls.get(f"{self._api_url}/user", tokens["access_token"])
            emails = await calls.get(f"{self._api_url}/user/emails", tokens["access_token"])
        # The id identifies a user: a login name can be released and taken by another user.
        if not isinstance(user, dict) or type(user.get("id")) is not int or not isinstance(emails, list):
            raise failed(self._api_url, "it does not say who the user is")
        email, verified = _primary(emails)
        called = user.get("name") or user.get("login")
        return identity_of(self._name, self._url, str(user["id"]), email, called, verified=verified)


def _primary(emails: list[Any]) -> tuple[object, bool]:
    """Return the primary address and whether it is verified. The profile's public address may be unverified."""
    for entry in emails:
        if isinstance(entry, dict) and entry.get("primary") is True:
            return entry.get("email"), entry.get("verified") is True
    return None, False
