"""The throw-away servers: installed once, on loopback only, gone with the run."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.contract import servers
from tests.contract.conftest import running
from tests.contract.store import Store

ROOT = Path(__file__).resolve().parents[2]
GONE_WITHIN_S = 10.0
POLL_S = 0.05
LISTENING = "0A"
# 127.0.0.1, ::ffff:127.0.0.1 and ::1 as /proc/net writes them.
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}

linux = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc, and the kernel ends the servers")


def children() -> set[int]:
    """The processes that this one has started."""
    stats = {path: path.read_text(encoding="utf-8") for path in Path("/proc").glob("[0-9]*/stat")}
    parents = {int(path.parent.name): int(stat.rpartition(")")[2].split()[1]) for path, stat in stats.items()}
    return {process for process, parent in parents.items() if parent == os.getpid()}


def listening(process: int) -> set[tuple[str, int]]:
    """The addresses, in the kernel's hexadecimal, and the ports on which a process listens."""
    links = [str(file.readlink()) for file in Path(f"/proc/{process}/fd").iterdir() if file.is_symlink()]
    inodes = {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}
    rows = [
        row.split()
        for table in ("tcp", "tcp6")
        for row in Path(f"/proc/net/{table}").read_text(encoding="utf-8").splitlines()[1:]
    ]
    found = [row[1].split(":") for row in rows if row[3] == LISTENING and row[9] in inodes]
    return {(address, int(port, 16)) for address, port in found}


@pytest.mark.also_on("localstack", "moto")
@linux
def test_a_server_listens_on_loopback_only(store: Store) -> None:
    found = set().union(*(listening(process) for process in {os.getpid(), *children()}))
    assert urlsplit(store.endpoint_url).port in {port for _, port in found}
    assert {address for address, _ in found} <= LOOPBACK


@pytest.mark.also_on("localstack")
@pytest.mark.full
@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_server_outlives_its_run(store: Store, number: int, tmp_path: Path) -> None:
    if store.name == "moto":
        pytest.skip("moto is no process of its own")
    script = (
        "from tests.contract import servers\n"
        f"with servers.{store.name}() as server: print(server.endpoint_url, flush=True); input()"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with run:
        assert run.stdout is not None
        port = int(run.stdout.readline().rpartition(":")[2])
        socket.create_connection(("127.0.0.1", port)).close()
        run.send_signal(number)
    deadline = time.monotonic() + GONE_WITHIN_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            break
        assert time.monotonic() < deadline, f"{store.name} outlived its run"
        time.sleep(POLL_S)  # before it is asked again
    if number == signal.SIGINT:
        assert list(tmp_path.iterdir()) == []


def test_of_several_runs_that_find_nothing_installed_one_installs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_SERVERS_DIR", str(tmp_path))
    installs: list[Path] = []

    def install(target: Path) -> None:
        installs.append(target)
        target.joinpath("program").touch()

    with ThreadPoolExecutor(8) as runs:
        found = list(runs.map(lambda _: servers._installed("server", install), range(8)))
    assert len(installs) == 1
    assert {folder.joinpath("program").exists() for folder in found} == {True}


def test_what_an_interrupted_install_left_is_not_taken_for_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_SERVERS_DIR", str(tmp_path))

    def interrupted(target: Path) -> None:
        target.joinpath("half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        servers._installed("server", interrupted)
    folder = servers._installed("server", lambda target: target.joinpath("program").touch())
    assert [file.name for file in folder.iterdir()] == ["program"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["server", "server.lock"]


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(servers.ServerError, match="no such option"):
        servers._run(["sh", "-c", "echo no such option >&2; exit 3"], {}, tmp_path / "a.log", 5)


def test_a_machine_that_cannot_have_a_server_skips_its_tests_but_not_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_release", lambda: "")
    monkeypatch.delenv("TEST_SERVERS_DIR", raising=False)
    monkeypatch.delenv("CI", raising=False)
    with (
        pytest.raises(pytest.skip.Exception, match=r"no ceph: Ceph 16 comes from .* To have it: use Debian 12"),
        running("ceph"),
    ):
        pass
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"no ceph: .*CI must run every test"), running("ceph"):
        pass


@pytest.mark.parametrize(("system", "error"), [("linux", servers.ServerError), ("darwin", servers.UnsupportedError)])
def test_a_server_must_install_on_linux_and_may_fail_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, error: type[Exception]
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(sys, "executable", "false")
    monkeypatch.setenv("TEST_SERVERS_DIR", str(tmp_path))
    with pytest.raises(servers.ServerError, match="false ended with status 1") as raised:
        servers.virtual_environment("localstack", "1.0", "localstack")
    assert type(raised.value) is error
