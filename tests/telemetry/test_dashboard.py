"""A real Prometheus scrapes a service under load, and every query of the dashboard gives numbers."""

import json
import math
import re
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx
import pytest

from image_upload.telemetry.metrics import TABLE
from image_upload.telemetry.prometheus import PREFIX
from tests.conftest import Start
from tests.contract.servers import UnsupportedError
from tests.database.databases import empty, migrated
from tests.faults.watching import eventually
from tests.needs import unavailable
from tests.notify.receiver import SECRET, answer, receiver
from tests.telemetry.collector import collector
from tests.telemetry.prometheus_server import Prometheus, prometheus
from tests.test_docs import ROOT
from tests.usage.redis_server import redis

DASHBOARD = json.loads((ROOT / "infra/grafana/image-upload.json").read_text())
TOKEN = "t" * 32
SPEC = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": 5}
_METRIC = re.compile(rf"{PREFIX}(\w+?)(?:_bucket|_sum|_count)?\b(?=[{{\[)])")


def queries() -> dict[str, str]:
    """Each query by its panel's title and its letter, as Grafana would send it while a service is looked at."""
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        .replace("$__rate_interval", "1m")
        .replace("$job", "image-upload")
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", ())
    }


def test_the_dashboard_asks_only_for_what_is_measured_and_for_all_of_it() -> None:
    asked = {name for query in queries().values() for name in _METRIC.findall(query)}
    assert asked == {metric.name for metric in TABLE}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def own_postgres() -> NoReturn:
    """SQLite needs none."""
    raise AssertionError


def load(web: httpx.Client, service: str, over: threading.Event) -> None:
    """Mint, send, complete and forget, until it is over."""
    while not over.is_set():
        post = web.post(f"{service}/posts", json=SPEC).json()
        web.put(post["presignedUrl"], content=b"12345", headers=post["headers"]).raise_for_status()
        web.post(f"{service}/posts/{post['id']}/complete").raise_for_status()
        web.post(f"{service}/uploads", json={**SPEC, "filename": "cat.exe"})
        web.get(f"{service}/api/v1/s3/file/uploads/missing.jpg/exists")


@pytest.mark.needs("prometheus")
@pytest.mark.needs("redis")
def test_every_query_of_the_dashboard_gives_numbers_under_load(start: Start, web: httpx.Client, tmp_path: Path) -> None:
    place = migrated(empty("sqlite", own_postgres, tmp_path))
    with receiver() as hooks, redis() as queue, collector() as collecting:
        hooks.usual = answer(500)
        service = start(
            METRICS_TOKEN=TOKEN,
            DATABASE_URL=place.url,
            WEBHOOK_URL=hooks.url,
            WEBHOOK_SECRET=SECRET,
            QUEUE_URL=f"{queue.url}/tasks",
            TRACES_ENDPOINT=collecting.url,
        )
        try:
            with prometheus(urlsplit(service).netloc, TOKEN) as server:
                given = under_load(server, web, service)
        except UnsupportedError as error:
            unavailable("prometheus", error)
    assert not silent(given)
    assert sum(given["Requests a second, by outcome A"]) > 0
    assert given["Processes A"] == [1]
    assert given["Restarts in the last hour A"] == [0]
    assert max(given["Age of the oldest event or task in the outbox A"]) > 0, "the receiver refuses"


def under_load(server: Prometheus, web: httpx.Client, service: str) -> dict[str, list[float]]:
    """What each query gives while clients are at work, once each gives something. A rate takes two scrapes."""
    text = web.get(f"{service}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text
    subprocess.run([server.promtool, "check", "metrics"], input=text, text=True, check=True, capture_output=True)
    over = threading.Event()
    given: dict[str, list[float]] = {}
    with ThreadPoolExecutor(2) as clients:
        running = [clients.submit(load, web, service, over) for _ in range(2)]

        def all_give_numbers() -> bool:
            given.update({name: _numbers(server.query(query)) for name, query in queries().items()})
            return not silent(given) or any(each.done() for each in running)

        try:
            eventually(all_give_numbers, f"no numbers: {given}", within_s=120)
        finally:
            over.set()
            for each in running:
                each.result()
    return given


def silent(given: dict[str, list[float]]) -> set[str]:
    """The queries without a number, but for retries: no call of S3 had to be repeated here."""
    return {name for name, values in given.items() if not values} - {"Retries a second A"}


def _numbers(found: list[dict[str, Any]]) -> list[float]:
    """The values of series. A quantile of what took place once, before the time that is looked at, is none."""
    values = [float(series["value"][1]) for series in found]
    return [value for value in values if not math.isnan(value)]
