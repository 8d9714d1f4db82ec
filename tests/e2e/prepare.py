"""What the tests of the deployment need from outside, fetched before the network is closed: `make e2e` runs this.

MiniStack, the AWS CLI, certificates; and in the engine's storage the image's base and the layers of the image
that come from a package index. All of it stays in the cache of the tests' servers.
"""

import sys
from pathlib import Path
from typing import NamedTuple

from tests import aws_cli
from tests.contract import servers
from tests.e2e.authority import Certificates, certificates
from tests.image import engine
from tests.infra.ministack import installed

REGION = "ap-northeast-2"
BASE_IMAGE = "localhost/image-upload-e2e-base"
# Every name that the deployment, the service and its clients call.
HOSTS = [
    "*.amazonaws.com",
    f"*.{REGION}.amazonaws.com",
    f"api.ecr.{REGION}.amazonaws.com",
    f"*.dkr.ecr.{REGION}.amazonaws.com",
    f"*.s3.{REGION}.amazonaws.com",
    f"*.lambda-url.{REGION}.on.aws",
]
CONTAINERFILE = """\
FROM {base}
COPY bundle.pem /etc/ssl/certs/ca-certificates.crt
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
"""


class Prepared(NamedTuple):
    """Where things are: MiniStack's program, the certificates, the engine's environment."""

    ministack: Path
    certificates: Certificates
    engine: dict[str, str]


def prepared() -> Prepared:
    """All of it, fetched if it is not there. Raises `servers.ServerError`."""
    base = engine.base_image()
    # The image has to trust the certificates, so they come before it.
    folder = servers._installed(f"e2e-1-{base.removeprefix('sha256:')[:12]}", _make_certificates)
    made = Certificates(folder / "bundle.pem", folder / "server.pem", folder / "server.key")
    (folder / "Containerfile").write_text(CONTAINERFILE.format(base=base), encoding="utf-8")
    built = ["--isolation=chroot", "--network=host", "--platform=linux/amd64", "--quiet"]
    engine.podman("build", *built, f"--tag={BASE_IMAGE}", str(folder), within_s=engine.BUILD_WITHIN_S)
    aws_cli.installed()
    return Prepared(
        installed() / "bin/ministack",
        made,
        {**engine.configuration(), "BUILDAH_ISOLATION": "chroot"},
    )


def _make_certificates(target: Path) -> None:
    certificates(target, HOSTS)


def main() -> None:
    """Fetch everything, and build the image once, so that its layers are there when the network is not."""
    try:
        prepared()
        built = ["--isolation=chroot", "--network=host", "--platform=linux/amd64", "--quiet"]
        wanted = [f"--build-arg=BASE_IMAGE={BASE_IMAGE}", "--tag=localhost/image-upload-e2e"]
        engine.podman("build", *built, *wanted, str(engine.ROOT), within_s=engine.BUILD_WITHIN_S)
    except servers.ServerError as error:
        sys.exit(f"The deployment cannot be tested here: {error}")


if __name__ == "__main__":
    main()
