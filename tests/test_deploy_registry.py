"""deploy.sh and its registry, with the real AWS CLI against moto: what tests/e2e's emulator takes without a look.

moto checks the policy of the images' life, and whether the image that the function names is there.
"""

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.embedded_s3 import ACCESS_KEY, REGION, SECRET_KEY, EmbeddedS3

pytestmark = pytest.mark.needs("awscli")

ROOT = Path(__file__).resolve().parent.parent
NAME = "registry-test"
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": 1,
            "digest": "sha256:" + "0" * 64,
        },
        "layers": [],
    }
)
# An engine that builds nothing, and pushes a manifest by the registry's own API, as a push in the end does.
ENGINE = f"""
case "$1" in
    info | build | login) [ "$1" != login ] || cat >/dev/null ;;
    push) exec aws ecr put-image --repository-name {NAME} --image-tag "${{2##*:}}" --image-manifest '{MANIFEST}' ;;
    *) exit 99 ;;
esac
"""


def client(s3: EmbeddedS3, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=s3.endpoint_url,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )


@pytest.fixture
def environ(s3: EmbeddedS3, aws_cli: Path, tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "docker"
    path.write_text(f"#!{shutil.which('bash')}\n{ENGINE}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {
        "PATH": f"{tmp_path}:{aws_cli}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL": s3.endpoint_url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
    }


def deploy(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(ROOT / "deploy.sh"), "--yes", "--name", NAME, *arguments],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_registry_takes_what_the_script_asks_for_and_lets_it_go(s3: EmbeddedS3, environ: dict[str, str]) -> None:
    said = deploy(environ, "--image-only")
    assert said.returncode == 0, said.stdout + said.stderr
    registry = client(s3, "ecr")
    (repository,) = registry.describe_repositories(repositoryNames=[NAME])["repositories"]
    assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
    policy = json.loads(registry.get_lifecycle_policy(repositoryName=NAME)["lifecyclePolicyText"])
    assert [each["selection"].get("tagPrefixList") for each in policy["rules"]] == [["live"], ["previous"], None]
    (image,) = registry.list_images(repositoryName=NAME)["imageIds"]
    assert said.stdout.endswith(f"/{NAME}@{image['imageDigest']}\n")

    again = deploy(environ, "--image-only")
    assert "already in the registry" in again.stdout, again.stdout + again.stderr
    assert registry.list_images(repositoryName=NAME)["imageIds"] == [image]

    gone = deploy(environ, "--destroy")
    assert gone.returncode == 0, gone.stderr
    assert NAME not in {each["repositoryName"] for each in registry.describe_repositories()["repositories"]}
    assert deploy(environ, "--destroy").returncode == 0, "nothing is there any more, and that is well"
