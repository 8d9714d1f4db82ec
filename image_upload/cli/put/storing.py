"""Bring one file to its end: go on or begin, send, wait for the verdict."""

import asyncio
import time
from typing import Any, Final
from urllib.parse import quote

from image_upload.cli.put import Failed
from image_upload.cli.put.connection import member, strange
from image_upload.cli.put.senders import SENDERS, send_appends, send_parts
from image_upload.cli.put.upload import Upload
from image_upload.limits import COMPLETE_WAIT_MAX_S

_ASK_AGAIN_S: Final = 2.0


async def store(upload: Upload, accepts: list[str], wait_s: float) -> dict[str, Any]:
    """Send the file, or what is missing of it, and return what the service knows of it. Raises `Failed`.

    What was begun stays only where a later run can go on with it.
    """
    try:
        facts = await _stored(upload, accepts, wait_s)
    except Failed as failed:
        if not (failed.may_pass and upload.resumes):
            await upload.give_up()
        raise
    except asyncio.CancelledError:
        if not upload.resumes:
            await upload.give_up()
        raise
    upload.forget()
    return facts


async def _stored(upload: Upload, accepts: list[str], wait_s: float) -> dict[str, Any]:
    found = await upload.recall()
    if found is None:
        plan = await upload.begin(accepts)
        sender = SENDERS.get(member(plan, "strategy", str))
        if sender is None:
            raise strange("A plan has a strategy that was not asked for")
        await sender(upload, plan)
    elif found:
        await (send_appends if "offset" in found else send_parts)(upload, found)
    return await _verdict(upload, wait_s)


async def _verdict(upload: Upload, wait_s: float) -> dict[str, Any]:
    """Return what the service knows of the file once it is verified. Raises `Failed`, also after `wait_s`."""
    ends = time.monotonic() + wait_s
    while True:
        left_s = max(0.0, ends - time.monotonic())
        wait = min(int(left_s), COMPLETE_WAIT_MAX_S)
        answer = await upload.ask("POST", f"/images/{quote(upload.key or '')}/complete?wait={wait}")
        if answer.status == 200:
            facts: dict[str, Any] = answer.body
            return facts
        if not left_s:
            detail = "It is stored, but not verified yet. Repeat the command to ask again: nothing is sent twice."
            raise Failed("still-checking", detail, may_pass=True)
        # The service says how long a verdict takes at least.
        await asyncio.sleep(min(left_s, answer.retry_after_s or _ASK_AGAIN_S))  # before the service is asked again
