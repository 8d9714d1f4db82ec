"""The real aws-lambda-rie, the emulator that AWS's base images hold. It ships inside AWS's SAM CLI.

https://github.com/aws/aws-lambda-runtime-interface-emulator
"""

import platform
import sys
import zipfile
from pathlib import Path

from tests.contract import servers

# A wheel without a platform: it holds the emulator for both architectures.
SAM_CLI_VERSION = "1.170.0"
SAM_CLI_SHA256 = "24ebaf5ecba38dc1758089968cb89ab61e124b84e92a344fc7a2771a47f4d0bf"
NAME = "aws-lambda-rie"
INVOKE_PATH = "/2015-03-31/functions/function/invocations"
_MEMBERS = {"x86_64": f"samcli/local/rapid/{NAME}-x86_64", "aarch64": f"samcli/local/rapid/{NAME}-arm64"}


def emulator() -> Path:
    """The emulator for this machine, fetched on first use. Raises `servers.ServerError`."""
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _MEMBERS:
        raise servers.UnsupportedError(f"there is no {NAME} for {sys.platform} on {machine}")

    def install(target: Path) -> None:
        wheel = servers.fetched_wheel("aws-sam-cli", SAM_CLI_VERSION, SAM_CLI_SHA256, target)
        with zipfile.ZipFile(wheel) as archive:
            (target / NAME).write_bytes(archive.read(_MEMBERS[machine]))
        (target / NAME).chmod(0o755)
        wheel.unlink()

    return servers._installed(f"{NAME}-{SAM_CLI_VERSION}-{machine}", install) / NAME
