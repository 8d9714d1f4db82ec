"""`token`: sign a bearer token with the service's own secret, and print it."""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import Final

from image_upload.auth.principals import ADMIN, MINT, is_user_id
from image_upload.auth.token_issuer import READ, bearer_token
from image_upload.limits import SUBJECT_MAX_CHARS, TOKEN_LIFE_MAX_S
from image_upload.settings import SettingsError, load_section, read_dotenv
from image_upload.settings.auth import AuthSettings

_LIFE: Final = re.compile(r"([1-9][0-9]{0,6})([smhd])", re.ASCII)
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def run(arguments: Sequence[str]) -> int:
    """Run `token --sub ID`: print the token alone. Return 2 without a secret that the service would accept."""
    asked = _parsed(arguments)
    try:
        settings = _settings()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2

    print(bearer_token(settings, asked.sub, asked.expires, asked.scope))
    return 0


def _settings() -> AuthSettings:
    given = read_dotenv(os.environ)
    # Without ENVIRONMENT the rules of production apply: a short secret is refused.
    read = {name: given[name] for name in READ if name in given}
    settings = load_section(AuthSettings, read, serving=False)
    if settings.jwt_secret is None:
        raise SettingsError(
            "There is no JWT_SECRET to sign with. Set it in the environment or in a .env file, to the same value as "
            "the service's. A new one is the output of: openssl rand -hex 32"
        )
    return settings


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m image_upload token",
        description="Sign a bearer token (JWT) that a service with the same JWT_SECRET accepts, and print it.",
        epilog="JWT_SECRET, JWT_ALGORITHM, JWT_ISSUER, JWT_AUDIENCE and JWT_SCOPE_PREFIX come from the environment or "
        ".env. They must be those of the service.",
    )
    parser.add_argument("--sub", required=True, type=_user_id, help="the user's id")
    parser.add_argument(
        "--expires",
        type=_life_s,
        default="1h",
        metavar="TIME",
        help=f"how long it works: a number and s, m, h or d, at most {TOKEN_LIFE_MAX_S // _UNIT_S['d']}d (1h)",
    )
    parser.add_argument(
        "--scope",
        action="append",
        choices=(MINT, ADMIN),
        default=[],
        help=f"{MINT}: upload only; {ADMIN}: all users' files. May be given twice; without it, the user's own files",
    )
    return parser.parse_args(arguments)


def _user_id(text: str) -> str:
    if not is_user_id(text):
        raise argparse.ArgumentTypeError(
            f"{text[:SUBJECT_MAX_CHARS]!r} is no user id. Expected: 1 to {SUBJECT_MAX_CHARS} printable characters, "
            "and not anonymous"
        )
    return text


def _life_s(text: str) -> int:
    match = _LIFE.fullmatch(text)
    life_s = int(match[1]) * _UNIT_S[match[2]] if match else 0
    if not 1 <= life_s <= TOKEN_LIFE_MAX_S:
        most = TOKEN_LIFE_MAX_S // _UNIT_S["d"]
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is no time such as 15m, 1h or 7d, of at most {most}d")
    return life_s
