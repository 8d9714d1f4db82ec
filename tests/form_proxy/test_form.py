import asyncio
import base64
import itertools
import time
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_upload.errors import MalformedForm, NotAForm, Problem, ValidationFailed
from image_upload.form_proxy import part_names
from image_upload.form_proxy.form import Incoming
from image_upload.form_proxy.spool import Form, pieces, receive
from tests.form_proxy.stores import form

JPEG_HEAD = 'name="file"; filename="cat.jpg"\r\nContent-Type: image/jpeg'


async def in_chunks(body: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    edges = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(edges):
        yield body[start:end]


def received(body: bytes, content_type: str, cuts: list[int] | None = None) -> Form:
    async def whole() -> Form:
        return await receive(Incoming(in_chunks(body, cuts or []), content_type, len(body)), None)

    return asyncio.run(whole())


def content_of(got: Form) -> bytes:
    async def whole() -> bytes:
        return b"" if got.file is None else b"".join([bytes(piece) async for piece in pieces(got.file)])

    return asyncio.run(whole())


def outcome(body: bytes, content_type: str, cuts: list[int]) -> object:
    """Everything that a caller can see of a form, or the problem it is."""
    try:
        got = received(body, content_type, cuts)
    except Problem as problem:
        return problem.code, problem.detail
    return got.fields, got.filename, got.content_type, got.size_bytes, content_of(got)


@given(
    content=st.binary(max_size=400),
    url=st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    file_first=st.booleans(),
    cuts=st.lists(st.integers(0, 1000), max_size=30),
    broken_at=st.none() | st.integers(0, 1000),
)
def test_any_cut_into_chunks_reads_the_same(
    content: bytes, url: str, file_first: bool, cuts: list[int], broken_at: int | None
) -> None:
    parts = [(JPEG_HEAD, content), ('name="uploadUrl"', url.encode())]
    body, headers = form(*(parts if file_first else parts[::-1]), boundary="b0undary")
    if broken_at is not None:
        body = body[: broken_at % len(body)]
    whole = outcome(body, headers["Content-Type"], [])
    assert outcome(body, headers["Content-Type"], cuts) == whole
    if broken_at is None:
        assert whole == ({"uploadUrl": url}, "cat.jpg", "image/jpeg", len(content), content)


def test_a_form_cut_anywhere_is_never_taken_for_whole() -> None:
    body, headers = form((JPEG_HEAD, b"12345"), ('name="uploadUrl"', b"https://x"))
    closing = body.rindex(b"--")
    for end in range(closing + 1):
        with pytest.raises(MalformedForm):
            received(body[:end], headers["Content-Type"])


def test_content_that_looks_like_a_boundary_is_content() -> None:
    content = b"\r\n--b0undar\r\n--b0undary-\r\n--\r\n-"
    body, headers = form((JPEG_HEAD, content), boundary="b0undaryLonger")
    got = received(body, headers["Content-Type"])
    assert content_of(got) == content


@pytest.mark.parametrize(
    ("head", "filename"),
    [
        ('name="file"; filename="고양이 😀.jpg"', "고양이 😀.jpg"),
        ('name="file"; filename="a;b=c.jpg"', "a;b=c.jpg"),
        ('name="file"; filename="say \\"hi\\".jpg"', 'say "hi".jpg'),
        ("name=file; filename=cat.jpg", "cat.jpg"),
        ('name="file"; filename="C:\\\\photos\\\\cat.jpg"', "cat.jpg"),
    ],
)
def test_a_file_name_arrives_in_any_script(head: str, filename: str) -> None:
    body, headers = form((head, b"x"))
    got = received(body, headers["Content-Type"])
    got.close()
    assert got.filename == filename


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "text/plain; boundary=x",
        "application/x-www-form-urlencoded",
        "multipart/mixed; boundary=x",
    ],
)
def test_another_body_is_no_form(content_type: str) -> None:
    with pytest.raises(NotAForm):
        received(b"--x--\r\n", content_type)


@pytest.mark.parametrize("parameter", ["", "; boundary=", f"; boundary={'x' * 71}", f"; boundary={'x' * 10240}"])
def test_a_boundary_that_is_none_is_refused(parameter: str) -> None:
    with pytest.raises(MalformedForm):
        received(b"--x--\r\n", f"multipart/form-data{parameter}")


@pytest.mark.parametrize(
    "parts",
    [
        [(f"name=a{number}", b"x") for number in range(1000)],
        [(JPEG_HEAD, b"x"), (JPEG_HEAD, b"y")],
        [('name="uploadUrl"', b"x"), ('name="uploadUrl"', b"y")],
        [('name="uploadUrl"', b"x" * 20_000)],
        [('name="uploadUrl"', b"\xff\xfe")],
        [('filename="a.jpg"', b"x")],
        [(f"name=file; filename=a.jpg\r\nX-Big: {'x' * 65_536}", b"x")],
        [("name=file; filename=a.jpg" + "\r\nX-Many: 1" * 100, b"x")],
        [("name=file; filename=a.jpg\r\nContent-Type: image/\x00jpeg", b"x")],
    ],
    ids=["a thousand fields", "two files", "two URLs", "long field", "no text", "no name", "64 KB header",
         "hundred headers", "NUL in type"],
)  # fmt: skip
def test_a_form_out_of_bounds_is_refused(parts: list[tuple[str, bytes]]) -> None:
    body, headers = form(*parts)
    with pytest.raises(MalformedForm):
        received(body, headers["Content-Type"])


@pytest.mark.parametrize(
    ("head", "filename"),
    [
        # aiohttp.FormData
        ('name="file"; filename="%EA%B3%A0%EC%96%91%EC%9D%B4%20%28%291.jpg"', "고양이 ()1.jpg"),
        # .NET's MultipartFormDataContent
        (
            "name=file; filename=\"=?utf-8?B?eC5qcGc=?=\"; filename*=utf-8''%EA%B3%A0%EC%96%91%EC%9D%B4.jpg",
            "고양이.jpg",
        ),
        ('name=file; filename="=?utf-8?B?6rOg7JaR7J20LmpwZw==?="', "고양이.jpg"),
        # Spring's ContentDisposition
        ('name="file"; filename="=?UTF-8?Q?=EA=B3=A0=EC=96=91=EC=9D=B4_1.jpg?="', "고양이 1.jpg"),
        # Jakarta Mail cuts long names, also within a character
        ('name="file"; filename="=?UTF-8?Q?=EA=B3?= =?UTF-8?Q?=A0.jpg?="', "고.jpg"),
        # Apache HttpClient 5, older urllib3
        ('name="file"; filename="x.jpg"; filename*=UTF-8\'ko\'%EA%B3%A0.jpg', "고.jpg"),
        ("name=\"file\"; filename*=iso-8859-1''caf%E9.jpg", "café.jpg"),
        # browsers escape three characters only
        ('name="file"; filename="say %22hi%22 100%.jpg"', 'say "hi" 100%.jpg'),
        ('name="file"; filename="100%25 고.jpg"', "100%25 고.jpg"),
        # what cannot be decoded stays as it is, or leaves the other spelling
        ('name="file"; filename="cat.jpg"; filename*=UTF-8\'\'%FF%FE', "cat.jpg"),
        ('name="file"; filename="cat.jpg"; filename*=punycode\'\'abc', "cat.jpg"),
        ('name="file"; filename="=?utf-7?B?AAAA?="', "=?utf-7?B?AAAA?="),
        ('name="file"; filename="%ff.jpg"', "%ff.jpg"),
        # PHP, old browsers, folders
        ('name="file"; filename="C:\\dir\\cat.jpg"', "cat.jpg"),
        ('name="file"; filename="dir/cat.jpg"', "cat.jpg"),
        ('name="file"; filename="/etc/../cat.jpg"', "cat.jpg"),
        ('name="file"; filename="..%2F..%2Fcat.jpg"', "cat.jpg"),
    ],
)
def test_a_file_name_is_read_as_the_client_meant_it(head: str, filename: str) -> None:
    body, headers = form((head, b"x"))
    got = received(body, headers["Content-Type"])
    got.close()
    assert got.filename == filename


@given(st.text(st.characters(codec="utf-8", exclude_characters='\r\n"\\/%\0'), min_size=1, max_size=80))
def test_every_spelling_of_a_name_reads_the_same(name: str) -> None:
    encoded = base64.b64encode(name.encode()).decode()
    for spelling in (f"filename=\"x\"; filename*=UTF-8''{quote(name, safe='')}", f'filename="=?utf-8?b?{encoded}?="'):
        found = part_names.read(f'form-data; name="file"; {spelling}')
        assert found is not None
        assert found.filename == name


@given(st.text(max_size=200))
def test_any_disposition_is_read_or_refused(text: str) -> None:
    for header in (text, f"form-data;{text}", f'form-data; name="a"; filename="{text}"'):
        found = part_names.read(header)
        assert found is None or found.filename is None or not set("/\\") & set(found.filename)


@pytest.mark.parametrize(
    "unit", ["\\", ";", "%41", "=?", "=?utf-8?B?AA==?= ", "a=b;", "'", '\\"', "=?utf-8?Q?", '"', ";a"]
)
def test_reading_a_name_takes_time_in_proportion_to_it(unit: str) -> None:
    def seconds(length: int) -> float:
        text = unit * (length // len(unit))
        best = float("inf")
        for _ in range(3):
            started = time.thread_time()
            part_names.read(f'form-data; name="a"; filename="{text}"')
            part_names.read(f"form-data; name=a; filename*={text}")
            part_names.read(f"form-data; {text}")
            best = min(best, time.thread_time() - started)
        return best

    # Sixteen times the text; a quadratic step would take 256 times as long.
    assert seconds(160_000) < 100 * seconds(10_000) + 0.05


@pytest.mark.parametrize("field", ["image", "file[0]", "files[]", "upload", "filepond"])
def test_the_one_file_of_a_form_may_come_under_any_field(field: str) -> None:
    body, headers = form(
        (f'name="{field}"; filename="cat.jpg"\r\nContent-Type: image/jpeg', b"\xff\xd8"), ('name="uploadUrl"', b"u")
    )
    got = received(body, headers["Content-Type"])
    got.close()
    assert (got.filename, got.content_type, got.size_bytes) == ("cat.jpg", "image/jpeg", 2)


def test_a_file_under_another_field_streams() -> None:
    body, headers = form(('name="uploadUrl"', b"u"), ('name="image"; filename="cat.jpg"', b"12345"))

    async def first_byte() -> int | None:
        incoming = Incoming(in_chunks(body, []), headers["Content-Type"], len(body))
        assert await incoming.reach_file()
        return incoming.length_if_last()

    assert asyncio.run(first_byte()) == 5


def test_fields_without_a_meaning_here_are_read_over() -> None:
    rails = [("name=utf8", "✓".encode()), ("name=utf8", "✓".encode()), ('name="photo[tags][]"', b"a")]
    laravel = [("name=_method", b"PUT"), ("name=_token", b"t"), ("name=_method", b"PUT"), ("name=raw", b"\xff")]
    blob = ('name="meta"; filename="blob"\r\nContent-Type: application/json', b"{}")
    empty = ('name="avatar"; filename=""\r\nContent-Type: application/octet-stream', b"")
    body, headers = form(*rails, *laravel, blob, empty, (JPEG_HEAD, b"x"), ("name=_method", b"PUT"))
    got = received(body, headers["Content-Type"])
    got.close()
    assert (got.fields, got.filename) == ({}, "cat.jpg")


@pytest.mark.parametrize("others", [[("name=a", b"x" * 20_000)], [(f"name=a{n}", b"") for n in range(100)]])
def test_fields_without_a_meaning_are_bounded(others: list[tuple[str, bytes]]) -> None:
    body, headers = form(*others, (JPEG_HEAD, b"x"))
    with pytest.raises(MalformedForm):
        received(body, headers["Content-Type"])


def test_two_files_under_two_fields_are_named() -> None:
    body, headers = form(('name="a"; filename="1.jpg"', b"x"), ('name="b"; filename="2.jpg"', b"y"))
    with pytest.raises(MalformedForm, match=r"more than one file, in 'a' and 'b'"):
        received(body, headers["Content-Type"])


def test_a_form_without_a_file_is_told_what_it_has() -> None:
    body, headers = form(("name=image", b"x"), ("name=_token", b"y"))
    with pytest.raises(ValidationFailed, match=r"found: 'image', '_token'\. Send it in the field `file`"):
        received(body, headers["Content-Type"])


@pytest.mark.parametrize("head", ['name="file"', 'name="file"; filename=""'])
def test_text_in_place_of_a_file_is_refused(head: str) -> None:
    body, headers = form((head, b"x"))
    with pytest.raises(ValidationFailed):
        received(body, headers["Content-Type"])


@pytest.mark.parametrize("body", [b"", b"hello", b"--x", b"--x\r\n\r\n", b"--y--\r\n", b"{}"])
def test_a_body_that_is_no_form_at_all_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedForm):
        received(body, "multipart/form-data; boundary=x")


@given(content=st.binary(min_size=1, max_size=300), cuts=st.lists(st.integers(0, 1000), max_size=30))
def test_the_length_of_a_last_file_is_known_at_its_first_byte(content: bytes, cuts: list[int]) -> None:
    body, headers = form(('name="uploadUrl"', b"https://x"), (JPEG_HEAD, content), boundary="b0undary")

    async def first_byte() -> int | None:
        incoming = Incoming(in_chunks(body, cuts), headers["Content-Type"], len(body))
        assert await incoming.reach_file()
        return incoming.length_if_last()

    assert asyncio.run(first_byte()) == len(content)


@given(content=st.sampled_from([b"\r", b"\r\n", b"\r\n--b0", b"\r\n--b0undar", b"\r\r\n-"]), cut=st.integers(0, 400))
def test_content_that_begins_like_a_boundary_does_not_shift_it(content: bytes, cut: int) -> None:
    content += b"x"
    body, headers = form((JPEG_HEAD, content), boundary="b0undary")

    async def first_byte() -> int | None:
        incoming = Incoming(in_chunks(body, [cut, cut + 1, cut + 3]), headers["Content-Type"], len(body))
        assert await incoming.reach_file()
        return incoming.length_if_last()

    assert asyncio.run(first_byte()) == len(content)
