"""Go on with an import in an invocation of its own: `{"operation": "from-url", "job_id": …, "order": {…}}`.

A `traceparent` beside them is that of the request.
Only who may invoke the function can send it: a request of a client comes as the body of another event.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from image_upload.from_url.importer import Importer
from image_upload.from_url.requests import Order
from image_upload.outbound import deadline
from image_upload.telemetry import trace
from image_upload.telemetry.requests import Telemetry

log = logging.getLogger(__name__)


class _Event(BaseModel):
    job_id: str
    order: Order
    traceparent: str = ""


def receive(event: Mapping[str, Any], invocation: Any, importer: Importer, telemetry: Telemetry) -> dict[str, Any]:
    """Run the import of an event to its end. Raises the problems of S3 before it has begun.

    `invocation` is Lambda's context object. It uses Mangum's event loop, because connections belong to their loop.
    """
    try:
        wanted = _Event.model_validate(event)
    except ValidationError:
        log.error("an import came without its order")  # noqa: TRY400  the exception repeats the URL
        return {}

    async def run() -> None:
        async with telemetry.event("import", trace.parse(wanted.traceparent.encode())):
            deadline.enter(invocation)
            await importer.resume(wanted.job_id, wanted.order)

    asyncio.get_event_loop().run_until_complete(run())
    return {"job_id": wanted.job_id}
