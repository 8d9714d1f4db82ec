"""The routes of sign-in, built by the first request for one of them."""

import base64
import hashlib
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse

from image_upload import errors
from image_upload.auth.dependencies import PrincipalOf
from image_upload.auth.principals import Principal
from image_upload.auth.schemas import LogoutRequest, TokenRequest
from image_upload.auth.sign_in import PROVIDERS, SignIn
from image_upload.errors import Problem, SignInExpired
from image_upload.limits import EMAIL_MAX_CHARS, SIGN_IN_EXPIRES_S
from image_upload.settings.sign_in import SignInSettings
from image_upload.web.json_answer import JSONResponse
from image_upload.web.json_body import invalid_request, read_json
from image_upload.web.routing import DeclaredRoute, Routes, documented

# Codes and tokens are in these URLs and answers, so browsers must not send them as a referrer.
HEADERS = {"Referrer-Policy": "no-referrer"}

_DATABASE = (errors.DatabaseNotConfigured, errors.DatabaseUnavailable)
_TOKEN = (errors.TokenMissing, errors.TokenInvalid)
_JSON = (errors.ValidationFailed, errors.BodyTooLarge)

# SHA-256 in base64url (RFC 7636 section 4.2).
Challenge = Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_-]{43}$")]


class _WithoutReferrer(DeclaredRoute):
    """A route that adds `HEADERS` to all its answers, also to problems."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_and_say_so(request: Request) -> Response:
            try:
                response = await handle(request)
            except RequestValidationError as error:
                problem: Problem = invalid_request(error.errors(), skip=1)
                problem.headers |= HEADERS
                raise problem from None
            except Problem as problem:
                problem.headers |= HEADERS
                raise
            response.headers.update(HEADERS)
            return response

        return handle_and_say_so


def router(settings: SignInSettings, sign_in: SignIn, principal_of: PrincipalOf) -> APIRouter:
    """Return the routes of providers, tokens and the signed-in user."""
    routes = Routes(tags=["Accounts"], route_class=_WithoutReferrer)
    for name in PROVIDERS:
        _provider_routes(routes, settings, sign_in, name)
    _token_routes(routes, sign_in)
    _me_routes(routes, sign_in, principal_of)
    if not settings.production:
        _test_routes(routes, sign_in)
    return routes


def _provider_routes(routes: APIRouter, settings: SignInSettings, sign_in: SignIn, name: str) -> None:
    production = settings.production
    # With this prefix browsers refuse the cookie from other hosts and over plain http (RFC 6265bis section 4.1.3.2).
    cookie = "__Host-sign-in" if production else "sign-in"
    kept: dict[str, Any] = {"secure": production or settings.on_lambda, "httponly": True, "samesite": "lax"}

    @routes.get(
        f"/auth/oauth/{name}",
        name=f"begin_{name}",
        summary=f"Sign in with {name.capitalize()}",
        operation_id=f"begin{name.capitalize()}SignIn",
        status_code=302,
        response_class=RedirectResponse,
        openapi_extra=documented(
            errors.ValidationFailed, errors.ProviderFailed, errors.SignInNotConfigured, errors.DatabaseNotConfigured
        ),
    )
    async def begin(request: Request, code_challenge: Challenge = None) -> RedirectResponse:
        """Open this URL in the browser; do not fetch it. Answers 302 to the provider, with a cookie."""
        location, sealed = await sign_in.begin(name, str(request.base_url), code_challenge)
        response = RedirectResponse(location, 302)
        response.set_cookie(cookie, sealed, max_age=SIGN_IN_EXPIRES_S, **kept)
        return response

    @routes.get(
        f"/auth/oauth/{name}/callback",
        name=f"finish_{name}",
        summary=f"Back from {name.capitalize()}",
        operation_id=f"finish{name.capitalize()}SignIn",
        status_code=302,
        response_class=RedirectResponse,
        openapi_extra=documented(errors.SignInNotConfigured),
    )
    async def finish(request: Request) -> RedirectResponse:
        """The redirect URI that is registered with the provider. Deletes the cookie.

        Answers 302 to the front end with `?code=`, `?token=`, or `?error=` for all that went wrong.
        """
        answer = dict(request.query_params)
        try:
            if len(request.query_params.multi_items()) != len(answer):
                # RFC 6749 section 3.1: no parameter twice.
                raise SignInExpired("The provider's answer was altered on its way. Begin again.")
            found = await sign_in.finish(name, answer, request.cookies.get(cookie))
            request.scope["principal"] = Principal(str(found.user.id), signed_in=True)
            location = found.location
        except Problem as problem:
            # The code alone: a page must not show text that others can influence.
            request.scope["problem"] = problem.code
            location = sign_in.front_end(error=problem.code)
        response = RedirectResponse(location, 302)
        response.delete_cookie(cookie, **kept)
        return response


def _token_routes(routes: APIRouter, sign_in: SignIn) -> None:
    @routes.post(
        "/auth/token",
        summary="Tokens for a code or a refresh token",
        operation_id="createTokens",
        openapi_extra=documented(
            errors.GrantRefused,
            *_JSON,
            *_DATABASE,
            errors.SignInNotConfigured,
            answer="auth.schemas:Tokens",
            body="auth.schemas:TokenRequest",
        ),
    )
    async def token(request: Request) -> JSONResponse:
        """Each code and refresh token works once. A second use ends the session."""
        asked = await read_json(request, TokenRequest)
        if asked.grant_type == "authorization_code":
            return JSONResponse(await sign_in.exchange(asked.code or "", _challenge_of(asked.code_verifier)))
        return JSONResponse(await sign_in.renew(asked.refresh_token or ""))

    @routes.post(
        "/auth/logout",
        summary="Sign out",
        operation_id="signOut",
        status_code=204,
        openapi_extra=documented(*_JSON, *_DATABASE, body="auth.schemas:LogoutRequest"),
    )
    async def logout(request: Request) -> Response:
        """End the session: its refresh token stops working, the access token at its end. A wrong one is ignored."""
        await sign_in.end((await read_json(request, LogoutRequest)).refresh_token)
        return Response(status_code=204)


def _me_routes(routes: APIRouter, sign_in: SignIn, principal_of: PrincipalOf) -> None:
    signed_in = Annotated[Principal, Depends(principal_of.needs("mint", signed_in=True))]
    told = documented(*_TOKEN, errors.DatabaseUnavailable, answer="auth.schemas:Person")

    @routes.get("/auth/me", summary="Who am I", operation_id="getCurrentUser", openapi_extra=told)
    async def me(principal: signed_in) -> JSONResponse:
        """Email and name are known only of users who signed in here."""
        return JSONResponse(await sign_in.user(principal.user_id))

    @routes.post("/auth/verify", summary="Is this token good", operation_id="verifyToken", openapi_extra=told)
    async def verify(principal: signed_in) -> JSONResponse:
        """For a back end that has received a token and needs its user."""
        return JSONResponse(await sign_in.user(principal.user_id))


def _test_routes(routes: APIRouter, sign_in: SignIn) -> None:
    @routes.post(
        "/auth/oauth/test-token",
        summary="A token for tests",
        operation_id="createTestToken",
        openapi_extra=documented(
            errors.ValidationFailed, *_DATABASE, errors.SignInNotConfigured, answer="auth.schemas:TestToken"
        ),
    )
    async def test_token(
        email: Annotated[str, Query(max_length=EMAIL_MAX_CHARS, pattern=r"^[!-?A-~]+@[!-?A-~]+$")],
    ) -> JSONResponse:
        """Sign in as the user with this address, without a provider. In production the route does not exist."""
        return JSONResponse(await sign_in.test_token(email))


def _challenge_of(verifier: str | None) -> str | None:
    """Return the code challenge of a verifier (RFC 7636 section 4.6)."""
    if verifier is None:
        return None
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
