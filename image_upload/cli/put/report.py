"""What `put` prints: a bar on a terminal, lines elsewhere, and a line for each file."""

import json
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn

from image_upload.cli.import_files.tree import shown
from image_upload.cli.put import Failed
from image_upload.languages.wording import human_bytes

if TYPE_CHECKING:
    from tqdm import tqdm

_LINE_EVERY_S: Final = 10.0
_BAR: Final = "{percentage:3.0f}% {bar} {n_fmt}/{total_fmt} {rate_fmt}, {remaining} left{postfix}"
_STATES: Final = {"upload-rejected": "rejected", "still-checking": "checking"}


@dataclass
class Outcome:
    """How one file ended. `sha256` is None for a file that was not hashed, because it goes in parts."""

    file: str
    state: str = "stored"
    key: str | None = None
    url: str | None = None
    size: int | None = None
    sha256: str | None = None
    facts: Any = None
    failure: dict[str, Any] = field(default_factory=dict)

    def fail(self, failed: Failed) -> None:
        """Make it the outcome of a file that is not stored, or not verified yet."""
        self.state = _STATES.get(failed.code, "failed")
        fault = {name: failed.facts[name] for name in ("fault",) if name in failed.facts}
        self.failure = {"code": failed.code, "detail": failed.detail, **fault}

    def as_json(self) -> str:
        """Return it as one line, in ASCII."""
        members = {name: value for name, value in vars(self).items() if name != "failure"}
        return json.dumps({**members, **self.failure})


class Report:
    """Count what is sent, and print what happens."""

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self._as_json = as_json
        self._quiet = quiet
        self._bar: tqdm[NoReturn] | None = None
        self._said = time.monotonic()
        self._files = self._bytes = self._files_done = self._bytes_done = 0
        self.failed = 0

    def begin(self, files: int, size_bytes: int) -> None:
        """Begin with so many files of so many bytes in all."""
        self._files, self._bytes = files, size_bytes
        if files and not self._quiet and sys.stderr.isatty():
            from tqdm import tqdm  # a run in a log needs none

            self._bar = tqdm(
                total=size_bytes, unit="B", unit_scale=True, unit_divisor=1024, bar_format=_BAR, file=sys.stderr
            )

    def advance(self, sent_bytes: int) -> None:
        """Count bytes as sent; with a minus, as sent in vain."""
        self._bytes_done += sent_bytes
        if self._bar is not None:
            self._bar.set_postfix_str(f"{self._files_done:,}/{self._files:,} files", refresh=False)
            self._bar.update(sent_bytes)
        elif time.monotonic() - self._said >= _LINE_EVERY_S:
            self._said = time.monotonic()
            size = f"{human_bytes(self._bytes_done)} of {human_bytes(self._bytes)}"
            self.say(f"{self._files_done:,} of {self._files:,} files, {size}")

    def say(self, text: str) -> None:
        """Print a line on standard error, unless only failures are wanted."""
        if not self._quiet:
            self._print(text, error=True)

    def ended(self, outcome: Outcome) -> None:
        """Print the line of a file."""
        self._files_done += 1
        self.failed += outcome.state != "stored"
        self.advance(0)
        name = shown(outcome.file)
        if self._as_json:
            self._print(outcome.as_json())
        elif outcome.failure:
            words = f"{outcome.failure['code']}: {outcome.failure['detail']}"
            self._print(f"{outcome.state:8} {name}: {shown(words)}", error=True)
        elif not self._quiet:
            self._print(f"stored   {name}: {outcome.key}")

    def close(self) -> None:
        """End the bar, and say how many files are stored."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        self.say(f"{self._files_done - self.failed:,} of {self._files:,} files stored.")

    def _print(self, text: str, *, error: bool = False) -> None:
        stream = sys.stderr if error else sys.stdout
        if self._bar is not None:
            self._bar.write(text, file=stream)
        else:
            print(text, file=stream, flush=True)
