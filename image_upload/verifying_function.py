"""The function that verifies files on Lambda: `handler` for the batches of its queue, and for the clock.

The stack runs it beside the one behind the Function URL, from the same image. It answers no request, reads no secret
and knows no database: hostile bytes are decoded where there is nothing to take. docs/stack.md#verification
"""

import asyncio
import os
from typing import Any

from image_upload import process

process.before_imports(on_lambda=True)

from image_upload.completion.context import CompletionContext
from image_upload.completion.events import receive
from image_upload.settings import load
from image_upload.telemetry import logs

_settings = load(os.environ, serving=False)
logs.configure(_settings.service)
_context = CompletionContext(_settings, only_arrivals=True)
# That of every event: connections belong to their loop.
asyncio.set_event_loop(asyncio.new_event_loop())
process.after_imports()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle one event of Lambda. Raises what `completion.events.receive` raises."""
    return receive(event, context, _context)
