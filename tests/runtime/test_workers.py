"""Lambda Managed Instances: several processes of one function at once, and /tmp is theirs together.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-managed-instances.html
"""

import json
import threading
from pathlib import Path

import httpx
import pytest

from local.embedded_s3 import EmbeddedS3
from local.replay import read_event
from tests.faults.hostile import Exchange, hostile_store
from tests.runtime.api import WITHIN_S
from tests.runtime.process import ROOT, Function, function
from tests.runtime.test_function import STORED, form_event

# Four processes, each with the whole service.
pytestmark = pytest.mark.full

WORKERS = 4
SIZE_BYTES = 2_000_000
# awslambdaric forks so many workers when Lambda says so.
AT_ONCE = {"AWS_LAMBDA_MAX_CONCURRENCY": str(WORKERS)}


def workers_of(running: Function) -> set[int]:
    """Process ids of the workers."""
    main = running.process.pid
    listed = Path(f"/proc/{main}/task/{main}/children").read_text(encoding="utf-8").split()
    return {int(pid) for pid in listed if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()}


def test_four_workers_upload_at_once(tmp_path: Path, s3: EmbeddedS3) -> None:
    together = threading.Barrier(WORKERS)

    def store_together(exchange: Exchange) -> None:
        exchange.read_body()
        together.wait(WITHIN_S)  # none is answered before all four have sent everything
        exchange.store(STORED)

    with hostile_store() as store:
        store.play(*[store_together] * WORKERS)
        with function(tmp_path, {**s3.environ, **AT_ONCE, "AWS_S3_ENDPOINT_URL": store.endpoint_url}) as running:
            running.api.wait_for_polls(WORKERS)
            event = read_event(ROOT / "events/proxied-upload.json", store.endpoint_url)
            outcomes = [running.api.send(event) for _ in range(WORKERS)]
            answers = [outcome.result(WITHIN_S).answer for outcome in outcomes]
            assert len(workers_of(running)) == WORKERS
        store.end()
    assert [answer and answer["statusCode"] for answer in answers] == [200] * WORKERS
    assert len(store.stored) == WORKERS


def test_workers_do_not_mix_up_what_they_are_given(tmp_path: Path, s3: EmbeddedS3, web: httpx.Client) -> None:
    """Sixteen uploads of large forms, each file of other bytes; what one left in /tmp another could take."""
    files = {f"uploads/worker-{number}.jpg": bytes([number]) * (SIZE_BYTES) for number in range(16)}
    with function(tmp_path, {**s3.environ, **AT_ONCE}) as running:
        running.api.wait_for_polls(WORKERS)
        for answer in [running.api.send(form_event(file, s3.endpoint_url, key)) for key, file in files.items()]:
            found = answer.result(WITHIN_S).answer
            assert found is not None
            assert found["statusCode"] == 200, found
        for key, file in files.items():
            read = json.loads((ROOT / "events/read.json").read_text(encoding="utf-8"))
            read["rawPath"] = read["requestContext"]["http"]["path"] = f"/images/{key}"
            url = json.loads(running.api.answer(read)["body"])["url"]
            assert web.get(url).content == file
        assert list(running.temporary.iterdir()) == []


def test_wrong_settings_end_every_worker_with_the_message(tmp_path: Path) -> None:
    with function(tmp_path, AT_ONCE) as running:
        running.process.wait(WITHIN_S)
        assert {error["errorType"] for error in running.api.init_errors} == {"SettingsError"}
        assert running.api.polls == []
