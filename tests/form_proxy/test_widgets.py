"""Forms as upload widgets and HTTP libraries send them with their defaults, byte for byte but for the boundary."""

import secrets
from typing import Any

import httpx
import pytest

from tests.conftest import Mint, Start, problem
from tests.form_proxy.stores import OK, form, scripted_store
from tests.form_proxy.test_routes import FILE, PLAIN, RETRY, URL, post, signed_for

STORE = "/api/v1/s3/upload"
CHUNK = [
    ('name="dzuuid"', b"0f1e2d3c-0000-4000-8000-000000000000"),
    ('name="dzchunkindex"', b"0"),
    ('name="dztotalfilesize"', b"4194304"),
    ('name="dzchunksize"', b"2097152"),
    ('name="dztotalchunkcount"', b"2"),
    ('name="dzchunkbyteoffset"', b"0"),
]
MIB = 1024 * 1024


def listed(web: httpx.Client, service: str, folder: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = web.get(f"{service}/api/v1/s3/files", params={"prefix": folder}).json()["files"]
    return found


@pytest.fixture
def folder() -> str:
    return f"widgets/{secrets.token_hex(8)}"


def test_filepond_stores_its_file(service: str, web: httpx.Client, jpeg: bytes) -> None:
    # FilePond 4: the metadata and the file, both under its `name`, whose default is filepond.
    file = ('name="filepond"; filename="cat.jpg"\r\nContent-Type: image/jpeg', jpeg)
    answer = post(web, service + STORE, ('name="filepond"', b"{}"), file)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["size"], answer.json()["content_type"]) == (len(jpeg), "image/jpeg")
    named_file = [('name="file"', b"{}"), (FILE, jpeg)]
    assert post(web, service + STORE, *named_file).status_code == 200, "with its option name: 'file'"


@pytest.mark.parametrize("path", [PLAIN, RETRY])
def test_filepond_sends_through_a_presigned_url(
    service: str, web: httpx.Client, mint: Mint, jpeg: bytes, path: str
) -> None:
    file = ('name="filepond"; filename="cat.jpg"\r\nContent-Type: image/jpeg', jpeg)
    url = (URL, mint()["presignedUrl"].encode())
    assert post(web, service + path, url, ('name="filepond"', b"{}"), file).status_code == 200


def test_dropzone_stores_its_file(service: str, web: httpx.Client, jpeg: bytes, folder: str) -> None:
    body, headers = form((FILE, jpeg))
    headers |= {"Accept": "application/json", "Cache-Control": "no-cache", "X-Requested-With": "XMLHttpRequest"}
    answer = web.post(service + STORE, content=body, headers=headers)
    assert (answer.status_code, answer.json()["size"]) == (200, len(jpeg))
    one_chunk = [(name, b"1" if "count" in name else value) for name, value in CHUNK]
    where = ('name="folder"', folder.encode())
    assert post(web, service + STORE, where, *one_chunk, (FILE, jpeg)).status_code == 200, "forceChunking, small file"
    assert [each["size"] for each in listed(web, service, folder)] == [len(jpeg)]


@pytest.mark.parametrize(
    "fields",
    [
        CHUNK,
        [("name=resumableChunkNumber", b"1"), ("name=resumableTotalChunks", b"2")],
        [("name=flowChunkNumber", b"1"), ("name=flowTotalChunks", b"10")],
        [("name=qqpartindex", b"0"), ("name=qqtotalparts", b"002")],
        [("name=chunk", b"0"), ("name=chunks", b" 3 ")],
    ],
    ids=["Dropzone", "Resumable.js", "Flow.js", "Fine Uploader", "Plupload"],
)
@pytest.mark.parametrize("file_first", [False, True])
@pytest.mark.parametrize("size", [1000, 3 * MIB])
def test_a_chunk_of_a_file_is_refused_by_name_and_nothing_is_stored(
    service: str, web: httpx.Client, folder: str, fields: list[tuple[str, bytes]], file_first: bool, size: int
) -> None:
    parts = [*fields, (FILE, bytes(size))]
    where = ('name="folder"', folder.encode())
    refused = problem(post(web, service + STORE, where, *(parts[::-1] if file_first else parts)), 400,
                      "chunks-not-supported")  # fmt: skip
    assert "Switch chunking off" in refused["detail"]
    assert refused["field"] in str(fields)
    assert listed(web, service, folder) == []


@pytest.mark.parametrize("path", [PLAIN, RETRY])
@pytest.mark.parametrize("size", [1000, 3 * MIB])
def test_a_chunk_never_goes_through_a_presigned_url(start: Start, web: httpx.Client, path: str, size: int) -> None:
    with scripted_store([OK]) as store:
        service = start(AWS_S3_ENDPOINT_URL=store.endpoint_url)
        url = (URL, signed_for(store.endpoint_url).encode())
        problem(post(web, service + path, url, *CHUNK, (FILE, bytes(size))), 400, "chunks-not-supported")
        assert store.requests == []


@pytest.mark.parametrize(
    ("content_range", "status"), [("bytes 0-999/5000", 400), ("bytes 0-999/1000", 200), ("bytes */1000", 200)]
)
def test_a_piece_that_content_range_names_is_refused(
    service: str, web: httpx.Client, content_range: str, status: int
) -> None:
    # jQuery File Upload with maxChunkSize
    body, headers = form((FILE.replace('"file"', '"files[]"'), bytes(1000)))
    answer = web.post(service + STORE, content=body, headers=headers | {"Content-Range": content_range})
    assert answer.status_code == status, answer.text


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("cat.jpg", "image/jpeg"),
        ("cat.WEBP", "image/webp"),
        ("cat.avif", "image/avif"),
        ("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("a.mp4", "video/mp4"),
        ("noextension", "application/octet-stream"),
    ],
)
@pytest.mark.parametrize("size", [1000, 3 * MIB])
def test_a_part_without_a_type_gets_that_of_its_extension(
    start: Start, web: httpx.Client, name: str, content_type: str, size: int
) -> None:
    head = f'name="file"; filename="{name}"'
    with scripted_store([OK]) as store:
        service = start(AWS_S3_ENDPOINT_URL=store.endpoint_url)
        key = f"files/anonymous/{'0' * 32}{name[name.find('.') :] if '.' in name else ''}".lower()
        url = (URL, signed_for(store.endpoint_url, key=key, content_type=content_type).encode())
        assert post(web, service + PLAIN, url, (head, bytes(size))).status_code == 200
        assert store.requests[0].headers["content-type"] == content_type


def test_a_part_without_a_type_is_stored_under_its_purpose(service: str, web: httpx.Client, jpeg: bytes) -> None:
    head = 'name="file"; filename="cat.jpg"'
    for where in ([('name="purpose"', b"profile")], [('name="folder"', b"widgets")], []):
        answer = post(web, service + STORE, *where, (head, jpeg))
        assert (answer.status_code, answer.json()["content_type"]) == (200, "image/jpeg")


def test_a_file_of_the_files_family_without_a_type_goes_with_the_one_that_was_signed(
    service: str, web: httpx.Client
) -> None:
    plan = web.post(f"{service}/files/upload-url", params={"filename": "report.pdf"}).json()
    head = 'name="file"; filename="report.pdf"'
    assert post(web, service + PLAIN, (URL, plan["presigned_url"].encode()), (head, b"x")).status_code == 200
    found = web.get(f"{service}/images/{plan['object_key']}/metadata").json()
    assert found["content_type"] == "application/octet-stream"


def test_image_jpg_counts_as_jpeg_and_is_signed_as_it_was_declared(
    service: str, web: httpx.Client, mint: Mint, jpeg: bytes
) -> None:
    plan = mint(contentType="image/jpg")
    assert plan["headers"]["Content-Type"] == "image/jpg"
    assert web.put(plan["presignedUrl"], content=jpeg, headers={"Content-Type": "image/jpg"}).status_code == 200
    family = web.post(f"{service}/images/presigned-url", json={"content_type": "image/jpg"})
    assert (family.status_code, family.json()["headers"]["Content-Type"]) == (200, "image/jpg")
    file = (FILE.replace("image/jpeg", "image/jpg"), jpeg)
    assert post(web, service + STORE, ('name="purpose"', b"upload"), file).status_code == 200
    problem(
        web.post(f"{service}/uploads", json={"filename": "a.png", "contentType": "image/jpg", "size": 5}),
        400,
        "unsupported-file-type",
    )


# --- a plain HTML form ----------------------------------------------------------------------------

ORIGINS = "https://app.example.com,https://*.example.org,http://localhost:3000"


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.com",
        "https://app.example.com/done?from=form#top",
        "https://APP.example.com:443/done",
        "https://a.b.example.org/",
        "http://localhost:3000/done",
        "http://localhost:5173/anything",  # the front end of FRONTEND_CALLBACK_URL
    ],
)
def test_a_plain_html_form_ends_at_the_front_end(start: Start, web: httpx.Client, jpeg: bytes, url: str) -> None:
    service = start(CORS_ALLOW_ORIGINS=ORIGINS)
    plan = web.post(
        f"{service}/uploads", json={"filename": "cat.jpg", "contentType": "image/jpeg", "size": len(jpeg)}
    ).json()
    where = ('name="success_url"', url.encode())
    through = (URL, plan["presignedUrl"].encode())
    for path, parts in (
        (PLAIN, [through, (FILE, jpeg), where]),
        (RETRY, [where, through, (FILE, jpeg)]),
        (STORE, [(FILE, jpeg), where]),
        (STORE, [('name="folder"', b"widgets"), (FILE, jpeg), where]),
    ):
        answer = post(web, service + path, *parts)
        assert (answer.status_code, answer.headers.get("location")) == (303, url), answer.text
        assert answer.json()
    stored = web.get(web.get(f"{service}/images/{plan['objectKey']}").json()["url"])
    assert stored.content == jpeg


@pytest.mark.full
@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example",
        "https://evilexample.org/",
        "https://example.org/",
        "https://app.example.com.evil.example/",
        "https://app.example.com@evil.example/",
        "https://app.example.com\\@evil.example/",
        "https://app.example.com:8443/",
        "https:app.example.com",
        "//app.example.com/",
        "/done",
        "done",
        "javascript:alert(1)//https://app.example.com",
        "http://app.example.com/",
        " https://app.example.com/",
        "https://app.example.com/\r\nSet-Cookie: a=b",
        "https://app.example.com/\tx",
        "https://app.example.com/ü",
        "https://*.example.org/",
        "*",
        "null",
        f"https://app.example.com/{'x' * 2100}",
    ],
)
@pytest.mark.parametrize("size", [1000, 3 * MIB])
def test_a_form_never_redirects_to_another_place_and_sends_nothing_then(
    start: Start, web: httpx.Client, url: str, size: int
) -> None:
    with scripted_store([OK, OK]) as store:
        service = start(AWS_S3_ENDPOINT_URL=store.endpoint_url, CORS_ALLOW_ORIGINS=ORIGINS)
        where, through = ('name="success_url"', url.encode()), (URL, signed_for(store.endpoint_url).encode())
        for path in (PLAIN, RETRY, STORE):
            refused = problem(post(web, service + path, where, through, (FILE, bytes(size))), 422, "validation-failed")
            assert refused["errors"][0]["field"] == "success_url"
        assert store.requests == []


def test_the_origin_for_all_is_no_place_to_redirect_to(start: Start, web: httpx.Client, jpeg: bytes) -> None:
    service = start(CORS_ALLOW_ORIGINS="*")
    problem(post(web, service + STORE, ('name="success_url"', b"https://evil.example/"), (FILE, jpeg)), 422,
            "validation-failed")  # fmt: skip


def test_a_wrong_success_url_behind_the_file_leaves_nothing_in_s3(start: Start, web: httpx.Client, folder: str) -> None:
    service = start(CORS_ALLOW_ORIGINS=ORIGINS)
    late = ('name="success_url"', b"https://evil.example/")
    where = ('name="folder"', folder.encode())
    problem(post(web, service + STORE, where, (FILE, bytes(3 * MIB)), late), 422, "validation-failed")
    assert listed(web, service, folder) == []
