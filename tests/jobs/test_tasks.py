"""Tasks for workers: a job for each file and task, its message in the queue, and its result."""

import asyncio
import time
from typing import Any

import httpx
import jwt
import pytest
from standardwebhooks import Webhook

from image_upload.domain import keys
from image_upload.jobs.job import id_of
from image_upload.jobs.tokens import JobTokens
from image_upload.limits import JOB_RESULT_MAX_BYTES, JOBS_KEPT_DAYS
from image_upload.settings import SettingsError, load
from image_upload.telemetry.logs import redact
from local.ports import claim_port
from tests.completion.test_telling import PHOTO, SCRIPT
from tests.conftest import Start, problem
from tests.jobs.queues import Sqs
from tests.notify.receiver import SECRET as HOOK_SECRET
from tests.notify.receiver import receiver

SECRET = "a-secret-of-more-than-thirty-two-bytes"
TASK = "vision_analysis_task"


def bearer(user: str, scope: str = "") -> dict[str, str]:
    claims = {"sub": user, "exp": int(time.time()) + 600, "scope": scope}
    return {"Authorization": f"Bearer {jwt.encode(claims, SECRET, 'HS256')}"}


def stored(web: httpx.Client, url: str, user: str, content: bytes = PHOTO, **fields: Any) -> str:
    """The key of a new file of a user."""
    spec = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": len(content), **fields}
    plan = web.post(f"{url}/uploads", json=spec, headers=bearer(user)).raise_for_status().json()
    web.put(plan["presignedUrl"], content=content, headers=plan["headers"]).raise_for_status()
    return str(plan["objectKey"])


def scan(web: httpx.Client, url: str, key: str, user: str = "jane") -> httpx.Response:
    return web.post(f"{url}/images/{key}/scan", headers=bearer(user))


def result(web: httpx.Client, url: str, message: dict[str, Any], **body: Any) -> httpx.Response:
    given = {"Authorization": f"Bearer {message['token']}"}
    return web.post(f"{url}{message['result_url']}", json=body, headers=given)


# --- POST /images/{key}/scan ----------------------------------------------------------------------


def test_a_scan_is_one_job_with_one_message_however_often_it_is_asked_for(
    start: Start, web: httpx.Client, queue: Sqs
) -> None:
    url = start(QUEUE_URL=queue.url, JWT_SECRET=SECRET, AUTH_REQUIRED="true", CDN_BASE_URL="https://cdn.example.com")
    key = stored(web, url, "jane", purpose="scan")
    answers = [scan(web, url, key) for _ in range(3)]
    assert {each.status_code for each in answers} == {202}
    (job_id,) = {each.json()["job_id"] for each in answers}
    assert job_id == id_of(key, TASK)
    assert answers[0].headers["location"] == f"/jobs/{job_id}"
    (message,) = queue.messages()
    JobTokens(load(ENVIRON).auth).check(message.pop("token"), job_id)
    assert message == {
        "id": job_id,
        "task": TASK,
        "kwargs": {"image_url": f"https://cdn.example.com/{key}", "user_id": "jane"},
        "key": key,
        "result_url": f"/jobs/{job_id}/result",
    }
    seen = web.get(f"{url}/jobs/{job_id}", headers=bearer("jane")).json()
    assert (seen["state"], seen["task"], seen["key"]) == ("queued", TASK, key)
    problem(web.get(f"{url}/jobs/{job_id}", headers=bearer("joe")), 404, "job-missing")


ENVIRON = {"ENVIRONMENT": "test", "S3_BUCKET_NAME": "photos", "AWS_REGION": "eu-north-1", "JWT_SECRET": SECRET}


def test_scans_of_one_file_at_once_are_one_job(start: Start, web: httpx.Client, queue: Sqs) -> None:
    url = start(QUEUE_URL=queue.url, JWT_SECRET=SECRET)
    key = stored(web, url, "jane")

    async def at_once() -> set[str]:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            asked = [client.post(f"{url}/images/{key}/scan", headers=bearer("jane")) for _ in range(8)]
            return {each.json()["job_id"] for each in await asyncio.gather(*asked)}

    assert asyncio.run(at_once()) == {id_of(key, TASK)}
    assert [each["id"] for each in queue.messages()] == [id_of(key, TASK)]


def test_without_a_cdn_the_url_reads_the_file_and_result_url_leads_to_the_service(
    start: Start, web: httpx.Client, queue: Sqs
) -> None:
    url = start(QUEUE_URL=queue.url, JWT_SECRET=SECRET, SERVICE_URL="http://uploads.internal:8000/")
    key = stored(web, url, "jane")
    scan(web, url, key)
    (message,) = queue.messages()
    assert web.get(message["kwargs"]["image_url"]).content == PHOTO
    assert message["result_url"] == f"http://uploads.internal:8000/jobs/{message['id']}/result"


def test_what_is_not_there_or_not_yours_or_kept_out_is_not_scanned(
    start: Start, web: httpx.Client, queue: Sqs, purposes: str
) -> None:
    url = start(QUEUE_URL=queue.url, JWT_SECRET=SECRET, VERIFY="publish", PURPOSES_FILE=purposes)
    key = stored(web, url, "jane", purpose="plain")
    problem(scan(web, url, key, "joe"), 404, "object-missing")
    problem(scan(web, url, f"plain/jane/{keys.new_id('jane')}"), 404, "object-missing")
    kept_out = stored(web, url, "jane", SCRIPT, purpose="photo")
    assert problem(scan(web, url, kept_out), 409, "upload-rejected")["fault"] == "disguised"
    assert queue.messages() == []


def test_without_a_queue_a_scan_is_refused_as_not_configured(start: Start, web: httpx.Client) -> None:
    url = start(JWT_SECRET=SECRET)
    problem(scan(web, url, stored(web, url, "jane")), 503, "queue-not-configured")


@pytest.mark.parametrize("kind", ["http://127.0.0.1:{port}/123456789012/tasks", "redis://127.0.0.1:{port}/tasks"])
def test_a_queue_that_is_down_is_told_and_the_next_call_queues(
    start: Start, web: httpx.Client, queue: Sqs, kind: str
) -> None:
    with claim_port("127.0.0.1", 0, "PORT") as listening:
        port = listening.getsockname()[1]
    url = start(QUEUE_URL=kind.format(port=port), JWT_SECRET=SECRET)
    key = stored(web, url, "jane")
    answer = scan(web, url, key)
    problem(answer, 503, "queue-unavailable")
    assert answer.headers["retry-after"] == "5"
    job_id = id_of(key, TASK)
    assert web.get(f"{url}/jobs/{job_id}", headers=bearer("jane")).json()["state"] == "queued"
    again = start(QUEUE_URL=queue.url, JWT_SECRET=SECRET)
    assert scan(web, again, key).json() == {"job_id": job_id}
    assert [each["id"] for each in queue.messages()] == [job_id]


def test_a_queue_that_is_not_there_is_told(start: Start, web: httpx.Client, queue: Sqs) -> None:
    url = start(QUEUE_URL=f"{queue.url}-other", JWT_SECRET=SECRET)
    problem(scan(web, url, stored(web, url, "jane")), 503, "queue-unavailable")


# --- POST /jobs/{id}/result -----------------------------------------------------------------------


def test_a_result_is_taken_once_and_again_and_no_other(start: Start, web: httpx.Client, queue: Sqs) -> None:
    url = start(QUEUE_URL=queue.url, JWT_SECRET=SECRET)
    scan(web, url, stored(web, url, "jane"))
    (message,) = queue.messages()
    for _ in range(2):
        answer = result(web, url, message, state="done", result={"label": "고양이", "score": 0.5})
        assert answer.status_code == 200, answer.text
        assert (answer.json()["state"], answer.json()["result"]) == ("done", {"label": "고양이", "score": 0.5})
    problem(result(web, url, message, state="done", result={"label": "dog"}), 409, "job-over")
    problem(result(web, url, message, state="failed", error="Too dark."), 409, "job-over")
    seen = web.get(f"{url}/jobs/{message['id']}", headers=bearer("jane")).json()
    assert (seen["state"], seen["result"]["label"]) == ("done", "고양이")
    assert seen["finished_at"] is not None


def test_a_failure_has_its_reason(start: Start, web: httpx.Client, queue: Sqs) -> None:
    url = start(QUEUE_URL=queue.url, JWT_SECRET=SECRET)
    scan(web, url, stored(web, url, "jane"))
    (message,) = queue.messages()
    for _ in range(2):
        assert result(web, url, message, state="failed", error="Too dark.").status_code == 200
    seen = web.get(f"{url}/jobs/{message['id']}", headers=bearer("jane")).json()
    assert (seen["state"], seen["error"]) == ("failed", {"code": "task-failed", "detail": "Too dark."})


def test_a_result_that_is_none_changes_nothing(start: Start, web: httpx.Client, queue: Sqs) -> None:
    url = start(QUEUE_URL=queue.url, JWT_SECRET=SECRET)
    scan(web, url, stored(web, url, "jane"))
    (message,) = queue.messages()
    bodies: list[dict[str, Any]] = [
        {},
        {"state": "queued"},
        {"state": "done", "error": "x"},
        {"state": "failed"},
        {"state": "failed", "error": ""},
        {"state": "failed", "error": "x" * 1001},
        {"state": "failed", "error": "x", "result": {}},
        {"state": "done", "result": []},
        {"state": "done", "result": {"a": "x" * JOB_RESULT_MAX_BYTES}},
        {"state": "done", "more": 1},
    ]
    for body in bodies:
        problem(result(web, url, message, **body), 422, "validation-failed")
        assert web.get(f"{url}/jobs/{message['id']}", headers=bearer("jane")).json()["state"] == "queued", body


def test_only_the_jobs_own_token_is_taken(start: Start, web: httpx.Client, queue: Sqs) -> None:
    url = start(QUEUE_URL=queue.url, JWT_SECRET=SECRET)
    for _ in range(2):
        scan(web, url, stored(web, url, "jane"))
    first, second = queue.messages()
    address, body = f"{url}{first['result_url']}", {"state": "done"}
    problem(web.post(address, json=body), 401, "token-missing")
    cut = first["token"][:-1]
    for wrong in (second["token"], cut, cut + ("A" if first["token"][-1] != "A" else "B"), "upj1.9999999999.x", "x"):
        problem(web.post(address, json=body, headers={"Authorization": f"Bearer {wrong}"}), 401, "token-invalid")
    for caller in (bearer("jane"), bearer("root", "admin"), {"Authorization": "Basic eA=="}):
        problem(web.post(address, json=body, headers=caller), 401, "token-invalid")
    assert result(web, url, first, state="done").status_code == 200


def test_a_token_ends_with_its_job_and_outlives_a_change_of_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = id_of("a.jpg", TASK)
    token = JobTokens(load(ENVIRON).auth).issue(job_id)
    changed = load({**ENVIRON, "JWT_SECRET": "b" * 40, "JWT_PREVIOUS_SECRET": SECRET})
    JobTokens(changed.auth).check(token, job_id)
    assert redact(f"posted with {token}.") == "posted with upj1.[redacted]."
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + JOBS_KEPT_DAYS * 86_400 + 1)
    with pytest.raises(Exception, match="its week is over"):
        JobTokens(changed.auth).check(token, job_id)


def test_the_application_is_told_once_that_a_job_is_finished(start: Start, web: httpx.Client, queue: Sqs) -> None:
    with receiver() as hooks:
        url = start(QUEUE_URL=queue.url, JWT_SECRET=SECRET, WEBHOOK_URL=hooks.url, WEBHOOK_SECRET=HOOK_SECRET)
        key = stored(web, url, "jane")
        scan(web, url, key)
        (message,) = queue.messages()
        result(web, url, message, state="done", result={"label": "cat"})
        (received,) = [each for each in hooks.wait_for(1) if each.event["type"] == "job.finished"]
        event = Webhook(HOOK_SECRET).verify(received.body, received.headers)
    assert event["data"] == {
        "key": key,
        "owner": "jane",
        "job_id": message["id"],
        "task": TASK,
        "state": "done",
        "result": {"label": "cat"},
    }


# --- settings -------------------------------------------------------------------------------------

PRODUCTION = {**ENVIRON, "ENVIRONMENT": "production"}


@pytest.mark.parametrize(
    "url",
    [
        "https://sqs.eu-north-1.amazonaws.com/123456789012/tasks",
        "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/tasks",
        "rediss://user:password@redis.example.com:6380/2/tasks",
        "rediss://redis.example.com/tasks",
    ],
)
def test_queues_of_production(url: str) -> None:
    assert load({**PRODUCTION, "QUEUE_URL": url}).tasks.queue is not None


@pytest.mark.parametrize(
    "url",
    [
        "https://sqs.eu-north-1.amazonaws.com/123456789012/tasks.fifo",
        "https://sqs.eu-north-1.amazonaws.com/tasks",
        "https://sqs.eu-north-1.amazonaws.com.evil.example/123456789012/tasks",
        "https://x@sqs.eu-north-1.amazonaws.com/123456789012/tasks",
        "https://sqs.eu-north-1.amazonaws.com/123456789012/tasks?x=1",
        "http://sqs.eu-north-1.amazonaws.com/123456789012/tasks",
        "https://queue.example.com/123456789012/tasks",
        "redis://redis.example.com/tasks",
        "rediss://redis.example.com/",
        "rediss://redis.example.com/a/b/c",
        "amqp://rabbit.example.com/tasks",
    ],
)
def test_what_is_no_queue_of_production_stops_the_start_without_its_value(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({**PRODUCTION, "QUEUE_URL": url})
    assert "QUEUE_URL: " in str(caught.value)
    assert url not in str(caught.value)


def test_a_queue_needs_the_secret_of_tokens() -> None:
    with pytest.raises(SettingsError, match="JWT_SECRET: missing"):
        load({**ENVIRON, "JWT_SECRET": "", "QUEUE_URL": "redis://127.0.0.1/tasks"})
