"""The progress of an import: a bar on a terminal, lines elsewhere, and a summary at the end."""

import sys
import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, NoReturn

from image_upload.cli.import_files.tree import shown
from image_upload.languages.wording import human_bytes

if TYPE_CHECKING:
    from tqdm import tqdm

_LINE_EVERY_S: Final = 10.0
_BAR: Final = "{percentage:3.0f}% {bar} {n_fmt}/{total_fmt} {rate_fmt}, {remaining} left{postfix}"


class Progress:
    """One file's share of the progress. Bytes that are sent again count once."""

    def __init__(self, report: "Report", size_bytes: int) -> None:
        self._report = report
        self._left = size_bytes

    def __call__(self, done_bytes: int) -> None:
        """Count so many bytes of the file as done."""
        now = min(done_bytes, self._left)
        self._left -= now
        self._report.advance(now)

    def close(self) -> None:
        """Count the file as done, in whatever way it ended."""
        self(self._left)
        self._report.advance(0, files=1)


class Report:
    """Count the outcomes of the files and show the progress."""

    def __init__(self, *, rehearse: bool) -> None:
        self._rehearse = rehearse
        self._started = self._said = time.monotonic()
        self._took_s = 0.0
        self._bar: tqdm[NoReturn] | None = None
        self._counts: Counter[str] = Counter()
        self._moved_bytes = 0
        self.files = self.bytes = self.files_done = self.bytes_done = 0

    def say(self, text: str) -> None:
        """Print a line on standard error, above the bar."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)

    def _is_due(self) -> bool:
        """Return whether it is time for another line."""
        due = time.monotonic() - self._said >= _LINE_EVERY_S
        if due:
            self._said = time.monotonic()
        return due

    def looking(self, files: int) -> None:
        """Say now and then how many files have been found so far."""
        if self._is_due():
            self.say(f"looking: {files:,} files so far")

    def planned(self, size_bytes: int) -> None:
        """Count a file that is to be sent."""
        self.files += 1
        self.bytes += size_bytes

    def begin(self) -> None:
        """Say what is to be sent, and show the bar."""
        self._started = self._said = time.monotonic()
        verb = "to rehearse" if self._rehearse else "to send"
        there = self._counts["already there"]
        self.say(f"{self.files:,} files {verb}, {human_bytes(self.bytes)}; {there:,} are there already")
        if self.files and sys.stderr.isatty():
            from tqdm import tqdm  # a run in a log needs none

            self._bar = tqdm(
                total=self.bytes, unit="B", unit_scale=True, unit_divisor=1024, bar_format=_BAR, file=sys.stderr
            )

    def progress(self, size_bytes: int) -> Progress:
        """Return the progress of a file that is to be sent."""
        return Progress(self, size_bytes)

    def advance(self, done_bytes: int, files: int = 0) -> None:
        """Count some of what was to be sent as done."""
        self.bytes_done += done_bytes
        self.files_done += files
        if self._bar is not None:
            self._bar.update(done_bytes)
            self._bar.set_postfix_str(f"{self.files_done:,}/{self.files:,} files", refresh=False)
        elif self._is_due():
            self.say(self._line())

    def _line(self) -> str:
        took_s = time.monotonic() - self._started
        # Small files take requests, large ones bytes. The slower of the two decides the remaining time.
        done = min(self.files_done / max(1, self.files), self.bytes_done / max(1, self.bytes))
        left = f", about {_duration(took_s / done - took_s)} left" if done else ""
        size = f"{human_bytes(self.bytes_done)} of {human_bytes(self.bytes)}"
        return f"{self.files_done:,} of {self.files:,} files, {size}, {_rate(self.bytes_done, took_s)}{left}"

    def stored(self, size_bytes: int, *, was_there: bool) -> None:
        """Count a file that S3 has, since now or from before."""
        self._counts["already there" if was_there else "moved"] += 1
        self._moved_bytes += 0 if was_there else size_bytes

    def not_moved(self, outcome: Literal["refused", "failed", "skipped"], path: bytes, reason: str) -> None:
        """Say why a file may not go there (refused), did not (failed), or is no file (skipped)."""
        self._counts[outcome] += 1
        self.say(f"{outcome:8} {shown(path)}: {reason}")

    def removed(self) -> None:
        """Count a local file that was removed."""
        self._counts["removed here"] += 1

    @property
    def all_well(self) -> bool:
        """Whether every file is in S3."""
        return not self._counts["refused"] and not self._counts["failed"]

    def end(self) -> None:
        """End the sending."""
        self._took_s = time.monotonic() - self._started
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def summary(self) -> None:
        """Print the numbers on standard output."""
        counts, took_s = self._counts, max(self._took_s, 1e-3)
        moved = (
            f"{human_bytes(self._moved_bytes)} in {_duration(took_s)}: "
            f"{counts['moved'] / took_s:,.0f} files/s, {_rate(self._moved_bytes, took_s)}"
        )
        rows = [
            ("would move" if self._rehearse else "moved", counts["moved"], moved),
            ("already there", counts["already there"], ""),
            ("refused", counts["refused"], ""),
            ("failed", counts["failed"], ""),
            ("not looked at", self.files - self.files_done, ""),
            ("skipped", counts["skipped"], ""),
            ("removed here", counts["removed here"], ""),
        ]
        for number, (name, count, rest) in enumerate(rows):
            if count or number == 0 or name in ("refused", "failed"):
                print(f"{name:14}{count:>11,}  {rest}".rstrip())


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def _rate(count_bytes: int, took_s: float) -> str:
    return f"{human_bytes(int(count_bytes / took_s))}/s"
