"""The edge of the stack on an emulated AWS: a viewer, CloudFront with the origin secret, the Function URL, the service.

MiniStack's CloudFront serves a distribution under its own host name; what it leaves out is in docs/unverified.md.
"""

import copy
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import httpx
import pytest

from image_upload.web import edge
from local.embedded_s3 import EmbeddedS3
from tests.infra.ministack import REGION, ministack, template_url
from tests.infra.template import TEMPLATE
from tests.infra.test_arrivals import PASS_ON, environments
from tests.infra.test_deploy import Cloud
from tests.runtime.process import function

pytestmark = pytest.mark.needs("ministack")

FIRST, SECOND = "a" * 64, "b" * 64


def was_let_in(invocation: dict[str, Any]) -> bool:
    """Whether the service has let a request pass."""
    return bool(invocation["answer"]["statusCode"] == 200)


def test_only_the_edge_reaches_the_service_and_the_secret_rotates(tmp_path: Path, s3: EmbeddedS3) -> None:
    with ministack() as endpoint, environments() as service, httpx.Client(trust_env=False, timeout=60) as web:

        def client(name: str) -> Any:
            keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
            return boto3.client(name, endpoint_url=endpoint, region_name=REGION, **keys)

        def status(url: str, **headers: str) -> int:
            # MiniStack tells hosts apart by their names, and https by this header.
            host = {"Host": urlsplit(url).netloc, "X-Forwarded-Proto": "https"}
            return web.get(f"{endpoint}/errors", headers=host | headers).status_code

        for secret in (FIRST, SECOND):
            client("ssm").put_parameter(Name="/upload/EDGE_SECRET", Value=secret, Type="String", Overwrite=True)
        template = copy.deepcopy(TEMPLATE)
        properties = template["Resources"]["Function"]["Properties"]
        code = {"ZipFile": PASS_ON.format(port=service.port)}
        properties |= {"PackageType": "Zip", "Code": code, "Runtime": "python3.13", "Handler": "index.handler"}
        cloud = Cloud(client, template_url(client("s3"), json.dumps(template)))
        # Between the first and the second step of a rotation the service knows both, and CloudFront sends the old one.
        both = {"EDGE_SECRET": SECOND, "EDGE_PREVIOUS_SECRET": FIRST}
        with function(tmp_path, s3.environ, **both) as running:
            service.add(running)
            outputs = cloud.create("upload", Alarms="false", EdgeSecretFrom="ssm:/upload/EDGE_SECRET:1")
            assert status(outputs["FunctionUrl"]) == 403
            assert status(outputs["FunctionUrl"], **{edge.HEADER: "forged"}) == 403
            assert status(outputs["EdgeUrl"]) == 200
            assert status(outputs["EdgeUrl"], **{edge.HEADER: "forged"}) == 200, (
                "CloudFront replaces what a viewer sends"
            )
            cloud.update("upload", Alarms="false", EdgeSecretFrom="ssm:/upload/EDGE_SECRET:2")
            assert status(outputs["EdgeUrl"]) == 200
            sent = [each["event"]["headers"][edge.HEADER.lower()] for each in service.answers if was_let_in(each)]
            assert sent == [FIRST, FIRST, SECOND]
