"""Dispatch a Lambda event: a request, an operation, or an event of S3, a queue or a schedule.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

from typing import Any

from starlette.applications import Starlette

from image_upload.web.function_url import adapter


def handle(event: Any, context: Any, app: Starlette) -> dict[str, Any]:
    """Answer one event with this app. Raises what `completion.events.receive` raises.

    A Function URL adds `requestContext` to every event, and its client controls only members such as `body` and
    `headers`. So no HTTP request can start an operation, which needs the permission to invoke the function.
    """
    http = adapter(app)
    if "requestContext" in event:
        return http(event, context)
    if isinstance(event, dict) and event.get("operation") == "from-url":
        from image_upload.from_url.operation import receive as go_on  # 60 ms with httpx

        return go_on(event, context, app.state.from_url.importer, app.state.context.telemetry)
    if isinstance(event, dict) and "operation" in event:
        from image_upload import operations  # 160 ms with the smoke test, and requests need none of it

        return operations.run(event, context, app.state.settings, http)
    from image_upload.completion.events import receive  # 2 ms

    return receive(event, context, app.state.context)
