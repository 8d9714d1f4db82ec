"""The page and the client module as they are served: to whom, in which language, under which policy."""

import asyncio
import base64
import contextlib
import gzip
import hashlib
import html.parser
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from image_upload.app import create_app
from image_upload.limits import ACCEPT_MAX_BYTES
from image_upload.page import files
from image_upload.settings import load
from image_upload.web.function_url import adapter
from tests.in_process import Answered, InProcess
from tests.runtime.operating import request

if TYPE_CHECKING:
    from mangum.types import LambdaContext

ROOT = Path(__file__).resolve().parents[2]
GIVEN = {"ENVIRONMENT": "test", "S3_BUCKET_NAME": "bucket", "AWS_REGION": "eu-north-1", "AWS_ACCESS_KEY_ID": "a"}
GIVEN |= {"AWS_SECRET_ACCESS_KEY": "b", "AWS_S3_ENDPOINT_URL": "http://127.0.0.1:1"}
PRODUCTION = {"ENVIRONMENT": "production", "AWS_S3_ENDPOINT_URL": "https://127.0.0.1:1", "JWT_SECRET": "s" * 32}
# What Chromium, Firefox and Safari send for an address that is typed in.
BROWSERS = [
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "text/html",
]
PAGE_MODULE = f"/page/{files.modules_version()}/page.js"
FIRST_PAINT_MAX_BYTES = 30_000
PICTURE_MAX_BYTES = 150_000


@contextlib.contextmanager
def service(**environ: str) -> Iterator[InProcess]:
    with contextlib.closing(InProcess(create_app(load(GIVEN | environ)))) as client:
        yield client


@pytest.fixture(scope="module")
def client() -> Iterator[InProcess]:
    with service() as client:
        yield client


def asked(client: InProcess, path: str = "/", method: str = "GET", **headers: str) -> Answered:
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return client.ask(method, path.encode(), headers=given)


def page(client: InProcess, **headers: str) -> Answered:
    answer = asked(client, accept=BROWSERS[0], **headers)
    assert answer.headers[b"content-type"] == b"text/html; charset=utf-8"
    return answer


def setup_of(answer: Answered) -> dict[str, Any]:
    """What the page's module is told."""
    found = re.search(r'<script type="application/json" id="setup">(.*?)</script>', answer.body.decode())
    assert found
    setup: dict[str, Any] = json.loads(found[1])
    return setup


class Elements(html.parser.HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


# --- who gets it ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "accept", [*BROWSERS, "application/json;q=0.5, TEXT/HTML", "text/html;level=1;q=0.4, */*;q=0.3"]
)
def test_who_prefers_html_gets_the_page(client: InProcess, accept: str) -> None:
    answer = asked(client, accept=accept)
    assert (answer.status, answer.headers[b"content-type"]) == (200, b"text/html; charset=utf-8")
    assert answer.headers[b"vary"] == b"Accept, Accept-Language"


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "*/*",
        "application/json",
        "application/json, text/plain, */*",
        "text/html, application/json",
        "text/html;q=0.9, */*",
        "text/html;q=0",
        "text/html;q=0, */*;q=0",
        "text/htmlx",
        "text/plain",
        ",;=q",
        "text/html" + " " * ACCEPT_MAX_BYTES,
    ],
)
def test_everyone_else_gets_json_as_ever(client: InProcess, accept: str | None) -> None:
    answer = asked(client, accept=accept) if accept is not None else asked(client)
    assert (answer.status, answer.headers[b"content-type"]) == (200, b"application/json")
    assert answer.headers[b"vary"] == b"Accept"
    assert json.loads(answer.body)["message"] == "Image upload service is running"


@pytest.mark.parametrize(
    ("environ", "there"),
    [({}, True), ({"PAGE": "false"}, False), (PRODUCTION, False), (PRODUCTION | {"PAGE": "true"}, True)],
)
def test_the_page_is_there_outside_production_unless_the_setting_says_otherwise(
    environ: dict[str, str], *, there: bool
) -> None:
    with service(**environ) as client:
        kind = asked(client, accept=BROWSERS[0]).headers[b"content-type"]
        assert kind == (b"text/html; charset=utf-8" if there else b"application/json")
        assert asked(client, PAGE_MODULE).status == (200 if there else 404)
        assert asked(client, "/client.js").status == 200


def test_head_is_answered_as_get_is(client: InProcess) -> None:
    for path in ("/", "/client.js", PAGE_MODULE):
        got, head = (asked(client, path, method, accept=BROWSERS[0]) for method in ("GET", "HEAD"))
        assert head.status == 200
        assert head.headers.keys() == got.headers.keys()
        assert head.headers[b"content-length"] == got.headers[b"content-length"]
    assert asked(client, "/", "POST", accept=BROWSERS[0]).status == 405


def test_nothing_of_it_is_read_before_a_page_is() -> None:
    script = """
import sys
from image_upload.app import create_app
from image_upload.settings import load
create_app(load(%r))
print([name for name in sys.modules if name.startswith("image_upload.page.") and not name.endswith(".router")])
"""
    done = subprocess.run([sys.executable, "-c", script % GIVEN], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- what it is -----------------------------------------------------------------------------------


def test_the_first_paint_takes_one_request_below_30_kb(client: InProcess) -> None:
    for language in ("en", "ko"):
        answer = page(client, accept_language=language)
        assert len(answer.body) < FIRST_PAINT_MAX_BYTES
        assert b'rel="stylesheet"' not in answer.body


def test_the_policy_allows_the_page_its_own_files_and_the_bucket_and_nothing_else() -> None:
    with service(CDN_BASE_URL="https://cdn.example.com/pictures") as client:
        answer = page(client)
    policy: dict[str, list[str]] = {}
    for directive in answer.headers[b"content-security-policy"].decode().split(";"):
        name, *sources = directive.split()
        policy[name] = sources
    (style,) = re.findall(r"<style>(.*?)</style>", answer.body.decode(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    stored = ["http://127.0.0.1:1", "https://cdn.example.com"]
    assert policy == {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": [f"'sha256-{digest}'"],
        "img-src": ["'self'", *stored],
        "media-src": stored,
        "connect-src": ["'self'", *stored],
        **{name: ["'none'"] for name in ("base-uri", "form-action", "frame-ancestors")},
    }
    assert answer.headers[b"referrer-policy"] == b"no-referrer"
    assert answer.headers[b"x-content-type-options"] == b"nosniff"


def test_the_page_has_no_inline_script_and_names_no_host_and_no_absolute_path(client: InProcess) -> None:
    elements = Elements(page(client).body.decode()).found
    scripts = [given for tag, given in elements if tag == "script"]
    assert [given.get("type") for given in scripts] == ["application/json", "module"]
    for _, given in elements:
        assert not [name for name in given if name.startswith("on") or name == "style"]
        for name in ("src", "href"):
            assert not re.match(r"/|[a-z]+:", given.get(name) or "")


def test_what_the_page_is_told_cannot_end_its_element() -> None:
    with service(FRONTEND_CALLBACK_URL="https://app.example.com/</script><b>") as client:
        answer = page(client)
    assert setup_of(answer)["callback"] == "https://app.example.com/</script><b>"
    assert b"<b>" not in answer.body


def test_the_page_is_told_who_may_sign_in_and_no_secret() -> None:
    environ = PRODUCTION | {"PAGE": "true", "GOOGLE_CLIENT_ID": "client", "GOOGLE_CLIENT_SECRET": "secret-one"}
    environ |= {"SESSION_SECRET": "secret-two" * 4, "OAUTH_REDIRECT_BASE_URL": "https://up.example.com"}
    with service(**environ, FRONTEND_CALLBACK_URL="https://up.example.com/") as client:
        answer = page(client)
    told = setup_of(answer)
    assert (told["uploadsNeedToken"], told["filesNeedToken"]) == (True, True)
    assert (told["providers"], told["callback"]) == (["google"], "https://up.example.com/")
    for secret in ("secret-one", "secret-two", PRODUCTION["JWT_SECRET"]):
        assert secret.encode() not in answer.body
    with service() as client:
        told = setup_of(page(client))
    assert (told["uploadsNeedToken"], told["filesNeedToken"], told["providers"]) == (False, False, [])


# --- languages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "language"), [("ko-KR,ko;q=0.9,en;q=0.8", "ko"), ("en-GB,en;q=0.9", "en"), ("fr", "en"), ("", "en")]
)
def test_the_page_is_in_the_language_that_the_browser_prefers(client: InProcess, accepted: str, language: str) -> None:
    answer = page(client, accept_language=accepted)
    assert answer.headers[b"content-language"] == language.encode()
    assert f'<html lang="{language}">'.encode() in answer.body
    assert setup_of(answer)["language"] == language


def test_both_languages_have_the_same_texts_with_the_same_facts_and_the_module_uses_them_all() -> None:
    folder = ROOT / "image_upload" / "page"
    english, korean = (json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in ("en", "ko"))
    assert list(english) == list(korean)

    def facts(text: Any) -> set[str]:
        return set(re.findall(r"\{(\w+)\}", text["other"] if isinstance(text, dict) else text))

    assert {name: facts(text) for name, text in english.items()} == {name: facts(text) for name, text in korean.items()}
    used = "".join(each.read_text(encoding="utf-8") for each in [folder / "page.html", *folder.glob("modules/*.js")])
    states = {"waiting", "hashing", "sending", "paused", "offline", "checking", "stored", "failed", "cancelled"}
    unused = {
        name
        for name in english
        if not name.startswith("problem_") and name not in states and not re.search(rf'"{name}"|\$\{{{name}\}}', used)
    }
    assert unused == set()
    asked_for = set(re.findall(r'\btext\("([\w-]+)"', used)) | set(
        re.findall(r"\$\{([a-z_]+)\}", (folder / "page.html").read_text())
    )
    assert asked_for - english.keys() == {"language", "modules", "preloads", "setup", "style"}


def test_the_readme_shows_a_picture_of_it_that_is_quick_to_load() -> None:
    picture = ROOT / "docs" / "images" / "page.png"
    assert picture.stat().st_size < PICTURE_MAX_BYTES
    for page in ("README.md", "README.ko.md"):
        assert "](docs/images/page.png)" in (ROOT / page).read_text(encoding="utf-8")


# --- what it loads --------------------------------------------------------------------------------


def test_the_modules_are_kept_for_ever_under_addresses_that_name_their_contents(client: InProcess) -> None:
    elements = Elements(page(client).body.decode()).found
    addresses = [given["href"] or "" for _, given in elements if given.get("rel") == "modulepreload"]
    assert addresses.pop(0) == "client.js"
    version = hashlib.sha256(b"\0".join(files.modules().values())).hexdigest()[:12]
    assert addresses == [f"page/{version}/{name}" for name in files.modules()]
    assert ("script", {"type": "module", "src": f"page/{version}/page.js"}) in elements
    for address in addresses:
        answer = asked(client, f"/{address}")
        assert answer.headers[b"cache-control"] == b"public, max-age=31536000, immutable"
        assert answer.headers[b"content-type"] == b"text/javascript; charset=utf-8"
        assert answer.body == files.modules()[address.rpartition("/")[2]]
    for other in ("/page/000000000000/page.js", f"/page/{version}/page.css", f"/page/{version}/%2e%2e/upload.js"):
        assert asked(client, other).status == 404


def test_every_module_is_asked_for_at_once_and_none_but_the_pages_own_and_the_clients_is_imported() -> None:
    imported = {
        name: set(re.findall(rb'^import [^;]* from "(.*?)";$', content, re.MULTILINE))
        for name, content in files.modules().items()
    }
    assert set().union(*imported.values()) - {b"../../client.js"} == {
        b"./" + name.encode() for name in files.modules() if name != "page.js"
    }


def test_the_client_module_is_the_file_of_the_checkout_with_its_version(client: InProcess) -> None:
    answer = asked(client, "/client.js")
    assert answer.body == (ROOT / "client" / "upload.js").read_bytes()
    assert re.search(rb'^export const VERSION = "\d+\.\d+\.\d+";$', answer.body, re.MULTILINE)
    assert answer.headers[b"content-type"] == b"text/javascript; charset=utf-8"
    assert answer.headers[b"x-content-type-options"] == b"nosniff"
    assert answer.headers[b"cache-control"] == b"public, no-cache"


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [("gzip, deflate, br", True), ("deflate,gzip", True), ("gzip;q=0, br", False), ("", False)],
)
def test_a_script_is_compressed_for_a_client_that_takes_gzip(
    client: InProcess, accepted: str, is_compressed: bool
) -> None:
    plain = asked(client, "/client.js")
    answer = asked(client, "/client.js", accept_encoding=accepted)
    assert answer.headers[b"vary"] == b"Accept-Encoding"
    assert (answer.headers.get(b"content-encoding") == b"gzip") is is_compressed
    assert (gzip.decompress(answer.body) if is_compressed else answer.body) == plain.body
    assert (len(answer.body) < 12_000) is is_compressed
    assert (answer.headers[b"etag"] != plain.headers[b"etag"]) is is_compressed
    etag = answer.headers[b"etag"].decode()
    assert asked(client, "/client.js", accept_encoding=accepted, if_none_match=etag).status == 304


def test_a_compressed_script_is_whole_through_a_function_url() -> None:
    event = request("GET", rawPath="/client.js", headers={"accept-encoding": "gzip", "host": "x"})
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 30_000)
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        asyncio.set_event_loop(loop)
        said = adapter(create_app(load(GIVEN)))(event, cast("LambdaContext", context))
        asyncio.set_event_loop(None)
    assert said["isBase64Encoded"]
    assert gzip.decompress(base64.b64decode(said["body"])) == files.client_module()


@pytest.mark.parametrize("path", ["/client.js", "/"])
def test_what_is_known_is_not_sent_again(client: InProcess, path: str) -> None:
    first = asked(client, path, accept=BROWSERS[0])
    etag = first.headers[b"etag"].decode()
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = asked(client, path, accept=BROWSERS[0], if_none_match=known)
        assert (again.status, again.body) == (304, b"")
        for name in (b"etag", b"cache-control"):
            assert again.headers[name] == first.headers[name]
        assert again.headers.get(b"vary") == first.headers.get(b"vary")
    assert asked(client, path, accept=BROWSERS[0], if_none_match='"other"').status == 200


def test_pages_of_allowed_origins_may_read_the_client_module_and_no_others() -> None:
    with service(CORS_ALLOW_ORIGINS="https://app.example.com") as client:
        answer = asked(client, "/client.js", origin="https://app.example.com")
        assert answer.headers[b"access-control-allow-origin"] == b"https://app.example.com"
        assert b"ETag" in answer.headers[b"access-control-expose-headers"]
        assert b"access-control-allow-origin" not in asked(client, "/client.js", origin="https://evil.example").headers
