"""The entry point: `app` for an ASGI server, `handler` for AWS Lambda.

    uvicorn upload:app        a plain server
    upload.handler            the container image's command on Lambda

This is the only place that reads the environment, beside `verifying_function`.
"""

import os
from typing import Any

from image_upload import process

on_lambda = "AWS_LAMBDA_FUNCTION_NAME" in os.environ
process.before_imports(on_lambda=on_lambda)
reading = None
if on_lambda:
    from image_upload.aws import secret_source
    from image_upload.limits import SECRETS_START_TIMEOUT_S

    # Reading runs while everything else is imported.
    reading = secret_source.begin(os.environ, SECRETS_START_TIMEOUT_S)

try:
    # First, so that the memory which FastAPI needs only while it builds its models is used again by what comes after:
    # 1,000 page faults fewer, 6 % of the CPU time of `import upload`.
    import fastapi  # noqa: F401  for its place, not for its name

    from image_upload import lambda_events
    from image_upload.live_app import LiveApp
    from image_upload.settings import SettingsError, read_dotenv
except ModuleNotFoundError as error:
    if on_lambda:
        raise
    from image_upload import missing

    raise SystemExit(missing.remedy(error)) from None

try:
    live = LiveApp(os.environ if on_lambda else read_dotenv(os.environ), reading)
except SettingsError as error:
    if on_lambda:
        # Lambda reports an exception with its message, but only the exit of a process that ends.
        raise error.with_traceback(None) from None
    # The message is enough for the operator; a traceback above it would hide it.
    raise SystemExit(str(error)) from None

app = live.app
process.after_imports()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle one event of Lambda."""
    live.refresh(context)
    return lambda_events.handle(event, context, live.app)
