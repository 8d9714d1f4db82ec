"""The state of local runs: a folder, locked by one run at a time, and a secret in it."""

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SECRET_HEX_DIGITS: Final = 64


class FolderUnavailable(Exception):
    """The folder cannot be used. The message says what to do."""


@contextlib.contextmanager
def kept_folder(folder: Path) -> Iterator[Path]:
    """Create the folder, for its owner only, and lock it until the block is left. Raises `FolderUnavailable`.

    The lock is SQLite's, which the kernel releases however the process ends.
    https://www.sqlite.org/lang_transaction.html
    """
    other = "Name another folder, for example: LOCAL_DIR=.local/2"
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = sqlite3.connect(folder / "lock.sqlite3", timeout=0, isolation_level=None)
            stack.enter_context(contextlib.closing(lock))
            lock.execute("BEGIN EXCLUSIVE")
        except OSError as error:
            raise FolderUnavailable(f"{folder} cannot be used: {error.strerror}. {other}") from None
        except sqlite3.Error as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise FolderUnavailable(f"{folder} cannot be used: {error}. {other}") from None
            raise FolderUnavailable(f"Another local run uses {folder}. Stop it first. {other}") from None
        yield folder.absolute()


def kept_secret(folder: Path) -> str:
    """Return the folder's secret for tokens and tickets; create it at first use."""
    path = folder / "jwt-secret"
    if path.exists() and len(kept := path.read_text(encoding="utf-8")) == SECRET_HEX_DIGITS:
        return kept
    made = secrets.token_hex(SECRET_HEX_DIGITS // 2)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(made)
    return made
