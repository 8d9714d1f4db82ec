"""What attackers do to tokens. https://www.rfc-editor.org/rfc/rfc8725 and the known attacks of the trade."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from image_upload.auth.tokens import Verifier
from image_upload.errors import TokenInvalid
from image_upload.limits import TOKEN_LEEWAY_S, TOKEN_MAX_CHARS
from image_upload.settings import Settings, load
from tests.auth.provider import (
    AUDIENCE,
    ISSUER,
    SECRET,
    Provider,
    claims,
    encoded,
    entry,
    own,
    private_key,
    signed,
)


def verify(token: str, settings: Settings) -> str:
    return asyncio.run(Verifier(settings.auth).verify(token)).user_id


def refused(token: str, settings: Settings) -> None:
    with pytest.raises(TokenInvalid):
        verify(token, settings)


@pytest.fixture
def both(provider: Provider) -> Settings:
    """A service with a secret and a provider: both doors are open, so both can be confused."""
    return provider.settings(JWT_SECRET=SECRET)


def forged(header: dict[str, Any], signature: bytes = b"", **changed: Any) -> str:
    return f"{encoded(header)}.{encoded(claims(**changed))}.{encoded(signature)}"


def hmac_signed(header: dict[str, Any], key: bytes) -> str:
    """A token under an HMAC of any bytes: PyJWT itself would refuse to sign with a public key."""
    text = f"{encoded(header)}.{encoded(claims())}"
    return f"{text}.{encoded(hmac.digest(key, text.encode(), 'sha256'))}"


def test_a_good_token_passes_each_door(both: Settings, provider: Provider) -> None:
    """Without this, every refusal below could have another reason."""
    assert verify(own(), both) == verify(signed(), both) == "42"
    assert provider.asked == 1, "and our own token needs no provider"


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", " none", "none ", "", "null", "n\uff4fne"])
@pytest.mark.parametrize("signature", [b"", b"x" * 32])
def test_no_spelling_of_none_is_an_algorithm(both: Settings, name: str, signature: bytes) -> None:
    refused(forged({"alg": name, "typ": "JWT", "kid": "one"}, signature), both)


@pytest.mark.parametrize("name", [None, 1, True, ["HS256"], {"alg": "HS256"}, [], {}])
def test_an_algorithm_that_is_no_text_is_none(both: Settings, name: Any) -> None:
    refused(forged({"alg": name, "kid": "one"}, b"x" * 32), both)


@pytest.mark.parametrize("name", ["HS256", "hs256", "HS384", "HS512", "RS256", "ES256", "EdDSA"])
def test_an_algorithm_without_its_signature_is_worth_nothing(both: Settings, name: str) -> None:
    refused(forged({"alg": name, "kid": "one"}), both)
    refused(forged({"alg": name, "kid": "one"}, b"\0" * 256), both)


def public_forms() -> list[bytes]:
    """Every form in which the public key could be taken for a secret."""
    public = private_key("one", "RS256").public_key()
    jwk = entry("one", "RS256")
    required = json.dumps({name: jwk[name] for name in ("e", "kty", "n")}, separators=(",", ":"))
    return [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
        public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        json.dumps(jwk).encode(),
        required.encode(),
        # RFC 7638: the thumbprint, which many providers use as the key id.
        hashlib.sha256(required.encode()).digest(),
        base64.urlsafe_b64encode(hashlib.sha256(required.encode()).digest()).rstrip(b"="),
        jwk["n"].encode(),
        b"one",
        b"",
    ]


@pytest.mark.parametrize("form", range(len(public_forms())))
@pytest.mark.parametrize("secret", [SECRET, ""])
def test_a_public_key_is_never_taken_for_a_secret(provider: Provider, form: int, secret: str) -> None:
    settings = provider.settings(JWT_SECRET=secret)
    refused(hmac_signed({"alg": "HS256", "kid": "one"}, public_forms()[form]), settings)


def test_a_secret_in_the_providers_key_set_verifies_nothing(provider: Provider) -> None:
    known = b"published by mistake, long enough."
    provider.keys.append({"kty": "oct", "kid": "oct", "alg": "HS256", "k": encoded(known)})
    refused(hmac_signed({"alg": "HS256", "kid": "oct"}, known), provider.settings())
    refused(hmac_signed({"alg": "HS256", "kid": "oct"}, known), provider.settings(JWT_SECRET=SECRET))


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_the_secret_knows_one_algorithm(both: Settings, algorithm: str) -> None:
    # Longer, so that nothing but the algorithm is wrong.
    settings = both.replaced(jwt_secret=load_secret(SECRET * 2))
    assert verify(own(SECRET * 2), settings) == "42"
    refused(own(SECRET * 2, algorithm), settings)


def load_secret(text: str) -> Any:
    given = {"S3_BUCKET_NAME": "bucket", "AWS_REGION": "eu-north-1", "ENVIRONMENT": "test", "JWT_SECRET": text}
    return load(given).auth.jwt_secret


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
def test_a_key_verifies_by_its_own_algorithm_only(provider: Provider, algorithm: str) -> None:
    token = jwt.encode(claims(), private_key("one", "RS256"), algorithm, {"kid": "one"})
    refused(token, provider.settings())
    provider.keys = [entry("one", "RS256", alg=algorithm)]
    assert verify(token, provider.settings()) == "42"


def test_a_key_that_names_no_algorithm_has_the_default_of_its_type(provider: Provider) -> None:
    provider.keys = [entry("one", "RS256", alg=None)]
    assert verify(signed(), provider.settings()) == "42"
    refused(jwt.encode(claims(), private_key("one", "RS256"), "PS256", {"kid": "one"}), provider.settings())


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "ES256", "ES384", "ES512", "EdDSA"])
def test_every_algorithm_of_a_provider_works(provider: Provider, algorithm: str) -> None:
    provider.keys = [entry("other", "ES256"), entry("k", algorithm)]
    assert verify(signed("k", algorithm), provider.settings()) == "42"
    refused(signed("k", algorithm)[:-8] + "AAAAAAAA", provider.settings())


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "another"},
        {"aud": ["another", "yet-another"]},
        {"aud": None},
        {"aud": ""},
        {"aud": []},
        {"aud": {AUDIENCE: 1}},
        {"aud": AUDIENCE + " "},
        {"iss": "https://attacker.example/"},
        {"iss": ISSUER.rstrip("/")},
        {"iss": [ISSUER]},
        {"iss": None},
    ],
)
def test_a_token_of_another_audience_or_issuer_is_refused(both: Settings, changed: dict[str, Any]) -> None:
    refused(signed(**changed), both)
    refused(own(**changed), both)


def test_without_a_configured_audience_a_token_for_another_service_is_refused(provider: Provider) -> None:
    settings = provider.settings(JWT_AUDIENCE="")
    assert verify(signed(aud=None), settings) == "42"
    refused(signed(aud="another"), settings)


@pytest.mark.parametrize("since_s", [1, TOKEN_LEEWAY_S - 5])
def test_a_token_that_ended_within_the_leeway_passes(both: Settings, since_s: int) -> None:
    assert verify(own(exp=time.time() - since_s), both) == verify(signed(exp=time.time() - since_s), both) == "42"


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": -TOKEN_LEEWAY_S - 1},
        {"exp": -86_400},
        {"nbf": TOKEN_LEEWAY_S + 30},
        {"iat": TOKEN_LEEWAY_S + 30},
    ],
)
def test_a_token_of_another_time_is_refused(both: Settings, changed: dict[str, int]) -> None:
    at: dict[str, Any] = {name: time.time() + seconds for name, seconds in changed.items()}
    refused(own(**at), both)
    refused(signed(**at), both)


@pytest.mark.parametrize("end", ["soon", None, [], {}, "9" * 5000, float("inf"), float("-inf"), float("nan")])
def test_an_end_that_is_no_time_is_refused(both: Settings, end: Any) -> None:
    refused(own(exp=end), both)


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../dev/null",
        "/etc/passwd",
        "file:///dev/null",
        "http://169.254.169.254/latest/meta-data",
        "' OR '1'='1",
        "one' UNION SELECT 'secret' --",
        "one\0",
        " one",
        "ONE",
        "о" + "ne",
        "x" * 4000,
        "",
        "__proto__",
    ],
)
def test_a_hostile_key_id_is_a_key_that_is_not_there(provider: Provider, both: Settings, kid: str) -> None:
    provider.keys.append(entry("two", "RS256"))
    refused(jwt.encode(claims(), private_key("one", "RS256"), "RS256", {"kid": kid}), both)
    refused(hmac_signed({"alg": "HS256", "kid": kid}, b""), both)


@pytest.mark.parametrize("kid", [["one"], {"kid": "one"}, 1, True])
def test_a_key_id_that_is_no_text_is_refused(both: Settings, kid: Any) -> None:
    signature = b"x" * 256
    refused(forged({"alg": "RS256", "kid": kid}, signature), both)
    refused(forged({"alg": "HS256", "kid": kid}, signature), both)


def test_a_token_without_a_key_id_passes_only_where_there_is_one_key(provider: Provider) -> None:
    token = jwt.encode(claims(), private_key("one", "RS256"), "RS256")
    assert verify(token, provider.settings()) == "42"
    provider.keys.append(entry("two", "RS256"))
    refused(token, provider.settings())


def test_keys_and_addresses_of_keys_in_the_token_are_ignored(both: Settings, provider: Provider) -> None:
    attacker = private_key("attacker", "RS256")
    jwk = entry("one", "RS256", **{name: entry("attacker", "RS256")[name] for name in ("n", "e")})
    base = provider.url.rpartition("/.")[0]
    for header in (
        {"jwk": jwk},
        {"jku": f"{base}/attacker.json"},
        {"x5u": f"{base}/attacker.pem"},
        {"x5c": [base64.b64encode(b"certificate").decode()]},
        {"jwk": jwk, "jku": f"{base}/attacker.json", "kid": "attacker"},
    ):
        before = provider.asked
        refused(jwt.encode(claims(), attacker, "RS256", {"kid": "one", **header}), both)
        assert provider.asked == before + 1, "the configured URL was asked, once, and no other"
        # The provider's own token is not the worse for them.
        assert verify(signed(header={"x5t": "x", "x5c": ["x"]}), both) == "42"


@pytest.mark.parametrize("crit", [["exp"], ["b64"], ["http://example.invalid/UNDEFINED"], [], "exp", None])
def test_extensions_that_must_be_understood_are_not(both: Settings, crit: Any) -> None:
    body = {"alg": "HS256", "crit": crit, "b64": True, "exp": 1, "http://example.invalid/UNDEFINED": True}
    refused(hmac_signed(body, SECRET.encode()), both)


def test_a_payload_that_is_not_encoded_is_refused(both: Settings) -> None:
    head, body = encoded({"alg": "HS256", "b64": False}), json.dumps(claims())
    mac = hmac.digest(SECRET.encode(), f"{head}.{body}".encode(), "sha256")
    refused(f"{head}.{body}.{encoded(mac)}", both)
    refused(f"{head}..{encoded(mac)}", both)


def test_an_oversized_token_is_refused_before_it_is_read(both: Settings) -> None:
    fits = own(note="x" * 5000)
    assert len(fits) <= TOKEN_MAX_CHARS
    assert verify(fits, both) == "42"
    with pytest.raises(TokenInvalid, match="too long"):
        verify(own(note="x" * TOKEN_MAX_CHARS), both)


def twice(head: str, body: str) -> str:
    text = f"{encoded(head.encode())}.{encoded(body.encode())}"
    return f"{text}.{encoded(hmac.digest(SECRET.encode(), text.encode(), 'sha256'))}"


def test_a_name_that_is_there_twice_is_refused(both: Settings) -> None:
    head, body = '{"alg":"HS256"}', json.dumps(claims())
    assert verify(twice(head, body), both) == "42"
    refused(twice(head, body[:-1] + ', "sub": "admin"}'), both)
    refused(twice(head, body[:-1] + ', "scope": "mint", "scope": "admin"}'), both)
    refused(twice(head, body[:-1] + ', "nested": {"a": 1, "a": 2}}'), both)
    refused(twice('{"alg":"none","alg":"HS256"}', body), both)


def test_encrypted_and_nested_tokens_are_refused(both: Settings) -> None:
    jwe = ".".join([encoded({"alg": "dir", "enc": "A256GCM"}), "", "AAAA", "AAAA", "AAAA"])
    nested = encoded(own().encode())
    head = encoded({"alg": "HS256", "cty": "JWT"})
    mac = hmac.digest(SECRET.encode(), f"{head}.{nested}".encode(), "sha256")
    for token in (jwe, f"{head}.{nested}.{encoded(mac)}", own() + ".AAAA", own() + "." + own()):
        refused(token, both)


@pytest.mark.parametrize("kind", ["refresh+jwt", "rt+jwt", "logout+jwt", "dpop+jwt", "JOSE", "", 1, None])
def test_a_token_of_another_type_is_no_access_token(both: Settings, kind: Any) -> None:
    refused(hmac_signed({"alg": "HS256", "typ": kind}, SECRET.encode()), both)


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt", "AT+JWT"])
def test_the_types_of_access_tokens_pass(both: Settings, kind: str) -> None:
    assert verify(own(header={"typ": kind}), both) == "42"


@pytest.mark.parametrize("use", ["refresh", "Refresh", "offline", "reset", 1, ["access"], None])
@pytest.mark.parametrize("name", ["token_use", "typ"])
def test_a_token_for_another_use_is_no_access_token(both: Settings, name: str, use: Any) -> None:
    refused(twice('{"alg":"HS256"}', json.dumps(claims() | {name: use})), both)
    assert verify(twice('{"alg":"HS256"}', json.dumps(claims() | {name: "access"})), both) == "42"


@pytest.mark.parametrize(
    "sub", [None, True, ["42"], {"id": "42"}, 4.2, "", " ", "anonymous", "a\nb", "a\ud800", "x" * 256]
)
def test_a_subject_that_is_no_user_id_is_refused(both: Settings, sub: Any) -> None:
    # Not by `own`: PyJWT would leave None out and signs no lone surrogate.
    refused(twice('{"alg":"HS256"}', json.dumps(claims() | {"sub": sub})), both)


def test_a_whole_number_as_subject_counts_as_its_digits(both: Settings) -> None:
    assert verify(twice('{"alg":"HS256"}', json.dumps(claims() | {"sub": 42})), both) == "42"


def _own_with(name: str, value: object) -> str:
    return twice('{"alg":"HS256"}', json.dumps(claims() | {name: value}))


@pytest.mark.parametrize("name", ["type", "token_type"])
def test_a_refresh_token_of_another_library_is_no_access_token(both: Settings, name: str) -> None:
    for kind in ("refresh", "Refresh_Token", "reset-password", "logout", "verification", "invite"):
        refused(_own_with(name, kind), both)
    for kind in ("access", "user", "bearer", "sliding"):
        assert verify(_own_with(name, kind), both) == "42"


def test_a_providers_subject_never_takes_the_place_of_a_user_who_signed_in_here(provider: Provider) -> None:
    provider.keys = [entry("ec", "ES256")]
    settings = provider.settings(JWT_SECRET=SECRET)
    assert verify(signed("ec", "ES256", sub="7001234567890123"), settings) == "provider:7001234567890123"
    assert verify(own(sub="7001234567890123"), settings) == "7001234567890123"
    # Google's subjects have 21 digits, which no number of ours has.
    assert verify(signed("ec", "ES256", sub="109876543210987654321"), settings) == "109876543210987654321"


def test_one_of_several_audiences_is_enough(provider: Provider) -> None:
    settings = provider.settings(JWT_SECRET=SECRET, JWT_AUDIENCE="web, mobile")
    for audience in ("web", "mobile", ["other", "mobile"]):
        assert verify(own(aud=audience), settings) == "42"
    refused(own(aud="other"), settings)


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"aud": "other"}, "audience (aud)"), ({"iss": "https://other"}, "issuer (iss)"), ({"sub": 4.2}, "subject (sub)")],
)
def test_only_a_token_with_a_good_signature_is_told_which_claim_is_wrong(
    both: Settings, changed: dict[str, Any], named: str, caplog: pytest.LogCaptureFixture
) -> None:
    text = json.dumps(claims() | changed)
    with pytest.raises(TokenInvalid) as told:
        verify(twice('{"alg":"HS256"}', text), both)
    assert named in told.value.detail
    logged = [record.__dict__["fields"] for record in caplog.records]
    reasons = {"aud": ["InvalidAudienceError"], "iss": ["InvalidIssuerError"], "sub": []}
    assert [fields["reason"] for fields in logged] == reasons[next(iter(changed))]
    caplog.clear()
    with pytest.raises(TokenInvalid) as hidden:
        verify(twice('{"alg":"HS256"}', text)[:-4] + "AAAA", both)
    assert hidden.value.detail == "The token was not issued for this service. Sign in again."
    assert caplog.records == []


def test_signatures_of_elliptic_curves_in_other_encodings_are_refused(provider: Provider) -> None:
    provider.keys = [entry("ec", "ES256")]
    settings, good = provider.settings(), signed("ec", "ES256")
    assert verify(good, settings) == "42"
    text, _, signature = good.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    der = jwt.utils.raw_to_der_signature(raw, private_key("ec", "ES256").curve)
    for wrong in (
        der,
        b"\0" * 64,
        b"\0" * 32 + raw[32:],
        raw[:32] + b"\0" * 32,
        b"\xff" * 64,
        order.to_bytes(32) + s.to_bytes(32),
        r.to_bytes(32) + order.to_bytes(32),
        raw[32:] + raw[:32],
        raw[:63],
        raw + b"\0",
        b"\0" + raw,
        r.to_bytes(48) + s.to_bytes(48),
        b"",
    ):
        refused(f"{text}.{encoded(wrong)}", settings)
    refused(f"{text}.{signature}=", settings)
    refused(f"{text}.{signature}\n", settings)


def test_weak_and_unfit_keys_of_a_provider_are_not_used(provider: Provider) -> None:
    weak = jwt.encode(claims(), private_key("weak", "RS256", 2048), "RS256", {"kid": "weak"})
    for unfit in (
        entry("weak", "RS256", alg="ES256"),
        entry("weak", "RS256", alg="HS256"),
        entry("weak", "RS256", alg="none"),
        entry("weak", "RS256", alg="RSA-OAEP"),
        entry("weak", "RS256", use="enc"),
        entry("weak", "RS256", key_ops=["sign"]),
        entry("weak", "RS256", key_ops=7),
        entry("weak", "RS256", kty="EC"),
        entry("weak", "RS256", kty="oct"),
        entry("weak", "RS256", d="AQAB"),
        entry("weak", "RS256", n="AQAB"),
        entry("weak", "RS256", n="!"),
        entry("weak", "RS256", e=7),
        "weak",
        None,
    ):
        provider.keys = [entry("one", "RS256"), entry("two", "RS256"), unfit]
        refused(weak, provider.settings())
        assert verify(signed(), provider.settings()) == "42", "the others still work"
    provider.keys = [entry("one", "RS256"), entry("weak", "RS256")]
    assert verify(weak, provider.settings()) == "42"


def test_an_rsa_key_of_fewer_than_2048_bits_is_not_used(provider: Provider) -> None:
    provider.keys = [entry("one", "RS256"), entry("short", "RS256", 1024)]
    with pytest.warns(jwt.warnings.InsecureKeyLengthWarning):
        token = jwt.encode(claims(), private_key("short", "RS256", 1024), "RS256", {"kid": "short"})
    refused(token, provider.settings())


@pytest.mark.parametrize("curve", ["P-384", "P-521", "secp256k1", None, 7, ["P-256"]])
def test_a_curve_that_does_not_go_with_the_algorithm_is_not_used(provider: Provider, curve: Any) -> None:
    provider.keys = [entry("one", "RS256"), entry("ec", "ES256", crv=curve)]
    refused(signed("ec", "ES256"), provider.settings())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: token.replace(".", " ."),
        lambda token: token.replace(".", "\u3002"),
        lambda token: token[:5] + "\n" + token[5:],
        lambda token: token[:5] + " " + token[5:],
        lambda token: "\ufeff" + token,
        lambda token: token.replace("e", "е", 1),
        lambda token: token + "\udc80",
        lambda token: token.replace(".", "..", 1),
        lambda token: token.replace("-", "+").replace("_", "/") + "+",
        lambda token: "." + token,
        lambda token: token.rpartition(".")[0],
        lambda token: token.rpartition(".")[0] + ".",
        lambda _: "..",
        lambda _: ".",
        lambda _: "[" * 8000,
        lambda _: encoded(b"[" * 5000) + ".e30.",
        lambda _: encoded(b'{"alg":"HS256","a":' + b"[" * 5000) + ".e30.",
        lambda _: encoded(json.dumps({"alg": "HS256"}).encode("utf-16")) + ".e30.AAAA",
        lambda _: encoded(b'{"alg": "HS256"') + ".e30.AAAA",
        lambda _: encoded(b"\xff\xfe") + ".e30.AAAA",
    ],
)  # fmt: skip
def test_broken_text_is_refused(both: Settings, spoil: Any) -> None:
    refused(spoil(own()), both)
    refused(spoil(signed()), both)


TOKENS = st.one_of(
    st.text(max_size=200),
    st.lists(st.binary(max_size=60), max_size=5).map(lambda parts: ".".join(map(encoded, parts))),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ).map(lambda value: twice('{"alg":"HS256"}', json.dumps(value))),
    st.fixed_dictionaries(
        {"alg": st.sampled_from(["HS256", "none", "HS512"]) | st.text(max_size=5)},
        optional={name: st.none() | st.text(max_size=5) | st.lists(st.integers()) for name in ("typ", "kid", "crit")},
    ).map(lambda header: twice(json.dumps(header), json.dumps({"sub": "42"}))),
)


@given(TOKENS)
def test_nothing_that_looks_like_a_token_does_anything_but_be_refused(token: str) -> None:
    given = {"S3_BUCKET_NAME": "bucket", "AWS_REGION": "eu-north-1", "ENVIRONMENT": "test", "JWT_SECRET": SECRET}
    refused(token, load(given))
