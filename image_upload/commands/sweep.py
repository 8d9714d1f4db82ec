"""End the rows whose upload never came, as the schedule does on Lambda."""

import argparse
import asyncio
import os
import sys
from collections import Counter
from collections.abc import Sequence

from image_upload import logs
from image_upload.settings import SettingsError, load, read_dotenv


def run(arguments: Sequence[str]) -> int:
    """`sweep [--seconds N]`: 0 when every due row was settled, 1 when some could not be."""
    parser = argparse.ArgumentParser(
        prog="python -m image_upload sweep",
        description="Ask S3 once more about every pending row whose time is over, and end it as stored, rejected or "
        "expired. Several at once do no harm.",
    )
    parser.add_argument("--seconds", type=float, default=300.0, help="longest time it may take (300)")
    within_s = parser.parse_args(arguments).seconds
    try:
        settings = load(read_dotenv(os.environ), serving=False)
        if settings.database_url is None:
            raise SettingsError("There is no database to sweep. Set DATABASE_URL; docs/records.md says how.")
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2

    logs.configure(settings)
    from image_upload.arrivals.sweeping import FAILED, sweep  # noqa: PLC0415  --help need not wait for it
    from image_upload.errors import Problem  # noqa: PLC0415  the same
    from image_upload.records.database import Database, Stores  # noqa: PLC0415  the same
    from image_upload.s3.bucket import Bucket  # noqa: PLC0415  the same

    async def work() -> Counter[str]:
        stores = Stores(Bucket(settings), Database(settings))
        try:
            return await sweep(stores, within_s, lambda tally: print(f"  {told(tally)}", flush=True))
        finally:
            await stores.bucket.aclose()
            await stores.database.aclose()

    try:
        tally = asyncio.run(work())
    except Problem as problem:
        print(problem.detail, file=sys.stderr)
        return 2
    print(f"Swept: {told(tally)}.")
    if tally[FAILED]:
        print("What failed stays pending; the log above says why. Run it again later.", file=sys.stderr)
    return 1 if tally[FAILED] else 0


def told(tally: Counter[str]) -> str:
    """`2 stored, 1 expired`, or that nothing was due."""
    return ", ".join(f"{count} {state}" for state, count in sorted(tally.items())) or "nothing was due"
