"""The end of an upload is confirmed once: one look at S3, the row and the quota settled together."""

from datetime import UTC, datetime, timedelta

import pytest

from image_upload.auth.principals import Principal
from image_upload.completion.confirmation import Confirmation, confirm
from image_upload.completion.context import CompletionContext
from image_upload.completion.sweep import sweep
from image_upload.database.values import Record
from image_upload.domain import keys
from image_upload.domain.shipped_purposes import PURPOSES
from image_upload.errors import DatabaseUnavailable, QuotaExceeded, SizeMismatch
from image_upload.s3 import multipart
from image_upload.uploads.plans import MultipartPlan, PutPlan, UploadSpec
from image_upload.uploads.service import UploadService
from image_upload.uploads.tickets import Ticket
from local.embedded_s3 import EmbeddedS3
from tests.completion.stores import CONTENT, do, expected_object, put
from tests.conftest import settings_for
from tests.database.databases import Place
from tests.faults.hostile import answering, hostile_store, raw

UPLOAD = PURPOSES.named["upload"]
SPEC = UploadSpec(
    "image/jpeg", UPLOAD, Principal("user-1", signed_in=True), filename="cat.jpg", size_bytes=len(CONTENT)
)
PART = [(1, '"e1"')]
CREATED = raw(200, body=b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>")
COMPLETED = raw(200, body=b"<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>")


def head(size_bytes: int) -> bytes:
    """What S3 answers to a HEAD of a JPEG of this length."""
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {size_bytes}", "Content-Type: image/jpeg", 'ETag: "seen"']
    return "\r\n".join([*lines, "Last-Modified: Mon, 30 Nov 2026 04:00:00 GMT", "Connection: close", "", ""]).encode()


def service_of(context: CompletionContext, s3: EmbeddedS3, place: Place, **environ: str) -> UploadService:
    settings = settings_for(s3, DATABASE_URL=place.url, **environ)
    return UploadService(settings.storage, settings.auth, context, form_path="/form", form_max_bytes=1)


def test_a_recorded_multipart_upload_is_asked_for_once_and_settled_with_its_row(place: Place) -> None:
    with hostile_store() as store:
        s3 = EmbeddedS3(store.endpoint_url)

        async def work(context: CompletionContext) -> tuple[Record, Record | None]:
            uploads = service_of(context, s3, place)
            plan, record = await uploads.plan_recorded("post", SPEC, "multipart")
            assert isinstance(plan, MultipartPlan)
            done = await uploads.complete(plan.ticket, PART)
            assert (done.key, done.size_bytes) == (plan.ticket.key, len(CONTENT))
            with pytest.raises(QuotaExceeded):
                await uploads.plan(SPEC._replace(size_bytes=96), "put")
            await uploads.plan(SPEC._replace(size_bytes=95), "put")
            return record, await context.database.records.by_key(plan.ticket.key)

        store.play(answering(CREATED), answering(COMPLETED), answering(head(len(CONTENT))))
        before, after = do(s3, place, work, QUOTA_BYTES_PER_DAY="100")
        asked = [exchange.line.split()[0] for exchange in store.exchanges]
    assert asked == ["POST", "POST", "HEAD"]
    assert after is not None
    assert (before.state, after.state, after.size_bytes) == ("pending", "stored", len(CONTENT))


def test_a_multipart_upload_of_another_length_is_removed_and_its_row_says_why(place: Place) -> None:
    with hostile_store() as store:
        s3 = EmbeddedS3(store.endpoint_url)

        async def work(context: CompletionContext) -> Record | None:
            uploads = service_of(context, s3, place)
            plan, record = await uploads.plan_recorded("post", SPEC, "multipart")
            assert isinstance(plan, MultipartPlan)
            with pytest.raises(SizeMismatch):
                await uploads.complete(plan.ticket, PART)
            return await context.database.records.find("post", record.id)

        store.play(answering(CREATED), answering(COMPLETED), answering(head(999)), answering(raw(204)))
        end = do(s3, place, work)
        removed = store.exchanges[-1]
    assert removed.line.startswith("DELETE ")
    assert removed.headers["if-match"] == '"seen"'
    assert end is not None
    assert (end.state, end.fault, end.size_bytes) == ("rejected", "size", 999)


def test_a_database_that_is_away_leaves_the_row_to_the_sweep_and_the_upload_succeeds(
    s3: EmbeddedS3, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(context: CompletionContext) -> tuple[str, str]:
        uploads = service_of(context, s3, place)
        plan, record = await uploads.plan_recorded("post", SPEC, "multipart")
        assert isinstance(plan, MultipartPlan)
        etag = await sent_part(context, plan.ticket)
        with monkeypatch.context() as away:
            # A file that is no database.
            away.setattr(context.database, "_records", None)
            elsewhere = settings_for(s3, DATABASE_URL="sqlite:////dev/null/none").database
            away.setattr(context.database, "_settings", elsewhere)
            done = await uploads.complete(plan.ticket, [(1, etag)])
            assert done.size_bytes == len(CONTENT)
            with pytest.raises(DatabaseUnavailable):
                await confirm(context, plan.ticket.key)
            await context.database.aclose()
        left = await context.database.records.again(record)
        now = await confirm(context, plan.ticket.key)
        assert now.record is not None
        return left.state, now.record.state

    assert do(s3, place, work) == ("pending", "stored")


async def sent_part(context: CompletionContext, ticket: Ticket) -> str:
    """The ETag of the only part."""
    query = {"partNumber": "1", "uploadId": ticket.upload_id}
    response = await context.bucket.call("UploadPart", "PUT", ticket.key, query=query, body=CONTENT)
    return response.headers["etag"]


def test_an_upload_without_a_row_costs_no_request_where_no_quota_is_set(place: Place) -> None:
    async def work(context: CompletionContext) -> None:
        assert await confirm(context, "uploads/none.jpg") == Confirmation(None, None)

    with hostile_store() as store:
        do(EmbeddedS3(store.endpoint_url), place, work)
        assert store.exchanges == []


def test_a_plan_whose_row_cannot_be_written_holds_no_quota(s3: EmbeddedS3, place: Place) -> None:
    async def work(context: CompletionContext) -> None:
        uploads = service_of(context, s3, place)
        place.sql("ALTER TABLE uploads RENAME TO elsewhere")
        for _ in range(3):
            with pytest.raises(DatabaseUnavailable):
                await uploads.plan_recorded("post", SPEC, "put")
        await uploads.plan(SPEC, "put")

    do(s3, place, work, QUOTA_FILES_PER_DAY="1")


def test_a_row_that_expires_releases_its_quota(s3: EmbeddedS3, place: Place) -> None:
    async def work(context: CompletionContext) -> None:
        key = f"uploads/{keys.new_id('user-1')}.jpg"
        await context.quotas.reserve(key, 1, datetime.now(UTC) + timedelta(hours=1))
        over = datetime.now(UTC) - timedelta(minutes=1)
        await context.database.records.insert("post", expected_object(key=key, ends_at=over))
        uploads = service_of(context, s3, place)
        with pytest.raises(QuotaExceeded):
            await uploads.plan(SPEC, "put")
        assert dict(await sweep(context, 5)) == {"expired": 1}
        assert isinstance(await uploads.plan(SPEC, "put"), PutPlan)

    do(s3, place, work, QUOTA_FILES_PER_DAY="1")


def test_aborting_an_upload_that_is_complete_counts_it(s3: EmbeddedS3, place: Place) -> None:
    async def work(context: CompletionContext) -> None:
        uploads = service_of(context, s3, place)
        begun = await uploads.begin(SPEC, 5 * 1024 * 1024)
        # Another store answers 204 here, too: the object is there, and the upload is not.
        await multipart.abort(context.bucket, begun.ticket.key, begun.ticket.upload_id)
        await put(context, begun.ticket.key)
        found = await confirm(context, begun.ticket.key, row="none", is_over=True)
        assert found.stored is not None
        with pytest.raises(QuotaExceeded):
            await uploads.plan(SPEC, "put")

    do(s3, place, work, QUOTA_FILES_PER_DAY="1")
