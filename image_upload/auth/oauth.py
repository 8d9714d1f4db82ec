"""The client of RFC 6749 with PKCE, by Authlib; HTTP goes through `Outgoing`.

Authlib's own HTTP client is not used, because it would bypass the address checks and limits. Importing takes 60 ms.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote_plus

import httpx
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.client import OAuth2Client
from authlib.oauth2.rfc6749.parameters import prepare_token_request

from image_upload.auth.oauth_state import Transaction
from image_upload.auth.provider_client import Outgoing, failed
from image_upload.errors import SignInDenied


class Client(NamedTuple):
    """This service's registration at a provider."""

    client_id: str
    secret: str
    scope: str


class Endpoints(NamedTuple):
    """The URLs of a provider. `auth_method`: how the client authenticates there."""

    authorize: str
    token: str
    auth_method: str = "client_secret_post"


def authorization_url(client: Client, endpoints: Endpoints, transaction: Transaction, **more: str) -> str:
    """Return the URL to redirect the browser to."""
    url, _ = _speaking(client, endpoints, transaction).create_authorization_url(
        endpoints.authorize, state=transaction.state, code_verifier=transaction.verifier, **more
    )
    return str(url)


def check_answer(answer: Mapping[str, str], endpoints: Endpoints) -> str:
    """Return the code of the provider's redirect. Raises `SignInDenied` and `ProviderFailed`."""
    if answer.get("error") == "access_denied":
        raise SignInDenied("The sign-in was declined. Begin again to agree.")
    if "error" in answer:
        raise failed(endpoints.authorize, "it came back with an error")
    if not answer.get("code"):
        raise failed(endpoints.authorize, "it came back without a code")
    return answer["code"]


async def exchange(
    calls: Outgoing, client: Client, endpoints: Endpoints, transaction: Transaction, code: str
) -> dict[str, Any]:
    """Exchange a code for the provider's tokens. Raises `ProviderFailed`."""
    if endpoints.auth_method == "client_secret_basic":
        # RFC 6749 section 2.3.1 encodes both for the header. Authlib does not.
        client = client._replace(client_id=quote_plus(client.client_id), secret=quote_plus(client.secret))
    speaking = _speaking(client, endpoints, transaction)
    body = prepare_token_request(
        "authorization_code", redirect_uri=transaction.redirect_uri, code=code, code_verifier=transaction.verifier
    )
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    url, headers, body = speaking.client_auth(endpoints.auth_method).prepare("POST", endpoints.token, headers, body)
    answer = await calls.call("POST", url, headers, body)
    try:
        tokens: dict[str, Any] = speaking.parse_response_token(answer)
    except OAuth2Error as error:
        # Only the code of RFC 6749 section 5.2: a description may repeat what was sent.
        raise failed(url, f"it refused the code: {str(error.error)[:64]}") from None
    except (ValueError, RecursionError, httpx.HTTPStatusError):
        raise failed(url, f"status {answer.status_code}, and no token in it") from None
    if answer.status_code != httpx.codes.OK or not isinstance(tokens.get("access_token"), str):
        raise failed(url, f"status {answer.status_code}, and no token in it")
    return tokens


def _speaking(client: Client, endpoints: Endpoints, transaction: Transaction) -> Any:
    return OAuth2Client(
        None,
        client_id=client.client_id,
        client_secret=client.secret,
        token_endpoint_auth_method=endpoints.auth_method,
        scope=client.scope,
        redirect_uri=transaction.redirect_uri,
        code_challenge_method="S256",
    )
