"""A base image without a registry: Debian from its packages, with a Python of this machine, laid out as AWS's is.

The Dockerfile takes its base as a build argument, so what is tested is the very Dockerfile that is deployed.
`base()` is a tar of a root file system, made once below the folder of `tests.contract.servers`.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.contract import servers
from tests.runtime.emulator import NAME, emulator

TOOLS = ("debootstrap", "podman", "runc", "slirp4netns")
INSTALL = f"apt-get install -y --no-install-recommends {' '.join(TOOLS)}"
# Whatever the base has is deployed with; the nearest to what the Dockerfile names is looked for first.
WANTED_VERSION = "3.13"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# A new recipe makes a new base.
RECIPE = 1


def missing() -> str | None:
    """Why no image can be built on this machine, and what to do about it; None if it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "images are built by root on Linux: run the tests as root on a machine of your own"
    if not servers._release().startswith("debian"):
        return "the base is made of Debian's packages by Debian's tools, and this is another system"
    if absent := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"there is no {', '.join(absent)}. Install with: {INSTALL}"
    return None


def _pythons() -> Iterator[Path]:
    """Interpreters that may be copied: those of their own prefix, the wanted version first."""
    found = shutil.which(f"python{WANTED_VERSION}")
    versions = sorted((Path.home() / ".pyenv/versions").glob(f"{WANTED_VERSION}.*/bin/python3"))
    yield from ([Path(found)] if found else [])
    yield from reversed(versions)
    yield Path(sys.executable)


def _prefix() -> tuple[Path, str]:
    """Where a Python lies that can be copied, and its version."""
    script = "import json, sys; print(json.dumps([sys.base_prefix, '.'.join(map(str, sys.version_info[:3]))]))"
    for python in _pythons():
        try:
            said = subprocess.run([python, "-I", "-c", script], capture_output=True, check=True, timeout=60).stdout
        except (OSError, subprocess.SubprocessError):
            continue  # pyenv's stand-in for a version that is not chosen
        prefix, version = json.loads(said)
        if prefix != "/usr":
            return Path(prefix), version
    raise servers.UnsupportedError("the only Python here is the system's, whose files cannot be copied by folder")


def base() -> Path:
    """The tar of the base's root file system. Raises `servers.ServerError`."""
    if why := missing():
        raise servers.UnsupportedError(why)
    prefix, version = _prefix()
    name = f"image-base-{RECIPE}-{servers._release()}-{platform.machine()}-python{version}"

    def install(target: Path) -> None:
        root, log = target / "root", target / "install.log"
        _run(
            log, "debootstrap", "--variant=minbase", f"--include={','.join(_packages(prefix))}", _codename(), str(root)
        )
        _copy_python(prefix, root, log)
        # What this machine trusts and asks may differ from what Debian brings: a proxy, a resolver.
        for path in ("/etc/resolv.conf", CERTIFICATES):
            shutil.copyfile(path, root / path[1:])
        shutil.copy2(emulator(), root / "usr/local/bin" / NAME)
        _run(log, "tar", "-C", str(root), "-cf", str(target / "base.tar"), ".")
        shutil.rmtree(root)

    return servers._installed(name, install) / "base.tar"


def _copy_python(prefix: Path, root: Path, log: Path) -> None:
    """Python into /usr/local, with its byte code, without its tests and what was installed into it; a new pip."""
    (library,) = (prefix / "lib").glob("python3.[0-9]*/os.py")
    packed = [
        "--exclude=site-packages",
        "--exclude=*.a",
        f"--exclude=lib/{library.parent.name}/test",
        "-cf",
        "-",
        "bin",
        "lib",
    ]
    with subprocess.Popen(["tar", "-C", str(prefix), *packed], stdout=subprocess.PIPE) as packing:
        subprocess.run(["tar", "-C", str(root / "usr/local"), "-xf", "-"], stdin=packing.stdout, check=True)
    if packing.returncode != 0:
        raise servers.ServerError(f"{prefix} could not be copied")
    for script in (root / "usr/local/bin").glob("pip*"):
        script.unlink()
    (root / "usr/local" / library.parent.relative_to(prefix) / "site-packages").mkdir()
    # The loader finds /usr/local/lib by its cache only.
    _run(log, "chroot", str(root), "ldconfig")
    _run(log, "chroot", str(root), f"/usr/local/bin/{library.parent.name}", "-m", "ensurepip")
    for name in ("python3", "python"):
        (root / "usr/local/bin" / name).unlink(missing_ok=True)
        (root / "usr/local/bin" / name).symlink_to(library.parent.name)


def _packages(prefix: Path) -> list[str]:
    """Debian's packages that hold the shared libraries of a Python."""
    binaries = [prefix / "bin/python3", *(prefix / "lib").glob("python3*/lib-dynload/*.so")]
    # Tk brings half of X.
    listed = [str(binary) for binary in binaries if not binary.name.startswith("_tkinter")]
    said = subprocess.run(["ldd", *listed], capture_output=True, text=True, check=True).stdout
    libraries = {path for path in re.findall(r"=> (/\S+)", said) if not path.startswith(str(prefix))}
    # Packages name the files where they lie, or where they lay before /lib became a link.
    asked = [path for library in libraries for path in (library, f"/usr{library}")]
    owners = subprocess.run(["dpkg", "-S", *asked], capture_output=True, text=True, check=False).stdout
    found = {line.partition(":")[0] for line in owners.splitlines() if not line.startswith("diversion")}
    return ["ca-certificates", *sorted(found)]


def _codename() -> str:
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def _run(log: Path, *command: str) -> None:
    # In a root file system of its own nothing of this environment's paths exists.
    environ = servers._without(("PYTHON", "PIP_", "SSL_", "LD_"))
    servers._run(command, environ, log, servers.INSTALL_WITHIN_S)
