"""The bearer token that the service is asked with."""

from pathlib import Path

from image_upload.cli.service_access import BEARER_TOKEN


class TokenSource:
    """The bearer token: a text, or a file that is read again when the service refuses what it held."""

    def __init__(self, text: str, file: Path | None = None) -> None:
        self._file = file
        self.text = text if file is None else self._read(file)
        self._check()

    def renew(self) -> bool:
        """Read the file again; return whether it holds another token. Raises `ValueError`, `OSError`."""
        before = self.text
        if self._file is not None:
            self.text = self._read(self._file)
            self._check()
        return self.text != before

    @staticmethod
    def _read(file: Path) -> str:
        return file.read_text(encoding="utf-8").strip()

    def _check(self) -> None:
        if (self.text or self._file) and not BEARER_TOKEN.fullmatch(self.text):
            raise ValueError("no bearer token")
