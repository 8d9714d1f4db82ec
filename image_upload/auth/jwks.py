"""The public keys of an identity provider: fetched from its JWKS URL, cached and refreshed. RFC 7517."""

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from image_upload.auth.jose import Key, KeyRefused, key_of
from image_upload.errors import TokenKeysUnavailable
from image_upload.limits import JWKS_FRESH_S, JWKS_KEEP_S, JWKS_MAX_BYTES, JWKS_REFRESH_S, JWKS_RETRY_S, JWKS_TIMEOUT_S
from image_upload.outbound.client import Destinations, open_client

log = logging.getLogger(__name__)

_OK = 200


class KeySetUnusable(Exception):
    """The provider's answer is not a usable key set. The message says why."""


class KeySet:
    """The keys of one URL.

    They are fresh for `JWKS_FRESH_S`. After that, or for an unknown key id, they are fetched again: one request at a
    time, at most every `JWKS_REFRESH_S`, so that invented key ids cause no calls. If the provider does not answer, the
    cached keys work until they are `JWKS_KEEP_S` old.
    """

    def __init__(self, url: str, trusted: frozenset[tuple[str, int]] | None = None) -> None:
        """`trusted` are hosts that may have private addresses; by default the URL's own, as an operator named it."""
        self.url = url
        parts = urlsplit(url)
        own = frozenset({(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))})
        self._trusted = own if trusted is None else trusted
        self._keys: Mapping[str | None, Key] = {}
        self._fetched_at_s = 0.0
        self._ask_again_at_s = 0.0
        self._asking: asyncio.Task[None] | None = None

    async def key(self, key_id: str | None) -> Key | None:
        """Return the key with this id; None if there is none. Without an id, return the only key of the set.

        Raises `TokenKeysUnavailable` if all cached keys are too old.
        """
        now = time.time()
        found = self._keys.get(key_id)
        if found is not None and now < self._fetched_at_s + JWKS_FRESH_S:
            return found
        if self._asking is None and now >= self._ask_again_at_s:
            # A task, because the request that started it may be cancelled while others wait for it.
            self._asking = asyncio.create_task(self._refresh())
            await asyncio.shield(self._asking)
        elif self._asking is not None and (found is None or not self._usable(now)):
            await asyncio.shield(self._asking)
        if not self._usable(now):
            raise TokenKeysUnavailable(
                "The keys of the identity provider cannot be had. Try again in a moment; its operator finds the "
                "reason in the log.",
                headers={"Retry-After": str(JWKS_RETRY_S)},
            )
        return self._keys.get(key_id)

    def _usable(self, now: float) -> bool:
        return bool(self._keys) and now < self._fetched_at_s + JWKS_KEEP_S

    async def _refresh(self) -> None:
        """Fetch the keys. Log a failure and keep the cached keys."""
        try:
            self._keys = await self.read()
            self._fetched_at_s = time.time()
            self._ask_again_at_s = self._fetched_at_s + JWKS_REFRESH_S
        except Exception as error:  # noqa: BLE001  a provider can fail in any way, and no token is accepted by it
            self._ask_again_at_s = time.time() + JWKS_RETRY_S
            log.warning(
                "token keys not refreshed",
                extra={"fields": {"host": urlsplit(self.url).hostname, "reason": f"{type(error).__name__}: {error}"}},
            )
        finally:
            self._asking = None

    async def read(self) -> Mapping[str | None, Key]:
        """Fetch the usable keys, without the cache. Raises any error of the fetch."""
        return _keys_in(await self._fetch())

    async def _fetch(self) -> bytes:
        # A compressed answer could be a thousand times as long as the bytes that are counted here.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        body = bytearray()
        # A new client each time, as it is needed once an hour.
        async with (
            asyncio.timeout(JWKS_TIMEOUT_S),
            open_client(Destinations(self._trusted), verify=True) as client,
            client.stream("GET", self.url, headers=headers) as response,
        ):
            if response.status_code != _OK:
                raise KeySetUnusable(f"status {response.status_code}")
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > JWKS_MAX_BYTES:
                    raise KeySetUnusable(f"longer than {JWKS_MAX_BYTES} bytes")
        return bytes(body)


def _keys_in(document: bytes) -> dict[str | None, Key]:
    """Return the usable keys of a key set by their ids. A single key is also found without an id."""
    found = json.loads(document)
    entries = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(entries, list):
        raise KeySetUnusable("not a JSON Web Key Set")
    keys: dict[str | None, Key] = {}
    for entry in entries:
        try:
            key_id = entry.get("kid")
            # The first entry counts, so that a later one cannot replace a key that is in use.
            keys.setdefault(key_id if isinstance(key_id, str) else None, key_of(entry))
        except (KeyRefused, AttributeError, TypeError) as error:
            log.warning("token key not used", extra={"fields": {"reason": str(error)}})
    if not keys:
        raise KeySetUnusable("no usable key in it")
    if len(keys) == 1:
        keys.setdefault(None, *keys.values())
    elif None in keys:
        # With several keys, a token without an id names none of them.
        del keys[None]
    return keys
