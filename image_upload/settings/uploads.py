"""The settings of what may be uploaded."""

import hashlib
from pathlib import Path
from typing import Final

from image_upload.domain import shipped_purposes
from image_upload.domain.purposes import Purposes
from image_upload.settings.section import Known, Section, setting

_SHIPPED: Final = Path(__file__).resolve().parents[2] / "purposes.toml"


def _purposes(path: str | None, known: Known) -> Purposes:
    """Return the purposes of a file, by default of the one that ships. Raises `ValueError` with all its faults."""
    file = _SHIPPED if path is None else Path(path)
    try:
        held = file.read_bytes()
    except OSError as error:
        if path is not None:
            raise ValueError(f"cannot be read ({error.strerror})") from None
        held = None
    if held is None or hashlib.sha256(held).hexdigest() == shipped_purposes.SHA256:
        purposes = shipped_purposes.PURPOSES
    else:
        from image_upload.domain import purpose_file  # milliseconds, with the TOML parser

        try:
            purposes = purpose_file.parse(held.decode(), str(file))
        except UnicodeDecodeError:
            raise ValueError(f"{file} is not UTF-8") from None
    return purposes.with_gif() if known.get("allow_gif") else purposes


class UploadSettings(Section):
    """The purposes, and what they take."""

    # --- Uploads ---------------------------------------------------------------------------------------

    allow_gif: bool = setting(
        "ALLOW_GIF",
        default=False,
        description="true or false: GIF as an image type",
    )
    """GIF as one more image type. Off, because an animated GIF is a video in a costly format."""

    purposes: Purposes = setting(
        "PURPOSES_FILE",
        default=None,
        description="the path of a file of purposes, as docs/purposes.md describes it",
        check=_purposes,
    )
    """The purposes of the service. Not set, it is `purposes.toml` beside `upload.py`. Without that file it is the
    one that ships."""
