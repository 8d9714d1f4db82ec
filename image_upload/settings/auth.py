"""The settings that decide who may use the service."""

import importlib
import inspect
from collections.abc import Callable
from typing import Any, Literal, cast

from pydantic import SecretStr

from image_upload.settings.section import Known, Section, setting
from image_upload.settings.values import CommaList, checked_url, is_loopback

# RFC 7518 section 3.2: a key holds at least as many bits as the hash.
JWT_SECRET_MIN_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}


def _auth_required(value: bool | None, known: Known) -> bool:
    return known.production if value is None else value


def _jwks_url(value: str | None, known: Known) -> str | None:
    if value is not None:
        parts = checked_url(value, ("https", "http"))
        if parts.username is not None:
            raise ValueError("a user name does not belong into it")
        if parts.scheme == "http" and (known.production or not is_loopback(parts.hostname or "")):
            raise ValueError("plain http is possible only for this machine itself, outside production")
    return value


def _jwt_secret(value: SecretStr | None, known: Known) -> SecretStr | None:
    if value is None and known.serving and known.get("auth_required") and known.get("jwt_jwks_url") is None:
        raise ValueError("missing, and JWT_JWKS_URL too; without either no token could pass AUTH_REQUIRED")
    return _long_enough(value, known)


def _jwt_previous_secret(value: SecretStr | None, known: Known) -> SecretStr | None:
    # The same as JWT_SECRET is no fault: of two parameters in a store one changes first.
    if known.serving and value is not None and known.get("jwt_secret") is None:
        raise ValueError("it goes together with a JWT_SECRET")
    return _long_enough(value, known)


def _long_enough(value: SecretStr | None, known: Known) -> SecretStr | None:
    least = JWT_SECRET_MIN_BYTES[known.get("jwt_algorithm", "HS256")]
    if value is not None and known.production and len(value.get_secret_value().encode()) < least:
        raise ValueError(f"shorter than {least} bytes")
    return value


def _jwt_issuer(value: str | None, known: Known) -> str | None:
    if value is None and known.serving and known.get("jwt_jwks_url") is not None:
        raise ValueError("missing; keys alone do not say whose tokens they are for")
    return value


def _authorize(value: str | None, known: Known) -> Callable[..., Any] | None:
    """Return the function of `module:function`. A command that answers no HTTP does not need it."""
    if value is None or not known.serving:
        return None
    module, _, name = value.partition(":")
    if not all(each.isidentifier() for each in (*module.split("."), *name.split("."))):
        raise ValueError("not of the form module:function")
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:  # noqa: BLE001  the module is the operator's, and may raise anything
        raise ValueError(f"the module {module} cannot be imported ({type(error).__name__}: {error})") from None
    for each in name.split("."):
        found = getattr(found, each, None)
    if not callable(found):
        raise ValueError(f"the module {module} has no function {name}")  # noqa: TRY004  every fault is a ValueError
    try:
        inspect.signature(found).bind(None, None)
    except TypeError:
        raise ValueError(f"{name} does not take two arguments, a principal and an upload") from None
    except ValueError:
        pass  # a function that is not written in Python tells nothing about itself
    return cast("Callable[..., Any]", found)


class AuthSettings(Section):
    """Which tokens count. A check may look at the fields above its own."""

    # --- Who may use it --------------------------------------------------------------------------------

    auth_required: bool | None = setting(
        "AUTH_REQUIRED",
        default=None,
        description="true or false",
        check=_auth_required,
    )
    """Whether minting, tickets, Uppy's routes and reading need a token. The form routes never do: the presigned URL
    is the permission. Where it is true, `JWT_SECRET` or `JWT_JWKS_URL` must be set. In production listing and
    deleting need a token in any case."""

    authorize: Callable[..., Any] | None = setting(
        "AUTHORIZE",
        default=None,
        description="module:function, such as mypackage.uploads:authorize",
        check=_authorize,
    )
    """A Python function of yours that sees each upload that is asked for, and may refuse or narrow it:
    docs/purposes.md#your-own-check."""

    jwt_algorithm: Literal["HS256", "HS384", "HS512"] = setting(
        "JWT_ALGORITHM",
        default="HS256",
        description="one of HS256, HS384, HS512: the algorithm of JWT_SECRET; public keys bring their own",
    )
    """The only algorithm that `JWT_SECRET` verifies, whatever a token's header says. A provider's key verifies the
    one algorithm that its own entry says."""

    jwt_jwks_url: str | None = setting(
        "JWT_JWKS_URL",
        default=None,
        description="https://host/path of an identity provider's JSON Web Key Set; plain http only on loopback outside "
        "production",
        check=_jwks_url,
    )
    """The keys of an identity provider, whose tokens are accepted then: docs/tokens.md. The host may be a private
    one. Redirects are not followed."""

    jwt_scope_prefix: str | None = setting(
        "JWT_SCOPE_PREFIX",
        default=None,
        description="what stands before `admin` and `mint` in a token",
    )
    """What stands in front of `admin`, `mint` and a purpose's scope in a token. Set it where a provider's plain
    `admin` may mean something else."""

    jwt_secret: SecretStr | None = setting(
        "JWT_SECRET",
        default=None,
        description=f"a secret of at least {JWT_SECRET_MIN_BYTES['HS256']} bytes, such as the output of: "
        "openssl rand -hex 32",
        check=_jwt_secret,
    )
    """Verifies tokens, and signs the tickets of multipart uploads with a key derived from it. Without it, production
    mints no multipart upload (503 `tickets-not-configured`); elsewhere each process signs with a random secret of
    its own, so that a ticket ends with its process. With `HS384` production wants 48 bytes, with `HS512` 64: RFC
    7518 asks for as many bits as the hash has. How to change it: docs/tokens.md#changing-the-secret."""

    jwt_previous_secret: SecretStr | None = setting(
        "JWT_PREVIOUS_SECRET",
        default=None,
        description="the JWT_SECRET of before, while its tokens and tickets are still about",
        check=_jwt_previous_secret,
    )
    """Still verifies tokens and tickets, and signs none. For the time of a change."""

    jwt_issuer: str | None = setting(
        "JWT_ISSUER",
        default=None,
        description="the `iss` every token must carry; required with JWT_JWKS_URL",
        check=_jwt_issuer,
    )
    """The `iss` that every token must carry, exactly."""

    jwt_audience: CommaList = setting(
        "JWT_AUDIENCE",
        default=(),
        description="the `aud` every token must carry; of several separated by commas, one. The first is what the "
        "service signs",
    )
    """The `aud` that every token must carry; of several, one. The service signs its own tokens for the first.
    Without this setting a token that has an `aud` is refused: it was made for another service."""
