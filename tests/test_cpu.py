"""No text makes the service work long: 1 MB of the worst in each field of each route, 0.2 s of CPU at most.

The fields come from the OpenAPI document, so that a new one is among them.
"""

import contextlib
import functools
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from image_upload.app import create_app
from image_upload.limits import FORM_FIELD_MAX_BYTES, HEAD_MAX_BYTES, JSON_BODY_MAX_BYTES
from local.database import local_database
from local.embedded_s3 import EmbeddedS3
from tests.conftest import settings_for
from tests.in_process import Answered, InProcess, in_path
from tests.test_docs import openapi, operations

CPU_S = 0.2
# What disturbs a measurement (the collector, another process in the cache) does not do so every time.
ATTEMPTS = 4

# One piece of each; a field holds it again and again. Each was, or could be, worse than linear somewhere.
PIECES = {
    "spaces": " ",
    "marks in the wrong order": "\u0301\u0316",
    "quotes": '"\\',
    "percent signs": "%25",
    "percent signs in percent signs": "25",
    "emoji": "\U0001f600",
    "half a pair": "\ud83d",
    "encoded words": "=?utf-8?q?=20?= ",
    "slashes": "/../",
    "options": "; a=b",
    "commas": ",1",
    "digits": "9",
    "nothing to print": "\x00\u202e",
    "letters": "a",
}
# What is put into a field that must be there.
USUAL: dict[str, Any] = {
    "filename": "cat.jpg",
    "contentType": "image/jpeg",
    "content_type": "image/jpeg",
    "type": "image/jpeg",
    "etag": "abc",
    "ETag": "abc",
    "grant_type": "refresh_token",
    "email": "a@example.com",
    "partNumbers": "1",
}
HEADERS = (
    "authorization",
    "content-type",
    "content-length",
    "cookie",
    "origin",
    "accept",
    "x-forwarded-for",
    "idempotency-key",
    "uppy-auth-token",
    "x-unheard-of",
)


class Request(NamedTuple):
    """A request with a bad text in one of its fields."""

    where: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def sent(self, app: InProcess) -> Answered:
        headers = [(name.encode(), value.encode("utf-8", "surrogatepass")) for name, value in self.headers]
        return app.ask(self.method, self.target.encode(), headers=headers, body=self.body)


@functools.cache
def filled(piece: str, length: int) -> str:
    """About so many bytes of a piece. A chain of `%2525…` is decoded once a link by a decoder that repeats."""
    text = piece * (length // max(1, len(piece.encode(errors="surrogatepass"))))
    if piece == "\u0301\u0316":
        half = length // 4
        return "a" + "\u0301" * half + "\u0316" * half
    return "%" + text if piece == "25" else text


@functools.cache
def members_of(text: str) -> dict[str, str]:
    """As many members of an object as there is room for, each with the beginning of a text."""
    return {f"{number}": text[:8] for number in range(len(text) // 24)}


@functools.cache
def schema_of(operation: str, kind: str) -> dict[str, Any] | None:
    content = operations()[operation].get("requestBody", {}).get("content", {})
    return resolved(content[kind]["schema"]) if kind in content else None


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        found: Any = openapi()
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    return schema


def kinds(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """What a value may be."""
    schema = resolved(schema)
    return [each for one in schema.get("anyOf", schema.get("oneOf", [])) for each in kinds(one)] or [schema]


def usual(name: str, schema: dict[str, Any]) -> Any:
    """A value that passes, with what must be in it."""
    kind = kinds(schema)[0]
    match kind.get("type"):
        case "object":
            members = kind.get("properties", {})
            return {each: usual(each, members[each]) for each in kind.get("required", ()) if each in members}
        case "array":
            return [usual(name, kind["items"])]
        case "integer" | "number":
            return 1
        case "boolean":
            return True
    return USUAL.get(name, kind.get("const", (kind.get("enum") or ["a"])[0]))


def placed(name: str, schema: dict[str, Any], text: str) -> Iterator[tuple[str, Any]]:
    """Every way to put a text somewhere into a value of a schema: where, and the value."""
    yield name, text
    # What holds nothing of the text is the same for each: it is sent once.
    once = text.startswith("aa")
    for kind in kinds(schema):
        if kind.get("type") == "object":
            members, base = kind.get("properties", {}), usual(name, kind)
            for each, inner in members.items():
                for where, value in placed(each, inner, text):
                    yield f"{name}.{where}", {**base, each: value}
            yield f"{name}.*", {**base, text: text[:1]}
            yield f"{name}.class_id", {**base, "class_id": text}
            yield f"{name}.many", {**base, **members_of(text)}
            if once:
                yield f"{name}.wrong", {**base, **{f"{number}": [] for number in range(len(text) // 16)}}
        if kind.get("type") == "array":
            for where, value in placed("0", kind["items"], text):
                yield f"{name}.{where}", [value]
            if once:
                one = usual("", kind["items"])
                room = len(text) // (len(json.dumps(one)) + 2)
                yield f"{name}.many", [one] * room
                yield f"{name}.wrong", [[]] * (len(text) // 4)
            yield f"{name}.other", [text[:1]] * (len(text) // 12)


def target_of(operation: str, bad: str | None = None, text: str = "") -> str:
    """The path and the query that must be there, with a text in the parameter `bad`."""
    path, query = operation.split()[1], []
    for each in operations()[operation].get("parameters", []):
        name, schema = each["name"], each["schema"]
        value = in_path(text) if name == bad else in_path(str(usual(name, schema)))
        if each["in"] == "path":
            path = path.replace(f"{{{name}}}", value)
        elif each["in"] == "query" and (each.get("required") or name == bad):
            query.append(f"{name}={value}")
    return "?".join(filter(None, [path, "&".join(query)]))


def requests_with(operation: str, piece: str) -> Iterator[Request]:
    """The operation with 1 MB of a piece in each field in turn, or with as much as the field's own reader takes."""
    method = operation.split(maxsplit=1)[0]
    target = target_of(operation)
    # A head of 1 MB is refused whatever is in it; below, every byte can take nine in a path.
    for size in (JSON_BODY_MAX_BYTES, HEAD_MAX_BYTES // 9) if piece == "a" else (HEAD_MAX_BYTES // 9,):
        text = filled(piece, size)
        for each in operations()[operation].get("parameters", []):
            yield Request(f"{each['in']} {each['name']}", method, target_of(operation, each["name"], text))
        join = "&" if "?" in target else "?"
        yield Request("query metadata[class_id]", method, f"{target}{join}metadata[class_id]={in_path(text)}")
        yield Request("query name", method, f"{target}{join}{in_path(text)}=1")
        if piece == "a":  # it holds nothing of the piece
            yield Request("query many", method, f"{target}{join}{'a&' * (size // 2)}")
        yield Request("path token", method, f"/u/{in_path(text)}{target}")
        for name in HEADERS:
            yield Request(f"header {name}", method, target, ((name, text.replace("\x00", "")),))
    yield from bodies(operation, piece)


def bodies(operation: str, piece: str) -> Iterator[Request]:
    method, target = operation.split(maxsplit=1)[0], target_of(operation)
    kind = (("content-type", "application/json"),)
    model = schema_of(operation, "application/json")
    if model is not None:
        for size in (JSON_BODY_MAX_BYTES, 1800):
            # json.dumps makes up to six bytes of one.
            text = filled(piece, size // 6 if not piece.isprintable() or not piece.isascii() else size // 2)
            for where, value in placed("json", model, text):
                yield Request(f"{where} {size}", method, target, kind, json.dumps(value).encode())
        for deep in ("[", '{"a":') if piece == "a" else ():
            yield Request(
                "json deep", method, target, kind, (deep * JSON_BODY_MAX_BYTES)[:JSON_BODY_MAX_BYTES].encode()
            )
    form = schema_of(operation, "multipart/form-data")
    if form is not None:
        for size in (JSON_BODY_MAX_BYTES, FORM_FIELD_MAX_BYTES - 64, 1800):
            text = filled(piece, size)
            for each in (*form["properties"], "unheard of"):
                if each != "file":
                    yield Request(f"form {each} {size}", method, target, *as_form({each: text}))
            yield Request(f"form file name {size}", method, target, *as_form({}, filename=text))
            yield Request(f"form file type {size}", method, target, *as_form({}, file_type=text))
            yield Request(f"form field name {size}", method, target, *as_form({text: "a"}))


def as_form(
    fields: dict[str, str], filename: str = "a.jpg", file_type: str = "image/jpeg"
) -> tuple[tuple[tuple[str, str], ...], bytes]:
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}' for name, value in fields.items()]
    parts.append(
        f'Content-Disposition: form-data; name="file"; filename="{filename}"\r\nContent-Type: {file_type}\r\n\r\nx'
    )
    body = "".join(f"--b\r\n{part}\r\n" for part in parts) + "--b--\r\n"
    return (("content-type", "multipart/form-data; boundary=b"),), body.encode(errors="surrogatepass")


@pytest.fixture(scope="module")
def app(s3: EmbeddedS3, own_bucket: dict[str, str]) -> Iterator[InProcess]:
    with local_database() as database:
        app = InProcess(create_app(settings_for(s3, **own_bucket, **database)))
        with contextlib.closing(app):
            yield app


@pytest.mark.full
@pytest.mark.parametrize("operation", sorted(operations()))
def test_no_text_in_any_field_costs_more_than_a_fifth_of_a_second_of_cpu(app: InProcess, operation: str) -> None:
    # What is imported and built by the first request is not the text's doing.
    next(requests_with(operation, "a")).sent(app)
    for first in bodies(operation, "a"):
        first.sent(app)
        break
    for name, piece in PIECES.items():
        for request in requests_with(operation, piece):
            answers = [request.sent(app)]
            while answers[-1].cpu_s > CPU_S and len(answers) < ATTEMPTS:
                answers.append(request.sent(app))
            assert answers[-1].cpu_s <= CPU_S, f"{name} in {request.where}: {answers[-1].cpu_s:.2f} s"
            if answers[-1].status >= 500:
                assert json.loads(answers[-1].body)["code"] == "sign-in-not-configured", f"{name} in {request.where}"
