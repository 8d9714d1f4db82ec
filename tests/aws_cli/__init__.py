"""The real AWS CLI as a program named `aws`, without its start: one process loads it, and forks for each call.

A start takes half a second of CPU, and deploy.sh makes dozens of calls.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.contract import servers

VERSION = "1.46.2"
_HERE = Path(__file__).parent


def installed() -> Path:
    """Its virtual environment."""
    return servers.virtual_environment("awscli", VERSION, f"awscli=={VERSION}")


@contextmanager
def aws_cli(folder: Path) -> Iterator[None]:
    """Put `aws` into a folder. It works until the block is left, also where the network is another one by then."""
    python = installed() / "bin/python"
    with servers._scratch("aws-cli") as scratch:
        address = scratch / "socket"
        # A call to a closed port loads what a call needs; it is not to be repeated.
        environ = servers._without(("AWS_", "PYTHON")) | {"AWS_MAX_ATTEMPTS": "1"}
        command = [str(python), str(_HERE / "server.py"), str(address)]
        with servers._running(command, environ, scratch / "server.log") as process:
            servers._await(address.exists, [process], scratch)
            client = (_HERE / "client.py").read_text(encoding="utf-8")
            program = folder / "aws"
            program.write_text(f"#!{python} -IS\n{client.replace('ADDRESS', str(address))}", encoding="utf-8")
            program.chmod(0o755)
            yield
