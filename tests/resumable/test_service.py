"""What resumable uploads promise beside their bytes: owners, quotas, sizes, checksums, and how often S3 is asked."""

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from image_upload.auth.principals import Principal
from image_upload.completion import batches
from image_upload.completion.object_events import Created
from image_upload.domain.shipped_purposes import PURPOSES
from image_upload.errors import (
    AlreadyExists,
    AppendTooLarge,
    ChecksumMismatch,
    ConcatenationInvalid,
    EmptyFile,
    FileTooLarge,
    LengthChanged,
    OffsetMismatch,
    QuotaExceeded,
    TicketInvalid,
    TicketsNotConfigured,
    UnsupportedFileType,
    UploadGone,
    UploadNotFound,
    UploadRejected,
)
from image_upload.limits import MIB, NOTE_MAX_BYTES, PARTIALS_MAX, RESUMABLE_MAX_BYTES
from image_upload.resumable.bodies import ALGORITHMS, Checksum
from image_upload.uploads.idempotency import Repeatable
from image_upload.uploads.plans import ResumablePlan
from local.embedded_s3 import EmbeddedS3
from tests.conftest import settings_for
from tests.resumable.processes import APPEND, DOCUMENT, USER, Process, body, calls_of, process

Work = Callable[[Process], Awaitable[None]]
CONTENT = os.urandom(1_000)
KNOWN = DOCUMENT._replace(size_bytes=len(CONTENT))
PICTURE = DOCUMENT._replace(content_type="image/jpeg", purpose=PURPOSES.named["upload"], filename="a.jpg")


@pytest.fixture
def run(s3: EmbeddedS3) -> Callable[..., None]:
    def run(work: Work, **environ: str) -> None:
        async def whole() -> None:
            async with process(settings_for(s3, **environ)) as own:
                await work(own)

        asyncio.run(whole())

    return run


Run = Callable[..., None]


async def read(own: Process, key: str) -> bytes:
    content: bytes = (await own.context.bucket.call("GetObject", "GET", key)).content
    return content


@pytest.mark.full
@pytest.mark.parametrize("remembers", [True, False], ids=["the same process", "another process"])
def test_an_append_costs_a_chunk_and_each_full_part_one_reading_and_one_part(run: Run, remembers: bool) -> None:
    """A process that has answered the append before needs no listing."""
    content, listing = os.urandom(5 * APPEND), [] if remembers else ["ListObjectsV2"]
    more = {"announced_bytes": APPEND} if remembers else {}  # an unknown length might be 0, which writes nothing

    async def work(own: Process) -> None:
        made = calls_of(own.context.bucket)
        ticket = await own.create(DOCUMENT._replace(size_bytes=len(content)))
        assert made == ["CreateMultipartUpload"]
        for number in range(4):
            made.clear()
            await own.append(ticket, number * APPEND, content[number * APPEND : (number + 1) * APPEND], **more)
            # The last GET asks whether the upload has ended meanwhile.
            part = ["GetObject", "UploadPart"] if number % 2 else []
            assert made == [*listing, "PutObject", *part, "GetObject"]
        made.clear()
        assert (await own.state(ticket)).offset == 4 * APPEND
        assert made == ["ListObjectsV2"]
        made.clear()
        await own.append(ticket, 4 * APPEND, content[4 * APPEND :], **more)
        end = ["PutObject", "ListParts", "UploadPart", "CompleteMultipartUpload"]
        assert made == [*listing, "PutObject", *end, "ListObjectsV2", "DeleteObjects", "HeadObject"]

    run(work)


def test_a_process_that_remembers_an_older_offset_asks_and_tells_the_newer_one(run: Run) -> None:
    async def work(own: Process) -> None:
        ticket = await own.create(KNOWN)
        await own.append(ticket, 0, CONTENT[:10], announced_bytes=10)
        remembered = own.uploads._known.copy()
        await own.append(ticket, 10, CONTENT[10:20], announced_bytes=10)
        own.uploads._known.update(remembered)
        # The same bytes once more: the answer was lost.
        assert (await own.append(ticket, 10, CONTENT[10:20], announced_bytes=10)).offset == 20
        own.uploads._known.update(remembered)
        with pytest.raises(OffsetMismatch) as refused:
            await own.append(ticket, 10, CONTENT[30:40], announced_bytes=10)
        assert refused.value.extras["expected_offset"] == 20
        own.uploads._known.update(remembered)
        await own.uploads.cancel(own.uploads.ticket(ticket, USER))
        own.uploads._known.update(remembered)
        with pytest.raises(UploadGone):
            await own.append(ticket, 10, CONTENT[10:20], announced_bytes=10)

    run(work)


def test_a_file_of_one_request_begins_nothing_in_s3(run: Run) -> None:
    async def work(own: Process) -> None:
        made = calls_of(own.context.bucket)
        ticket = await own.create(KNOWN)
        assert made == []
        await own.append(ticket, 0, CONTENT)
        assert Counter(made) == {"PutObject": 3, "ListObjectsV2": 2, "DeleteObjects": 1, "HeadObject": 1}

    run(work)


@pytest.mark.parametrize(
    "append",
    [
        pytest.param(APPEND, marks=pytest.mark.full, id="half a part"),
        pytest.param(3 * MIB + 7, marks=pytest.mark.full, id="odd"),
        pytest.param(20 * MIB, id="at once"),
    ],
)
def test_at_most_2_1_times_the_bytes_of_a_file_are_written(run: Run, append: int) -> None:
    content = os.urandom(20 * MIB)

    async def work(own: Process) -> None:
        written, real = [], own.context.bucket.call

        async def call(operation: str, *arguments: Any, **options: Any) -> Any:
            written.append(len(options.get("body", b"")))
            return await real(operation, *arguments, **options)

        own.context.bucket.call = call
        ticket = await own.create(DOCUMENT._replace(size_bytes=len(content)))
        await own.go_on(ticket, content, append=append)
        assert sum(written) <= 2.1 * len(content)

    run(work)


@pytest.mark.full
def test_a_thousand_appends_of_a_byte_are_one_file(run: Run) -> None:
    async def work(own: Process) -> None:
        ticket = await own.create(KNOWN)
        done = await own.go_on(ticket, CONTENT, append=1)
        assert done.stored is not None
        assert await read(own, done.stored.key) == CONTENT

    run(work)


def test_what_arrived_before_a_client_broke_off_is_kept(run: Run) -> None:
    async def work(own: Process) -> None:
        ticket = own.uploads.ticket(await own.create(KNOWN), USER)
        with pytest.raises(ConnectionError):
            await own.uploads.append(
                ticket, 0, body(CONTENT[:700], breaks=ConnectionError("gone")), announced_bytes=900
            )
        assert (await own.uploads.state(ticket)).offset == 700

    run(work)


def test_an_upload_does_not_end_where_its_client_broke_off(run: Run) -> None:
    async def work(own: Process) -> None:
        ticket = own.uploads.ticket(await own.create(), USER)
        with pytest.raises(ConnectionError):
            await own.uploads.append(ticket, 0, body(CONTENT[:700], breaks=ConnectionError("gone")), ends=True)
        progress = await own.uploads.state(ticket)
        assert (progress.offset, progress.length, progress.is_complete) == (700, None, False)

    run(work)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_nothing_counts_before_its_checksum_was_compared(run: Run, algorithm: str) -> None:
    digest = ALGORITHMS[algorithm](memoryview(CONTENT))

    async def work(own: Process) -> None:
        ticket = await own.create(KNOWN)
        for wrong in (bytes(len(digest)), digest[:-1], b""):
            with pytest.raises(ChecksumMismatch):
                await own.append(ticket, 0, CONTENT, checksum=Checksum(algorithm, wrong))
        broken = body(CONTENT[:700], breaks=ConnectionError("gone"))
        with pytest.raises(ConnectionError):
            await own.uploads.append(own.uploads.ticket(ticket, USER), 0, broken, checksum=Checksum(algorithm, digest))
        assert (await own.state(ticket)).offset == 0
        assert (await own.append(ticket, 0, CONTENT, checksum=Checksum(algorithm, digest))).is_complete

    run(work)


def test_an_append_with_a_checksum_that_crosses_a_part_is_stored_whole(run: Run) -> None:
    content = os.urandom(9 * MIB)

    async def work(own: Process) -> None:
        ticket = await own.create(DOCUMENT._replace(size_bytes=len(content)))
        await own.append(ticket, 0, content[: 5 * MIB])
        rest = content[5 * MIB :]
        done = await own.append(ticket, 5 * MIB, rest, checksum=Checksum("sha1", hashlib.sha1(rest).digest()))
        assert done.stored is not None
        assert await read(own, done.stored.key) == content

    run(work)


@pytest.mark.parametrize("is_announced", [True, False])
def test_an_append_that_is_too_large_for_its_kind_stores_nothing(run: Run, is_announced: bool) -> None:
    data = bytes(8 * MIB + 1)
    announced = {"announced_bytes": len(data)} if is_announced else {}

    async def with_checksum(own: Process) -> None:
        assert (own.uploads.max_append_bytes, own.uploads.max_checked_bytes) == (None, 8 * MIB)
        ticket = await own.create()
        with pytest.raises(AppendTooLarge) as refused:
            await own.append(ticket, 0, data, checksum=Checksum("crc32", b""), **announced)
        assert refused.value.extras == {"max_append_bytes": 8 * MIB}
        assert (await own.state(ticket)).offset == 0

    async def on_lambda(own: Process) -> None:
        assert (own.uploads.max_append_bytes, own.uploads.max_checked_bytes) == (APPEND, APPEND)
        ticket = await own.create()
        with pytest.raises(AppendTooLarge):
            await own.append(ticket, 0, data[: APPEND + 1])
        assert (await own.append(ticket, 0, data[:APPEND])).offset == APPEND

    run(with_checksum)
    run(on_lambda, AWS_LAMBDA_FUNCTION_NAME="f")


def test_a_wrong_offset_is_told_the_right_one_and_stores_nothing(run: Run) -> None:
    async def work(own: Process) -> None:
        ticket = await own.create(KNOWN)
        await own.append(ticket, 0, CONTENT[:300])
        for wrong in (0, 299, 301, len(CONTENT), 10**14):
            with pytest.raises(OffsetMismatch) as refused:
                await own.append(ticket, wrong, CONTENT[300:400])
            assert refused.value.extras == {"expected_offset": 300, "provided_offset": wrong}
        assert (await own.state(ticket)).offset == 300

    run(work)


def test_a_length_is_declared_once_and_kept_to(run: Run) -> None:
    async def work(own: Process) -> None:
        ticket = await own.create()
        assert (await own.append(ticket, 0, CONTENT[:500])).length is None
        with pytest.raises(LengthChanged):
            await own.append(ticket, 500, b"", length=499)
        assert (await own.append(ticket, 500, b"", length=1_000)).length == 1_000
        assert (await own.state(ticket)).length == 1_000
        for wrong in (999, 1_001):
            with pytest.raises(LengthChanged):
                await own.append(ticket, 500, CONTENT[500:600], length=wrong)
        with pytest.raises(LengthChanged):
            await own.append(ticket, 500, CONTENT[500:] + b"x")
        with pytest.raises(LengthChanged):
            await own.append(ticket, 500, CONTENT[500:999], ends=True, announced_bytes=499)
        assert (await own.state(ticket)).offset == 500
        done = await own.append(ticket, 500, CONTENT[500:], length=1_000)
        assert (done.is_complete, done.length) == (True, 1_000)

    run(work)


def test_an_upload_of_unknown_length_ends_with_an_empty_append(run: Run) -> None:
    async def work(own: Process) -> None:
        ticket = await own.create()
        await own.append(ticket, 0, CONTENT)
        done = await own.append(ticket, len(CONTENT), b"", ends=True)
        assert done.stored is not None
        assert await read(own, done.stored.key) == CONTENT

    run(work)


def test_a_file_without_a_byte_is_refused(run: Run) -> None:
    async def work(own: Process) -> None:
        with pytest.raises(EmptyFile):
            await own.create(DOCUMENT._replace(size_bytes=0))
        ticket = await own.create()
        for end in ({"ends": True}, {"length": 0}):
            with pytest.raises(EmptyFile):
                await own.append(ticket, 0, b"", **end)

    run(work)


def test_a_file_is_held_to_its_purpose_before_and_while_it_arrives(run: Run) -> None:
    async def work(own: Process) -> None:
        with pytest.raises(FileTooLarge):
            await own.create(PICTURE._replace(size_bytes=10 * MIB + 1))
        with pytest.raises(UnsupportedFileType):
            await own.create(PICTURE._replace(content_type="text/html"))
        ticket = await own.create(PICTURE)
        with pytest.raises(FileTooLarge):
            await own.append(ticket, 0, b"", length=10 * MIB + 1)
        with pytest.raises(FileTooLarge):
            await own.append(ticket, 0, bytes(10 * MIB + 1))
        with pytest.raises(FileTooLarge):
            await own.append(ticket, 8 * MIB, b"", announced_bytes=3 * MIB)
        with pytest.raises(FileTooLarge):
            await own.create(DOCUMENT._replace(purpose=PURPOSES.named["file"], size_bytes=RESUMABLE_MAX_BYTES + 1))

    run(work)


def test_other_users_and_other_tickets_get_nowhere(run: Run) -> None:
    async def work(own: Process) -> None:
        ticket = await own.create(KNOWN)
        with pytest.raises(UploadNotFound):
            own.uploads.ticket(ticket, Principal("user-2", signed_in=True))
        own.uploads.ticket(ticket, Principal("user-2", signed_in=True, scopes=frozenset({"admin"})))
        begun = await own.service.begin(DOCUMENT._replace(size_bytes=9 * MIB), 8 * MIB)
        for wrong in (begun.ticket_text, ticket[:-1], ticket + "A", "", "x" * 10_000):
            with pytest.raises(TicketInvalid):
                own.uploads.ticket(wrong, USER)
        with pytest.raises(TicketInvalid):
            own.service.ticket(ticket, USER)

    run(work)


def test_without_a_secret_there_are_no_tickets_in_production(s3: EmbeddedS3) -> None:
    async def work() -> None:
        settings = settings_for(s3).replaced(environment="production", jwt_secret=None)
        async with process(settings) as own:
            with pytest.raises(TicketsNotConfigured):
                await own.create(KNOWN)

    asyncio.run(work())


def test_quota_is_held_from_the_begin_and_settled_at_the_end(run: Run) -> None:
    async def work(own: Process) -> None:
        ticket = await own.create(KNOWN)
        with pytest.raises(QuotaExceeded):
            await own.create(KNOWN._replace(size_bytes=600))
        assert await own.cancel(ticket)
        second = await own.create(KNOWN)
        await own.go_on(second, CONTENT)
        with pytest.raises(QuotaExceeded):
            await own.create(KNOWN._replace(size_bytes=600))
        await own.create(KNOWN._replace(size_bytes=500))

    run(work, QUOTA_BYTES_PER_DAY="1500")


def test_partial_uploads_hold_quota_until_they_are_joined(run: Run) -> None:
    async def work(own: Process) -> None:
        plans = [await own.uploads.create_partial(USER, 500) for _ in range(2)]
        with pytest.raises(QuotaExceeded):
            await own.uploads.create_partial(USER, 600)
        for plan, part in zip(plans, (CONTENT[:500], CONTENT[500:]), strict=True):
            await own.go_on(plan.ticket_text, part)
        await own.uploads.concatenate(DOCUMENT, [plan.ticket for plan in plans])
        await own.create(KNOWN._replace(size_bytes=500))

    run(work, QUOTA_BYTES_PER_DAY="1500")


def test_only_complete_partial_uploads_are_joined(run: Run) -> None:
    async def work(own: Process) -> None:
        whole = own.uploads.ticket(await own.create(KNOWN), USER)
        partial = (await own.uploads.create_partial(USER, len(CONTENT))).ticket
        for wrong in ([], [whole], [partial, whole], [partial], [partial] * (PARTIALS_MAX + 1)):
            with pytest.raises(ConcatenationInvalid):
                await own.uploads.concatenate(DOCUMENT, wrong)
        await own.uploads.append(partial, 0, body(CONTENT))
        with pytest.raises(UnsupportedFileType):
            await own.uploads.concatenate(DOCUMENT._replace(content_type="text/html"), [partial])
        _, done = await own.uploads.concatenate(DOCUMENT, [partial, partial])
        assert done.stored is not None
        assert await read(own, done.stored.key) == CONTENT * 2
        assert await own.uploads.cancel((await own.uploads.create_partial(USER, 5)).ticket)

    run(work)


def test_a_partial_upload_is_bounded_by_what_its_user_may_store(run: Run) -> None:
    async def work(own: Process) -> None:
        longest = min(RESUMABLE_MAX_BYTES, max(each.max_bytes for each in PURPOSES.named.values()))
        await own.uploads.create_partial(USER, longest)
        with pytest.raises(FileTooLarge):
            await own.uploads.create_partial(USER, longest + 1)

    run(work)


def test_a_cancelled_partial_upload_is_gone_also_when_it_was_complete(run: Run) -> None:
    async def work(own: Process) -> None:
        partial = (await own.uploads.create_partial(USER, len(CONTENT))).ticket
        await own.uploads.append(partial, 0, body(CONTENT))
        assert await own.uploads.cancel(partial)
        with pytest.raises(UploadGone):
            await own.uploads.state(partial)

    run(work)


def test_a_complete_upload_is_not_cancelled(run: Run) -> None:
    async def work(own: Process) -> None:
        ticket = await own.create(KNOWN)
        done = await own.go_on(ticket, CONTENT)
        assert not await own.cancel(ticket)
        assert (await own.state(ticket)).stored == done.stored

    run(work)


def test_what_was_deleted_after_its_end_is_gone_and_does_not_come_back(run: Run) -> None:
    async def work(own: Process) -> None:
        for size in (len(CONTENT), None):
            ticket = await own.create(DOCUMENT._replace(size_bytes=size))
            done = await own.go_on(ticket, CONTENT)
            assert done.stored is not None
            await own.context.bucket.call("DeleteObject", "DELETE", done.stored.key)
            for _ in range(2):
                with pytest.raises(UploadGone):
                    await own.state(ticket)

    run(work)


@pytest.mark.full
def test_memory_is_a_part_or_two_an_append_and_all_get_their_turn(run: Run) -> None:
    content = os.urandom(20 * MIB)

    async def work(own: Process) -> None:
        tickets = [await own.create(DOCUMENT._replace(size_bytes=len(content))) for _ in range(4)]
        for ticket in tickets:
            await own.append(ticket, 0, content[:MIB])
        done = await asyncio.gather(*(own.append(ticket, MIB, content[MIB:]) for ticket in tickets))
        assert all(each.is_complete for each in done)
        assert own.context.bucket.buffers.take_now(16 * MIB), "all of it was given back"

    run(work, BUFFER_BYTES=str(16 * MIB))


def test_word_of_a_piece_of_a_file_is_left_alone(run: Run) -> None:
    async def work(own: Process) -> None:
        ticket = own.uploads.ticket(await own.create(KNOWN), USER)
        told = Created(own.context.bucket.name, f"resumable/{ticket.upload.key}/c0")
        assert await batches.finished(own.context, told) == batches.LEFT

    run(work)


@pytest.mark.parametrize("length", [0, NOTE_MAX_BYTES // 3, NOTE_MAX_BYTES, 30_000])
def test_a_note_comes_back_whatever_its_length(run: Run, length: int) -> None:
    note = "한" * length

    async def work(own: Process) -> None:
        plan = await own.uploads.create(KNOWN, note=note)
        assert (await own.uploads.state(own.uploads.ticket(plan.ticket_text, USER))).note == note

    run(work)


def test_metadata_and_type_are_those_of_the_object(run: Run) -> None:
    async def work(own: Process) -> None:
        ticket = await own.create(KNOWN._replace(metadata={"album": "제주"}))
        done = await own.go_on(ticket, CONTENT)
        assert done.stored is not None
        head = await own.context.bucket.call("HeadObject", "HEAD", done.stored.key)
        assert head.headers["content-type"] == DOCUMENT.content_type
        assert "x-amz-meta-album" in head.headers

    run(work)


@pytest.mark.parametrize("size", [len(CONTENT), 9 * MIB])
def test_a_repeated_plan_leads_to_the_same_upload(run: Run, size: int) -> None:
    content = os.urandom(size)
    spec = DOCUMENT._replace(size_bytes=size, no_overwrite=True, repeatable=Repeatable(os.urandom(16), os.urandom(16)))

    async def work(own: Process) -> None:
        first, second = [await own.service.plan(spec, "resumable") for _ in range(2)]
        assert isinstance(first, ResumablePlan)
        assert isinstance(second, ResumablePlan)
        assert (first.key, first.ticket.upload.upload_id) == (second.key, second.ticket.upload.upload_id)
        await own.append(first.ticket_text, 0, content[:500])
        await own.go_on(second.ticket_text, content)
        with pytest.raises(AlreadyExists):
            await own.service.plan(spec, "resumable")

    run(work)


def test_a_checked_file_is_published_or_rejected_at_its_end(run: Run, jpeg: bytes) -> None:
    async def work(own: Process) -> None:
        ticket = await own.create(PICTURE._replace(size_bytes=len(jpeg)))
        done = await own.go_on(ticket, jpeg)
        assert done.stored is not None
        assert not done.stored.key.startswith("incoming/")
        assert await read(own, done.stored.key) == jpeg
        assert (await own.state(ticket)).stored == done.stored
        script = b"<script>" * 100
        bad = await own.create(PICTURE._replace(size_bytes=len(script)))
        for _ in range(2):
            with pytest.raises(UploadRejected):
                await own.go_on(bad, script)

    run(work, VERIFY="publish")
