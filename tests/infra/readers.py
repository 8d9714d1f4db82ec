"""Two readers of workflow files that are not ours, in an environment of their own."""

from pathlib import Path

from tests.contract import servers

# It brings the schema of GitHub's workflow files.
CHECK_JSONSCHEMA_VERSION = "0.39.0"
# It looks for injections, wide permissions and credentials that are left behind.
ZIZMOR_VERSION = "1.32.0"


def programs() -> Path:
    """The folder of both programs, installed now if they are not there."""
    wanted = (f"check-jsonschema=={CHECK_JSONSCHEMA_VERSION}", f"zizmor=={ZIZMOR_VERSION}")
    versions = f"{CHECK_JSONSCHEMA_VERSION}-zizmor-{ZIZMOR_VERSION}"
    return servers.virtual_environment("check-jsonschema", versions, *wanted) / "bin"
