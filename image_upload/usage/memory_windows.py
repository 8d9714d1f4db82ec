"""Count in this process: a sliding window in constant time and bounded memory.

Two fixed windows are counted. The earlier one is weighted by its share of the sliding window, as if its requests had
been spread evenly. The library `limits` does the same in Redis.
"""

import math
import time
from collections import Counter
from collections.abc import Callable

from image_upload.limits import RATE_LIMIT_KEYS_MAX, RATE_LIMIT_SITE_MAX
from image_upload.settings.values import Rate

_NEWCOMERS = ""

# From a key to its wider network; None for a key without one.
SiteOf = Callable[[str], str | None]


class MemoryWindows:
    """The counts of one rate, by key. Up to `RATE_LIMIT_SITE_MAX` keys of a site are counted apart, the rest as one."""

    def __init__(self, rate: Rate, site_of: SiteOf = lambda _: None) -> None:
        self._rate = rate
        self._site_of = site_of
        self._number = 0.0
        self._current: dict[str, int] = {}
        self._earlier: dict[str, int] = {}
        self._sites: Counter[str] = Counter()

    def hit(self, key: str, cost: int = 1) -> int:
        """Count a request as `cost` requests; return 0. Above the limit count nothing; return the seconds to wait."""
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
        # The highest count with which this request still fits.
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
        """Return what a new key is counted as: itself, its site, or the rest if too many keys are counted."""
        site = self._site_of(key)
        if site is not None:
            if self._sites[site] >= RATE_LIMIT_SITE_MAX:
                return site
            if site not in self._sites and len(self._sites) >= RATE_LIMIT_KEYS_MAX:
                return _NEWCOMERS
            self._sites[site] += 1
        return _NEWCOMERS if len(self._current) >= RATE_LIMIT_KEYS_MAX else key
