"""Prometheus on loopback, from Debian's package."""

import contextlib
import functools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.contract import servers

# A scrape may take as long, on a busy machine too.
SCRAPE_EVERY_S = 5


class Prometheus:
    """A running server, and the tool that comes with it."""

    def __init__(self, port: int, promtool: Path) -> None:
        self._port = port
        self.promtool = promtool

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now.

        https://prometheus.io/docs/prometheus/latest/querying/api/
        """
        answer = json.loads(servers._get(self._port, f"/api/v1/query?query={quote(expression)}"))
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


@contextlib.contextmanager
def prometheus(target: str, token: str) -> Iterator[Prometheus]:
    """Run one that scrapes a target, with its data in a folder that is removed."""
    programs = _programs()
    (port,) = servers._free_ports(1)
    with servers._scratch("prometheus") as scratch:
        (scratch / "token").write_text(token, encoding="utf-8")
        configuration = {
            "global": {"scrape_interval": f"{SCRAPE_EVERY_S}s"},
            "scrape_configs": [
                {
                    "job_name": "image-upload",
                    "authorization": {"credentials_file": str(scratch / "token")},
                    "static_configs": [{"targets": [target]}],
                }
            ],
        }
        # JSON is YAML.
        (scratch / "prometheus.yml").write_text(json.dumps(configuration), encoding="utf-8")
        command = [
            str(programs("prometheus")),
            f"--config.file={scratch}/prometheus.yml",
            f"--storage.tsdb.path={scratch}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with servers._running(command, servers._without(("PROMETHEUS",)), scratch / "prometheus.log") as process:
            servers._await(lambda: b"Ready" in servers._get(port, "/-/ready"), [process], scratch)
            yield Prometheus(port, programs("promtool"))


def _programs() -> Callable[[str], Path]:
    servers.must_be_wanted("prometheus")
    if found := shutil.which("prometheus"):
        return Path(found).with_name
    if not shutil.which("apt-get"):
        raise servers.UnsupportedError("there is no prometheus on this machine, and no apt-get to fetch it")
    install = functools.partial(servers.install_packages, ("prometheus",))
    return (servers._installed(f"prometheus-{servers._release()}", install) / "usr/bin").joinpath
