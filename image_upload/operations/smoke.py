"""The smoke test inside the Lambda function: its requests are Function URL events, its uploads go to S3 by HTTP.

So the machine that deploys needs neither the function's URL nor a secret, and a version is tested before it serves.
"""

import asyncio
import base64
import contextlib
import json
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import httpx
from mangum import Mangum
from pydantic import SecretStr

from image_upload.app import create_app
from image_upload.auth.jwks import KeySet
from image_upload.auth.token_issuer import bearer_token
from image_upload.cli.smoke import (
    STEPS,
    SUBJECT,
    TIMEOUT_S,
    TOKEN_LIFE_S,
    Answer,
    Client,
    Failed,
    Sample,
    Step,
    compare,
    expect,
    real_png,
    smoke,
)
from image_upload.limits import LAMBDA_ANSWER_MARGIN_S, SMOKE_CLEAN_UP_S
from image_upload.outbound.client import tls_context
from image_upload.settings import Settings
from image_upload.settings.values import OFF
from image_upload.web import edge
from image_upload.web.function_url import adapter

_HOST: Final = "smoke-test.invalid"
# The name covers all forms of percent-encoding: UTF-8, a space, a plus, a percent sign.
_FILE_NAME: Final = "고양이 1+2%.png"

Value = TypeVar("Value")


class _Context(NamedTuple):
    """Lambda's context of one request, as far as the service reads it, with an earlier deadline."""

    aws_request_id: str
    ends_at_s: float

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self.ends_at_s - time.monotonic()) * 1000))


class FunctionClient(Client):
    """A client that sends requests as events to an adapter, and uploads to S3 by HTTP.

    Raises `Failed` if the invocation has no time left. `SMOKE_CLEAN_UP_S` of its time are reserved for cleaning up.
    """

    def __init__(self, http: Mangum, context: Any, settings: Settings, token: str | None) -> None:
        super().__init__("this version of the function", token)
        self._http = http
        self._context = context
        self._settings = settings
        self._tls = tls_context(verify=settings.storage.verify_ssl)

    def send(self, method: str, url: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        """See `Client`."""
        left_s = self.left_s()
        if not url.startswith("/"):
            return wait_for(self._sent_to_s3(method, url, body, headers), min(left_s, TIMEOUT_S), "S3")
        context = _Context(self._context.aws_request_id, time.monotonic() + left_s)
        event = request_event(method, url, body, headers | edge.headers(self._settings.web))
        answer = self._http(event, context)  # type: ignore[arg-type]  # it asks for no more of a context
        text = answer.get("body", "")
        return Answer(
            answer["statusCode"],
            answer["headers"],
            base64.b64decode(text) if answer["isBase64Encoded"] else text.encode(),
        )

    async def _sent_to_s3(self, method: str, url: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        async with httpx.AsyncClient(verify=self._tls, trust_env=False, timeout=TIMEOUT_S) as web:
            response = await web.request(method, url, content=body, headers=headers)
            return Answer(response.status_code, dict(response.headers), response.content)

    def left_s(self) -> float:
        """Return the seconds that a call may take. Raises `Failed` if there are none."""
        ends_in_s: float = self._context.get_remaining_time_in_millis() / 1000
        kept_s = LAMBDA_ANSWER_MARGIN_S + (0 if self.cleaning_up else SMOKE_CLEAN_UP_S)
        if ends_in_s <= kept_s:
            raise Failed(
                f"no time left: Lambda ends this invocation in {ends_in_s:.1f} s, and {kept_s:g} s of it are reserved "
                "to clean up and to answer. See what took so long, or raise the function's timeout (TimeoutSeconds)"
            )
        return ends_in_s - kept_s


def wait_for(answer: Awaitable[Value], within_s: float, whom: str) -> Value:
    """Await an answer and return it. Raises `Failed` on a network error, or without an answer within `within_s`.

    Use the event loop of the requests: a connection belongs to its loop.
    """

    async def whole() -> Value:
        async with asyncio.timeout(within_s):
            return await answer

    try:
        return asyncio.get_event_loop().run_until_complete(whole())
    except TimeoutError:
        raise Failed(f"no answer from {whom} within {within_s:.0f} s") from None
    except (httpx.HTTPError, OSError) as error:
        raise Failed(f"no answer from {whom}: {type(error).__name__}: {error}") from None


def request_event(method: str, url: str, body: bytes | None, headers: dict[str, str]) -> dict[str, Any]:
    """Return a request as a Function URL event. `url` is a percent-encoded path with its query.

    https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads
    """
    parts = urlsplit(url)
    named = {name.lower(): value for name, value in headers.items()}
    now = datetime.now(UTC)
    # A random documentation address (RFC 3849), so that the test uses up no client's rate limit.
    source = f"2001:db8:{secrets.randbits(16):x}:{secrets.randbits(16):x}::1"
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": parts.path,
        "rawQueryString": parts.query,
        "headers": {
            "host": _HOST,
            "user-agent": SUBJECT,
            "x-forwarded-for": source,
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
            **named,
        },
        "requestContext": {
            "accountId": "anonymous",
            "apiId": SUBJECT,
            "domainName": _HOST,
            "domainPrefix": SUBJECT,
            "http": {
                "method": method,
                # AWS does not document whether this path is encoded.
                "path": unquote(parts.path),
                "protocol": "HTTP/1.1",
                "sourceIp": source,
                "userAgent": SUBJECT,
            },
            "requestId": str(uuid.uuid4()),
            "routeKey": "$default",
            "stage": "$default",
            "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(now.timestamp() * 1000),
        },
        "isBase64Encoded": False,
    }
    if parts.query:
        event["queryStringParameters"] = dict(parse_qsl(parts.query, keep_blank_values=True))
    if body is not None:
        # Lambda leaves JSON as text, and encodes forms.
        is_text = named.get("content-type") == "application/json"
        event["headers"]["content-length"] = str(len(body))
        event |= {"body": body.decode() if is_text else base64.b64encode(body).decode(), "isBase64Encoded": not is_text}
    return event


def stand_in(settings: Settings) -> Settings:
    """Return the settings of the app under test: the function's own, without rate limits, quotas and a database.

    It verifies what it stores by itself.

    Limits and quotas are off, because the test stores more at a time than a user may be allowed to. Without JWT_SECRET
    the test cannot sign a token that the function accepts. Then this app alone gets a random secret beside the
    provider's keys. It ends with the test, and no client can reach that app.
    """
    changed: dict[str, Any] = {
        "rate_limit_per_user": OFF,
        "rate_limit_per_address": OFF,
        "quota_bytes_per_day": None,
        "quota_files_per_day": None,
        "quota_bytes_total": None,
        "quota_files_total": None,
        "database_url": None,
        # So that this version's decoders are tested, and before the function that verifies is there.
        "verifier": "self",
    }
    if settings.auth.jwt_secret is None:
        changed["jwt_secret"] = SecretStr(secrets.token_hex(64))
    return settings.replaced(**changed)


def smoke_test(context: Any, settings: Settings, deployed: Mangum, say: Callable[[str], None]) -> bool:
    """Run all steps of the smoke test and those of the function; return whether all passed."""
    tested = stand_in(settings)
    # A new user each time, so that the test uses up no real user's quota.
    token = bearer_token(tested.auth, f"{SUBJECT}-{secrets.token_hex(8)}", TOKEN_LIFE_S)
    own: list[Step] = [("who may upload", _who_may_upload(context, settings, deployed, token))]
    if settings.auth.jwt_jwks_url is not None:
        own.append(("keys of the identity provider", _provider_keys(settings.auth.jwt_jwks_url)))
    own.append(("a file under its own name", _named_file))
    with _running(tested) as http:
        return smoke(FunctionClient(http, context, tested, token), say, (STEPS[0], *own, *STEPS[1:]))


@contextlib.contextmanager
def _running(settings: Settings) -> Iterator[Mangum]:
    """Yield an adapter of an app with these settings; close its connections at the end."""
    app = create_app(settings)
    lifespan = app.router.lifespan_context(app)
    http = adapter(app)
    loop = asyncio.get_event_loop()
    loop.run_until_complete(lifespan.__aenter__())
    try:
        yield http
    finally:
        loop.run_until_complete(lifespan.__aexit__(None, None, None))


def _who_may_upload(context: Any, settings: Settings, deployed: Mangum, token: str) -> Callable[[Client], str]:
    """Return a step that asks the deployed app, with its limits, quotas and secrets, for an upload."""

    def step(tested: Client) -> str:
        seen = []
        if settings.auth.auth_required:
            answer = _minted(FunctionClient(deployed, context, settings, None), tested.sample)
            expect(answer, 401, "an upload without a token")
            seen.append("no token is refused")
        answer = _minted(FunctionClient(deployed, context, settings, token), tested.sample)
        if settings.auth.jwt_secret is None:
            expect(answer, 401, "a token that is signed with a secret, where there is no JWT_SECRET")
            seen.append("a token under any secret is refused")
        else:
            expect(answer, 200, "an upload with a token under JWT_SECRET")
            seen.append("a token under JWT_SECRET is accepted")
        return ", ".join(seen)

    return step


def _minted(client: Client, sample: Sample) -> Answer:
    """Ask for an upload of one byte; return the answer. Nothing is uploaded, so there is nothing to delete."""
    return client.call("POST", "/uploads", json.dumps(sample.spec(1)).encode(), {"Content-Type": "application/json"})


def _provider_keys(url: str) -> Callable[[Client], str]:
    """Return a step that checks the identity provider's keys: they must be reachable and usable."""

    def step(client: Client) -> str:
        host, left_s = urlsplit(url).hostname, client.left_s()
        try:
            keys = wait_for(KeySet(url).read(), left_s, str(host))
        except Exception as error:  # noqa: BLE001  a provider can fail in every way
            raise Failed(
                f"JWT_JWKS_URL at {host}: {error}. Without its keys no user gets in: check the URL, and in a VPC that "
                "its subnets lead there (a NAT gateway)"
            ) from None
        ids = sorted(each for each in keys if each is not None)
        return f"{host} has {max(1, len(ids))} that can be used"

    return step


def _named_file(client: Client) -> str:
    picture = real_png()
    plan = client.json("POST", f"/files/upload-url?filename={quote(_FILE_NAME)}")
    client.keys.append(plan["object_key"])
    expect(client.call("PUT", plan["presigned_url"], picture, plan["headers"]), 200, "the PUT to S3")
    compare(client, plan["object_key"], picture)
    return f"{_FILE_NAME}, back identical"
