import asyncio
import contextvars
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from image_upload.errors import UploadTargetRefused, UploadTimedOut, UpstreamUnavailable
from image_upload.form_proxy.sender import BACKOFF_FIRST_S, Sender, Sent
from image_upload.form_proxy.spool import Form, MemoryviewFile, Waiting
from image_upload.form_proxy.target import Target
from image_upload.outbound.client import Destinations, open_client, tls_context
from image_upload.outbound.deadline import Deadline, at_most, enter, upload_deadline
from image_upload.outbound.retry import BACKOFF_MAX_S, retry_after_s
from image_upload.outbound.streaming_put import StreamingPut
from tests.form_proxy.stores import OK, answer, scripted_store

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def target(endpoint_url: str) -> Target:
    return Target(f"{endpoint_url}/b/a.jpg?x=y", endpoint_url.partition("//")[2], "b", "a.jpg", frozenset())


async def never_stored(_: Target, __: Waiting) -> bool:
    return False


def send(endpoint_url: str, *, retries: int, time_s: float = 60.0, trusted: bool = True) -> tuple[Sent, list[float]]:
    """Send five bytes with a sleep that only writes down how long it would have been."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def exchange() -> Sent:
        host, _, port = endpoint_url.removeprefix("http://").partition(":")
        known = Destinations(frozenset({(host, int(port))} if trusted else ()))
        streaming_put = StreamingPut(known, lambda: tls_context(verify=True))
        async with open_client(known, verify=True) as client:
            file = MemoryviewFile()
            await file.write(memoryview(b"12345"))
            form = Form(file=file, filename="a.jpg", size_bytes=5)
            deadline = Deadline(time.monotonic() + time_s)
            return await Sender(client, streaming_put, never_stored, sleep).send(
                form, target(endpoint_url), max_retries=retries, deadline=deadline
            )

    return asyncio.run(exchange()), pauses


def test_pauses_grow_at_random_within_their_bounds() -> None:
    with scripted_store([answer(500)] * 6 + [OK]) as store:
        sent, pauses = send(store.endpoint_url, retries=6)
    assert sent.attempts == 7
    for number, pause in enumerate(pauses):
        most = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2**number)
        assert most / 2 <= pause <= most
    assert len(set(pauses)) == 6, "jitter"


def test_three_pauses_outlast_a_gateways_restart() -> None:
    with scripted_store([answer(500)] * 3 + [OK]) as store:
        assert sum(send(store.endpoint_url, retries=3)[1]) >= 7


def test_pauses_leave_time_for_all_attempts() -> None:
    with scripted_store([answer(500)] * 3 + [OK]) as store:
        sent, pauses = send(store.endpoint_url, retries=3, time_s=4)
    assert sent.attempts == 4
    assert max(pauses) <= 1


def test_the_pause_that_the_store_asks_for_is_kept() -> None:
    with scripted_store([answer(503, "Retry-After: 7"), OK]) as store:
        assert send(store.endpoint_url, retries=1)[1] == [7.0]


def test_a_pause_that_would_outlast_the_deadline_is_not_begun() -> None:
    with scripted_store([answer(503, "Retry-After: 7"), OK]) as store:
        with pytest.raises(UpstreamUnavailable) as caught:
            send(store.endpoint_url, retries=3, time_s=5)
        assert caught.value.extras["attempts"] == 1


def test_no_attempt_starts_without_time() -> None:
    with scripted_store([OK]) as store:
        with pytest.raises(UploadTimedOut):
            send(store.endpoint_url, retries=3, time_s=0)
        assert store.requests == []


def test_an_address_inside_is_refused_and_not_tried_again() -> None:
    with scripted_store([OK]) as store:
        with pytest.raises(UploadTargetRefused):
            send(store.endpoint_url, retries=3, trusted=False)
        assert store.requests == []


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        ("0", 0.0),
        ("99999", 20.0),
        ("-5", None),
        ("soon", None),
        ("٣", None),
        ("9" * 5000, 20.0),
        ("Wed, 21 Oct 2026 07:28:00 +99999999999999999999", None),
        ("Wed, 21 Oct 99999999999999999999 07:28:00 GMT", None),
        (format_datetime(NOW + timedelta(seconds=9), usegmt=True), 9.0),
        (format_datetime(NOW - timedelta(seconds=9), usegmt=True), 0.0),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, NOW) == seconds


class _Context:
    def __init__(self, remaining_ms: int) -> None:
        self._remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self) -> int:
        return self._remaining_ms


def test_lambdas_deadline_counts_with_a_margin() -> None:
    def left_s(milliseconds: int, timeout_s: float) -> tuple[float, float]:
        enter(_Context(milliseconds))
        return upload_deadline(timeout_s).left_s, at_most(timeout_s) or 0.0

    context = contextvars.copy_context()
    upload_s, call_s = context.run(left_s, 10_000, 300)
    assert 7.5 < upload_s <= 8 < call_s <= 9
    assert context.run(left_s, 1_000, 300) == (0, 0)
    upload_s, call_s = context.run(left_s, 900_000, 5)
    assert 4.5 < upload_s <= 5 == call_s
    assert at_most(None) is None, "outside of it there is no deadline"
