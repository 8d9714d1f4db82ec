import asyncio
from typing import Any

import pytest
from fastapi.routing import APIRoute

from image_upload.app import create_app
from image_upload.auth import permissions
from image_upload.auth.claims import principal_in
from image_upload.auth.dependencies import PrincipalOf
from image_upload.auth.principals import ANONYMOUS, Principal
from image_upload.auth.tokens import Verifier
from image_upload.settings import load
from image_upload.web.routing import DirectRoute, every_route
from tests.auth.provider import SECRET, own

GIVEN = {"S3_BUCKET_NAME": "bucket", "AWS_REGION": "eu-north-1", "ENVIRONMENT": "test"}


def scopes(prefix: str = "", **claims: Any) -> set[str]:
    return set(principal_in({"sub": "42", **claims}, prefix, from_provider=False).scopes)


@pytest.mark.parametrize(
    ("claims", "found"),
    [
        ({}, set()),
        ({"scope": "openid profile"}, {"openid", "profile"}),
        ({"scope": "openid admin"}, {"openid", "admin"}),
        ({"scope": "mint"}, {"mint"}),
        ({"scp": ["mint", "read"]}, {"mint", "read"}),
        ({"scp": "mint admin"}, {"mint", "admin"}),
        ({"permissions": ["admin"]}, {"admin"}),
        ({"scope": "administrator"}, {"administrator"}),
        ({"scope": "Admin"}, {"Admin"}),
        ({"scope": "  "}, set()),
        ({"scope": "admin,mint"}, {"admin,mint"}),
        ({"scope": "not\tadmin"}, {"not\tadmin"}),
        ({"scope": ["mint"]}, {"mint"}),
        ({"scope": {"admin": True}}, set()),
        ({"scope": True}, set()),
        ({"scope": None, "permissions": [["admin"], {"admin": 1}, None]}, set()),
        ({"roles": ["admin"], "groups": ["admin"]}, set()),
    ],
)
def test_scopes_are_read_from_where_providers_write_them_and_nowhere_else(
    claims: dict[str, Any], found: set[str]
) -> None:
    assert scopes(**claims) == found


def test_with_a_prefix_only_scopes_of_this_service_count() -> None:
    assert scopes("uploads/", scope="admin uploads/mint other/admin uploads/") == {"mint"}
    settings = load(GIVEN | {"JWT_SECRET": SECRET, "JWT_SCOPE_PREFIX": "uploads/"})
    token = own(aud=None, scope="admin uploads/mint")
    assert asyncio.run(Verifier(settings.auth).verify(token)).scopes == {"mint"}


ALICE = Principal("alice", signed_in=True)
MINTER = Principal("alice", signed_in=True, scopes=frozenset({"mint"}))
ADMIN = Principal("root", signed_in=True, scopes=frozenset({"admin"}))


@pytest.mark.parametrize(
    ("principal", "mint", "own", "others"),
    [
        (ALICE, True, True, False),
        (MINTER, True, False, False),
        (ADMIN, True, True, True),
        (ADMIN._replace(scopes=frozenset({"admin", "mint"})), True, True, True),
        (ANONYMOUS, True, True, False),
    ],
)
def test_who_may_do_what(principal: Principal, mint: bool, own: bool, others: bool) -> None:
    assert permissions.may_mint(principal) is mint
    for may in (permissions.may_read, permissions.may_manage):
        assert may(principal, principal.user_id) is own
        assert may(principal, "bob") is others


# What needs no token: they say what is public, or the presigned URL is the permission.
PUBLIC = {"/", "/errors", "/errors/{code}", "/upload-with-presigned", "/upload-with-presigned-retry"}
PUBLIC |= {"/docs", "/docs/{version}/{name}", "/favicon.ico", "/llms.txt", "/.well-known/jwks.json"}
PUBLIC |= {"/client.js", "/page/{version}/{name}.js"}
# Prometheus has a token of its own.
PUBLIC |= {"/metrics"}
# A worker has the token of its job.
PUBLIC |= {"/jobs/{job_id}/result"}
# What a token is had by.
PUBLIC |= {f"/auth/oauth/{name}{end}" for name in ("google", "github") for end in ("", "/callback")}
PUBLIC |= {"/auth/token", "/auth/logout", "/auth/oauth/test-token"}


def test_every_route_that_is_not_public_states_the_right_it_needs() -> None:
    routes = list(every_route(create_app(load(GIVEN)).routes))
    stated = {
        route.path: {each.call.right for each in route.dependant.dependencies if isinstance(each.call, PrincipalOf)}
        for route in routes
        if isinstance(route, APIRoute)
    }
    assert {path for path, found in stated.items() if len(found) != 1} == PUBLIC
    assert {route.path for route in routes if isinstance(route, DirectRoute)} == {"/uploads"}, "tested over HTTP"
