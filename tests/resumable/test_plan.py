"""When `POST /uploads` says that a file goes through the service in appends, and how."""

from typing import Any

import httpx
import pytest

from image_upload.errors import NoStrategy
from image_upload.limits import GIB, MIB, RESUMABLE_MAX_BYTES
from image_upload.uploads.plans import Strategy
from image_upload.uploads.strategy import choose
from tests.conftest import Start, problem

FILE = {"filename": "a.bin", "contentType": "application/octet-stream", "purpose": "file", "size": 9 * MIB}
FORM_MAX_BYTES = 4 * MIB


@pytest.mark.parametrize(
    ("size_bytes", "accepts", "strategy"),
    [
        (9 * MIB, ["resumable"], "resumable"),
        (9 * MIB, ["resumable", "proxy"], "resumable"),
        (FORM_MAX_BYTES, ["resumable", "proxy"], "proxy"),
        (None, ["proxy", "resumable"], "resumable"),
        (200 * MIB, ["proxy", "resumable"], "resumable"),
        (None, ["resumable", "post"], "post"),
        (9 * MIB, ["resumable", "proxy", "put"], "put"),
        (200 * MIB, ["resumable", "multipart"], "multipart"),
        (RESUMABLE_MAX_BYTES, ["resumable"], "resumable"),
    ],
)
def test_appends_are_chosen_where_nothing_direct_is_accepted_and_no_form_is_long_enough(
    size_bytes: int | None, accepts: list[Strategy], strategy: Strategy
) -> None:
    form_max_bytes = 5 * GIB if size_bytes == 200 * MIB else FORM_MAX_BYTES
    assert choose(size_bytes, accepts, form_max_bytes=form_max_bytes, resumable=True) == strategy


@pytest.mark.parametrize(
    "wrong",
    [
        {"size_bytes": RESUMABLE_MAX_BYTES + 1},
        {"size_bytes": MIB, "has_sha256": True},
        {"size_bytes": MIB, "resumable": False},
    ],
)
def test_a_file_that_cannot_be_appended_to_has_no_such_plan(wrong: dict[str, Any]) -> None:
    given: dict[str, Any] = {"form_max_bytes": FORM_MAX_BYTES, "resumable": True, **wrong}
    with pytest.raises(NoStrategy) as refused:
        choose(accepts=["resumable"], **given)
    assert "resumable" not in refused.value.extras["possible"]


def test_a_version_1_client_never_gets_one() -> None:
    for size_bytes in (None, 1, 5 * GIB + 1):
        assert choose(size_bytes, None, form_max_bytes=1, resumable=True) in ("put", "multipart")


def test_the_plan_says_where_and_how_much_at_once(service: str, start: Start, web: httpx.Client) -> None:
    for url, chunk_size in ((service, None), (start(AWS_LAMBDA_FUNCTION_NAME="f"), 4 * MIB)):
        plan = web.post(f"{url}/uploads", json={**FILE, "accepts": ["resumable"]}).json()
        assert plan["ticket"].startswith("upl1.")
        assert plan == {
            "strategy": "resumable",
            "method": "PATCH",
            "presignedUrl": None,
            "uploadUrl": f"/resumable/{plan['ticket']}",
            "chunkSize": chunk_size,
            "protocols": ["tus-1.0.0", "ietf-8"],
            "ticket": plan["ticket"],
            "objectKey": plan["objectKey"],
            "size": 9 * MIB,
            "headers": {},
            "expiresAt": plan["expiresAt"],
            "expiresIn": 86_400,
            "cdnUrl": None,
            "maxBytes": 9 * MIB,
            "sizeEnforced": True,
        }


def test_a_file_of_unknown_size_may_be_as_long_as_its_purpose_allows(service: str, web: httpx.Client) -> None:
    plan = web.post(
        f"{service}/uploads", json={"filename": "a.jpg", "contentType": "image/jpeg", "accepts": ["resumable"]}
    ).json()
    assert (plan["size"], plan["maxBytes"]) == (None, 10 * MIB)


def test_it_can_be_switched_off(start: Start, web: httpx.Client) -> None:
    response = web.post(f"{start(RESUMABLE='false')}/uploads", json={**FILE, "accepts": ["resumable"]})
    assert "resumable" not in problem(response, 400, "no-strategy")["possible"]


def test_it_is_minted_alone(service: str, web: httpx.Client) -> None:
    response = web.post(f"{service}/uploads/batch", json={"uploads": [{**FILE, "accepts": ["resumable"]}]})
    assert problem(response, 400, "batch-refused")["errors"][0]["code"] == "validation-failed"
