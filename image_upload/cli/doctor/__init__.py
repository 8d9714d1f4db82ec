"""`doctor`: check a configuration or a deployment, and print a line for each check, with the remedy.

`bucket.py` and `round_trip.py` check S3 from the service and its clients, `rules.py` the bucket's configuration,
`malware.py` the scanner, `service.py` a running service. They yield findings, which `report.py` formats.
"""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Final

import httpx

from image_upload.auth.token_issuer import bearer_token
from image_upload.cli.doctor import bucket, malware, round_trip, rules, service
from image_upload.cli.doctor.report import Finding, as_json, as_line, summary
from image_upload.cli.smoke import SUBJECT, TOKEN_LIFE_S
from image_upload.limits import CONNECT_TIMEOUT_S
from image_upload.outbound.client import tls_context
from image_upload.settings import Settings, SettingsError, load, origins, read_dotenv

_READ_TIMEOUT_S: Final = 60.0


def run(arguments: Sequence[str]) -> int:
    """Run `doctor`. Return 0 if nothing failed, 1 if something did, 2 if it could not start."""
    options = _parsed(arguments)
    # Faults are findings here, not log lines.
    logging.getLogger("image_upload").addHandler(logging.NullHandler())
    environ = read_dotenv(os.environ)
    token = environ.get(options.token_from_env, "") if options.token_from_env else None
    if token == "":
        print(
            f"{options.token_from_env} holds no token. Put one into it, or leave --token-from-env out.", file=sys.stderr
        )
        return 2
    try:
        settings = load(environ, serving=False)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    origin = options.origin or next((each for each in settings.web.cors_allow_origins if "*" not in each), None)
    findings = []
    with _http(settings) as web:
        first = _as_set(settings, environ, elsewhere=options.url is not None)
        for finding in chain([first], _checks(settings, web, origin, options.url, token)):
            findings.append(finding)
            if not options.json:
                print(as_line(finding), flush=True)
    print(as_json(findings) if options.json else summary(findings))
    return 1 if any(finding.state == "FAIL" for finding in findings) else 0


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m image_upload doctor",
        description="Check a set-up, and with --url a running service, against what the code expects: a line a check, "
        "with the remedy. It stores one small object and removes it again.",
        epilog="Settings come from the environment or .env, and should be those of the service.",
    )
    parser.add_argument("--url", type=_url, help="base URL of a running service, such as its Function URL")
    parser.add_argument("--origin", type=_origin, help="your front end (the first of CORS_ALLOW_ORIGINS)")
    parser.add_argument(
        "--token-from-env",
        metavar="NAME",
        help="the environment variable that holds a bearer token (made with JWT_SECRET where it is set)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of lines")
    return parser.parse_args(arguments)


def _origin(text: str) -> str:
    try:
        if "*" not in text:
            return origins.check(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    raise argparse.ArgumentTypeError(f"{text!r} is no origin such as https://app.example.com")


def _url(text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host or url.query or url.userinfo:
        raise argparse.ArgumentTypeError(f"{text!r} is no base URL such as https://abc.lambda-url.eu-north-1.on.aws")
    return text.rstrip("/")


def _http(settings: Settings) -> httpx.Client:
    """Return a client that behaves like the service's own: no proxies of the environment, no redirects."""
    return httpx.Client(
        verify=tls_context(verify=settings.storage.verify_ssl),
        timeout=httpx.Timeout(CONNECT_TIMEOUT_S, read=_READ_TIMEOUT_S, write=_READ_TIMEOUT_S),
        trust_env=False,
        follow_redirects=False,
    )


def _as_set(settings: Settings, environ: Mapping[str, str], *, elsewhere: bool) -> Finding:
    """Check the settings. Secrets must be set here, unless the service runs `elsewhere`."""
    seen = f"{settings.service.environment}, bucket {settings.storage.s3_bucket_name} in {settings.storage.aws_region}"
    if not elsewhere:
        try:
            load(environ)
        except SettingsError as error:
            faults = [line.strip() for line in str(error).splitlines()[1:-1]]
            return Finding("settings", "warn", f"{seen}; a service would not start with them", " ".join(faults))
    return Finding("settings", "ok", seen)


def _checks(
    settings: Settings, web: httpx.Client, origin: str | None, url: str | None, token: str | None
) -> Iterator[Finding]:
    credentials, findings = asyncio.run(bucket.credentials(settings.storage))
    yield from findings
    if credentials is None:
        yield Finding("bucket", "skip", "without credentials S3 cannot be asked")
    else:
        check_target = bucket.CheckTarget(settings.storage, web, credentials, origin)
        reached = yield from bucket.region_and_clock(check_target)
        if reached:
            yield from round_trip.checks(check_target)
            yield from rules.checks(settings, origin)
    yield from malware.checks(settings.verification)
    if url is not None:
        guessed = token is None and settings.auth.jwt_secret is not None
        if guessed:
            token = bearer_token(settings.auth, SUBJECT, TOKEN_LIFE_S)
        purposes = settings.storage.purposes
        yield from service.checks(service.CheckTarget(web, url, origin, token, guessed, purposes))
