"""Every test runs once in one of the workers, and fails if its worker is killed."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workers import Shares

ROOT = Path(__file__).resolve().parent.parent
TESTS = """
import os
import signal
import pytest

@pytest.mark.parametrize("number", range(20))
def test_that_passes(number, tmp_path):
    print("printed")
    with open(os.environ["RUNS"], "a") as runs:
        runs.write(f"{number} {os.getpid()} {tmp_path}\\n")

def test_that_fails():
    print("said before it failed")
    assert 1 + 1 == 3

def test_that_is_skipped():
    pytest.skip("not here")

def test_that_kills_its_worker():
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("count", "workers"), [(1, 1), (7, 3), (100, 8)])
def test_every_number_is_taken_once_also_by_one_quick_worker(count: int, workers: int) -> None:
    shares = Shares(count, workers)
    taken = [shares.take(0) for _ in range(count)]
    assert sorted(number for number in taken if number is not None) == list(range(count))
    assert [shares.take(worker) for worker in range(workers)] == [None] * workers


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Runs TESTS in three workers."""
    (tmp_path / "test_given.py").write_text(TESTS, encoding="utf-8")
    alone = ["-p", "tests.workers", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", "-c", os.devnull]
    return [sys.executable, "-m", "pytest", "-q", "-rA", "--workers=3", *alone, str(tmp_path)]


def ran(command: list[str], runs: Path) -> str:
    """What a run prints that fails. Its tests note in a file that they ran."""
    environ = os.environ | {"RUNS": str(runs)}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stderr
    return done.stdout


# A pytest of its own, as the next one.
@pytest.mark.full
def test_each_test_runs_once_and_its_report_is_whole(command: list[str], tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    said = ran([*command, "-k", "not kills"], runs)
    found = [line.split() for line in runs.read_text(encoding="utf-8").splitlines()]
    assert sorted(int(number) for number, _, _ in found) == list(range(20))
    assert len({worker for _, worker, _ in found}) > 1
    assert len({folder for _, _, folder in found}) == 20
    assert "said before it failed" in said
    assert "assert (1 + 1) == 3" in said
    assert re.search(r"^SKIPPED \[1\] .*: not here$", said, re.MULTILINE)
    assert "1 failed, 20 passed, 1 skipped, 1 deselected" in said


@pytest.mark.full
def test_what_a_killed_worker_had_in_hand_fails_and_the_others_run_the_rest(command: list[str], tmp_path: Path) -> None:
    said = ran(command, tmp_path / "runs")
    assert f"its worker ended with {-signal.SIGKILL} while it had this test in hand" in said
    assert re.search(r"^FAILED \S+::test_that_kills_its_worker", said, re.MULTILINE)
    assert len(re.findall(r"^(?:PASSED|FAILED) |^SKIPPED \[1\] ", said, re.MULTILINE)) == 23
