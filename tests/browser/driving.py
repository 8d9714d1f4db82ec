"""Uploads through drive.mjs, and what became of them."""

import json
import re
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Above drive.mjs's own limits: it says what it waited for, this one only that it hangs.
ANSWER_SECONDS = 300


class Browser:
    """One headless Chromium under drive.mjs, with a new profile for each upload."""

    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        self._process = process
        self._errors = errors

    def run(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """What became of one upload; README.md describes both objects."""
        assert self._process.stdin
        assert self._process.stdout
        watch = threading.Timer(ANSWER_SECONDS, self._process.kill)
        watch.start()
        try:
            self._process.stdin.write(json.dumps(spec) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watch.cancel()
        assert line, f"the script ended:\n{self._tail()}"
        outcome: dict[str, Any] = json.loads(line)
        assert "problem" not in outcome, outcome["problem"]
        return outcome

    def _tail(self) -> str:
        return self._errors.read_text(encoding="utf-8")[-2000:]


@dataclass(frozen=True)
class Sent:
    """A request of the page; `status` None: it was given up or never answered."""

    method: str
    url: str
    headers: Mapping[str, str]
    status: int | None
    response: str | None


@dataclass(frozen=True)
class Outcome:
    """What one upload did: the page's requests in their order, and Uppy's own results."""

    sha256: str
    results: list[dict[str, Any]]
    sent: list[Sent]
    service: str

    @property
    def to_service(self) -> list[Sent]:
        return [sent for sent in self.sent if sent.url.startswith(self.service + "/")]

    @property
    def to_s3(self) -> list[Sent]:
        return [sent for sent in self.sent if sent not in self.to_service]

    @property
    def success(self) -> dict[str, Any]:
        """The file of the last result, which must be a success."""
        (file,) = self.results[-1]["successful"]
        assert not self.results[-1]["failed"]
        found: dict[str, Any] = file
        return found

    @property
    def error(self) -> str:
        """What Uppy tells its user about the first result, which must be a failure."""
        (file,) = self.results[0]["failed"]
        return str(file["error"])

    def to(self, route: str) -> list[Sent]:
        """Requests to the service of the form `METHOD end-of-path`, where * stands for one segment."""
        method, _, pattern = route.partition(" ")
        path = re.compile(r".*" + re.escape(pattern).replace(r"\*", r"[^/]+") + r"(\?.*)?")
        return [sent for sent in self.to_service if sent.method == method and path.fullmatch(sent.url)]

    def puts(self) -> list[Sent]:
        """The parts that S3 took."""
        return [sent for sent in self.to_s3 if sent.method == "PUT" and sent.status == 200]


@dataclass(frozen=True)
class Uppy:
    """One major version of Uppy on its page."""

    major: int
    browser: Browser
    page: str
    backend: str
    s3: str

    def upload(self, token: str | None, **spec: Any) -> Outcome:
        """Upload one file; keyword arguments are the spec's fields as README.md lists them."""
        found = self.browser.run(
            {
                "page": self.page,
                "companion": self.backend,
                "token": token,
                "name": "test file.bin",
                "type": "application/octet-stream",
                **spec,
            }
        )
        assert found["crashes"] == [], found["log"]
        sent = [
            Sent(
                request["method"],
                request["url"],
                request["headers"],
                request.get("status"),
                request.get("response"),
            )
            for request in found["requests"]
        ]
        known = (f"{self.backend}/", f"{self.s3}/")
        assert [request.url for request in sent if not request.url.startswith(known)] == []
        return Outcome(found["sha256"], found["results"], sent, self.backend)
