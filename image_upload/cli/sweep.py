"""`sweep`: settle pending rows and arrivals that wait, as the schedule does on Lambda; find leftovers in S3."""

import argparse
import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from image_upload.completion import leftovers
from image_upload.completion.context import CompletionContext
from image_upload.completion.sweep import FAILED, sweep
from image_upload.errors import Problem
from image_upload.languages.wording import human_bytes
from image_upload.s3 import multipart, objects
from image_upload.s3.errors import map_s3_errors
from image_upload.s3.objects import Listed
from image_upload.settings import Settings, SettingsError, load, read_dotenv
from image_upload.telemetry import logs


def run(arguments: Sequence[str]) -> int:
    """Run `sweep`. Return 0 if all due rows were settled, 1 if some could not be, 2 if it could not start."""
    asked = _parsed(arguments)
    try:
        settings = load(read_dotenv(os.environ), serving=False)
        has_arrivals = settings.verification.verify == "publish" and settings.verification.verifier == "self"
        needs_database = asked.unrecorded or not (asked.multiparts or asked.oversized or has_arrivals)
        if settings.database.database_url is None and needs_database:
            raise SettingsError("There is no database to sweep. Set DATABASE_URL; docs/records.md says how.")
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2

    logs.configure(settings.service)
    try:
        if asked.multiparts:
            return asyncio.run(_abort_uploads(settings, asked))
        if asked.unrecorded or asked.oversized:
            return asyncio.run(_remove(settings, asked))
        return asyncio.run(_sweep(settings, asked.seconds))
    except Problem as problem:
        print(problem.detail, file=sys.stderr)
        return 2


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m image_upload sweep",
        description="Ask S3 once more about every pending row whose time is over, and end it as stored, rejected or "
        "expired. With VERIFY=publish, verify and scan what still waits, too. Several at once do no harm. With "
        "--multiparts, --unrecorded or --oversized: list what is left in S3, with --apply remove it.",
    )
    parser.add_argument("--seconds", type=float, default=300.0, help="longest time that ending rows may take (300)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--multiparts",
        action="store_true",
        help="multipart uploads of this service that were neither completed nor aborted, and what resumable uploads "
        "left; for stores without lifecycle rules",
    )
    what.add_argument(
        "--unrecorded", action="store_true", help="files of POST /files/upload-url that no file record names"
    )
    what.add_argument(
        "--oversized",
        action="store_true",
        help="files above the limit that were uploaded without a size; for a CDN where no event reports them",
    )
    parser.add_argument("--hours", type=float, default=0.0, help="only what is older than this; 25 hours at least")
    parser.add_argument("--apply", action="store_true", help="abort or remove what is listed")
    parser.add_argument("--yes", action="store_true", help="with --apply: do not ask")
    asked = parser.parse_args(arguments)
    if asked.apply and not (asked.multiparts or asked.unrecorded or asked.oversized):
        parser.error("--apply belongs to --multiparts, --unrecorded or --oversized")
    return asked


@asynccontextmanager
async def _opened(settings: Settings) -> "AsyncIterator[CompletionContext]":
    context = CompletionContext(settings)
    try:
        yield context
    finally:
        await context.aclose()


async def _sweep(settings: Settings, within_s: float) -> int:
    async with _opened(settings) as context, context.telemetry.event("sweep"):
        tally = await sweep(context, within_s, lambda tally: print(f"  {summary(tally)}", flush=True))
    print(f"Swept: {summary(tally)}.")
    if tally[FAILED]:
        print("What failed stays pending; the log above says why. Run it again later.", file=sys.stderr)
    return 1 if tally[FAILED] else 0


def summary(tally: Counter[str]) -> str:
    """Return a line such as `2 stored, 1 expired`, or that nothing was due."""
    return ", ".join(f"{count} {state}" for state, count in sorted(tally.items())) or "nothing was due"


async def _abort_uploads(settings: Settings, asked: argparse.Namespace) -> int:
    uploads = pieces = 0
    before = leftovers.before(max(asked.hours * 3600, leftovers.least_age_s(settings.storage)))
    async with _opened(settings) as context, map_s3_errors():
        async for upload in leftovers.open_uploads(context.bucket, before):
            print(f"  begun {upload.began_at:%Y-%m-%d %H:%M}  {_printable(upload.key)}", flush=True)
            if asked.apply:
                await multipart.abort_each(context.bucket, upload.key, [upload.upload_id])
            uploads += 1
        async for page in leftovers.resumable(context.bucket, before):
            if asked.apply:
                await objects.delete_each(context.bucket, [each.key for each in page])
            pieces += len(page)
    aborted, removed = ("aborted", "removed") if asked.apply else ("found", "found")
    hint = _hint(uploads + pieces, asked)
    print(f"{uploads} open uploads {aborted}, {pieces} objects of resumable uploads {removed}.{hint}")
    return 0


async def _remove(settings: Settings, asked: argparse.Namespace) -> int:
    found: list[Listed] = []
    before = leftovers.before(max(asked.hours * 3600, leftovers.least_age_s(settings.storage)))
    async with _opened(settings) as context, map_s3_errors():
        if asked.unrecorded:
            every, remove, what = leftovers.unrecorded(context, before), leftovers.remove_unrecorded, "no record names"
        else:
            every, remove, what = leftovers.oversized(context), leftovers.remove_oversized, "are above their limit"
        async for each in every:
            print(f"  {each.last_modified}  {human_bytes(each.size_bytes):>10}  {_printable(each.key)}", flush=True)
            found.append(each)
        print(f"{len(found)} files found that {what}.{_hint(len(found), asked)}")
        if not found or not asked.apply:
            return 0
        if not asked.yes and not sys.stdin.isatty():
            print("No terminal to confirm on. Add --yes.", file=sys.stderr)
            return 2
        question = f"Remove them from {context.bucket.name}? [y/N] "
        if not asked.yes and (await asyncio.to_thread(input, question)).strip().lower() != "y":
            print("Nothing was removed.")
            return 0
        for each in found:
            await remove(context, each)
    print(f"{len(found)} files removed.")
    return 0


def _hint(count: int, asked: argparse.Namespace) -> str:
    return " Add --apply to remove them." if count and not asked.apply else ""


def _printable(key: str) -> str:
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in key)
