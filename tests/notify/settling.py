"""A process that settles a row with its event and sends it, and kills itself at the step that it is told."""

import asyncio
import os
import signal
import sys

from sqlalchemy.ext.asyncio import AsyncConnection

from image_upload.database.database import Database
from image_upload.database.values import Record
from image_upload.notify.event import Event
from image_upload.notify.notifier import notifier_of
from image_upload.settings import load
from tests.notify.receiver import NOW


async def settle(key: str, step: str) -> None:
    """Settle the row of a key and send its event; SIGKILL at `step`."""

    def kill(at: str) -> None:
        if at == step:
            os.kill(os.getpid(), signal.SIGKILL)

    settings = load(os.environ)
    database = Database(settings.database)
    notifier = notifier_of(settings.notify, database)
    row = await database.records.by_key(key)
    assert row is not None
    event = Event.about(key, "upload.stored", NOW)

    async def also(connection: AsyncConnection, _: Record) -> None:
        kill("before the event")
        await notifier.record(connection, [event])
        kill("before the commit")

    await database.records.store(row, 5, '"a"', also=also)
    kill("before sending")
    await notifier.send([event])
    kill("while sending")
    await notifier.aclose()
    kill("at the end")


if __name__ == "__main__":
    asyncio.run(settle(*sys.argv[1:]))
