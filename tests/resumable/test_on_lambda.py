"""Resumable uploads through the real awslambdaric, behind an emulated Function URL."""

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from image_upload.limits import LAMBDA_APPEND_MAX_BYTES
from local.embedded_s3 import EmbeddedS3
from tests.resumable.clients import sent_by_node
from tests.resumable.function_url import FunctionUrl, function_url
from tests.resumable.speaking import Ietf, Tus, stored
from tests.runtime.process import function

MIB = 1 << 20


@pytest.fixture(scope="module")
def lambda_url(s3: EmbeddedS3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionUrl]:
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(function(tmp_path_factory.mktemp("function"), s3.environ))
        yield stack.enter_context(function_url(running.api))


@pytest.mark.full
@pytest.mark.parametrize("protocol", [Tus, Ietf])
def test_an_append_has_up_to_4_mib_and_more_is_told_the_limit(
    lambda_url: FunctionUrl, web: httpx.Client, protocol: type[Tus]
) -> None:
    client = protocol(web, lambda_url.url)
    content = random.Random(4).randbytes(LAMBDA_APPEND_MAX_BYTES + 1)
    location = client.begin(len(content))
    refused = client.append(location, 0, content)
    assert refused.status_code == 413
    assert f"max-append-size={LAMBDA_APPEND_MAX_BYTES}" in refused.headers["upload-limit"]
    assert client.offset(location) == 0
    assert client.append(location, 0, content[:-1]).headers["upload-offset"] == str(LAMBDA_APPEND_MAX_BYTES)
    assert client.append(location, LAMBDA_APPEND_MAX_BYTES, content[-1:]).is_success
    assert stored(client, location) == content


@pytest.mark.full
def test_what_aws_itself_refuses_changes_nothing(lambda_url: FunctionUrl, web: httpx.Client) -> None:
    client = Tus(web, lambda_url.url)
    location = client.begin(5 * MIB)
    own, aws = (client.append(location, 0, bytes(size)) for size in (4_710_000, 5 * MIB))
    assert (own.status_code, aws.status_code) == (413, 413)
    assert "upload-limit" in own.headers, "so much still reaches the function"
    assert "upload-limit" not in aws.headers
    assert client.offset(location) == 0


@pytest.mark.needs("node")
def test_30_mb_go_through_lambda_although_the_line_breaks_twice(
    lambda_url: FunctionUrl, web: httpx.Client, tmp_path: Path, packages: Path
) -> None:
    content = random.Random(30).randbytes(30_000_000)
    path = tmp_path / "picture.bin"
    path.write_bytes(content)
    # One request never reaches the function; the answer to another is lost after its bytes were stored.
    lambda_url.will_cut({("PATCH", 2): "before", ("PATCH", 5): "after"})
    options = {"endpoint": f"{lambda_url.url}/resumable", "chunkSize": LAMBDA_APPEND_MAX_BYTES}
    outcome = sent_by_node(packages, path, options)
    assert lambda_url.statuses.count(("PATCH", None)) == 2, "both were cut"
    assert stored(Tus(web, lambda_url.url), outcome.location) == content
    assert outcome.statuses.count(["PATCH", 204]) == 8 - 1, "eight appends, of which one answer was lost"
