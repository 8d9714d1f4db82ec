"""The hook in a React page, in strict mode."""

from pathlib import Path

import pytest

from tests.client.conftest import Open
from tests.client.driving import eventually, options
from tests.client.proxy import Proxy
from tests.client.test_failing import MIB

pytestmark = pytest.mark.needs("chromium", "node", "ceph")

STATUS = "document.querySelector('[role=status]').textContent"


def counted(state: str, count: int) -> str:
    """Whether so many rows show a state."""
    return (
        f"[...document.querySelectorAll('li')].filter((row) => row.textContent.includes(' {state}')).length === {count}"
    )


def test_a_component_shows_its_files_and_says_what_becomes_of_them(
    open_tab: Open, service: Proxy, s3: Proxy, token: str, tmp_path: Path
) -> None:
    held = s3.spoil("^PUT", hold=True, after=10)
    for name in ("one.bin", "two.bin"):
        (tmp_path / name).write_bytes(name.encode() * 100)
    (tmp_path / "empty.bin").touch()
    tab = open_tab(page="page-react.html")
    tab.run(f"show({options(service.url, token=token)})")
    tab.until("document.querySelector('input')")
    assert tab.run(f"return {STATUS}") == ""

    tab.choose(tmp_path / "one.bin", tmp_path / "two.bin")
    assert held.reached.wait(10)
    tab.until(f"{STATUS} === 'Half of 2 files stored.'")
    held.released.set()
    tab.until(counted("stored", 2))
    tab.until(f"{STATUS} === '2 files stored.'")

    tab.choose(tmp_path / "empty.bin")
    tab.until(counted("failed", 1))
    tab.until(f"{STATUS} === '2 files stored. empty.bin failed: The file is empty.'")
    tab.run("document.querySelectorAll('li')[2].querySelector('button').click()")
    tab.until("document.querySelectorAll('li').length === 2")

    tab.drop(tmp_path / "one.bin")
    tab.until(counted("stored", 3))


def test_a_component_that_is_removed_stops_its_uploads(
    open_tab: Open, service: Proxy, s3: Proxy, token: str, tmp_path: Path
) -> None:
    held = s3.spoil("^PUT", hold=True, after=10)
    (tmp_path / "one.bin").write_bytes(b"one!" * 5 * MIB)
    tab = open_tab(page="page-react.html")
    tab.run(f"show({options(service.url, token=token)})")
    tab.until("document.querySelector('input')")
    tab.choose(tmp_path / "one.bin")
    assert held.reached.wait(10)
    tab.run("show(null)")
    tab.until("!document.querySelector('input')")
    held.released.set()
    eventually(lambda: not s3.open)
    assert [seen.status for seen in s3.requests("^PUT")] == [None]
