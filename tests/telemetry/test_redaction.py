"""The quick look for secrets in a log line finds what the search finds."""

import re

from hypothesis import given
from hypothesis import strategies as st

from image_upload.telemetry import logs

PIECES = [
    "X-Amz-Signature=c0ffee",
    "x-amz-credential%3DAKIA",
    "X-AMZ-SECURITY-TOKEN=FwoG%2F",
    "Bearer a.b.c",
    "bearer\ta.b.c",
    "BEARER\u3000a.b.c",
    "eyJhbGciOi.eyJzdWIi.c2ln",
    *(f"{each}AbCdEf012345-_x" for each in ("upl1.", "upc1.", "upr1.", "upk1.", "upj1.")),
    *("=", "%", "%3D", "J", "1.", " ", "mz-", "/", "X-Amz-", "word", "사진"),
]


@given(st.lists(st.sampled_from(PIECES), max_size=5), st.sampled_from(["", " ", "/", '"']))
def test_the_quick_look_misses_no_secret(pieces: list[str], between: str) -> None:
    text = between.join(pieces)
    found = re.sub(logs._SECRET, lambda match: f"{match[1] or match[2] or match[3]}[redacted]", text)
    assert logs.redact(text) == found
