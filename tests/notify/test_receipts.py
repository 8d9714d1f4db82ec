"""Receipts: verified with the published keys by other libraries, over HTTP, also while the secret changes."""

import asyncio
import json
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from image_upload.auth.jwt_verifier import JwtVerifier
from image_upload.errors import TokenInvalid
from image_upload.limits import EVENT_MAX_BYTES
from image_upload.notify.event import Event, StoredFacts
from image_upload.notify.receipts import Receipts
from image_upload.settings import load
from image_upload.settings.auth import AuthSettings
from tests.conftest import Mint, Start
from tests.notify.documented import example
from tests.notify.receiver import ENVIRON, NOW
from tests.npm import installed, tool

HERE = Path(__file__).resolve().parent
KEYS = "/.well-known/jwks.json"
SECRET, BEFORE = secrets.token_hex(32), secrets.token_hex(32)
STORED = StoredFacts(
    "uploads/고양이 1.jpg", "user-1", "upload", 7953, "image/jpeg", NOW, sha256="x" * 44, width=640, height=480
)
CLAIMS = {
    "iss": "image-upload",
    "sub": "user-1",
    "iat": int(NOW.timestamp()),
    "key": STORED.key,
    "size": 7953,
    "sha256": "x" * 44,
    "type": "image/jpeg",
    "width": 640,
    "height": 480,
    "purpose": "upload",
}


def settings_with(**environ: str) -> AuthSettings:
    return load(ENVIRON | environ).auth


def receipt(stored: StoredFacts = STORED, **environ: str) -> str:
    made = Receipts(settings_with(**environ)).receipt(stored)
    assert made is not None
    return made


def in_python() -> Callable[[str, str], dict[str, Any]]:
    """The function of docs/webhooks.md."""
    names: dict[str, Any] = {}
    exec(example("python", "def verified"), names)
    found: Callable[[str, str], dict[str, Any]] = names["verified"]
    return found


def test_a_receipt_is_verified_with_the_published_keys(start: Start) -> None:
    service = start(JWT_SECRET=SECRET)
    claims = in_python()(receipt(JWT_SECRET=SECRET), service + KEYS)
    assert claims.pop("jti")
    assert claims == CLAIMS


def test_who_completes_an_upload_gets_its_receipt(start: Start, web: httpx.Client, mint: Mint, jpeg: bytes) -> None:
    service = start(JWT_SECRET=SECRET, AUTH_REQUIRED="false")
    plan = mint()
    assert web.put(plan["presignedUrl"], content=jpeg, headers=plan["headers"]).status_code == 200
    done = web.post(f"{service}/images/{plan['objectKey']}/complete").json()
    claims = in_python()(done["receipt"], service + KEYS)
    assert (claims["key"], claims["size"], claims["sub"]) == (plan["objectKey"], len(jpeg), "anonymous")


def test_what_another_secret_signed_or_was_altered_is_no_receipt(start: Start) -> None:
    service = start(JWT_SECRET=SECRET)
    good = receipt(JWT_SECRET=SECRET)
    altered = f"{good.rpartition('.')[0]}.{receipt(STORED._replace(size=1), JWT_SECRET=SECRET).rpartition('.')[2]}"
    for wrong in (receipt(JWT_SECRET=BEFORE), altered, jwt.encode({"sub": "1"}, SECRET), good[:-5]):
        with pytest.raises(jwt.PyJWTError):
            in_python()(wrong, service + KEYS)


def test_while_the_secret_changes_receipts_of_both_are_verified(start: Start) -> None:
    service = start(JWT_SECRET=SECRET, JWT_PREVIOUS_SECRET=BEFORE)
    for secret in (SECRET, BEFORE):
        assert in_python()(receipt(JWT_SECRET=secret), service + KEYS)["key"] == STORED.key
    # The service itself signs with the current one.
    current = receipt(JWT_SECRET=SECRET, JWT_PREVIOUS_SECRET=BEFORE)
    assert current == receipt(JWT_SECRET=SECRET)


def test_a_key_that_both_secrets_are_is_published_once() -> None:
    keys = Receipts(settings_with(JWT_SECRET=SECRET, JWT_PREVIOUS_SECRET=SECRET)).key_set()["keys"]
    assert len(keys) == 1


def test_without_a_secret_there_is_no_receipt_and_no_key() -> None:
    receipts = Receipts(settings_with())
    assert receipts.receipt(STORED) is None
    assert receipts.key_set() == {"keys": []}


def test_what_is_not_known_is_left_out() -> None:
    made = receipt(StoredFacts("k", None, "file", 0, "text/plain", NOW), JWT_SECRET=SECRET, JWT_ISSUER="https://me")
    claims = jwt.decode(made, options={"verify_signature": False})
    assert claims.keys() == {"iss", "sub", "iat", "jti", "key", "size", "type", "purpose"}
    assert (claims["iss"], claims["sub"]) == ("https://me", "anonymous")


def test_a_receipt_is_no_token_of_the_service() -> None:
    with pytest.raises(TokenInvalid):
        asyncio.run(JwtVerifier(settings_with(JWT_SECRET=SECRET)).claims(receipt(JWT_SECRET=SECRET)))


def test_the_keys_show_no_secret_and_stay_the_same_from_version_to_version() -> None:
    """Receipts are kept for years: a change of how the key is derived would make them worthless."""
    (key,) = Receipts(settings_with(JWT_SECRET="s" * 32)).key_set()["keys"]
    assert key == {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": "3TM7YRtsawhs1joYcFe4ZjuAtQSIHyrOo1nF_y9JMLk",
        "kid": "euJ1Cmtol6wWSejAAUnPiVXI0AzwdNqv147gt9tUX8U",
        "alg": "EdDSA",
        "use": "sig",
    }
    assert jwt.PyJWK(key).key_id == key["kid"]


def test_the_keys_are_cached_until_they_change(start: Start, web: httpx.Client) -> None:
    service = start(JWT_SECRET=SECRET)
    first = web.get(service + KEYS)
    assert first.headers["cache-control"] == "public, max-age=300"
    etag = first.headers["etag"]
    for known in (etag, f'"other", W/{etag}', "*"):
        again = web.get(service + KEYS, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert web.get(service + KEYS, headers={"If-None-Match": '"other"'}).json() == first.json()
    assert web.get(start(JWT_SECRET=BEFORE) + KEYS).headers["etag"] != etag


def test_an_event_with_the_longest_receipt_is_small_enough() -> None:
    longest = StoredFacts('"' * 1024, "\\" * 255, "p" * 64, 2**53, "t" * 255, NOW, "x" * 44, 2**31, 2**31)
    made = receipt(longest, JWT_SECRET=SECRET)
    assert len(Event.stored(longest, made).body.encode()) < EVENT_MAX_BYTES


@pytest.mark.needs("node")
def test_jose_verifies_a_receipt_in_node(start: Start, tmp_path: Path) -> None:
    service = start(JWT_SECRET=SECRET, JWT_PREVIOUS_SECRET=BEFORE)
    (tmp_path / "node_modules").symlink_to(installed(HERE, "webhooks"))
    (tmp_path / "verify.mjs").write_text(example("js", "jwtVerify"))
    script = """
        import { verified } from "./verify.mjs";
        const [keys, ...receipts] = process.argv.slice(1);
        for (const receipt of receipts)
          console.log(JSON.stringify(await verified(receipt, keys).catch((error) => error.code)));
    """
    good = receipt(JWT_SECRET=SECRET)
    given = [good, receipt(JWT_SECRET=BEFORE), receipt(JWT_SECRET="another" * 6), jwt.encode({}, SECRET)]
    done = subprocess.run(
        [tool("node", "node"), "--input-type=module", "-e", script, service + KEYS, *given],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    current, before, foreign, token = (json.loads(line) for line in done.stdout.splitlines())
    for claims in (current, before):
        assert claims.pop("jti")
        assert claims == CLAIMS
    assert foreign == "ERR_JWKS_NO_MATCHING_KEY"
    assert token in {"ERR_JOSE_ALG_NOT_ALLOWED", "ERR_JWT_CLAIM_VALIDATION_FAILED"}
