"""`put FILE…`: store files by a running service, so many at once."""

import asyncio
import contextlib
import io
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from image_upload.cli.import_files.tree import Found, Tree
from image_upload.cli.put import AllFail, Failed, state
from image_upload.cli.put.arguments import STDIN, parse
from image_upload.cli.put.connection import Connection
from image_upload.cli.put.report import Outcome, Report
from image_upload.cli.put.source import Source
from image_upload.cli.put.state import Entry
from image_upload.cli.put.storing import store
from image_upload.cli.put.upload import Upload
from image_upload.domain.checks import usual_type

_INTERRUPTED: Final = 130  # as a shell says it of a program that Ctrl-C ended


class _Named(NamedTuple):
    """A file that was named, or found in a folder that was: its length now, 0 where that cannot be told."""

    path: str
    size_bytes: int


def run(arguments: Sequence[str]) -> int:
    """Run `put`. Return 0 if every file is stored, 1 if some are not, 2 if it could not begin, 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names in a script that the terminal lacks
    options = parse(arguments)
    report = Report(as_json=options.json, quiet=options.quiet)
    stdin = None
    if STDIN in options.files:
        try:
            stdin = Source.of_stdin(options.name)  # before the event loop, which Ctrl-C would have to wait for
        except Failed as failed:
            print(f"Standard input: {failed.detail}", file=sys.stderr)
            return 2
    return asyncio.run(_Putting(options, report, stdin).run())


class _Putting:
    """One run of the command."""

    def __init__(self, options: Namespace, report: Report, stdin: Source | None) -> None:
        self._options = options
        self._report = report
        self._stdin = stdin
        self._room = asyncio.Semaphore(options.parallel)
        self._state = None if options.no_resume else _state_folder(report)
        # The failure after which all others fail too.
        self._all_fail: AllFail | None = None

    async def run(self) -> int:
        task = asyncio.current_task()
        assert task is not None  # this is one
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        named = list(self._named())
        report = self._report
        report.begin(len(named), sum(each.size_bytes for each in named))
        self._connection = Connection(self._options.service, self._options.token, report.say)
        files = iter(named)
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(self._options.parallel, len(named))):
                    workers.create_task(self._work(files))
        except asyncio.CancelledError:
            report.say("stopped. Repeat the command: it goes on where it was.")
            return _INTERRUPTED
        finally:
            await self._connection.aclose()
            report.close()
        return 1 if report.failed else 0

    def _named(self) -> Iterator[_Named]:
        for path in self._options.files:
            if path == STDIN and self._stdin is not None:
                yield _Named(path, self._stdin.size_bytes)
            elif not (self._options.recursive and Path(path).is_dir()):
                yield _Named(path, _size_bytes(path))
            else:
                yield from self._inside(path)

    def _inside(self, folder: str) -> Iterator[_Named]:
        try:
            tree = Tree(folder)
        except OSError:
            yield _Named(folder, 0)  # opening it again says why
            return
        with contextlib.closing(tree):
            for each in sorted(tree.walk()):
                path = os.path.join(folder, os.fsdecode(each.path))  # noqa: PTH118  a Path would drop "./"
                if isinstance(each, Found):
                    yield _Named(path, each.stat.size_bytes)
                elif each.failed:
                    yield _Named(path, 0)
                else:
                    self._report.say(f"skipped  {path}: {each.reason}")

    async def _work(self, files: Iterator[_Named]) -> None:
        for each in files:
            outcome = Outcome(each.path)
            try:
                if self._all_fail is not None:
                    raise self._all_fail
                await self._put(each.path, outcome)
            except Failed as failed:
                if isinstance(failed, AllFail):
                    self._all_fail = failed
                outcome.fail(failed)
            self._report.ended(outcome)

    async def _put(self, path: str, outcome: Outcome) -> None:
        options = self._options
        with contextlib.ExitStack() as held:
            stdin = self._stdin if path == STDIN else None
            source = stdin or Source.of_file(path, options.name)
            held.callback(source.close)
            content_type = options.type or usual_type(source.name) or "application/octet-stream"
            outcome.size = source.size_bytes
            upload = Upload(
                self._connection,
                source,
                content_type=content_type,
                purpose=options.purpose,
                metadata=dict(options.metadata),
                entry=self._entry(source, content_type, held),
                room=self._room,
                parallel=options.parallel,
                progress=self._report.advance,
            )
            try:
                facts = await store(upload, options.accepts, options.wait)
            finally:
                outcome.key, outcome.sha256 = upload.key, upload.sha256
        outcome.facts = facts.get("facts")
        outcome.url = facts.get("cdn_url") or f"{options.service}/images/{quote(upload.key or '')}"

    def _entry(self, source: Source, content_type: str, held: contextlib.ExitStack) -> Entry | None:
        """Return the state of the upload; None where nothing can be kept. Raises `Failed`."""
        if self._state is None or source.path is None:
            return None
        options = self._options
        identity = [options.service, str(source.path), options.purpose, content_type, source.name, options.metadata]
        try:
            entry = Entry.locked(self._state, identity)
        except OSError as error:
            self._state = None
            self._report.say(_cannot_resume(error))
            return None
        held.callback(entry.close)
        return entry


def _state_folder(report: Report) -> Path | None:
    try:
        folder = state.folder()
    except RuntimeError as error:
        report.say(_cannot_resume(error))
        return None
    state.remove_old(folder)
    return folder


def _cannot_resume(error: Exception) -> str:
    return f"Nothing can be kept to go on with after an interruption: {error}. Set XDG_STATE_HOME to a folder of yours."


def _size_bytes(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0
