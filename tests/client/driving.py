"""Tabs of one headless Chromium under drive.mjs."""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Above drive.mjs's own limit: that says what it waited for, this one only that it hangs.
ANSWER_SECONDS = 300
WITHIN_S = 20


class Browser:
    """drive.mjs; README.md lists its commands."""

    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        self._process = process
        self._errors = errors

    def send(self, command: str, **given: Any) -> Any:
        """What a command returns."""
        assert self._process.stdin
        assert self._process.stdout
        watch = threading.Timer(ANSWER_SECONDS, self._process.kill)
        watch.start()
        try:
            self._process.stdin.write(json.dumps({"command": command, **given}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watch.cancel()
        assert line, f"the script ended:\n{self._errors.read_text(encoding='utf-8')[-2000:]}"
        answer: dict[str, Any] = json.loads(line)
        assert "problem" not in answer, answer["problem"]
        return answer.get("value")


@dataclass(frozen=True)
class Tab:
    """A page with the client on it."""

    browser: Browser
    name: str

    def run(self, code: str) -> Any:
        """What the statements return; they may await."""
        return self.browser.send("evaluate", tab=self.name, code=code)

    def until(self, expression: str) -> Any:
        """The value of an expression, once it is true."""
        return self.browser.send("until", tab=self.name, code=expression)

    def choose(self, *files: Path) -> None:
        """Choose files of this machine in the page's input."""
        self.browser.send("choose", tab=self.name, files=[str(each) for each in files])

    def drop(self, *paths: Path) -> None:
        """Drop files and folders of this machine on the page."""
        self.browser.send("drop", tab=self.name, files=[str(each) for each in paths])

    def reload(self) -> None:
        self.browser.send("reload", tab=self.name)
        self.until("window.isReady")

    def close(self) -> None:
        self.browser.send("close", tab=self.name)


def options(service: str, **given: Any) -> str:
    """The options of a queue as JavaScript; a function is given as text that begins with `(`."""
    fields: Iterable[tuple[str, Any]] = {"service": service, **given}.items()
    return (
        "{"
        + ", ".join(f"{name}: {value if str(value)[:1] == '(' else json.dumps(value)}" for name, value in fields)
        + "}"
    )


def eventually(condition: Callable[[], object]) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)  # between two looks
