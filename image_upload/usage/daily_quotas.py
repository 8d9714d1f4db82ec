"""Quotas: the bytes and files that a user may store, in a day (UTC) and in total. docs/decisions/quotas.md says why.

Minting reserves the signed size, so that open plans cannot exceed the quota. `completion.confirm` settles a
reservation. For an expired plan it is called only when the user needs its quota.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from image_upload.database.database import Database
from image_upload.domain import keys
from image_upload.domain.purposes import Purpose, Purposes, of_key
from image_upload.errors import Problem, QuotaExceeded, RateLimitUnavailable
from image_upload.languages.wording import human_bytes
from image_upload.limits import QUOTA_GRACE_S, QUOTA_LOOKS_MAX, REDIS_REST_S
from image_upload.settings.usage import UsageSettings
from image_upload.usage.quota_store import Allowance, MemoryQuotaStore, QuotaStore, TotalUsage, Usage, UsageDay

if TYPE_CHECKING:
    from image_upload.usage.redis_quota_store import RedisQuotaStore
    from image_upload.usage.sql_quota_store import SqlQuotaStore

log = logging.getLogger(__name__)

_DAY_S = 86_400

# The detail, by whether it is about the total, and whether bytes and files are limited.
_DAY = "This is more than your quota for today allows. Left of it: "
_TOTAL = "This is more than your quota for all files allows. Left of it: "
_LEFT = {
    (False, True, True): _DAY + "{size}, number of files: {files}. A new day begins at {resets_at}. Try again then.",
    (False, True, False): _DAY + "{size}. A new day begins at {resets_at}. Try again then.",
    (False, False, True): _DAY + "number of files: {files}. A new day begins at {resets_at}. Try again then.",
    (True, True, True): _TOTAL + "{size}, number of files: {files}. Delete files that you do not need.",
    (True, True, False): _TOTAL + "{size}. Delete files that you do not need.",
    (True, False, True): _TOTAL + "number of files: {files}. Delete files that you do not need.",
}


class DailyQuotas:
    """One allowance for each user and day, one for each user. The owner tag in a key identifies the user.

    Processes share what is counted in Redis (REDIS_URL), else in the database (DATABASE_URL). Without both, and while
    the shared store fails, each process counts by itself. Only the database counts totals, and then days, too.

    A purpose may limit the uploads that a user begins (`Purpose.files_per_day`), in an account of its own.

    `confirm` is called with the key of an expired plan, and settles its reservation. It raises the problems of S3.
    """

    def __init__(
        self,
        settings: UsageSettings,
        database: Database,
        confirm: Callable[[str], Awaitable[None]],
        purposes: Purposes,
    ) -> None:
        self.enabled = settings.has_quotas
        self._allowance = Allowance(settings.quota_bytes_per_day, settings.quota_files_per_day)
        self._total = Allowance(settings.quota_bytes_total, settings.quota_files_total)
        self._counts_totals = self._total.is_set and database.is_configured
        # Unlimited sums could overflow the store's integers, so without a limit no bytes are counted.
        self._counts_bytes = settings.quota_bytes_per_day is not None or settings.quota_bytes_total is not None
        self._confirm = confirm
        self._purposes = purposes
        self._closes = settings.rate_limit_fails == "closed"
        self._url = None if self._counts_totals else settings.redis_url
        self._database = database
        self._own = MemoryQuotaStore()
        self._in_redis: RedisQuotaStore | None = None

    async def reserve(self, key: str, most_bytes: int, ends_at: datetime) -> None:
        """Reserve bytes and a file for this key, which may be stored until `ends_at`. Raises `QuotaExceeded`.

        Raises `RateLimitUnavailable` if the shared store does not answer and RATE_LIMIT_FAILS is closed.
        """
        now, ends_at_s = time.time(), int(ends_at.timestamp())
        purpose = self._limiting(key)
        if purpose is not None:
            most = Allowance(None, purpose.files_per_day)
            begun = await self._reserve(self._begun, *_begun(now, key, purpose), 0, ends_at_s, most=most)
            if begun is not None:
                raise self._exceeded_begun(purpose, now)
        try:
            if self.enabled:
                await self._reserve_for_user(now, key, most_bytes, ends_at_s)
        except Problem:
            await self._settle_begun(now, key, None)
            raise

    async def settle(self, key: str, stored_bytes: int | None, *, is_over: bool = False) -> None:
        """Count the bytes that S3 has under the key; None releases the reservation. Safe to repeat; never fails.

        `is_over`: nothing can store another file under the key, so that deleting this one gives back its total at once.
        """
        now = time.time()
        await self._settle_begun(now, key, stored_bytes)
        if not self.enabled:
            return
        account = _account(now, key)
        counted = stored_bytes if self._counts_bytes or stored_bytes is None else 0
        for store in (self._own, self._shared):
            if store is not None:
                await store.settle(account, key, counted)
        if is_over and stored_bytes is not None and self._counts_totals:
            await self._in_database.end(account.owner, key)

    async def release(self, key: str) -> None:
        """Give back to the user's total what a deleted file held of it. Safe to repeat; never fails."""
        if self._counts_totals:
            await self._in_database.release(keys.owner_tag_in(key) or "", key)

    async def prune(self) -> bool:
        """Delete a batch of days that are over from the database; return whether there was any.

        Redis and the memory of a process forget them without it. Raises `DatabaseUnavailable`.
        """
        if self._url is not None or not self._database.is_configured:
            return False
        return await self._in_database.prune(_account(time.time(), "").day)

    async def _reserve_for_user(self, now: float, key: str, most_bytes: int, ends_at_s: int) -> None:
        wanted = (self._shared, _account(now, key), key, most_bytes if self._counts_bytes else 0, ends_at_s)
        taken = await self._reserve(*wanted, most=self._allowance)
        if taken is not None and await self._free(now, key):
            taken = await self._reserve(*wanted, most=self._allowance)
        if taken is not None:
            raise self._exceeded(taken, now)

    def _limiting(self, key: str) -> Purpose | None:
        """Return the purpose of a key, if it limits the uploads that a user begins."""
        purpose = of_key(key, self._purposes.every())
        return purpose if purpose is not None and purpose.files_per_day is not None else None

    async def _settle_begun(self, now: float, key: str, stored_bytes: int | None) -> None:
        """End the reservation in the account of a purpose; with None the upload counts as not begun."""
        purpose = self._limiting(key)
        if purpose is not None:
            for store in (self._own, self._begun):
                if store is not None:
                    await store.settle(*_begun(now, key, purpose), None if stored_bytes is None else 0)

    async def _reserve(
        self,
        shared: QuotaStore | None,
        account: UsageDay,
        key: str,
        size_bytes: int,
        ends_at_s: int,
        *,
        most: Allowance,
    ) -> Usage | None:
        """Reserve the bytes and a file; return None, or the usage that leaves no room for them."""
        wanted = (account, key, size_bytes, ends_at_s, most)
        answer = await shared.reserve(*wanted) if shared is not None else None
        if answer is None and shared is not None and self._closes:
            raise RateLimitUnavailable(
                "The store of the quotas does not answer. Try again in a moment.",
                headers={"Retry-After": f"{REDIS_REST_S:.0f}"},
            )
        if answer is None:
            answer = await self._own.reserve(*wanted)
        return answer if isinstance(answer, Usage) else None

    async def _free(self, now: float, key: str) -> bool:
        """Confirm the user's expired plans; return whether that may have released quota."""
        account = _account(now, key)
        over = None
        for store in (self._shared, self._own):
            if store is not None and not over:
                over = await store.ended(account, int(now) - QUOTA_GRACE_S, QUOTA_LOOKS_MAX)
        return any(await asyncio.gather(*(self._ask(each) for each in over or ())))

    async def _ask(self, key: str) -> bool:
        try:
            await self._confirm(key)
        except Problem as problem:
            # The reservation stays until the next attempt, or the end of the day.
            log.warning("a reservation could not be settled", extra={"fields": {"code": problem.code}})
            return False
        return True

    def _exceeded(self, taken: Usage, now: float) -> QuotaExceeded:
        in_total = isinstance(taken, TotalUsage)
        allowance = self._total if in_total else self._allowance
        left = [None if most is None else max(0, most - held) for most, held in zip(allowance, taken, strict=True)]
        resets_in_s, resets_at = _midnight(now)
        return QuotaExceeded(
            _LEFT[in_total, left[0] is not None, left[1] is not None],
            facts={"size": None if left[0] is None else human_bytes(left[0]), "files": left[1]}
            | ({} if in_total else {"resets_at": resets_at}),
            headers={} if in_total else {"Retry-After": str(resets_in_s)},
            left_bytes=left[0],
            left_files=left[1],
            resets_at=None if in_total else resets_at,
        )

    @staticmethod
    def _exceeded_begun(purpose: Purpose, now: float) -> QuotaExceeded:
        resets_in_s, resets_at = _midnight(now)
        return QuotaExceeded(
            "The purpose {purpose} allows {files} uploads in a day, and you have begun them all. A new day begins at "
            "{resets_at}. Try again then.",
            facts={"purpose": purpose.name, "files": purpose.files_per_day, "resets_at": resets_at},
            headers={"Retry-After": str(resets_in_s)},
            left_bytes=None,
            left_files=0,
            resets_at=resets_at,
        )

    @property
    def _begun(self) -> "RedisQuotaStore | SqlQuotaStore | None":
        """The shared store for the accounts of purposes, which no total includes."""
        return self._begun_in_database if self._counts_totals else self._shared

    @property
    def _shared(self) -> "RedisQuotaStore | SqlQuotaStore | None":
        if self._url is None:
            return self._in_database if self._database.is_configured else None
        if self._in_redis is None:
            from image_upload.usage.redis_quota_store import RedisQuotaStore  # redis-py takes 150 ms

            self._in_redis = RedisQuotaStore(self._url.get_secret_value())
        return self._in_redis

    @cached_property
    def _in_database(self) -> "SqlQuotaStore":
        return self._sql_store(self._total)

    @cached_property
    def _begun_in_database(self) -> "SqlQuotaStore":
        return self._sql_store(Allowance(None, None))

    def _sql_store(self, total: Allowance) -> "SqlQuotaStore":
        from image_upload.usage.sql_quota_store import SqlQuotaStore  # SQLAlchemy takes 200 ms

        return SqlQuotaStore(self._database.records, total, self._kept_days)

    def _kept_days(self, key: str) -> int | None:
        """Return how many days the object under a key is kept; None for ever."""
        purpose = of_key(key, self._purposes.every())
        return None if purpose is None else purpose.kept_days

    async def aclose(self) -> None:
        """Close the connections to Redis."""
        if self._in_redis is not None:
            await self._in_redis.aclose()


def _account(now: float, key: str) -> UsageDay:
    return UsageDay(datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d"), keys.owner_tag_in(key) or "")


def _begun(now: float, key: str, purpose: Purpose) -> tuple[UsageDay, str]:
    """Return the account of a user and a purpose, and the name of an upload there: of lengths that the stores take."""
    user = _account(now, key)
    account = user._replace(owner=hashlib.sha256(f"begun {purpose.name} {user.owner}".encode()).hexdigest()[:32])
    return account, f"begun {hashlib.sha256(key.encode()).hexdigest()}"


def _midnight(now: float) -> tuple[int, str]:
    """Return in how many seconds the next day of UTC begins, and when that is."""
    resets_in_s = _DAY_S - int(now) % _DAY_S
    return resets_in_s, datetime.fromtimestamp(int(now) + resets_in_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
