"""Tests on several cores: `pytest --workers N` collects once, then forks N processes that run what was collected.

Not pytest-xdist, whose every worker imports and collects all of it again: 12 s of CPU each, 20 in a fresh checkout,
where the assertions of every file are rewritten. What is imported before the fork (`IMPORTED`) is paid for once, too.
"""

import importlib
import multiprocessing
import os
import threading
from multiprocessing.connection import Connection, wait
from typing import Any, Final, NamedTuple

import pytest

from tests import forked

# What most workers come to import in their fixtures.
IMPORTED: Final = (
    "alembic.command",
    "boto3",
    "moto.moto_server.werkzeug_app",
    "moto.s3.urls",
    "sqlalchemy.ext.asyncio",
)
_POLL_S: Final = 1.0
_FORK: Final = multiprocessing.get_context("fork")


class Shares:
    """The numbers from 0 to `count`, shared out among workers in one run of neighbours each.

    Neighbours share the fixtures of their module. A worker without any takes half of the largest share that is left.
    """

    def __init__(self, count: int, workers: int) -> None:
        bounds = [count * worker // workers for worker in range(workers + 1)]
        self._begin = _FORK.Array("l", bounds[:-1])
        self._end = _FORK.Array("l", bounds[1:], lock=False)

    def take(self, worker: int) -> int | None:
        """The next number for a worker; None if all are taken."""
        begin, end = self._begin, self._end
        with begin.get_lock():
            if begin[worker] == end[worker]:
                largest = max(range(len(end)), key=lambda other: end[other] - begin[other])
                end[worker] = end[largest]
                begin[worker] = end[largest] = (begin[largest] + end[largest]) // 2
            if begin[worker] == end[worker]:
                return None
            begin[worker] += 1
            return int(begin[worker]) - 1


class Ended(NamedTuple):
    """A test's end, by its number."""

    number: int


class _Reports:
    """The plug-in of a worker that hands each report to the process that forked it."""

    def __init__(self, config: pytest.Config, reader: Connection) -> None:
        self._config = config
        self._reader = reader

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._reader.send(self._config.hook.pytest_report_to_serializable(config=self._config, report=report))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--workers", type=int, default=0, help="processes that run tests at once: tests/workers.py")


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests in workers, if there are to be any. Raises what pytest's own loop raises."""
    workers = min(session.config.getoption("--workers"), len(session.items))
    if workers < 2 or session.config.option.collectonly or session.testsfailed:
        return None
    for name in IMPORTED:
        importlib.import_module(name)
    forked.share()
    session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]  # pytest gives it to fixtures alone
    assert threading.active_count() == 1, "a fork has none of the threads, and all of their locks"
    shares = Shares(len(session.items), workers)
    readers: dict[Connection, tuple[Any, set[int]]] = {}
    try:
        for worker in range(workers):
            reader, writer = _FORK.Pipe(duplex=False)
            process = _FORK.Process(target=_work, args=(session, shares, worker, writer))
            process.start()
            writer.close()
            readers[reader] = process, set()
        _listen(session, readers)
    finally:
        for process, _ in readers.values():
            process.terminate()
            process.join()
    return True


def _listen(session: pytest.Session, readers: dict[Connection, tuple[Any, set[int]]]) -> None:
    """Report what the workers report, until they have ended. The tests that a killed one had in hand fail."""
    hook = session.config.hook
    open_readers = list(readers)
    while open_readers:
        # The end of a worker is not always that of its pipe, which what it has forked may hold.
        ended = (reader for reader in open_readers if not readers[reader][0].is_alive())
        for reader in wait(open_readers, _POLL_S) or list(ended):
            assert isinstance(reader, Connection)
            process, in_hand = readers[reader]
            try:
                said = reader.recv() if reader.poll() else None
            except EOFError:
                said = None
            if said is None:
                open_readers.remove(reader)
                process.join()
                for number in sorted(in_hand):
                    hook.pytest_runtest_logreport(report=_lost(session.items[number], process.exitcode))
                continue
            if isinstance(said, Ended):
                in_hand.remove(said.number)
            elif isinstance(said, int):
                in_hand.add(said)
            else:
                report = hook.pytest_report_from_serializable(config=session.config, data=said)
                hook.pytest_runtest_logreport(report=report)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)


def _lost(item: pytest.Item, code: int | None) -> pytest.TestReport:
    """The report of a test whose worker has ended."""
    why = f"its worker ended with {code} while it had this test in hand"
    return pytest.TestReport(item.nodeid, item.location, {}, "failed", why, "call")


def _work(session: pytest.Session, shares: Shares, worker: int, reader: Connection) -> None:
    """Run tests until none is left, and end this process."""
    plugins = session.config.pluginmanager
    plugins.unregister(name="terminalreporter")
    plugins.register(_Reports(session.config, reader))
    # Two tests of one name in two workers would meet in one folder.
    folders = session.config._tmp_path_factory  # type: ignore[attr-defined]  # pytest gives it to fixtures alone
    folders._basetemp = folders.mktemp(f"worker-{worker}", numbered=False)
    # What the tests print is kept in files; each process needs its own.
    if capture := plugins.get_plugin("capturemanager"):
        capture.stop_global_capturing()
        capture.start_global_capturing()
        capture.suspend_global_capture()

    def take() -> int | None:
        if (number := shares.take(worker)) is not None:
            reader.send(number)
        return number

    number = take()
    while number is not None:
        following = take()
        item, then = session.items[number], None if following is None else session.items[following]
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=then)
        reader.send(Ended(number))
        number = following
    # Not the end of pytest and of Python, which is that of the process that forked.
    os._exit(0)
