"""The page `/docs` in a real browser: it loads from the service alone, and sends the token that it was given."""

from pathlib import Path

import httpx
import pytest

from local.embedded_s3 import EmbeddedS3
from tests.browser.conftest import SECRET, driven, token_of
from tests.conftest import serving, settings_for

pytestmark = pytest.mark.needs("chromium", "node")


def test_a_person_signs_in_on_the_page_and_tries_a_route_and_no_other_host_is_asked(
    chromium: str, workshop: Path, s3: EmbeddedS3, web: httpx.Client
) -> None:
    with (
        serving(settings_for(s3, AUTH_REQUIRED="true", JWT_SECRET=SECRET)) as service,
        driven("docs.mjs", chromium, workshop) as browser,
    ):
        found = browser.run({"page": f"{service}/docs", "operation": "createUpload", "token": token_of("user-1")})
        title = web.get(f"{service}/openapi.json").json()["info"]["title"]
    assert found["title"] == title
    assert (found["without"], found["authorized"]) == (401, 200)
    assert found["crashes"] == []
    # Nothing that the policy forbids was tried; the one error is that of the attempt without a token.
    assert [line for line in found["log"] if "401" not in line] == []
    assert [each["url"] for each in found["requests"] if not each["url"].startswith((f"{service}/", "data:"))] == []
    assert found["missing"] == []
    assert {f"{service}/docs", f"{service}/openapi.json"} <= {each["url"] for each in found["requests"]}
