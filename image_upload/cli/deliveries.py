"""`deliveries`: list events that were not delivered, and send them again."""

import argparse
import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from image_upload.cli.sweep import summary
from image_upload.completion.context import CompletionContext
from image_upload.errors import Problem
from image_upload.notify.delivery import DEAD, DELIVERED, PENDING
from image_upload.notify.dispatcher import FAILED
from image_upload.notify.outbox import Outbox
from image_upload.settings import Settings, SettingsError, load, read_dotenv
from image_upload.telemetry import logs

_STATES = (DEAD, PENDING, DELIVERED)


def run(arguments: Sequence[str]) -> int:
    """Run `deliveries list` or `replay`. Return 1 if what was replayed was not delivered, 2 if it could not start."""
    asked = _parsed(arguments)
    try:
        settings = load(read_dotenv(os.environ), serving=False)
        if settings.database.database_url is None:
            raise SettingsError("There is no database, and so no outbox. Set DATABASE_URL; docs/webhooks.md says why.")
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2

    logs.configure(settings.service)
    try:
        return asyncio.run(_list(settings, asked) if asked.action == "list" else _replay(settings, asked))
    except Problem as problem:
        print(problem.detail, file=sys.stderr)
        return 2


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m image_upload deliveries",
        description="Look at the events of the outbox, and send dead ones again, those whose attempts all failed.",
    )
    actions = parser.add_subparsers(dest="action", required=True)
    listing = actions.add_parser("list", help="show the newest events of a state, a line each")
    listing.add_argument("--state", choices=_STATES, default=DEAD, help=f"which ones ({DEAD})")
    listing.add_argument("--most", type=_count, default=100, metavar="N", help="show at most so many (100)")
    replaying = actions.add_parser("replay", help="make dead events due again, with all their attempts, and send them")
    replaying.add_argument("ids", nargs="*", type=_event_id, metavar="ID", help="events, as `list` shows them")
    replaying.add_argument("--all", action="store_true", help="every dead event")
    replaying.add_argument("--seconds", type=float, default=300.0, help="longest time that sending may take (300)")
    asked = parser.parse_args(arguments)
    if asked.action == "replay" and bool(asked.ids) == asked.all:
        replaying.error("name the ids of events, or --all")
    return asked


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= (count := int(text[:9])) <= 100_000:
        raise argparse.ArgumentTypeError("not a whole number from 1 to 100000")
    return count


def _event_id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:50]!r} is not the id of an event, which is a UUID") from None


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[CompletionContext, Outbox]]:
    context = CompletionContext(settings)
    try:
        yield context, Outbox(context.database.records)
    finally:
        await context.aclose()


async def _list(settings: Settings, asked: argparse.Namespace) -> int:
    async with _opened(settings) as (_, outbox):
        found = await outbox.listed(asked.state, asked.most)
    for row in found:
        print(
            f"  {row.id}  {row.type:<18}  {row.target:<9}  made {row.created_at:%Y-%m-%d %H:%M}  "
            f"{row.attempts} attempts, last {row.last_status or 'none'}"
        )
    more = " There may be more: add --most." if len(found) == asked.most else ""
    print(f"{len(found)} {asked.state}.{more}")
    return 0


async def _replay(settings: Settings, asked: argparse.Namespace) -> int:
    async with _opened(settings) as (context, outbox), context.telemetry.event("replay"):
        if not (context.notifier.enabled or context.tasks.enabled):
            print(
                "Set WEBHOOK_URL and WEBHOOK_SECRET, or EVENT_BUS, or QUEUE_URL, to those of the service.",
                file=sys.stderr,
            )
            return 2
        count = len(await outbox.replay(None if asked.all else asked.ids))
        print(f"{count} due again.")
        tally = Counter[str]()
        if count:
            until = time.monotonic() + asked.seconds
            for sender in (context.notifier, context.tasks):
                tally += await sender.retry_due(until - time.monotonic())
    print(f"Sent: {summary(tally)}.")
    if tally[FAILED] or tally[DEAD]:
        print("What failed is sent again by the sweep; the log above says why it failed.", file=sys.stderr)
        return 1
    return 0
