"""A request whose target goes over the wire exactly as it is written: client libraries tidy paths before they send."""

import http.client
import json
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """Status and decoded JSON (None for an empty body)."""

    status: int
    document: Any

    @property
    def code(self) -> str | None:
        """The code of a problem document."""
        code: str | None = (self.document or {}).get("code")
        return code


def ask(method: str, service: str, target: str) -> Answer:
    """Send a request line with this target."""
    connection = http.client.HTTPConnection(service.removeprefix("http://"), timeout=60)
    try:
        connection.request(method, target)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    return Answer(response.status, json.loads(body) if body else None)
