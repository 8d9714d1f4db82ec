"""MiniStack: an AWS on loopback whose CloudFormation knows nearly every resource of the stack.

It is installed on first use beside the strict S3 servers, in a virtual environment of its own.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.contract import servers

VERSION = "1.5.33"
REGION = "eu-north-1"


def installed() -> Path:
    """Its virtual environment. The Docker SDK lets it run functions that are images."""
    return servers.virtual_environment("ministack", f"{VERSION}-docker", f"ministack=={VERSION}", "docker==7.2.0")


@contextmanager
def ministack(*, enforces: bool = False) -> Iterator[str]:
    """Run it; its URL for the AWS SDK. With `enforces` it asks IAM's policies for every call but those of `ROOT`."""
    root = installed()
    (port,) = servers._free_ports(1)
    with servers._scratch("ministack") as scratch:
        environ = servers._without(("AWS_", "MINISTACK_", "LAMBDA_", "PYTHON", "S3_")) | {
            "HOME": str(scratch),
            "TMPDIR": str(scratch),
            "STATE_DIR": str(scratch / "state"),
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            # These listen on every interface.
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "MINISTACK_REGION": REGION,
            "AUTH": str(enforces).lower(),
        }
        command = [str(root / "bin/python"), "-m", "ministack"]
        with servers._running(command, environ, scratch / "ministack.log") as process:
            servers._await(lambda: b"cloudformation" in servers._get(port, "/_ministack/health"), [process], scratch)
            yield f"http://127.0.0.1:{port}"


def template_url(s3: Any, text: str) -> dict[str, str]:
    """Store a template, as deploy.sh does; what CloudFormation is told of it. A call takes only 51,200 bytes."""
    bucket, key = "templates", f"{hashlib.sha256(text.encode()).hexdigest()}.template"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=bucket, Key=key, Body=text.encode())
    return {"TemplateURL": f"{s3.meta.endpoint_url}/{bucket}/{key}"}
