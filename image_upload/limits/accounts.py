"""Who uses the service, and how much: tokens, sign-in, rate limits, quotas."""

from typing import Final

from image_upload.limits.units import KIB

# --- Tokens ---------------------------------------------------------------------------------------

TOKEN_MAX_CHARS: Final = 8192
"""Above: 401 `token-invalid`, before it is parsed.

our own choice; a usual one has about 1,000
"""
TOKEN_LEEWAY_S: Final = 30
"""How far `exp`, `nbf` and `iat` may be off. Less: clocks that differ refuse good tokens. More: an ended token works
longer.

our own choice; [RFC 7519](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4) allows "a few minutes"
"""
TOKEN_CACHE_S: Final = 60
"""How long a verified token is known without verifying it again, never past its own end. A token outlives the removal
of its key as long."""
TOKEN_CACHE_MAX: Final = 1_000
"""Verified tokens that are known at once. Above: the one that was verified first is verified again.

our own choice; about 300 bytes each
"""
SUBJECT_MAX_CHARS: Final = 255
"""Above: 401 `token-invalid`. The user's id becomes part of keys.

[OpenID Connect](https://openid.net/specs/openid-connect-core-1_0.html#IDToken)
"""
TOKEN_LIFE_MAX_S: Final = 2_592_000
"""`python -m image_upload token` signs none that lives longer, and `JWT_EXPIRE_MINUTES` allows none. A token that got
out works until its end, or until the secret is changed."""
RSA_KEY_MIN_BITS: Final = 2_048
"""Below: the provider's key is not used.

[RFC 7518](https://www.rfc-editor.org/rfc/rfc7518#section-3.3)
"""
JWKS_FRESH_S: Final = 3_600
"""How long the provider's keys are used without asking. More: a withdrawn key works longer."""
JWKS_KEEP_S: Final = 86_400
"""How long they are used while the provider cannot be reached. Then: 503 `token-keys-unavailable`."""
JWKS_REFRESH_S: Final = 30
"""Unknown key ids make the service ask again at most so often. A new key of the provider may take this long to work."""
JWKS_RETRY_S: Final = 5
"""The same after a request that failed."""
JWKS_TIMEOUT_S: Final = 5.0
"""Connection and answer together. Above: the provider counts as not reached."""
JWKS_MAX_BYTES: Final = 128 * KIB
"""The rest is not read, and the key set not used.

our own choice; Entra ID's, with a certificate chain in each entry, has about 15 kB
"""

# --- Sign-in --------------------------------------------------------------------------------------

SIGN_IN_EXPIRES_S: Final = 600
"""A sign-in that took longer at the provider, password and second factor included: `?error=sign-in-expired`."""
CODE_EXPIRES_S: Final = 60
"""A one-time code that is exchanged later: 400 `grant-refused`.

our own choice; [RFC 6749](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2) allows ten minutes, and a page needs
seconds
"""
PROVIDER_TIMEOUT_S: Final = 10.0
"""All calls of one sign-in to its provider together: token, keys, user. Above: `provider-failed`."""
PROVIDER_ANSWER_MAX_BYTES: Final = 128 * KIB
"""A longer answer of a provider is not read: `provider-failed`.

our own choice; Google's documents have about 2 kB
"""
DISCOVERY_FRESH_S: Final = 3_600
"""How long a provider's discovery document is used without asking; longer, if it does not answer then."""
EMAIL_MAX_CHARS: Final = 254
"""A longer address counts as none.

[RFC 3696, erratum 1690](https://www.rfc-editor.org/errata/eid1690)
"""
PERSON_NAME_MAX_CHARS: Final = 255
"""A longer name is cut."""
ISSUER_MAX_CHARS: Final = 255
"""Longest `GOOGLE_ISSUER` or `GITHUB_URL` that fits into the database. A longer issuer is refused."""
SIGN_IN_TEXT_MAX_CHARS: Final = 4_096
"""A longer cookie, code, state or refresh token is none of ours.

our own choice; a cookie has about 500
"""

# --- Rate limits ----------------------------------------------------------------------------------

RATE_LIMIT_KEYS_MAX: Final = 50_000
"""Users, or addresses, that one process counts in one window. Above: newcomers share one count until the window ends,
so that neither the memory nor what they may send together grows.

our own choice; about 200 bytes each
"""
RATE_LIMIT_SITE_MAX: Final = 256
"""IPv6 networks of 64 bits within one of 48 that are counted apart. Above: further ones share one count, or a single
site could fill `RATE_LIMIT_KEYS_MAX`.

our own choice; a site (RFC 6177) has 65,536 such networks
"""
RATE_LIMIT_WINDOW_MAX_S: Final = 86_400
"""Longest window of a rate limit. Above: the service does not start."""
REDIS_TIMEOUT_S: Final = 0.5
"""Connection and answer together. Above: `RATE_LIMIT_FAILS` decides."""
REDIS_REST_S: Final = 5.0
"""After a failure Redis is left alone so long, so that not every request waits for it."""
REDIS_CONNECTIONS: Final = 16
"""Connections of one process for rate limits, and as many for quotas where there are any. More requests at once wait
for each other, and are not taken for a failure of Redis.

our own choice; an answer takes less than a millisecond
"""
QUOTA_GRACE_S: Final = 300
"""How long after a plan's time S3 is asked what came of it: a PUT that began in time may still be under way. Less: a
slow file is not counted. More: the room of one that was never sent is free later."""
QUOTA_LOOKS_MAX: Final = 100
"""Plans that S3 is asked about at once, when their user needs the room; each once."""
QUOTA_OPEN_MAX: Final = 100_000
"""Open reservations that one process remembers. Above: the oldest count until the end of the day, as if their largest
size had been stored.

our own choice; about 300 bytes each
"""
QUOTA_KEEP_S: Final = 2 * 86_400
"""How long Redis keeps the account of a day: longer than the day."""
QUOTA_MAX: Final = 2**53 - 1
"""Above: the service does not start. It is 9 PB.

2^53 - 1: the whole numbers that JSON and Lua count exactly
"""
FORWARDED_HOPS_MAX: Final = 16
"""Addresses of `X-Forwarded-For` that are looked at, from the right."""
