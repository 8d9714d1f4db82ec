"""Idempotency-Key: a retry gets the plan that its first request got, and no key leads to another user's or file's."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from image_upload.auth.principals import ANONYMOUS, ANONYMOUS_ID
from image_upload.completion.context import CompletionContext
from image_upload.database.records import ID_BITS, ID_MIN, id_of
from image_upload.errors import IdempotencyNotConfigured, InvalidIdempotencyKey, QuotaExceeded
from image_upload.uploads.batch import plan_batch
from image_upload.uploads.idempotency import IdempotencyKeys
from image_upload.uploads.requests import UploadRequest
from local.embedded_s3 import EmbeddedS3
from tests.completion.stores import do
from tests.completion.test_one_door import service_of
from tests.conftest import Start, problem
from tests.contract.plans import CONTENT, MIB
from tests.database.databases import Place
from tests.library.test_record_routes import SECRET, signed_in
from tests.test_docs import operations

SPEC = {"filename": "cat.jpg", "contentType": "image/jpeg", "size": len(CONTENT)}
FILM = {"filename": "a.bin", "contentType": "application/octet-stream", "purpose": "file", "size": 6 * MIB}
KEYS = IdempotencyKeys(SECRET.encode())


def retried(key: str | None = None, **headers: str) -> dict[str, str]:
    return {"Idempotency-Key": key or f'"{uuid4()}"', **headers}


@pytest.fixture
def url(start: Start, place: Place) -> str:
    return start(DATABASE_URL=place.url, JWT_SECRET=SECRET)


def ok(response: httpx.Response) -> dict[str, Any]:
    assert response.is_success, response.text
    answer: dict[str, Any] = response.json()
    return answer


# --- the header -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "same"),
    [
        ('"8e03978e-40d5-43e8-bc93-6894a57f9324"', "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        (r'"a \"quoted\" \\ one"', ' "a \\"quoted\\" \\\\ one"\t'),
        ("a" * 255, f'"{"a" * 255}"'),
        ("dGVzdA==", '"dGVzdA=="'),
        ('"' + r"\"" * 255 + '"', None),
    ],
)
def test_a_key_is_the_same_with_quotes_and_without(value: str, same: str | None) -> None:
    first = KEYS.read([value], "7", "POST /uploads", SPEC)
    assert KEYS.read([same or value], "7", "POST /uploads", SPEC) == first


@pytest.mark.parametrize(
    "values",
    [
        [""],
        [" "],
        ['""'],
        ["a b"],
        ["a,b"],
        ["a;b=1"],
        ['"a";b=1'],
        ['"a", "b"'],
        ["a", "a"],
        ['"a'],
        ['a"'],
        ['"a"b"'],
        [r'"\a"'],
        ['"\\"'],
        ["a" * 256],
        ['"' + "a" * 256 + '"'],
        ['"' + r"\"" * 256 + '"'],
        ["a" * 60_000],
        ["é"],
        ['"é"'],
        ['"\x00"'],
        ["a\tb"],
        ["a\x7f"],
        ["\uff41"],
    ],
)
def test_a_value_that_is_no_key_is_refused(values: list[str]) -> None:
    with pytest.raises(InvalidIdempotencyKey):
        KEYS.read(values, "7", "POST /uploads", SPEC)


def test_a_bad_key_mints_nothing_and_writes_no_row(url: str, web: httpx.Client, place: Place) -> None:
    for path in ("/uploads", "/posts", "/uploads/batch", "/files/upload-url?filename=a.txt"):
        body = {"uploads": [SPEC]} if path.endswith("batch") else SPEC
        problem(web.post(url + path, json=body, headers=retried("a b")), 400, "invalid-idempotency-key")
        twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
        problem(web.post(url + path, json=body, headers=twice), 400, "invalid-idempotency-key")
    assert place.sql("SELECT count(*) FROM uploads") == [(0,)]


def test_pages_may_send_the_header_and_generated_clients_know_it(start: Start, web: httpx.Client) -> None:
    url = start(CORS_ALLOW_ORIGINS="https://app.example.com")
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,idempotency-key"}
    allowed = web.options(f"{url}/uploads", headers={"Origin": "https://app.example.com", **asked})
    assert allowed.status_code == 200
    assert "Idempotency-Key" in allowed.headers["access-control-allow-headers"]
    taking = {
        name
        for name, operation in operations().items()
        if any(each["name"] == "Idempotency-Key" for each in operation.get("parameters", ()))
    }
    assert taking == {"POST /uploads", "POST /uploads/batch", "POST /posts", "POST /files/upload-url"}


def test_without_a_secret_no_key_is_taken() -> None:
    with pytest.raises(IdempotencyNotConfigured):
        IdempotencyKeys(None).read(["a"], "7", "POST /uploads", SPEC)


def test_all_that_a_request_consists_of_leads_to_the_object_and_all_but_its_fields_to_the_row() -> None:
    asked = [
        KEYS.read(["a"], "7", "POST /uploads", {"filename": "a", "size": 1}),
        KEYS.read(["b"], "7", "POST /uploads", {"filename": "a", "size": 1}),
        KEYS.read(["a"], "8", "POST /uploads", {"filename": "a", "size": 1}),
        KEYS.read(["a"], "7", "POST /posts", {"filename": "a", "size": 1}),
        KEYS.read(["a"], "7", "POST /uploads", {"filename": "a", "size": 2}),
        IdempotencyKeys(b"another").read(["a"], "7", "POST /uploads", {"filename": "a", "size": 1}),
    ]
    items = [asked[0].item(number) for number in range(3)]
    assert len({each.object_seed for each in asked + items}) == len(asked) + 3
    assert len({each.row_seed for each in asked + items}) == len(asked) + 3 - 1
    assert asked[0].row_seed == asked[4].row_seed
    assert KEYS.read(["a"], "7", "POST /uploads", {"size": 1, "filename": "a"}) == asked[0], "the order says nothing"


def test_a_row_id_from_a_seed_is_one_that_clients_can_read() -> None:
    for seed in (bytes(16), b"\xff" * 16, b"0123456789abcdef"):
        assert ID_MIN <= id_of(seed) < 2**ID_BITS
        assert id_of(seed) == id_of(seed)


# --- one file -------------------------------------------------------------------------------------


def test_a_retry_gets_the_same_key_and_the_same_request(url: str, web: httpx.Client) -> None:
    headers = retried()
    first, again = (ok(web.post(f"{url}/uploads", json=SPEC, headers=headers)) for _ in range(2))
    moving = ("presignedUrl", "expiresAt")
    assert {**first, **dict.fromkeys(moving)} == {**again, **dict.fromkeys(moving)}
    assert first["headers"]["If-None-Match"] == "*"
    sent = web.put(first["presignedUrl"], content=CONTENT, headers=first["headers"])
    assert sent.status_code == 200
    # The answer to that was lost: the file is there, and stays.
    assert web.put(again["presignedUrl"], content=CONTENT[::-1], headers=again["headers"]).status_code == 412
    read = ok(web.get(f"{url}/images/{first['objectKey']}"))
    assert web.get(read["url"]).content == CONTENT


@pytest.mark.parametrize("change", [{"size": 5}, {"filename": "dog.jpg"}, {"metadata": {}}, {"sha256": "00" * 32}])
def test_another_request_under_a_key_never_gets_the_first_ones_object(
    url: str, web: httpx.Client, change: dict[str, Any]
) -> None:
    headers = retried()
    first = ok(web.post(f"{url}/uploads", json=SPEC, headers=headers))
    assert ok(web.post(f"{url}/uploads", json=SPEC | change, headers=headers))["objectKey"] != first["objectKey"]


def test_two_users_with_one_key_have_two_objects_and_rows(start: Start, place: Place, web: httpx.Client) -> None:
    url = start(DATABASE_URL=place.url, JWT_SECRET=SECRET, AUTH_REQUIRED="true")
    for path in ("/uploads", "/posts"):
        made = [
            ok(web.post(url + path, json=SPEC, headers=retried("1", **signed_in(user)))) for user in ("a", "b", "a")
        ]
        assert made[0]["objectKey"] == made[2]["objectKey"] != made[1]["objectKey"]
    assert place.sql("SELECT user_id FROM uploads ORDER BY user_id") == [("a",), ("b",)]


def test_the_secret_decides_so_that_no_client_can_compute_a_key(start: Start, web: httpx.Client) -> None:
    made = {
        ok(web.post(f"{start(JWT_SECRET=secret)}/uploads", json=SPEC, headers=retried("1")))["objectKey"]
        for secret in (SECRET, SECRET, "b" * 32)
    }
    assert len(made) == 2


def test_a_form_cannot_be_held_to_one_file_so_another_way_is_chosen(url: str, web: httpx.Client) -> None:
    refused = problem(
        web.post(f"{url}/uploads", json=SPEC | {"accepts": ["post"]}, headers=retried()), 400, "no-strategy"
    )
    assert "post" not in refused["possible"]
    plan = ok(web.post(f"{url}/uploads", json=SPEC | {"accepts": ["post", "proxy"]}, headers=retried()))
    assert plan["strategy"] == "proxy"


def test_a_file_is_reserved_once_however_often_its_plan_is_asked_for(start: Start, web: httpx.Client) -> None:
    url = start(JWT_SECRET=SECRET, QUOTA_FILES_PER_DAY="1")
    headers = retried()
    keys = {ok(web.post(f"{url}/uploads", json=SPEC, headers=headers))["objectKey"] for _ in range(5)}
    assert len(keys) == 1
    problem(web.post(f"{url}/uploads", json=SPEC, headers=retried()), 429, "quota-exceeded")


def test_a_batch_is_retried_as_a_whole(url: str, web: httpx.Client) -> None:
    headers, body = retried(), {"uploads": [SPEC, SPEC, SPEC | {"filename": "b.png", "contentType": "image/png"}]}
    first, again = (ok(web.post(f"{url}/uploads/batch", json=body, headers=headers))["uploads"] for _ in range(2))
    assert [plan["objectKey"] for plan in first] == [plan["objectKey"] for plan in again]
    assert len({plan["objectKey"] for plan in first}) == 3


def test_a_refused_retry_of_a_batch_leaves_the_quota_of_its_first_answer(s3: EmbeddedS3, place: Place) -> None:
    wanted = [UploadRequest.model_validate(SPEC | {"size": size}) for size in (5, 7)]
    again = KEYS.read(["a"], ANONYMOUS_ID, "POST /uploads/batch", {})

    async def work(context: CompletionContext) -> None:
        uploads = service_of(context, s3, place)
        _, second = await plan_batch(uploads, wanted, ANONYMOUS, again)
        await context.quotas.settle(second.key, 7)  # it was sent
        await plan_batch(uploads, wanted[:1], ANONYMOUS, None)
        for repeatable in (again, None):
            with pytest.raises(QuotaExceeded):
                await plan_batch(uploads, wanted, ANONYMOUS, repeatable)
        with pytest.raises(QuotaExceeded):
            await plan_batch(uploads, wanted[:1], ANONYMOUS, None)

    do(s3, place, work, QUOTA_FILES_PER_DAY="3")


# --- rows -----------------------------------------------------------------------------------------


def test_a_retried_post_is_one_row(url: str, web: httpx.Client, place: Place) -> None:
    headers = retried()
    first, again = (web.post(f"{url}/posts", json=SPEC, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.headers["location"] == again.headers["location"]
    names = ("id", "imageKey", "objectKey", "state", "createdAt", "headers")
    assert [first.json()[name] for name in names] == [again.json()[name] for name in names]
    assert place.sql("SELECT count(*) FROM uploads") == [(1,)]


def test_another_post_under_a_key_is_refused_and_changes_nothing(url: str, web: httpx.Client, place: Place) -> None:
    headers = retried()
    ok(web.post(f"{url}/posts", json=SPEC, headers=headers))
    before = place.sql("SELECT * FROM uploads")
    refused = web.post(f"{url}/posts", json=SPEC | {"size": 5}, headers=headers)
    problem(refused, 422, "idempotency-key-reused")
    assert place.sql("SELECT * FROM uploads") == before


def test_a_row_says_the_key_also_on_the_next_day(url: str, web: httpx.Client, place: Place) -> None:
    headers, scan = retried(), SPEC | {"purpose": "scan"}
    first = ok(web.post(f"{url}/posts", json=scan, headers=headers))
    folder, day, *rest = first["objectKey"].split("/")
    yesterday = "/".join([folder, f"{int(day) - 1}", *rest])
    place.sql("UPDATE uploads SET key = %s", yesterday)
    again = ok(web.post(f"{url}/posts", json=scan, headers=headers))
    assert (again["id"], again["objectKey"], again["imageKey"]) == (first["id"], yesterday, yesterday)


def test_a_retry_after_the_time_was_over_lets_the_upload_arrive(url: str, web: httpx.Client, place: Place) -> None:
    headers = retried()
    first = ok(web.post(f"{url}/posts", json=SPEC, headers=headers))
    place.sql("UPDATE uploads SET state = 'expired', ends_at = '2026-01-01 00:00:00+00'")
    again = ok(web.post(f"{url}/posts", json=SPEC, headers=headers))
    assert (again["id"], again["state"]) == (first["id"], "pending")
    assert place.sql("SELECT count(*) FROM uploads WHERE ends_at > '2026-02-01 00:00:00+00'") == [(1,)]


def test_a_retry_after_the_file_was_stored_says_where_it_is(url: str, web: httpx.Client) -> None:
    headers = retried()
    post = ok(web.post(f"{url}/posts", json=SPEC, headers=headers))
    assert web.put(post["presignedUrl"], content=CONTENT, headers=post["headers"]).status_code == 200
    # Not confirmed yet: the same answer, and S3 has the file.
    again = ok(web.post(f"{url}/posts", json=SPEC, headers=headers))
    assert web.put(again["presignedUrl"], content=CONTENT, headers=again["headers"]).status_code == 412
    assert ok(web.post(f"{url}/posts/{post['id']}/complete"))["state"] == "stored"
    stored = problem(web.post(f"{url}/posts", json=SPEC, headers=headers), 412, "already-exists")
    assert (stored["id"], stored["objectKey"]) == (post["id"], post["imageKey"])


def test_a_retry_after_a_wrong_file_was_removed_says_so(url: str, web: httpx.Client, place: Place) -> None:
    headers = retried()
    ok(web.post(f"{url}/posts", json=SPEC, headers=headers))
    place.sql("UPDATE uploads SET state = 'rejected', fault = 'size', size = 1, etag = 'e'")
    refused = problem(web.post(f"{url}/posts", json=SPEC, headers=headers), 409, "upload-rejected")
    assert refused["fault"] == "size"


def test_a_retried_file_url_is_one_row(url: str, web: httpx.Client, place: Place) -> None:
    headers = retried()
    asked = [web.post(f"{url}/files/upload-url", params={"filename": "a.txt"}, headers=headers) for _ in range(2)]
    first, again = (ok(each) for each in asked)
    assert (first["file_id"], first["object_key"]) == (again["file_id"], again["object_key"])
    other = web.post(f"{url}/files/upload-url", params={"filename": "b.txt"}, headers=headers)
    problem(other, 422, "idempotency-key-reused")
    assert place.sql("SELECT count(*) FROM uploads") == [(1,)]


@pytest.mark.parametrize(
    "quota", [{}, {"QUOTA_FILES_PER_DAY": "1", "QUOTA_FILES_TOTAL": "1"}], ids=["", "quota of one"]
)
def test_many_at_once_are_one_row_one_object_and_one_reservation(
    quota: dict[str, str], start: Start, place: Place, web: httpx.Client
) -> None:
    """From two processes, which share nothing but the database."""
    urls = [start(DATABASE_URL=place.url, JWT_SECRET=SECRET, **quota) for _ in range(2)]
    headers = retried()

    def post(number: int) -> httpx.Response:
        return web.post(f"{urls[number % 2]}/posts", json=SPEC, headers=headers)

    with ThreadPoolExecutor(8) as clients:
        answers = [ok(each) for each in clients.map(post, range(24))]
    assert len({(each["id"], each["objectKey"]) for each in answers}) == 1
    assert place.sql("SELECT user_id FROM uploads") == [(ANONYMOUS_ID,)]
    if quota:
        assert place.sql("SELECT day, held_files FROM quota_usage WHERE day = 'total'") == [("total", 1)]
        problem(web.post(f"{urls[0]}/posts", json=SPEC, headers=retried()), 429, "quota-exceeded")


def test_a_post_in_parts_is_one_row_and_one_upload(url: str, web: httpx.Client, place: Place) -> None:
    headers, film = retried(), FILM | {"accepts": ["multipart"]}
    first, again = (ok(web.post(f"{url}/posts", json=film, headers=headers)) for _ in range(2))
    assert [first[name] for name in ("id", "objectKey", "uploadId")] == [
        again[name] for name in ("id", "objectKey", "uploadId")
    ]
    assert place.sql("SELECT count(*) FROM uploads") == [(1,)]
    for part in first["parts"]:
        content = bytes(part["size"])
        assert web.put(part["url"], content=content).status_code == 200
    # The service was not told, so the row is pending, and S3 has the object.
    assert web.request(**first["complete"], content=listed(web, first)).status_code == 200
    stored = problem(web.post(f"{url}/posts", json=film, headers=headers), 412, "already-exists")
    assert (stored["id"], stored["objectKey"]) == (first["id"], first["objectKey"])


def listed(web: httpx.Client, plan: dict[str, Any]) -> str:
    """The body of CompleteMultipartUpload, of the parts that S3 lists."""
    etags = [each.partition("<")[0] for each in web.request(**plan["list"]).text.split("<ETag>")[1:]]
    parts = (
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in enumerate(etags, 1)
    )
    return f"<CompleteMultipartUpload>{''.join(parts)}</CompleteMultipartUpload>"
