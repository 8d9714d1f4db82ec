"""What is read about the service: the page `/docs` without another host, `/llms.txt`, the icon."""

import html.parser
import importlib.metadata
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from PIL import Image

from image_upload.web.documentation import llms
from local.embedded_s3 import EmbeddedS3
from tests.conftest import Start, problem
from tests.test_docs import ROOT, openapi, operations

PICTURE = ROOT / "examples" / "photo.jpg"


class Page(html.parser.HTMLParser):
    """What a page loads, and what stands in it that a strict policy forbids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.inline: list[str] = []
        self._script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loads += [address for name in ("src", "href") if (address := given.get(name)) is not None]
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        self._script = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._script = self._script and tag not in ("script", "style")

    def handle_data(self, data: str) -> None:
        if self._script and data.strip():
            self.inline.append(data)


# --- the page -------------------------------------------------------------------------------------


def test_the_page_loads_files_of_the_service_alone_below_any_prefix(service: str, web: httpx.Client) -> None:
    response = web.get(f"{service}/docs")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    page = Page(response.text)
    assert page.inline == []
    assert len(page.loads) == 4
    for address in page.loads:
        assert not re.match(r"/|[a-z]+:", address), f"{address} would not be found below a prefix"
        found = web.get(urljoin(f"{service}/docs", address))
        assert found.status_code == 200
        assert found.headers["cache-control"].startswith("public, max-age=")
        assert found.headers["x-content-type-options"] == "nosniff"


def test_the_policy_of_the_page_allows_no_other_host_and_no_script_in_the_page(service: str, web: httpx.Client) -> None:
    response = web.get(f"{service}/docs")
    policy: dict[str, list[str]] = {}
    for directive in response.headers["content-security-policy"].split(";"):
        name, *sources = directive.split()
        policy[name] = sources
    assert policy["default-src"] == ["'none'"]
    assert {source for sources in policy.values() for source in sources} == {"'none'", "'self'", "data:"}
    assert {name for name, sources in policy.items() if "data:" in sources} == {"img-src"}
    # These do not fall back to default-src.
    assert policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == ["'none'"]


def test_the_files_of_the_page_are_kept_for_ever_under_an_address_that_names_their_contents(
    service: str, web: httpx.Client
) -> None:
    addresses = [each for each in Page(web.get(f"{service}/docs").text).loads if each != "favicon.ico"]
    assert {Path(address).name for address in addresses} == {"swagger-ui-bundle.js", "swagger-ui.css", "start.js"}
    for address in addresses:
        found = web.get(f"{service}/{address}")
        assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert found.headers["vary"].startswith("Accept-Encoding")
        other = re.sub("/[0-9a-f]{12}/", "/000000000000/", address)
        assert "immutable" not in web.get(f"{service}/{other}").headers.get("cache-control", "")
        problem(web.get(f"{service}/{other}"), 404, "not-found")
    problem(web.get(f"{service}/{addresses[0].rpartition('/')[0]}/core.py"), 404, "not-found")


def test_a_file_is_that_of_the_pinned_package_compressed_or_not(service: str, web: httpx.Client) -> None:
    package = importlib.metadata.distribution("fastapi-offline")
    expected = Path(str(package.locate_file("fastapi_offline/static/swagger-ui-bundle.js"))).read_bytes()
    (address,) = (each for each in Page(web.get(f"{service}/docs").text).loads if each.endswith("bundle.js"))
    lengths = {}
    for accepted in ("identity", "gzip", "br, gzip;q=0.5", "gzip;q=0", "gzip ; q=0.0, br", "x-gzipped"):
        response = web.get(f"{service}/{address}", headers={"Accept-Encoding": accepted})
        assert response.content == expected
        lengths[accepted] = int(response.headers["content-length"])
        assert ("content-encoding" in response.headers) == (lengths[accepted] < len(expected))
    small = {accepted for accepted, length in lengths.items() if length < 500_000}
    assert small == {"gzip", "br, gzip;q=0.5"}


def test_the_page_shows_the_document_and_asks_no_validator(service: str, web: httpx.Client) -> None:
    (address,) = (each for each in Page(web.get(f"{service}/docs").text).loads if each.endswith("start.js"))
    script = web.get(f"{service}/{address}").text
    assert 'url: "openapi.json"' in script
    assert 'validatorUrl: "none"' in script
    assert "//" not in script


def test_there_is_no_other_page_of_routes(service: str, web: httpx.Client) -> None:
    for path in ("/redoc", "/docs/oauth2-redirect"):
        problem(web.get(service + path), 404, "not-found")


# A process that starts, to see what it imports.
@pytest.mark.full
def test_nothing_of_it_is_imported_before_a_page_is_read_and_the_package_never() -> None:
    script = """
import asyncio, json, sys
from upload import app

async def get(path):
    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}
    async def send(message):
        statuses.append(message.get("status"))
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
             "headers": [], "root_path": "", "scheme": "http", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1)}
    await app(scope, receive, send)

def found():
    read = "image_upload.web.documentation", "fastapi_offline"
    # The router is how a page is found; it imports the pages when one is read.
    return sorted(name for name in sys.modules if name.startswith(read) and name not in (read[0], read[0] + ".router"))

statuses = []
asyncio.run(get("/errors"))
before = found()
asyncio.run(get("/docs"))
print(json.dumps([before, found(), [status for status in statuses if status]]))
"""
    given = {"S3_BUCKET_NAME": "bucket", "AWS_REGION": "eu-north-1", "ENVIRONMENT": "test", "LOG_LEVEL": "ERROR"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **given},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    before, after, statuses = json.loads(done.stdout)
    assert statuses == [200, 200]
    assert before == []
    assert "image_upload.web.documentation.swagger_ui" in after
    assert [name for name in after if name.startswith("fastapi_offline")] == []


# --- the icon -------------------------------------------------------------------------------------


def test_browsers_get_an_icon_with_a_drawing_on_a_transparent_ground(service: str, web: httpx.Client) -> None:
    response = web.get(f"{service}/favicon.ico")
    assert (response.status_code, response.headers["content-type"]) == (200, "image/x-icon")
    assert response.headers["cache-control"] == "public, max-age=86400"
    icon = Image.open(io.BytesIO(response.content), formats=["ICO"]).convert("RGBA")
    assert icon.size == (16, 16)
    assert icon.getpixel((0, 0)) == (0, 0, 0, 0)
    assert icon.getpixel((8, 4)) == (0x1D, 0x6C, 0xD9, 255)
    assert icon.getpixel((1, 13)) == (0x1D, 0x6C, 0xD9, 255), "the tray is at the foot"


# --- in plain text --------------------------------------------------------------------------------


def test_the_text_names_every_route_and_where_it_is_shown(service: str, web: httpx.Client) -> None:
    response = web.get(f"{service}/llms.txt")
    assert (response.status_code, response.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert response.text.startswith("# Image upload service")
    listed = dict(re.findall(r"^- \[([A-Z]+ /\S*)\]\(/docs#/[^)]+/(\w+)\): .+", response.text, re.MULTILINE))
    assert listed == {route: operation["operationId"] for route, operation in operations().items()}
    for path in re.findall(r"\]\((/[\w.]+)\)", response.text):
        assert web.get(service + path).status_code == 200


def test_the_text_says_what_needs_a_token_with_these_settings(start: Start, web: httpx.Client) -> None:
    open_to_all, strict = (
        web.get(f"{start(AUTH_REQUIRED=required, JWT_SECRET='s' * 32)}/llms.txt").text for required in ("false", "true")
    )
    assert "Bearer" not in open_to_all
    assert strict.count("Authorization: Bearer $TOKEN") == 2
    needs = set(re.findall(r"^- \[([A-Z]+ /\S*)\].*; needs a token$", strict, re.MULTILINE))
    assert {"POST /uploads", "GET /images/{key}", "GET /auth/me"} <= needs
    assert not needs & {"GET /", "POST /upload-with-presigned", "POST /auth/token"}
    assert re.findall(r"^- \[([A-Z]+ /\S*)\].*; needs a token$", open_to_all, re.MULTILINE) == [
        "POST /jobs/{job_id}/result",
        "GET /auth/me",
        "POST /auth/verify",
    ]


def test_the_lines_of_the_text_store_a_file_and_read_it(
    service: str, web: httpx.Client, s3: EmbeddedS3, tmp_path: Path
) -> None:
    lines = re.findall(r"^```bash\n(.*?)^```", web.get(f"{service}/llms.txt").text, re.MULTILINE | re.DOTALL)
    assert len(lines) == 3
    (tmp_path / "photo.jpg").write_bytes(PICTURE.read_bytes())
    done = subprocess.run(
        ["sh", "-e", "-c", "\n".join(lines)],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "SERVICE": service, "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = [json.loads(line) for line in re.findall(r"\{.*?\}", done.stdout)]
    stored, read = answers
    assert stored["file_size"] == PICTURE.stat().st_size
    assert read["url"].startswith(s3.endpoint_url)
    assert web.get(read["url"]).content == PICTURE.read_bytes()


def test_the_text_cannot_be_made_of_a_document_without_the_routes_it_explains() -> None:
    paths = {path: methods for path, methods in openapi()["paths"].items() if path != "/upload-with-presigned-retry"}
    with pytest.raises(KeyError, match="forwardFormWithRetry"):
        llms.text({**openapi(), "paths": paths})
