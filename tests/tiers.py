"""The two tiers of the tests, and the two parts of what is left of the second after the first.

`make test` is the first tier: everything that is not marked. `make test-all` is that, and beside each other what runs
containers and the rest: what else is marked, and once more, with ten times the examples, what makes up its own input.
A mark takes a test out of the first tier:

    @pytest.mark.needs("podman")  it needs that program or server, a key of `tests.needs.NEEDS`
    @pytest.mark.full             it takes long, or proves again elsewhere what the first tier has proved

The first tier finds no program but those of `tests.bare_machine`, installs nothing, and skips nothing for want of
anything: a test that lacks its mark fails there, on every machine.
"""

import gc
import os
import shutil
import tempfile
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Final

import hypothesis
import pytest

from tests.bare_machine import path_of_a_bare_machine
from tests.contract.servers import NOTHING_IS_INSTALLED
from tests.needs import NEEDS, PROGRAMS, unavailable

FIRST: Final = "first"
REST: Final = "rest"
CONTAINERS: Final = "containers"
ALL: Final = "all"
RUNS: Final = (FIRST, REST, CONTAINERS, ALL)
# What the tests of a minute need.
LONGEST: Final = frozenset({"awscli", "ministack"})
# What the tests need that one engine serves: one after the other, and not while `make e2e` uses it.
ENGINE: Final = frozenset({"image", "podman"})
# Every test that this run found, with the runs that it is in.
COLLECTED: Final = pytest.StashKey[dict[str, set[str]]]()


def is_first(config: pytest.Config) -> bool:
    """Whether this run is the first tier."""
    return bool(config.getoption("--tier") == FIRST)


@pytest.fixture(scope="session")
def tier(pytestconfig: pytest.Config) -> str:
    """The tier of this run. A test that asks does less in FIRST than in the others."""
    return str(pytestconfig.getoption("--tier"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--tier", choices=(FIRST, REST, CONTAINERS, ALL), default=ALL, help="which tests to run: tests/tiers.py"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Make this machine a bare one for the first tier, before any test module looks around."""
    # A deadline for one example says how busy the machine is.
    hypothesis.settings.register_profile(FIRST, deadline=None, max_examples=20)
    for tier in RUNS[1:]:
        hypothesis.settings.register_profile(tier, deadline=None, max_examples=200)
    hypothesis.settings.load_profile(str(config.getoption("--tier")))
    if is_first(config):
        folder = tempfile.TemporaryDirectory(prefix="bare-machine-")
        config.add_cleanup(folder.cleanup)
        os.environ["PATH"] = path_of_a_bare_machine(Path(folder.name))
        os.environ["TEST_SERVERS_DIR"] = NOTHING_IS_INSTALLED


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collect thousands of tests, all of which stay, without looking among them for garbage again and again.

    Of several processes each begins with another part of the whole: it rewrites the assertions of that part, and finds
    those of the others in their caches. On a fresh checkout each of four would take 9 s of CPU to rewrite them all.
    """
    config = session.config
    worker: Mapping[str, Any] | None = getattr(config, "workerinput", None)
    if worker and config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        parts = sorted({entry(Path(path), file) for path in config.args for file in Path(path).rglob("test_*.py")})
        first = len(parts) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
        config.args = parts[first:] + parts[:first]
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose program is missing, or fail in CI."""
    for what in needs_of(item):
        for program in PROGRAMS.get(what, ()):
            if shutil.which(program) is None:
                unavailable(what, f"{program} is not on the PATH")


def entry(folder: Path, file: Path) -> str:
    """The entry of a folder that is a file, or holds it at any depth."""
    return str(folder / file.relative_to(folder).parts[0])


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, None, None]:
    """Leave out what is another tier's; begin the longest tests first, so that none is left to the end."""
    # The same order in every process, wherever it began.
    items.sort(key=lambda item: item.path)
    yield
    items.sort(key=lambda item: needs_of(item).isdisjoint(LONGEST))
    tier = config.getoption("--tier")
    found = config.stash[COLLECTED] = {item.nodeid: tiers_of(item) for item in items}
    if others := [item for item in items if tier not in found[item.nodeid]]:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if tier in found[item.nodeid]]


def tiers_of(item: pytest.Item) -> set[str]:
    """The runs that a test is in: ALL, and of its parts one, or two for a test that does less in the first tier."""
    if not needs_of(item).isdisjoint(ENGINE):
        return {CONTAINERS, ALL}
    if is_full(item):
        return {REST, ALL}
    return {FIRST, REST, ALL} if grows(item) else {FIRST, ALL}


def grows(item: pytest.Item) -> bool:
    """Whether a test tries fewer examples in the first tier: one of hypothesis's, or one that asks for the tier."""
    own = getattr(item, "obj", None)
    return bool(getattr(own, "is_hypothesis_test", False)) or "tier" in getattr(item, "fixturenames", ())


def needs_of(item: pytest.Item) -> set[str]:
    """What a test's marks name."""
    return {what for mark in item.iter_markers("needs") for what in mark.args}


def is_full(item: pytest.Item) -> bool:
    """Whether a test is marked. Raises for a need that NEEDS does not know."""
    needed = needs_of(item)
    if unknown := needed - NEEDS.keys():
        raise pytest.UsageError(f"{item.nodeid} needs {', '.join(sorted(unknown))}, which tests/needs.py does not know")
    return bool(needed) or item.get_closest_marker("full") is not None
