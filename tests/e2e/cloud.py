"""What a story does with its stack, and asks AWS about it."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import boto3
import httpx
import jwt
from botocore.config import Config

from tests.e2e.world import World

# As deploy.sh names a stack.
DEFAULT = "image-upload-service"


def shell(aws: World, block: str, *, fails: bool = False) -> str:
    return aws.run("bash", "-euo", "pipefail", "-c", block, fails=fails)


def cloud(aws: World, service: str) -> Any:
    """A client of AWS's SDK, in this process: the CLI takes half a second for each question."""
    return boto3.client(
        service,
        # It else presigns for S3's host of all regions.
        config=Config(signature_version="s3v4", s3={"addressing_style": "virtual"}) if service == "s3" else None,
        region_name=aws.environ["AWS_REGION"],
        aws_access_key_id=aws.environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws.environ["AWS_SECRET_ACCESS_KEY"],
        verify=aws.environ["AWS_CA_BUNDLE"],
    )


def output(aws: World, key: str) -> str:
    (stack,) = cloud(aws, "cloudformation").describe_stacks(StackName=aws.stack)["Stacks"]
    (value,) = (each["OutputValue"] for each in stack["Outputs"] if each["OutputKey"] == key)
    assert isinstance(value, str)
    return value


def functions(aws: World) -> list[str]:
    listed = (each["FunctionName"] for each in cloud(aws, "lambda").list_functions()["Functions"])
    return sorted(name for name in listed if name.startswith(aws.stack))


def objects(aws: World) -> list[dict[str, Any]]:
    contents: list[dict[str, Any]] = cloud(aws, "s3").list_objects_v2(Bucket=output(aws, "BucketName"))["Contents"]
    return contents


def buckets(aws: World) -> list[str]:
    return [each["Name"] for each in cloud(aws, "s3").list_buckets()["Buckets"]]


def repositories(aws: World) -> list[dict[str, Any]]:
    listed = cloud(aws, "ecr").describe_repositories()["repositories"]
    return [each for each in listed if each["repositoryName"] == aws.stack]


def images(aws: World) -> list[dict[str, Any]]:
    """What the stack's repository holds, if there is one."""
    if repositories(aws) == []:
        return []
    found: list[dict[str, Any]] = cloud(aws, "ecr").describe_images(repositoryName=aws.stack)["imageDetails"]
    return found


def secrets(aws: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cloud(aws, "ssm").get_parameters_by_path(Path=f"/{aws.stack}/")["Parameters"]
    return found


def live(aws: World) -> dict[str, Any]:
    """What users meet: the alias, and what a deployment decides of its version."""
    alias = cloud(aws, "lambda").get_alias(FunctionName=aws.stack, Name="live")
    found = cloud(aws, "lambda").get_function(FunctionName=aws.stack, Qualifier="live")
    kept = ("Environment", "MemorySize", "Timeout", "Architectures", "Role", "PackageType")
    return {
        "version": alias["FunctionVersion"],
        "weights": alias.get("RoutingConfig"),
        "image": found["Code"]["ImageUri"],
        **{name: found["Configuration"][name] for name in kept},
    }


def secret(aws: World, setting: str) -> str:
    found = cloud(aws, "ssm").get_parameter(Name=f"/{aws.stack}/{setting}", WithDecryption=True)
    value: str = found["Parameter"]["Value"]
    return value


def store(aws: World, setting: str, value: str) -> None:
    """Rotate a secret, as docs/deploy.md does with the CLI."""
    cloud(aws, "ssm").put_parameter(Name=f"/{aws.stack}/{setting}", Value=value, Type="SecureString", Overwrite=True)


def minted(web: httpx.Client, url: str, key: str) -> httpx.Response:
    """A plan for an upload, asked for with a token under this secret."""
    token = jwt.encode({"sub": "user-1", "exp": int(time.time()) + 600}, key, algorithm="HS256")
    return web.post(
        f"{url}uploads",
        json={"filename": "photo.jpg", "contentType": "image/jpeg", "size": 1},
        headers={"Authorization": f"Bearer {token}"},
    )


def within(seconds: float, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.5)  # before AWS is asked again


@contextmanager
def asking(web: httpx.Client, url: str, key: str) -> Iterator[list[tuple[int, int | None]]]:
    """A client that mints three times a second: the status and `expiresIn` of every answer."""
    answers: list[tuple[int, int | None]] = []
    over = threading.Event()

    def ask_on() -> None:
        while not over.wait(0.3):
            answer = minted(web, url, key)
            answers.append((answer.status_code, answer.json().get("expiresIn")))

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask_on)
        try:
            yield answers
        finally:
            over.set()
            running.result()


def tags_of(aws: World, image: str) -> list[str]:
    """The tags of an image in the registry."""
    digest = image.partition("@")[2]
    (found,) = cloud(aws, "ecr").describe_images(repositoryName=aws.stack, imageIds=[{"imageDigest": digest}])[
        "imageDetails"
    ]
    tags: list[str] = found["imageTags"]
    return tags
