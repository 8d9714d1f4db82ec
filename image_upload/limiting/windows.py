"""Counting in this process: a sliding window in constant time and bounded memory.

Two fixed windows are counted. The earlier one weighs as much as of it still lies inside the sliding window, as if
its requests had come evenly; the library `limits` does the same in Redis.
"""

import math
import time

from image_upload.limits import RATE_LIMIT_KEYS_MAX
from image_upload.setting_values import Rate

_NEWCOMERS = ""


class MemoryWindows:
    """The counts of one rate, by key."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._number = 0.0
        self._current: dict[str, int] = {}
        self._earlier: dict[str, int] = {}

    def hit(self, key: str) -> int:
        """Count a request. 0 if it is allowed, else it was not counted, and one may be after so many seconds."""
        limit, window_s = self._rate
        number, into_s = divmod(time.time(), window_s)
        if number != self._number:
            self._earlier = self._current if number == self._number + 1 else {}
            self._number, self._current = number, {}
        if key not in self._current and len(self._current) >= RATE_LIMIT_KEYS_MAX:
            key = _NEWCOMERS
        current, earlier = self._current.get(key, 0), self._earlier.get(key, 0)
        if current + earlier * (1 - into_s / window_s) < limit:
            self._current[key] = current + 1
            return 0
        if current < limit:
            wait_s = window_s * (1 - (limit - current) / earlier) - into_s
        else:
            wait_s = window_s - into_s + window_s * (1 - limit / current)
        return math.floor(wait_s) + 1
