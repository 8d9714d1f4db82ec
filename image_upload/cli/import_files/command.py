"""`import DIR`: find the files, send them, update the database, write the list, remove the files."""

import asyncio
import contextlib
import io
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from image_upload.cli.import_files import Stop, cleanup
from image_upload.cli.import_files.arguments import parse
from image_upload.cli.import_files.journal import Journal, Row
from image_upload.cli.import_files.report import Report
from image_upload.cli.import_files.rules import Rules, fit
from image_upload.cli.import_files.sender import Sender
from image_upload.cli.import_files.storage import Storage
from image_upload.cli.import_files.tree import Found, Passed, Tree, shown
from image_upload.domain import keys
from image_upload.errors import CredentialsUnavailable, InvalidKey, Problem
from image_upload.s3.bucket import Bucket
from image_upload.s3.errors import S3Failure
from image_upload.settings import Settings, SettingsError, load, read_dotenv
from image_upload.settings.database import DatabaseSettings
from image_upload.settings.verification import VerificationSettings

if TYPE_CHECKING:
    from image_upload.cli.import_files.database import Column

_LOOKED_AT_ONCE: Final = 1_000
_INTERRUPTED: Final = 130  # as a shell says it of a program that Ctrl-C ended
_GO_ON: Final = "Then repeat the same command: it goes on where it was."

# By the status of HeadBucket's answer; None: there was none.
_BUCKET_ADVICE: Final[dict[int | None, str]] = {
    404: "There is no such bucket. Check S3_BUCKET_NAME and AWS_REGION.",
    403: "S3 denied HeadBucket. Grant s3:ListBucket on the bucket: without it S3 does not say what is there.",
    None: "S3 did not answer. Check AWS_S3_ENDPOINT_URL and the network.",
}


class _Import(NamedTuple):
    """Everything that one run works with."""

    options: Namespace
    rules: Rules
    tree: Tree
    journal: Journal
    column: "Column | None"
    report: Report
    verify: VerificationSettings | None

    def pairs(self, rows: Iterator[Row]) -> Iterator[tuple[str, str]]:
        """Yield (old path in the database, key) of files."""
        paths = ((f"{self.options.db_prefix}{row.path.decode()}", row.key) for row in rows)
        return (each for each in paths if each[0] != each[1])


def run(arguments: Sequence[str]) -> int:
    """Run `import DIR`. Return 0 if every file is in the bucket, 1 if some are not, 2 if it could not start."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names in a script that the terminal lacks
    options = parse(arguments)
    with contextlib.ExitStack() as held:
        try:
            if not hasattr(os, "O_NOFOLLOW"):
                raise Stop("This command needs Linux or macOS; on Windows run it in WSL or in a container.")
            every = _begin(options, _settings(), held)
        except (Stop, SettingsError) as error:
            print(error, file=sys.stderr)
            return 2
        with asyncio.Runner(loop_factory=_loop) as runner:
            return runner.run(_carry_out(every))


def _settings() -> Settings:
    return load(read_dotenv(os.environ), serving=False)


def _loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # not on every platform
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _begin(options: Namespace, settings: Settings, held: contextlib.ExitStack) -> _Import:
    """Open everything. Raises `Stop`."""
    rules = _rules(options, settings)
    if options.rewrite_list and not Path(options.rewrite_list).absolute().parent.is_dir():
        raise Stop(f"There is no folder for {shown(options.rewrite_list)}. Make it first.")
    try:
        tree = Tree(options.folder, options.exclude, follow=options.follow_symlinks)
    except OSError as error:
        raise Stop(f"{shown(options.folder)} cannot be opened: {error.strerror}.") from None
    held.callback(tree.close)
    column = _column(settings.database, options.update_db) if options.update_db else None
    about = {
        "bucket": settings.storage.s3_bucket_name,
        "endpoint": Bucket(settings.storage).address.origin,
        "folder": shown(str(Path(options.folder).resolve())),
        "purpose": rules.purpose.name,
        "prefix": "(none)" if options.prefix is None else options.prefix,
        "user": options.user,
        "class id": options.class_id or "(none)",
    }
    journal = Journal(options.journal, about, keep=not options.dry_run)
    held.callback(_close, journal)
    verify = settings.verification if options.verify else None
    return _Import(options, rules, tree, journal, column, Report(rehearse=options.dry_run), verify)


def _column(settings: DatabaseSettings, name: str) -> "Column":
    from image_upload.cli.import_files.database import Column  # with SQLAlchemy, which most imports do without

    return Column(settings, name)


def _rules(options: Namespace, settings: Settings) -> Rules:
    purposes = settings.storage.purposes
    purpose = purposes.get(options.purpose)
    if purpose is None:
        raise Stop(f"There is no purpose {options.purpose}. Name one with --purpose: {', '.join(purposes.named)}.")
    if "{class_id}" in purpose.key and not options.class_id:
        raise Stop(f"The purpose {purpose.name} needs --class-id.")
    try:
        keys.segment(options.user)
        if options.prefix:
            keys.check(options.prefix)
    except InvalidKey as problem:
        raise Stop(f"--user or --prefix: {problem.detail}") from None
    return Rules(purpose, options.user, options.class_id, options.prefix)


def _close(journal: Journal) -> None:
    with contextlib.suppress(Stop):  # what it could not write down, S3 is asked about the next time
        journal.close()


async def _carry_out(every: _Import) -> int:
    storage = Storage(lambda: Bucket(_settings().storage), every.report.say)
    task = asyncio.current_task()
    assert task is not None  # this is one
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    report, code = every.report, 0
    try:
        try:
            await _check_place(every, storage)
        except Stop as reason:
            print(reason, file=sys.stderr)
            return 2
        await _look(every)
        if every.column is not None:
            await _check_database(every, every.column)
        await _send(every, storage)
        await _finish(every, storage)
        code = 0 if report.all_well else 1
    except (Stop, OSError) as error:
        report.say(f"stopped: {error} {_GO_ON}")
        code = 1
    except asyncio.CancelledError:
        report.say(f"stopped. {_GO_ON.removeprefix('Then ').capitalize()}")
        code = _INTERRUPTED
    finally:
        report.end()
        await storage.aclose()
    report.summary()
    return code


async def _check_place(every: _Import, storage: Storage) -> None:
    """Raise `Stop` if bucket or database cannot be written to, with what to do."""
    try:
        await storage.bucket.call("HeadBucket", "HEAD", "")
    except CredentialsUnavailable:
        advice = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a role."
        raise Stop(f"There are no AWS credentials. {advice}") from None
    except S3Failure as failure:
        other = "S3 answered with an error. Check S3_BUCKET_NAME, AWS_REGION and AWS_S3_ENDPOINT_URL."
        raise Stop(_BUCKET_ADVICE.get(failure.status, other)) from None
    if every.column is not None:
        await every.column.check(())


async def _look(every: _Import) -> None:
    """Find every file and commit its key."""
    found, own = every.tree.walk(), _own_files(every.options)
    looked = 0
    while page := list(islice(found, _LOOKED_AT_ONCE)):
        for each in page:
            if each.path not in own:
                _plan(every, each)
        every.journal.flush()
        looked += len(page)
        every.report.looking(looked)
        await asyncio.sleep(0)  # a Ctrl-C is seen here


def _own_files(options: Namespace) -> set[bytes]:
    """Return what this command writes itself, by its path relative to the folder."""
    folder = Path(options.folder).resolve()
    files = [f"{options.journal}{ending}" for ending in ("", "-wal", "-shm")]
    files += [options.rewrite_list] if options.rewrite_list else []
    absolute = [Path(file).resolve() for file in files]
    return {os.fsencode(file.relative_to(folder)) for file in absolute if file.is_relative_to(folder)}


def _plan(every: _Import, each: Found | Passed) -> None:
    journal, report = every.journal, every.report
    if isinstance(each, Passed):
        report.not_moved("failed" if each.failed else "skipped", each.path, each.reason)
        return
    row = journal.find(each.path)
    if row is not None and row.stored and row.stat == each.stat:
        journal.seen(row.id)
        report.stored(each.stat.size_bytes, was_there=True)
        return
    try:
        key = fit(every.rules, each.path, each.stat.size_bytes).key
    except Problem as problem:
        report.not_moved("refused", each.path, problem.detail)
        return
    if journal.plan(each.path, key, each.stat):
        report.planned(each.stat.size_bytes)
    else:
        report.not_moved(
            "refused", each.path, f"another file of this folder gets the same key, {key}. Rename one of the two."
        )


async def _check_database(every: _Import, column: "Column") -> None:
    """Raise `Stop` before anything is sent, if a column is too narrow or paths and keys could be mistaken."""
    prefix = every.options.db_prefix
    await column.check(row.key for row in every.journal.rows("every"))
    for row in every.journal.rows("every"):
        other = every.journal.find(os.fsencode(row.key.removeprefix(prefix))) if row.key.startswith(prefix) else None
        if other is not None and other.id != row.id:
            raise Stop(
                f"The key {row.key} is also the old path of another file: the database could not tell them apart. "
                "Choose another --prefix."
            )


async def _send(every: _Import, storage: Storage) -> None:
    rehearse = every.options.dry_run
    sender = Sender(
        storage, every.tree, every.journal, every.rules, every.report, rehearse=rehearse, verify=every.verify
    )
    if not rehearse:
        await sender.settle_left_behind()
    every.report.begin()
    try:
        await sender.send_all(every.journal.rows("to send"), every.options.jobs)
    finally:
        every.journal.flush()
        every.report.end()


async def _finish(every: _Import, storage: Storage) -> None:
    """Update the database, write the list, remove files, in this order: the database may still refer to the files."""
    options, journal, report = every.options, every.journal, every.report
    rehearse = options.dry_run
    if every.column is not None:
        changed, pairs = 0, every.pairs(journal.rows("every" if rehearse else "stored"))
        async with contextlib.aclosing(every.column.update(pairs, rehearse=rehearse)) as batches:
            async for count in batches:
                changed += count
                await asyncio.sleep(0)  # a Ctrl-C is seen here
        report.say(f"database: {changed:,} rows of {options.update_db} {'would be ' if rehearse else ''}changed")
    if rehearse:
        return
    if options.rewrite_list:
        count = cleanup.write_list(options.rewrite_list, journal.rows("stored"))
        report.say(f"list: {count:,} files in {shown(options.rewrite_list)}")
    if options.delete_after:
        await cleanup.remove_files(journal.rows("stored here"), options.jobs, storage, every.tree, report)
