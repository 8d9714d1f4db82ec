"""Uploads in appends on each S3 server: whatever dies, stands still or comes twice, the object is the file."""

import asyncio
import hashlib
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from image_upload.completion import leftovers
from image_upload.errors import OffsetMismatch, Problem, UploadBusy, UploadGone
from image_upload.limits import MIB
from image_upload.resumable.chunks import END, Chunk
from image_upload.resumable.store import S3Store
from image_upload.s3 import objects
from image_upload.settings import Settings, load
from local.service import local_environ
from tests.completion.ending import Killed, end_at
from tests.contract.conftest import SECRET
from tests.contract.plans import content_of
from tests.contract.store import Store
from tests.resumable.processes import APPEND, DOCUMENT, USER, Held, process

LONG = content_of(8 * MIB + 100_000)
SMALL = content_of(100_000)
WRITERS = 8
# A listing, a chunk, the commit, the object.
LEAST_CALLS = 4

# Files, in one part and in two.
FILES = pytest.mark.parametrize(
    "content", [SMALL, pytest.param(LONG, marks=pytest.mark.full)], ids=["one request", "parts"]
)


@pytest.fixture
def settings(store: Store) -> Settings:
    return load(local_environ({"JWT_SECRET": SECRET}, store.environ))


def run(work: Awaitable[None]) -> None:
    async def whole() -> None:
        await work

    asyncio.run(whole())


def is_stored(store: Store, key: str, content: bytes) -> bool:
    """The object is the file, with its type, and nothing else is left but the note of its end."""
    found = store.head(key)
    assert found is not None
    assert found["ContentType"] == DOCUMENT.content_type
    back = store.read(key)
    assert back is not None
    assert store.unfinished(key) == []
    return hashlib.sha256(back).digest() == hashlib.sha256(content).digest()


def left(store: Store, key: str) -> list[str]:
    return [each.removeprefix(f"resumable/{key}/") for each in store.left(f"resumable/{key}")[0]]


@pytest.mark.parametrize(
    ("size", "append"),
    [
        (1, 1),
        (3_000, 999),
        (8 * MIB, APPEND),
        pytest.param(8 * MIB + 1, APPEND, marks=pytest.mark.full),
        pytest.param(20 * MIB, APPEND, marks=pytest.mark.full),
        pytest.param(20 * MIB, 20 * MIB, marks=pytest.mark.full),
        pytest.param(17 * MIB + 5, 3 * MIB + 7, marks=pytest.mark.full),
    ],
)
@pytest.mark.parametrize("deferred", [False, True], ids=["length known", "length deferred"])
def test_a_file_comes_in_appends_of_any_size(
    store: Store, settings: Settings, size: int, append: int, deferred: bool
) -> None:
    content = content_of(size)

    async def work() -> None:
        async with process(settings) as own:
            ticket = await own.create(DOCUMENT if deferred else DOCUMENT._replace(size_bytes=size))
            done = await own.go_on(ticket, content, append=append)
            assert (done.offset, done.length, done.is_complete) == (size, size, True)
            assert done.stored is not None
            assert is_stored(store, done.stored.key, content)
            assert left(store, done.stored.key) == [END]
            # Also when it is asked once more.
            assert (await own.state(ticket)).stored == done.stored

    run(work())


@FILES
@pytest.mark.parametrize("before", [True, False], ids=["before S3 has it", "before its answer"])
def test_a_process_may_end_at_any_call_and_the_next_one_goes_on(
    store: Store, settings: Settings, content: bytes, before: bool
) -> None:
    async def ends_at(call: int) -> bool:
        """Let a process end at this call, and another one go on; return whether it came so far."""
        known, ended = 0, False
        async with process(settings) as first, process(settings) as second:
            ticket = await first.create(DOCUMENT._replace(size_bytes=len(content)))
            end_at(first.context.bucket, call, before=before)
            try:
                while known < len(content):
                    known = (await first.append(ticket, known, content[known : known + APPEND])).offset
            except Killed:
                ended = True
            assert (await second.state(ticket)).offset >= known, f"less than was acknowledged, after call {call}"
            done = await second.go_on(ticket, content)
            assert done.stored is not None
            assert is_stored(store, done.stored.key, content), f"after call {call}"
        return ended

    async def work() -> None:
        call = 1
        while await ends_at(call):
            call += 1
        assert call > LEAST_CALLS

    run(work())


@FILES
def test_a_process_that_stood_still_at_any_call_changes_nothing_when_it_goes_on(
    store: Store, settings: Settings, content: bytes
) -> None:
    other = bytes(reversed(content))

    async def held_at(call: int) -> bool:
        """Hold a process at this call until the client has sent another file; return whether it came so far."""
        async with process(settings) as late, process(settings) as other_one:
            ticket = await late.create(DOCUMENT._replace(size_bytes=len(content)))
            start = await other_one.append(ticket, 0, content[: len(content) // 2])
            rest = content[start.offset :]
            held = Held(late.context.bucket, call)
            zombie = asyncio.ensure_future(_outcome(late.append(ticket, start.offset, other[start.offset :])))
            reaches = asyncio.ensure_future(held.reached.wait())
            await asyncio.wait([zombie, reaches], return_when=asyncio.FIRST_COMPLETED)
            if not held.reached.is_set():
                reaches.cancel()
                return False
            at = start.offset
            try:
                done = await other_one.append(ticket, at, rest)
            except OffsetMismatch as found:
                # The held one was first, and its bytes count.
                at = found.extras["expected_offset"]
                done = await other_one.go_on(ticket, content)
            expected = content[: start.offset] + other[start.offset : at] + content[at:]
            assert done.stored is not None
            held.release()
            answer = await zombie
            if at < len(content):
                assert isinstance(answer, OffsetMismatch | UploadBusy), f"{answer} at call {call}"
            assert is_stored(store, done.stored.key, expected), f"at call {call}"
            assert (await other_one.state(ticket)).stored == done.stored
        return True

    async def work() -> None:
        call = 1
        while await held_at(call):
            call += 1
        assert call > LEAST_CALLS

    run(work())


async def _outcome(work: Awaitable[Any]) -> Any:
    try:
        return await work
    except Problem as problem:
        return problem


@FILES
def test_what_was_cancelled_stays_cancelled_whichever_process_goes_on_afterwards(
    store: Store, settings: Settings, content: bytes
) -> None:
    async def held_at(call: int) -> bool:
        async with process(settings) as late, process(settings) as other_one:
            plan = await late.uploads.create(DOCUMENT._replace(size_bytes=len(content)))
            ticket = plan.ticket_text
            held = Held(late.context.bucket, call)
            zombie = asyncio.ensure_future(_outcome(late.append(ticket, 0, content)))
            reaches = asyncio.ensure_future(held.reached.wait())
            await asyncio.wait([zombie, reaches], return_when=asyncio.FIRST_COMPLETED)
            if not held.reached.is_set():
                reaches.cancel()
                return False
            cancelled = await other_one.cancel(ticket)
            held.release()
            answer = await zombie
            if cancelled:
                assert isinstance(answer, UploadGone), f"{answer} at call {call}"
                assert store.head(plan.key) is None
                assert store.unfinished(plan.key) == []
                with pytest.raises(UploadGone):
                    await other_one.state(ticket)
            else:
                assert is_stored(store, plan.key, content)
        return True

    async def work() -> None:
        call = 1
        while await held_at(call):
            call += 1
        assert call > LEAST_CALLS

    run(work())


def test_of_many_that_append_at_once_one_is_acknowledged(store: Store, settings: Settings) -> None:
    files = [content_of(1_000)[:-1] + bytes([number]) for number in range(WRITERS)]

    async def work() -> None:
        async with process(settings) as one, process(settings) as two:
            for _ in range(3):
                ticket = await one.create(DOCUMENT._replace(size_bytes=1_000))
                appends = [
                    _outcome((one, two)[number % 2].append(ticket, 0, content)) for number, content in enumerate(files)
                ]
                answers = await asyncio.gather(*appends)
                (first,) = [number for number, each in enumerate(answers) if not isinstance(each, Problem)]
                assert all(isinstance(each, OffsetMismatch | UploadBusy) for each in answers if each != answers[first])
                assert is_stored(store, answers[first].stored.key, files[first])

    run(work())


def test_one_writer_wins_each_name_and_the_end_is_listed_before_the_newest_chunk(settings: Settings) -> None:
    async def work() -> None:
        async with process(settings) as own:
            plan = await own.uploads.create(DOCUMENT._replace(size_bytes=1_000))
            s3 = S3Store(own.context.bucket, plan.ticket.upload)
            chunks = [Chunk(offset, offset, 1) for offset in (0, 9, 10, 99, 10**11)]
            for chunk in chunks:
                won = await asyncio.gather(*(s3.put_new(chunk.name, b"%d" % each) for each in range(WRITERS)))
                assert won.count(True) == 1
            await s3.put_new("0-length", b"1")
            await s3.put_new(END, b"gone")
            names = [END, "0-length", *(chunk.name for chunk in reversed(chunks))]
            assert [name for name, _ in await s3.listed("", 100)] == names
            assert [name for name, _ in await s3.listed("", 2)] == names[:2]
            assert [name for name, _ in await s3.listed(END, 2)] == names[1:3]
            await s3.delete(names)
            assert await s3.listed("", 100) == []

    run(work())


def test_partial_uploads_become_one_object(store: Store, settings: Settings) -> None:
    contents = [content_of(size) for size in (100, 3 * MIB, 6 * MIB, 1)]

    async def work() -> None:
        async with process(settings) as own:
            tickets = []
            for content in contents:
                plan = await own.uploads.create_partial(USER, len(content))
                await own.go_on(plan.ticket_text, content)
                tickets.append(own.uploads.ticket(plan.ticket_text, USER))
            plan, done = await own.uploads.concatenate(DOCUMENT, tickets)
            assert done.stored is not None
            assert is_stored(store, done.stored.key, b"".join(contents))
            # The answer was lost, and the client asks again.
            _, again = await own.uploads.concatenate(DOCUMENT, tickets)
            assert again.stored == done.stored
            assert (await own.state(plan.ticket_text)).stored == done.stored

    run(work())


def test_what_an_upload_left_is_found_and_removed_once_it_is_old_enough(settings: Settings) -> None:
    """As `sweep --multiparts --apply` does it, for stores without lifecycle rules."""

    async def work() -> None:
        async with process(settings) as own:
            ticket = await own.create(DOCUMENT._replace(size_bytes=len(SMALL)))
            await own.append(ticket, 0, SMALL[:10])
            key, bucket = own.uploads.ticket(ticket, USER).upload.key, own.context.bucket

            async def found(before: datetime) -> list[str]:
                return [
                    each.key async for page in leftovers.resumable(bucket, before) for each in page if key in each.key
                ]

            assert await found(leftovers.before(3_600)) == []
            soon = datetime.now(UTC) + timedelta(hours=1)
            chunks = await found(soon)
            assert chunks == [f"resumable/{key}/{Chunk(0, 0, 10).name}"]
            await objects.delete_each(bucket, chunks)
            assert await found(soon) == []
            assert (await own.state(ticket)).offset == 0

    run(work())
