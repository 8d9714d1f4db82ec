"""The first tier passes on a machine that has Python, make and curl alone, and cannot come to need more unseen."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import bare_machine
from tests.needs import NEEDS, PROGRAMS
from tests.tiers import ALL, COLLECTED, CONTAINERS, FIRST, REST

ROOT = Path(__file__).resolve().parent.parent
MARKED = """
import shutil
import pytest
from hypothesis import given
from hypothesis.strategies import integers
from tests.contract import servers
from tests.needs import unavailable

def test_that_looks_around():
    assert shutil.which("podman") is None, "it is on this run's PATH, outside"
    assert shutil.which("curl")

@pytest.mark.needs("podman")
def test_with_podman():
    assert shutil.which("podman")

@given(integers())
def test_that_makes_up_its_input(_):
    pass

@pytest.mark.full
def test_that_takes_long():
    pass

def test_that_installs_without_a_mark():
    servers.virtual_environment("anything", "1.0")

def test_that_skips_without_a_mark():
    unavailable("redis")

@pytest.mark.needs("docker")
def test_that_is_skipped_in_ci_too():
    pass
"""
# pytest, which says of every test in which runs it is.
LISTED = """
import sys
import pytest

class Listing:
    def pytest_collection_finish(self, session):
        from tests.tiers import COLLECTED
        for name, tiers in session.config.stash[COLLECTED].items():
            print(f"tiers of {name}:", *tiers)

sys.exit(pytest.main(sys.argv[1:], [Listing()]))
"""


@pytest.fixture
def run(tmp_path: Path) -> list[str]:
    """The beginning of a command that runs MARKED, without the plug-ins of other packages, which take longer."""
    (tmp_path / "test_marked.py").write_text(MARKED, encoding="utf-8")
    others = [word for name in ("anyio", "schemathesis", "socket", "xdist") for word in ("-p", f"no:{name}")]
    alone = ["-p", "tests.tiers", "-p", "no:cacheprovider", *others, f"--rootdir={tmp_path}", "-c", os.devnull]
    return [sys.executable, "-m", "pytest", "-q", "-rA", *alone, str(tmp_path)]


def ends(command: list[str], **environ: str) -> dict[str, str]:
    """How each test ended, by its name; with the reason of a skip."""
    given = {name: value for name, value in os.environ.items() if name not in ("CI", "TEST_SERVERS_DIR")}
    done = subprocess.run(
        command, cwd=ROOT, env=given | environ, capture_output=True, text=True, timeout=120, check=False
    )
    skips = re.findall(r"^SKIPPED \[1\] (.*)$", done.stdout, re.MULTILINE)
    found = re.findall(r"^(PASSED|FAILED|ERROR) \S+::(\w+)", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    return {name: end for end, name in found} | {f"skip {number}": reason for number, reason in enumerate(skips)}


def collected(command: list[str]) -> set[str]:
    """The names of the tests that a command would run."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    return set(re.findall(r"::(\w+)$", done.stdout, re.MULTILINE))


@pytest.fixture
def with_podman(tmp_path: Path) -> str:
    """A PATH on which there is a podman."""
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "podman").write_text("#!/bin/sh\n", encoding="ascii")
    (folder / "podman").chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_the_first_tier_sees_a_bare_machine_and_fails_a_test_that_lacks_its_mark(
    run: list[str], with_podman: str
) -> None:
    assert ends([*run, "--tier=first"], PATH=with_podman) == {
        "test_that_looks_around": "PASSED",
        "test_that_makes_up_its_input": "PASSED",
        "test_that_installs_without_a_mark": "FAILED",
        "test_that_skips_without_a_mark": "FAILED",
    }


@pytest.mark.full
def test_the_full_tier_runs_everything_skips_what_cannot_be_and_in_ci_fails_it(run: list[str], tmp_path: Path) -> None:
    run = [*run, "-k", "podman or long or skip"]
    (tmp_path / "bare").mkdir()
    bare = bare_machine.path_of_a_bare_machine(tmp_path / "bare")
    there = ends(run, PATH=bare)
    assert there.pop("test_that_takes_long") == "PASSED"
    reasons = "\n".join(there.values())
    assert "no podman: podman is not on the PATH. To have it: apt-get install podman" in reasons
    assert "no redis: it is not on the PATH. To have it: install Redis" in reasons
    in_ci = ends(run, PATH=bare, CI="true")
    assert "docker is not on the PATH" in in_ci.pop("skip 0")
    assert in_ci.pop("test_that_takes_long") == "PASSED"
    assert set(in_ci.values()) <= {"FAILED", "ERROR"}
    assert set(in_ci) == {"test_with_podman", "test_that_skips_without_a_mark"}


@pytest.mark.full
def test_the_parts_of_a_run_are_all_of_it(run: list[str]) -> None:
    """And what does more in the rest than in the first tier is in both."""
    collect = [*run, "--collect-only"]
    parts = {tier: collected([*collect, f"--tier={tier}"]) for tier in (FIRST, CONTAINERS, REST)}
    assert parts[CONTAINERS] == {"test_with_podman"}
    assert parts[FIRST] & parts[REST] == {"test_that_makes_up_its_input"}
    assert parts[FIRST] | parts[CONTAINERS] | parts[REST] == collected([*collect, f"--tier={ALL}"])


@pytest.mark.full
def test_every_test_of_the_project_is_in_a_part_also_as_a_bare_machine_sees_it(pytestconfig: pytest.Config) -> None:
    listed = [sys.executable, "-c", LISTED, "--collect-only", "-q", "-p", "no:cacheprovider", f"--tier={FIRST}"]
    said = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True).stdout
    tiers = {name: set(words.split()) for name, words in re.findall(r"^tiers of (.*): (.*)$", said, re.MULTILINE)}
    assert len(tiers) > 5000
    assert [name for name, found in tiers.items() if not found & {FIRST, CONTAINERS, REST}] == []
    # Where `make containers` and `make e2e` look.
    boxed = {name.split("/")[1] for name, found in tiers.items() if CONTAINERS in found}
    assert boxed == {"compose", "image", "e2e"}
    more = {name.partition("::")[0] for name, found in tiers.items() if {FIRST, REST} <= found}
    assert "tests/test_openapi.py" in more
    # Their tests try more in the second run: hypothesis's, and those that ask for the tier.
    assert all(re.search(r"hypothesis|\btier: str", (ROOT / file).read_text(encoding="utf-8")) for file in more)
    # This run is the other machine: it has collected what it is asked for, and in `make test-rest` the whole project.
    here = pytestconfig.stash[COLLECTED]
    assert {name: tiers.get(name) for name in here} == here


@pytest.mark.full
def test_a_need_that_is_not_known_is_no_silent_success(tmp_path: Path, run: list[str]) -> None:
    (tmp_path / "test_marked.py").write_text(MARKED.replace('needs("podman")', 'needs("podmam")'), encoding="utf-8")
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_with_podman needs podmam, which tests/needs.py does not know" in done.stderr


def test_a_bare_machine_has_none_of_what_a_test_may_need() -> None:
    needed = {program for programs in PROGRAMS.values() for program in programs}
    assert needed.isdisjoint(bare_machine.PROGRAMS)
    assert set(NEEDS).isdisjoint(bare_machine.PROGRAMS)
    assert set(PROGRAMS) <= set(NEEDS)


def test_python_on_a_bare_machine_is_not_that_of_an_environment(tmp_path: Path) -> None:
    path = bare_machine.path_of_a_bare_machine(tmp_path)
    made = ["python3", "-c", "import sys; print(sys.prefix == sys.base_prefix, sys.prefix)"]
    said = subprocess.run(made, env={"PATH": path}, capture_output=True, text=True, check=True).stdout
    assert said == f"True {sys.base_prefix}\n"
