"""Ask a running service over HTTP, with the standard library alone."""

import http.client
import json
import urllib.error
import urllib.request
from typing import Any, Final

TIMEOUT_S: Final = 30.0

# What the reader of a code can do here, where the service's own remedy is for a program.
_REMEDIES: Final = {
    "no-strategy": " A line of this tool is one PUT, which carries at most 5 GiB. Send a larger file in parts: "
    "docs/multipart.md, and with curl docs/routes.md#multipart.",
    "token-missing": " Start this MCP server with a token: docs/agents.md#tokens.",
    "token-invalid": " Start this MCP server with a new token: docs/agents.md#tokens.",
}


class Refused(Exception):
    """The service did not do it. The message is `code: detail` and a remedy; it holds no token."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follow no redirect, because urllib sends the token to any host that one names."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Service:
    """The service at a base URL. A `token` that is not empty is sent as a bearer token."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._opener = urllib.request.build_opener(_NoRedirect)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return the decoded answer of a route, None for 204. Raises `Refused`."""
        status, raw = self._send(method, path, None if body is None else json.dumps(body).encode())
        if status == http.HTTPStatus.NO_CONTENT:
            return None
        try:
            answer = json.loads(raw)
            if status == http.HTTPStatus.OK:
                return answer
            raise Refused(f"{answer['code']}: {answer['detail']}{_REMEDIES.get(answer['code'], '')}")
        except (ValueError, KeyError, TypeError):
            raise Refused(f"{self._url} answered {status}, but not as this service does. Correct --url.") from None

    def _send(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        request = urllib.request.Request(self._url + path, body, self._headers, method=method)
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise Refused(f"no answer from {self._url}: {reason}. Start the service, or correct --url.") from None
