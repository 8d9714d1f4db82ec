"""A page that traces its uploads: one trace leads from Chromium to S3, the database and the webhook."""

from pathlib import Path

import pytest

from image_upload.settings import load
from local.service import local_environ
from tests.browser.storage import Storage
from tests.client.conftest import SECRET, Make, Open, token_of
from tests.conftest import serving
from tests.database.databases import Place, migrated
from tests.faults.watching import eventually
from tests.notify.receiver import SECRET as HOOK_SECRET
from tests.notify.receiver import receiver
from tests.telemetry.collector import collector
from tests.telemetry.test_trace_context import SPAN_ID, TRACE_ID, VALID

pytestmark = [pytest.mark.needs("chromium", "node", "ceph"), pytest.mark.full]


def test_an_upload_of_a_page_is_one_trace_down_to_the_database(
    open_tab: Open, origin: str, storage: Storage, tmp_path: Path
) -> None:
    with receiver() as hooks, collector() as collecting:
        environ = {
            "JWT_SECRET": SECRET,
            "CORS_ALLOW_ORIGINS": origin,
            "DATABASE_URL": migrated(Place(f"sqlite:///{tmp_path / 'records.sqlite3'}")).url,
            "WEBHOOK_URL": hooks.url,
            "WEBHOOK_SECRET": HOOK_SECRET,
            "TRACES_ENDPOINT": collecting.url,
        }
        with serving(load(local_environ({}, storage.environ) | environ)) as service:
            headers = f"(() => ({{ traceparent: '{VALID.decode()}' }}))"
            tab = Make(open_tab, service, token_of("user-1"))(headers=headers, accepts=["multipart"])
            found = tab.run("return outcome(queue.add(file(100_000)))")
            assert (found["state"], found["problem"]) == ("stored", None)
            (told,) = hooks.wait_for(1)
            assert told.headers["traceparent"].split("-")[1] == TRACE_ID
            wanted = {"POST /uploads", "CompleteMultipartUpload", "Outbox.insert", "webhook"}
            names: set[str] = set()

            def all_are_there() -> bool:
                names.update(span.name for span in collecting.spans if span.trace_id == TRACE_ID)
                return wanted <= names

            eventually(all_are_there, f"not {wanted - names}", within_s=20)
        requests = [span for span in collecting.spans if " /" in span.name]
        assert {span.parent_id for span in requests if span.trace_id == TRACE_ID} == {SPAN_ID}
