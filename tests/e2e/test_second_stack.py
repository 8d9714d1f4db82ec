"""A second stack beside the first, in the same account, while that one's story is told."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from image_upload.web import edge
from tests.e2e.cloud import DEFAULT, buckets, cloud, functions, images, live, output, secrets, shell, within
from tests.e2e.world import World

pytestmark = pytest.mark.needs("namespaces", "image")

STACK = "second"
DEPLOY = f"./deploy.sh --yes --name {STACK}"


def public_key() -> dict[str, Any]:
    """A key of an identity provider, as a JSON Web Key."""
    key = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True)
    return {**key, "kid": "1", "use": "sig", "alg": "ES256"}


@pytest.fixture(scope="module", autouse=True)
def compressed(aws: World) -> None:
    """Wait for the first stack's image in the registry: podman refers to its layers, not to compress for 20 s."""
    first = aws._replace(stack=DEFAULT)
    within(600, lambda: images(first) != [])


@pytest.fixture(scope="module")
def provider(aws: World) -> Iterator[str]:
    """The settings of an identity provider, whose keys are in a bucket."""
    bucket, region, s3 = "image-upload-e2e-provider", aws.environ["AWS_REGION"], cloud(aws, "s3")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
    s3.put_object(Bucket=bucket, Key="jwks.json", Body=json.dumps({"keys": [public_key()]}))
    keys = f"https://{bucket}.s3.{region}.amazonaws.com/jwks.json"
    yield f"--set JWT_JWKS_URL={keys} --set JWT_ISSUER=https://provider.example --set JWT_AUDIENCE=uploads"
    s3.delete_object(Bucket=bucket, Key="jwks.json")
    s3.delete_bucket(Bucket=bucket)


def test_a_first_version_that_does_not_work_has_no_url_and_a_mended_one_has(aws: World, provider: str) -> None:
    """With an identity provider alone: no secret of the service's own to make tokens with."""
    said = shell(aws, f"{DEPLOY} {provider} --set RATE_LIMIT_PER_USER=nonsense", fails=True)
    assert "did not pass and is not live. Mend" in said
    (stack,) = cloud(aws, "cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    assert "FunctionUrl" not in {each["OutputKey"] for each in stack["Outputs"]}
    said = shell(aws, f"{DEPLOY} {provider} --set RATE_LIMIT_PER_USER= --set SECRETS_REFRESH_SECONDS=30")
    assert re.search(r"^(\d+) of \1 steps passed\.$", said, re.MULTILINE)
    assert secrets(aws) == []


def test_the_origin_secret_refuses_the_bare_url_and_rotates_without_a_deployment(aws: World, web: httpx.Client) -> None:
    """The edge is played here; tests/infra/test_edge_emulated.py has the emulated CloudFront before the service."""
    url, version, old, new = output(aws, "FunctionUrl"), live(aws)["version"], "o" * 64, "n" * 64
    ssm = cloud(aws, "ssm")

    def status(*secret: str) -> int:
        return web.get(f"{url}errors", headers=[(edge.HEADER, each) for each in secret]).status_code

    def put(setting: str, value: str) -> None:
        ssm.put_parameter(Name=f"/{STACK}/{setting}", Value=value, Type="String", Overwrite=True)

    assert status() == 200
    put("EDGE_SECRET", old)
    within(60, lambda: status() == 403)
    assert (status(old), status(new)) == (200, 403)
    put("EDGE_PREVIOUS_SECRET", old)
    put("EDGE_SECRET", new)
    within(60, lambda: status(new) == 200)
    assert (status(), status(old)) == (403, 200)
    ssm.delete_parameter(Name=f"/{STACK}/EDGE_PREVIOUS_SECRET")
    within(60, lambda: status(old) == 403)
    assert (status(), status(new)) == (403, 200)
    ssm.delete_parameter(Name=f"/{STACK}/EDGE_SECRET")
    within(60, lambda: status() == 200)
    assert live(aws)["version"] == version


def test_a_kept_bucket_is_used_again_and_deleted_when_asked_for(aws: World) -> None:
    bucket, s3 = output(aws, "BucketName"), cloud(aws, "s3")
    s3.put_object(Bucket=bucket, Key="uploads/kept.jpg", Body=b"kept")
    shell(aws, f"{DEPLOY} --destroy")
    said = shell(aws, f"{DEPLOY} --bucket {bucket}")
    assert output(aws, "BucketName") == bucket
    assert "bucket-rules" in said
    assert s3.get_object(Bucket=bucket, Key="uploads/kept.jpg")["Body"].read() == b"kept"
    shell(aws, f"{DEPLOY} --destroy --delete-bucket")
    assert bucket not in buckets(aws)
    assert functions(aws) == []
