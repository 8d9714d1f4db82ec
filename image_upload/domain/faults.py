"""The faults for which an upload is not kept."""

from collections.abc import Mapping
from typing import Final, Literal, get_args

# The property in which an object differs from what was promised.
Difference = Literal["size", "type", "checksum"]
# What verification finds in the bytes.
Finding = Literal["disguised", "undecodable", "too-many-pixels", "too-many-frames", "malware", "unscannable"]
Fault = Difference | Finding
FAULTS: Final[tuple[str, ...]] = (*get_args(Difference), *get_args(Finding))

# What to tell the person who sent the file.
SENTENCES: Final[Mapping[Fault, str]] = {
    "disguised": (
        "The file is not of the type that it was sent as, so it was not kept. Send the file itself, unchanged and "
        "under its own type."
    ),
    "undecodable": (
        "The file is damaged or incomplete, so it was not kept. Open it on your device, save it again, and send it."
    ),
    "too-many-pixels": "The picture has more pixels than this service takes, so it was not kept. Make it smaller.",
    "too-many-frames": "The animation has more frames than this service takes, so it was not kept. Shorten it.",
    "malware": "The file holds malware, so it is not published. Check the device that it comes from.",
    "unscannable": (
        "The file cannot be scanned for malware, so it is not published. If it has a password, send it without one."
    ),
}
