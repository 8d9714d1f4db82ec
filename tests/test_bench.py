"""Each process that the measurements compare starts and does its work once. How fast it is, no test says."""

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import cold
from bench.proxy_sink import Sink
from bench.run import Bench
from bench.surroundings import ON_LAMBDA
from bench.ways import signed_for
from bench.worker import SUBJECTS

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with contextlib.ExitStack() as stack:
        yield Bench(stack, tmp_path_factory.mktemp("bench"), no_node="not asked for")


@pytest.fixture(scope="module")
def store_settings(bench: Bench) -> dict[str, str]:
    """What a process needs that sends a form: the store that discards everything, and a URL for it."""
    store = Sink(bench).store()
    return {**store.settings(), "BENCH_UPLOAD_URL": signed_for(store)("uploads/0123456789abcdef.jpg")}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_measured_process_shows_a_sample_and_repeats_its_work(
    subject: str, bench: Bench, store_settings: dict[str, str]
) -> None:
    settings = store_settings if subject.startswith("form ") else {}
    worker = bench.python(subject, **ON_LAMBDA, **settings)
    try:
        assert worker.sample
        assert worker.seconds(1, "cpu_ns") > 0
    finally:
        worker.close()


@pytest.mark.parametrize("handler", cold.PEERS.values())
def test_a_cold_start_that_is_measured_ends_with_a_question_for_an_event(handler: str, bench: Bench) -> None:
    cpu_ms: list[float] = []
    assert cold.start(bench, handler, cpu_ms) > 0
    assert cpu_ms[0] > 0


@pytest.mark.parametrize("module", sorted(path.stem for path in Path(cold.__file__).parent.glob("*.py")))
def test_a_module_of_the_measurements_finds_what_it_imports(module: str) -> None:
    importlib.import_module(f"bench.{module}")
