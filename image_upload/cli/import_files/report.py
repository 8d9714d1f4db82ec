"""What a person sees: a bar on a terminal, a line now and then elsewhere, and a summary at the end."""

import sys
import time
from typing import TYPE_CHECKING, NoReturn, TextIO

from image_upload.cli.import_files.walking import shown
from image_upload.limits import GIB, KIB, MIB

if TYPE_CHECKING:
    from tqdm import tqdm

_LINE_EVERY_S = 10.0
_BAR = "{percentage:3.0f}% {bar} {n_fmt}/{total_fmt} {rate_fmt}, {remaining} left{postfix}"


def size(count: float) -> str:
    """Return bytes as people read them."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count:.0f} bytes"


def duration(seconds: float) -> str:
    """Return seconds as people read them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"


class Credit:
    """One file's share of the progress: as much as it has bytes, however often they are sent."""

    def __init__(self, report: "Report", size_bytes: int) -> None:
        self._report = report
        self._left = size_bytes

    def __call__(self, done_bytes: int) -> None:
        """So much of the file has been seen to."""
        now = min(done_bytes, self._left)
        self._left -= now
        self._report.advance(now)

    def close(self) -> None:
        """The file is at its end, in whatever way."""
        self(self._left)
        self._report.advance(0, files=1)


class Report:
    """Counts what comes of each file and shows it."""

    def __init__(self, *, rehearse: bool, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._rehearse = rehearse
        self._started = self._said = time.monotonic()
        self._bar: tqdm[NoReturn] | None = None
        self.files = self.bytes = self.files_done = self.bytes_done = 0
        self.moved_files = self.moved_bytes = self.there_files = 0
        self.refused_files = self.failed_files = self.passed = self.removed_files = 0

    def say(self, text: str) -> None:
        """A line for whoever follows, above the bar."""
        if self._bar is not None:
            self._bar.write(text, file=self._err)
        else:
            print(text, file=self._err, flush=True)

    def looking(self, files: int) -> None:
        """So many files have been found so far."""
        if time.monotonic() - self._said >= _LINE_EVERY_S:
            self._said = time.monotonic()
            self.say(f"looking: {files:,} files so far")

    def begin(self, files: int, total_bytes: int) -> None:
        """So much is to be sent."""
        self.files, self.bytes = files, total_bytes
        self._started = self._said = time.monotonic()
        verb = "to rehearse" if self._rehearse else "to send"
        self.say(f"{files:,} files {verb}, {size(total_bytes)}; {self.there_files:,} are there already")
        if files and self._err.isatty():
            from tqdm import tqdm  # a rehearsal in a log needs none

            self._bar = tqdm(
                total=total_bytes, unit="B", unit_scale=True, unit_divisor=1024, bar_format=_BAR, file=self._err
            )

    def file(self, size_bytes: int) -> Credit:
        """Return a file begins."""
        return Credit(self, size_bytes)

    def advance(self, done_bytes: int, files: int = 0) -> None:
        """Some of what was to be sent has been seen to."""
        self.bytes_done += done_bytes
        self.files_done += files
        if self._bar is not None:
            self._bar.update(done_bytes)
            self._bar.set_postfix_str(f"{self.files_done:,}/{self.files:,} files", refresh=False)
        elif time.monotonic() - self._said >= _LINE_EVERY_S:
            self._said = time.monotonic()
            self.say(self._line())

    def _line(self) -> str:
        took_s = time.monotonic() - self._started
        # Small files cost requests, large ones bytes: the slower of the two tells when it will be over.
        done = min(self.files_done / max(1, self.files), self.bytes_done / max(1, self.bytes) if self.bytes else 1)
        left = f", about {duration(took_s / done - took_s)} left" if done else ""
        return (
            f"{self.files_done:,} of {self.files:,} files, {size(self.bytes_done)} of {size(self.bytes)}, "
            f"{size(self.bytes_done / took_s)}/s{left}"
        )

    def moved(self, size_bytes: int) -> None:
        """S3 has a file now."""
        self.moved_files += 1
        self.moved_bytes += size_bytes

    def already(self, _size_bytes: int) -> None:
        """S3 had a file before."""
        self.there_files += 1

    def refused(self, path: bytes, reason: str) -> None:
        """A file is not one that may go there."""
        self.refused_files += 1
        self.say(f"refused  {shown(path)}: {reason}")

    def failed(self, path: bytes, reason: str) -> None:
        """A file could not be moved."""
        self.failed_files += 1
        self.say(f"failed   {shown(path)}: {reason}")

    def skipped(self, path: bytes, reason: str) -> None:
        """Something that is no file."""
        self.passed += 1
        self.say(f"skipped  {shown(path)}: {reason}")

    def removed(self) -> None:
        """A local file was removed."""
        self.removed_files += 1

    @property
    def all_well(self) -> bool:
        """Whether every file is in S3."""
        return not self.refused_files and not self.failed_files

    def end(self) -> None:
        """The sending is over."""
        self._took_s = time.monotonic() - self._started
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def summary(self) -> None:
        """What came of it, in numbers."""
        took_s = max(getattr(self, "_took_s", 0.0), 1e-3)
        moved = "would move" if self._rehearse else "moved"
        speed = f"{self.moved_files / took_s:,.0f} files/s, {size(self.moved_bytes / took_s)}/s"
        rows = [
            (moved, self.moved_files, f"{size(self.moved_bytes)} in {duration(took_s)}: {speed}"),
            ("already there", self.there_files, ""),
            ("refused", self.refused_files, ""),
            ("failed", self.failed_files, ""),
            ("not looked at", self.files - self.files_done, ""),
            ("skipped", self.passed, ""),
            ("removed here", self.removed_files, ""),
        ]
        for name, count, rest in rows:
            if count or name in (moved, "refused", "failed"):
                print(f"{name:14}{count:>11,}  {rest}".rstrip(), file=self._out)
