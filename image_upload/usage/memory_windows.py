"""Counting in this process: a sliding window in constant time and bounded memory.

Two fixed windows are counted. The earlier one weighs as much as of it still lies inside the sliding window, as if
its requests had come evenly; the library `limits` does the same in Redis.
"""

import math
import time
from collections import Counter
from collections.abc import Callable

from image_upload.limits import RATE_LIMIT_KEYS_MAX, RATE_LIMIT_SITE_MAX
from image_upload.settings.values import Rate

_NEWCOMERS = ""

# The wider network that a key lies in; None for a key that stands for itself.
SiteOf = Callable[[str], str | None]


class MemoryWindows:
    """The counts of one rate, by key. Of one site, `RATE_LIMIT_SITE_MAX` keys are counted apart, all others as one."""

    def __init__(self, rate: Rate, site_of: SiteOf = lambda _: None) -> None:
        self._rate = rate
        self._site_of = site_of
        self._number = 0.0
        self._current: dict[str, int] = {}
        self._earlier: dict[str, int] = {}
        self._sites: Counter[str] = Counter()

    def hit(self, key: str, cost: int = 1) -> int:
        """Count a request as `cost` of them. 0 if it is allowed, else it was not counted: seconds until one may be."""
        limit, window_s = self._rate
        cost = min(cost, limit)
        number, into_s = divmod(time.time(), window_s)
        if number != self._number:
            self._earlier = self._current if number == self._number + 1 else {}
            self._number, self._current = number, {}
            self._sites.clear()
        if key not in self._current:
            key = self._newcomer(key)
        current, earlier = self._current.get(key, 0), self._earlier.get(key, 0)
        # What may be counted already, so that this one still fits.
        room = limit - cost + 1
        if current + earlier * (1 - into_s / window_s) < room:
            self._current[key] = current + cost
            return 0
        if current < room:
            wait_s = window_s * (1 - (room - current) / earlier) - into_s
        else:
            wait_s = window_s - into_s + window_s * (1 - room / current)
        return math.floor(wait_s) + 1

    def _newcomer(self, key: str) -> str:
        """Under what a key is counted that was not seen in this window."""
        site = self._site_of(key)
        if site is not None:
            if self._sites[site] >= RATE_LIMIT_SITE_MAX:
                return site
            if site not in self._sites and len(self._sites) >= RATE_LIMIT_KEYS_MAX:
                return _NEWCOMERS
            self._sites[site] += 1
        return _NEWCOMERS if len(self._current) >= RATE_LIMIT_KEYS_MAX else key
