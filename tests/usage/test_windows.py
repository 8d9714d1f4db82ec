"""The sliding window against a model that remembers every request, and its bounds."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_upload.settings.values import Rate, rate
from image_upload.usage import memory_windows
from image_upload.usage.addresses import counted, site_of
from image_upload.usage.memory_windows import MemoryWindows


class Clock:
    """A clock that only moves when it is told."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(memory_windows, "time", clock)
    return clock


def test_so_many_pass_and_no_more(clock: Clock) -> None:
    counts = MemoryWindows(Rate(3, 60))
    assert [counts.hit("a") for _ in range(3)] == [0, 0, 0]
    assert counts.hit("a") > 0
    assert counts.hit("b") == 0, "another key is not affected"
    clock.now += 120
    assert counts.hit("a") == 0


@given(st.integers(1, 20), st.integers(1, 90), st.lists(st.floats(0, 40), min_size=1, max_size=60))
def test_who_waits_as_told_passes_and_who_comes_much_earlier_does_not(
    requests: int, window_s: int, pauses_s: Sequence[float]
) -> None:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory_windows, "time", clock)
        counts = MemoryWindows(Rate(requests, window_s))
        passed: list[float] = []
        for pause_s in pauses_s:
            clock.now += pause_s
            wait_s = counts.hit("a")
            if not wait_s:
                passed.append(clock.now)
                continue
            assert 1 <= wait_s <= 2 * window_s + 1
            before = clock.now
            clock.now = before + max(0, wait_s - 1.001)
            if wait_s > 1:
                assert counts.hit("a") > 0, "it would not have had to wait so long"
            clock.now = before + wait_s
            assert counts.hit("a") == 0
            passed.append(clock.now)
        # The estimate never lets more than twice the rate into any window, and on average no more than the rate.
        for start in passed:
            assert sum(start <= at < start + window_s for at in passed) <= 2 * requests
        spanned = math.floor(passed[-1] / window_s) - math.floor(passed[0] / window_s) + 1
        assert len(passed) <= spanned * requests


def test_the_memory_is_bounded_and_a_flood_of_newcomers_shares_one_count(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_windows, "RATE_LIMIT_KEYS_MAX", 100)
    counts = MemoryWindows(Rate(5, 60))
    answers = [counts.hit(str(number)) for number in range(1_000)]
    assert [answer > 0 for answer in answers] == [False] * 105 + [True] * 895
    assert counts.hit("7") == 0, "who was counted before goes on as before"
    assert len(counts._current) <= 101
    clock.now += 60
    counts.hit("a")
    assert len(counts._current) + len(counts._earlier) <= 102


def test_a_clock_that_is_set_back_locks_no_client_out(clock: Clock) -> None:
    counts = MemoryWindows(Rate(1, 60))
    assert counts.hit("a") == 0
    clock.now -= 86_400
    assert counts.hit("a") == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("120/minute", Rate(120, 60)),
        ("1/second", Rate(1, 1)),
        ("10/5 seconds", Rate(10, 5)),
        ("10/5seconds", Rate(10, 5)),
        ("5/hour", Rate(5, 3_600)),
        ("100000/day", Rate(100_000, 86_400)),
        ("off", None),
    ],
)
def test_a_rate_is_read_as_it_is_written(text: str, found: Rate | None) -> None:
    assert rate(text) == found


NO_RATES = (
    *("", "0/minute", "-1/minute", "x/minute", "10", "10/", "10/month", "10/2 days", "1.5/minute", "\u0661/minute"),
    *("10/0 seconds", "10 / minute", "9999999999/minute"),
)


@pytest.mark.parametrize("text", NO_RATES)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        rate(text)


@pytest.mark.usefixtures("clock")
def test_one_site_takes_no_place_of_newcomers_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_windows, "RATE_LIMIT_KEYS_MAX", 100)
    monkeypatch.setattr(memory_windows, "RATE_LIMIT_SITE_MAX", 10)
    counts = MemoryWindows(Rate(2, 60), site_of)
    site = [counted(f"2001:db8:1:{number:x}::1") for number in range(1000)]
    refused = [address for address in site if counts.hit(address)]
    assert refused == site[12:], "ten networks count apart, and the site as a whole twice more"
    for address in ("2001:db8:2::1", "2001:db8:3:1::1", "198.51.100.7"):
        assert [counts.hit(counted(address)) > 0 for _ in range(3)] == [False, False, True], address


@pytest.mark.usefixtures("clock")
def test_a_request_that_costs_more_counts_for_more() -> None:
    counts = MemoryWindows(Rate(10, 60))
    assert [counts.hit("a", 4) > 0 for _ in range(3)] == [False, False, True]
    assert [counts.hit("a") > 0 for _ in range(3)] == [False, False, True]
    assert counts.hit("b", 25) == 0, "what costs more than the limit is allowed once a window"
    assert counts.hit("b") > 0
