"""Operations that an operator invokes on the Lambda function: the smoke test and database migrations.

    {"operation": "smoke"}
    {"operation": "migrate", "check": true}

Both answer {"passed": bool, "lines": [str, …]}. docs/deploy.md has the commands.
"""

import logging
from collections.abc import Callable
from typing import Any

from mangum import Mangum

from image_upload.settings import Settings
from image_upload.telemetry.logs import redact

log = logging.getLogger(__name__)


def run(event: dict[str, Any], context: Any, settings: Settings, deployed: Mangum) -> dict[str, Any]:
    """Run the operation that an event names; return `passed` and `lines`. Never raises.

    `deployed` is the adapter that serves the function's requests.
    """
    lines: list[str] = []
    try:
        passed = _carry_out(event, context, settings, deployed, lines.append)
    except Exception as error:
        # After an exception the answer would have no lines, and Lambda would repeat an asynchronous invocation.
        log.exception("operation failed")
        lines.append(f"Unexpected {type(error).__name__}. The function's log has the traceback; report it.")
        passed = False
    log.info("operation", extra={"fields": {"operation": str(event["operation"])[:32], "passed": passed}})
    return {"passed": passed, "lines": [redact(line) for line in lines]}


def _carry_out(
    event: dict[str, Any], context: Any, settings: Settings, deployed: Mangum, say: Callable[[str], None]
) -> bool:
    match event:
        case {"operation": "smoke", **rest} if not rest:
            from image_upload.operations.smoke import smoke_test  # migrations do not need it

            return smoke_test(context, settings, deployed, say)
        case {"operation": "migrate", "check": bool(check), **rest} if not rest:
            from image_upload.operations.migrate import migrate  # the smoke test does not need it

            return migrate(context, settings, say, check=check)
    say('No such operation. There are {"operation": "smoke"} and {"operation": "migrate", "check": true or false}.')
    return False
