import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_upload.errors import InvalidRequest, MalformedForm, NotAForm, Problem
from image_upload.proxy.form import Incoming
from image_upload.proxy.spool import Form, pieces, receive
from tests.proxy.stores import form

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


@pytest.mark.parametrize("head", ['name="file"', 'name="file"; filename=""'])
def test_text_in_place_of_a_file_is_refused(head: str) -> None:
    body, headers = form((head, b"x"))
    with pytest.raises(InvalidRequest):
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
