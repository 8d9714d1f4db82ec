"""AWS without AWS: MiniStack under AWS's own host names, in namespaces of its own, and an engine to run images.

Nothing of the product knows of this. In the network namespace every name leads to one address, which only
exists there and which is a public one, because the service refuses to send to any other; MiniStack answers on
it with a certificate that the namespace trusts. So deploy.sh, the AWS CLI, podman and the service talk to
`sts.ap-northeast-2.amazonaws.com`, to a registry, to a Function URL and to S3 by the very URLs they use
elsewhere. The namespaces end with everything in them.
"""

import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.aws_cli import aws_cli
from tests.contract import servers
from tests.e2e.names import name_server
from tests.e2e.prepare import BASE_IMAGE, REGION, Prepared

# One of S3's own, so that it counts as public. https://ip-ranges.amazonaws.com/ip-ranges.json
ADDRESS = IPv4Address("52.95.240.10")
_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_RESOLV_CONF = Path("/etc/resolv.conf")
ROOT = Path(__file__).resolve().parents[2]


class World(NamedTuple):
    """The environment of a user with an AWS account, a clean clone of the project, and the stack that it deploys."""

    environ: dict[str, str]
    project: Path
    stack: str

    def run(self, *command: str, fails: bool = False, within_s: float = 600.0) -> str:
        """What a command in the clone prints; it must succeed, or fail if that is expected."""
        done = subprocess.run(
            command,
            cwd=self.project,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=within_s,
            check=False,
        )
        print(done.stdout)  # shown where the test fails
        assert (done.returncode != 0) is fails, f"{command} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout


def is_isolated() -> bool:
    """Whether this process has a network namespace to itself, as `make e2e` gives it: one that leads nowhere."""
    routes = Path("/proc/net/route")
    # A line a route below the headings, which come with the first.
    # https://man7.org/linux/man-pages/man5/proc_net.5.html
    return os.geteuid() == 0 and routes.exists() and len(routes.read_text(encoding="ascii").splitlines()) <= 1


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _covered(file: Path, by: Path) -> None:
    """In this mount namespace alone, one file in the place of another."""
    subprocess.run(["mount", "--bind", str(by), str(file)], check=True)


@contextmanager
def world(prepared: Prepared, scratch: Path) -> Iterator[dict[str, str]]:
    """AWS until the block is left, and the environment of its user."""
    _ip("link", "set", "lo", "up")
    _ip("address", "add", f"{ADDRESS}/32", "dev", "lo")
    resolv_conf = scratch / "resolv.conf"
    resolv_conf.write_text(f"nameserver {ADDRESS}\n", encoding="ascii")
    _covered(_RESOLV_CONF, resolv_conf)
    _covered(_CA_BUNDLE, prepared.certificates.bundle)
    # The engine keeps locks and sockets here, which are not this namespace's.
    for folder in ("/run", "/dev/shm"):  # to cover it, not to write there
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    Path("/run/lock").mkdir()
    home = scratch / "home"
    home.mkdir()
    own = {
        "PATH": f"{scratch}/bin:{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        **prepared.engine,
        "TMPDIR": str(scratch),
    }
    (scratch / "bin").mkdir()
    with ExitStack() as stack:
        stack.enter_context(name_server(ADDRESS))
        stack.enter_context(aws_cli(scratch / "bin"))
        stack.enter_context(_engine(own, scratch))
        stack.enter_context(_ministack(own, prepared, scratch))
        yield {
            **own,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CA_BUNDLE": str(_CA_BUNDLE),
            "SSL_CERT_FILE": str(_CA_BUNDLE),
            # This machine's processor, and a base that can be had without a registry.
            "ARCH": "x86_64",
            "BASE_IMAGE": BASE_IMAGE,
        }


def cloned(project: Path) -> Path:
    """A folder with the checkout as a clone of it would be, with what is not committed yet."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        source = ROOT / name
        if source.is_file():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, project / name)
    (project / ".venv").symlink_to(sys.prefix)
    return project


@contextmanager
def _engine(environ: dict[str, str], scratch: Path) -> Iterator[None]:
    """Podman's service, which speaks Docker's protocol."""
    command = ["podman", "system", "service", "--time", "0", "unix:///run/engine.sock"]
    with servers._running(command, environ, scratch / "podman.log") as process:
        servers._await(lambda: Path("/run/engine.sock").exists(), [process], scratch)
        yield


@contextmanager
def _ministack(environ: dict[str, str], prepared: Prepared, scratch: Path) -> Iterator[None]:
    """MiniStack on port 443."""
    variables = {
        "USE_SSL": "1",
        "MINISTACK_SSL_CERT": str(prepared.certificates.certificate),
        "MINISTACK_SSL_KEY": str(prepared.certificates.key),
        "MINISTACK_REGION": REGION,
        "DOCKER_HOST": "unix:///run/engine.sock",
        "S3_DATA_DIR": str(scratch / "s3"),
        "STATE_DIR": str(scratch / "state"),
    }
    url = f"https://sts.{REGION}.amazonaws.com/_ministack/health"
    with (
        servers._running(
            [str(prepared.ministack.parent / "python"), str(Path(__file__).with_name("versioned_ministack.py"))],
            environ | variables,
            scratch / "ministack.log",
        ) as process,
        httpx.Client(trust_env=False, verify=ssl.create_default_context(cafile=prepared.certificates.bundle)) as client,
    ):

        def answers() -> bool:
            try:
                return client.get(url).is_success
            except httpx.HTTPError:
                return False  # not listening yet

        servers._await(answers, [process], scratch)
        yield
