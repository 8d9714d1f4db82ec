"""Checks of a running service: health, CORS, error format, authentication, body limit, clock."""

import re
import secrets
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

import httpx
import jwt

from image_upload.cli.doctor.bucket import clock
from image_upload.cli.doctor.report import Finding
from image_upload.cli.doctor.round_trip import allowed_origins
from image_upload.cli.smoke import Sample, form_of
from image_upload.domain.purposes import Purposes
from image_upload.errors import MEDIA_TYPE
from image_upload.limits import LAMBDA_FORM_MAX_BYTES, MIB
from image_upload.uploads.serializers import as_purpose

_SPEC: Final = {"filename": "doctor.png", "contentType": "image/png", "size": 1}
_SAMPLE: Final = Sample("", "doctor.png", "image/png", max_bytes=0)
# A little below the service's own limit, which includes the form around the file.
_BELOW_LIMIT_BYTES: Final = LAMBDA_FORM_MAX_BYTES - 4096
# Above what Lambda takes: 6 MiB of JSON, in which a form is base64.
_ABOVE_LAMBDA_BYTES: Final = 6 * MIB + 1
_CODE: Final = re.compile(r"[a-z0-9-]{1,64}")
_FORM_PATH: Final = "/upload-with-presigned"
_BUCKET_REMEDIES: Final = {
    "missing": "correct the function's S3_BUCKET_NAME, or create the bucket",
    "denied": "grant s3:ListBucket to the function's role",
    "no-credentials": "give the function a role",
}


class CheckTarget(NamedTuple):
    """A service at a base URL. `guessed`: the token was signed here, with a secret that may not be the service's.

    `purposes` are those of the file here, which the service may have too; None: they are not compared.
    """

    web: httpx.Client
    url: str
    origin: str | None
    token: str | None
    guessed: bool
    purposes: Purposes | None = None

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request to the service."""
        return self.web.request(method, f"{self.url}{path}", **options)


def checks(check_target: CheckTarget) -> Iterator[Finding]:
    """Yield all checks; only the first one if the service does not answer."""
    health = yield from _health(check_target)
    if health is None:
        return
    for check in (_cors, _errors, _auth, _token, _purposes, _body_limit):
        try:
            yield from check(check_target, health)
        except httpx.HTTPError as error:
            yield Finding(check.__name__.strip("_").replace("_", " "), "FAIL", type(error).__name__, "try again")


class Health(NamedTuple):
    """The answer of the health route."""

    environment: str
    on_lambda: bool


def _health(check_target: CheckTarget) -> Generator[Finding, None, Health | None]:
    asked_at = datetime.now(UTC)
    try:
        response = check_target.ask("GET", "/", headers={"Accept": "application/json"})
        health_document = response.json()
        environment, state, version = (
            str(health_document["environment"]),
            str(health_document["bucket"]),
            str(health_document["version"]),
        )
    except httpx.HTTPError as error:
        remedy = "check the URL, and that the service runs"
        yield Finding("health", "FAIL", f"no answer from {check_target.url} ({type(error).__name__})", remedy)
        return None
    except (ValueError, KeyError, TypeError):
        remedy = "check the URL; on Lambda also the permissions lambda:InvokeFunctionUrl and lambda:InvokeFunction"
        yield Finding("health", "FAIL", f"{check_target.url} answered {response.status_code}, not this service", remedy)
        return None
    seen = f"version {version}, {environment}, bucket {state}"
    remedy = "" if state == "ok" else _BUCKET_REMEDIES.get(state, "look into the service's log")
    yield Finding("health", "ok" if state == "ok" else "FAIL", seen, remedy)
    yield _clock(response, asked_at, datetime.now(UTC))
    on_lambda = ".lambda-url." in check_target.url or "x-amzn-requestid" in response.headers
    return Health(environment, on_lambda)


def _clock(response: httpx.Response, asked_at: datetime, answered_at: datetime) -> Finding:
    """Compare the clocks: the service compares the times in a token with its own."""
    try:
        theirs = parsedate_to_datetime(response.headers["date"])
    except (KeyError, ValueError):
        return Finding("service clock", "skip", "the service did not say the time")
    ahead_s = ((asked_at + (answered_at - asked_at) / 2) - theirs).total_seconds()
    return clock("service clock", ahead_s, behind_max_s=float("inf"), other="the service's")


def _cors(check_target: CheckTarget, _: Health) -> Iterator[Finding]:
    """Check that preflight and answer allow the front end exactly once: browsers refuse two headers of two sources."""
    if check_target.origin is None:
        yield Finding("service CORS", "skip", "no front end is named", "name yours: --origin https://app.example.com")
        return
    preflight_headers = {
        "Origin": check_target.origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    answers = (
        ("the preflight", check_target.ask("OPTIONS", "/uploads", headers=preflight_headers)),
        (
            "the answer",
            check_target.ask("GET", "/", headers={"Origin": check_target.origin, "Accept": "application/json"}),
        ),
    )
    for what, response in answers:
        allowed = allowed_origins(response)
        if len(allowed) > 1:
            remedy = "the Function URL and something behind it both answer; leave CORS to the URL alone"
            seen = f"{what} has {len(allowed)} Access-Control-Allow-Origin"
            yield Finding("service CORS", "FAIL", seen, remedy)
            return
        if allowed not in ([check_target.origin], ["*"]) or not response.is_success:
            remedy = (
                f"allow {check_target.origin} in the Function URL's CORS settings (CORS_ALLOW_ORIGINS outside Lambda)"
            )
            seen = f"{what} is {response.status_code} and allows {allowed[0] if allowed else 'no origin'}"
            yield Finding("service CORS", "FAIL", seen, remedy)
            return
    yield Finding("service CORS", "ok", f"{check_target.origin} is allowed, once")


def _errors(check_target: CheckTarget, _: Health) -> Iterator[Finding]:
    response = check_target.ask("GET", f"/{secrets.token_hex(8)}")
    media_type = response.headers.get("content-type", "").partition(";")[0]
    code = _code(response)
    if (response.status_code, media_type, code) == (404, MEDIA_TYPE, "not-found"):
        yield Finding("error format", "ok", f"{MEDIA_TYPE} with a code")
    else:
        seen = f"an unknown path is answered {response.status_code} {media_type} {code or 'without a code'}"
        remedy = "something in front of the service replaces its errors; let 4xx through as they are"
        yield Finding("error format", "FAIL", seen, remedy)


def _auth(check_target: CheckTarget, health: Health) -> Iterator[Finding]:
    response = check_target.ask("POST", "/uploads", json=_SPEC)
    if response.status_code == 401:
        yield Finding("auth", "ok", "minting without a token is refused")
    elif not _is_let_in(response):
        seen = f"minting was answered {response.status_code} {_code(response) or 'without a code'}"
        yield Finding("auth", "FAIL", seen, "GET /errors of the service explains its codes")
    elif health.environment == "production":
        remedy = "set AUTH_REQUIRED=true and JWT_SECRET on the function, or be sure that you want this"
        yield Finding("auth", "FAIL", "minting needs no token, in production", remedy)
    else:
        yield Finding("auth", "ok", f"no token is asked for ({health.environment})")


def _is_let_in(response: httpx.Response) -> bool:
    """Return whether the service went on behind the token. The purposes decide later whether they take `_SPEC`."""
    return response.is_success or _code(response) in {"unsupported-file-type", "invalid-metadata", "scope-missing"}


def _token(check_target: CheckTarget, _: Health) -> Iterator[Finding]:
    """Check that the service accepts the token."""
    if check_target.token is None:
        yield Finding("token", "skip", "no token is known", "name the variable that holds one: --token-from-env NAME")
        return
    headers = {"Authorization": f"Bearer {check_target.token}"}
    try:
        response = check_target.ask("POST", "/uploads", json=_SPEC, headers=headers)
    except UnicodeEncodeError:
        yield Finding(
            "token", "FAIL", "it holds characters that no token has", "put the token itself into the variable"
        )
        return
    if _is_let_in(response):
        yield Finding("token", "ok", "taken")
        return
    seen = f"refused: {response.status_code} {_code(response) or 'without a code'}{_dates_of(check_target.token)}"
    remedy = (
        "use the JWT_SECRET of the service here"
        if check_target.guessed
        else "get a fresh token, from a machine on time"
    )
    yield Finding("token", "warn" if check_target.guessed else "FAIL", seen, remedy)


def _purposes(check_target: CheckTarget, _: Health) -> Iterator[Finding]:
    """Compare the purposes of the service with those of the file here: its image and its stack may be older."""
    if check_target.purposes is None:
        return
    token = check_target.token if check_target.token and check_target.token.isascii() else None
    response = check_target.ask("GET", "/purposes", headers={"Authorization": f"Bearer {token}"} if token else {})
    if response.status_code in (401, 403):
        yield Finding("purposes", "skip", "the service shows them with a token only", "--token-from-env NAME")
        return
    try:
        theirs = {str(each["name"]): each for each in response.json()["purposes"]}
    except (ValueError, KeyError, TypeError):
        remedy = "deploy a version that has GET /purposes"
        yield Finding("purposes", "warn", f"GET /purposes is answered {response.status_code}", remedy)
        return
    named = check_target.purposes.named
    # Whose scope the token lacks is not listed.
    expected = {name for name, each in named.items() if each.scope is None or name in theirs}
    wrong = [name for name in theirs if name not in named or theirs[name] != as_purpose(named[name])]
    wrong += sorted(expected - theirs.keys())
    if wrong:
        seen = f"the service and the file here disagree about {', '.join(wrong)}"
        remedy = "deploy the file (make generate, then ./deploy.sh), or name the service's with PURPOSES_FILE"
        yield Finding("purposes", "warn", seen, remedy)
    else:
        yield Finding("purposes", "ok", f"those of the file here: {', '.join(theirs)}")


def _dates_of(token: str) -> str:
    """Return how a token's own dates compare with this machine's clock, as the end of a line."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
        now = datetime.now(UTC).timestamp()
        if (ended_s := now - float(claims.get("exp", now))) > 0:
            return f"; it ended {ended_s:.0f} s ago"
        begins = max(float(claims.get(name, now)) for name in ("nbf", "iat"))
    except (jwt.InvalidTokenError, TypeError, ValueError):
        return "; it is no token (JWT)"
    return f"; it begins in {begins - now:.0f} s" if begins > now else ""


def _body_limit(check_target: CheckTarget, health: Health) -> Iterator[Finding]:
    """Check that forms up to the service's limit reach it. Above Lambda's limit AWS answers without the function."""
    response = _form(check_target, _BELOW_LIMIT_BYTES)
    if (response.status_code, _code(response)) != (403, "upload-target-refused"):
        answer = f"{response.status_code} {_code(response) or 'without a code'}"
        seen = f"a form of {_BELOW_LIMIT_BYTES} bytes is answered {answer}"
        remedy = "something in front of the service takes less; raise its body limit to 6 MB"
        yield Finding("body limit", "FAIL", seen, remedy)
        return
    if not health.on_lambda:
        yield Finding("body limit", "ok", f"a form of {_BELOW_LIMIT_BYTES} bytes arrives")
        return
    above = _form(check_target, _ABOVE_LAMBDA_BYTES)
    if above.status_code == 413:
        yield Finding("body limit", "ok", f"a form of {_BELOW_LIMIT_BYTES} bytes arrives, 6 MiB are answered 413")
    else:
        seen = f"a form above 6 MiB is answered {above.status_code}, not 413"
        yield Finding(
            "body limit", "warn", seen, "clients with large files see that instead of a 413; send those to S3"
        )


def _form(check_target: CheckTarget, length: int) -> httpx.Response:
    """Send a form for a target that the service refuses. Its refusal shows that it has read the form."""
    target = {"uploadUrl": "https://example.com/doctor?x=y"}
    body, content_type = form_of(target, bytes(length), _SAMPLE, file_first=False)
    return check_target.ask("POST", _FORM_PATH, content=body, headers={"Content-Type": content_type})


def _code(response: httpx.Response) -> str | None:
    """Return the code of a problem document; None if the answer is not one."""
    try:
        code = response.json().get("code")
    except (ValueError, AttributeError):
        return None
    return code if isinstance(code, str) and _CODE.fullmatch(code) else None
