"""S3's XML answers, read by local names: stores differ in whether they send S3's namespace."""

from typing import TYPE_CHECKING

from image_upload.limits import CONTENT_LENGTH_MAX_DIGITS
from image_upload.s3.errors import S3Failure

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET


class Unreadable(S3Failure):
    """An answer that is not the document it should be."""


def parse(document: bytes, name: str | None = None) -> "ET.Element":
    """Return the root of an answer, which must have this name where one is given. Raises `Unreadable`.

    S3 sends no document type: with none there are no entities to expand. (expat has its own guard besides.)
    """
    from xml.etree import ElementTree as ET  # minting a PUT need not pay for it

    try:
        root = ET.fromstring(document) if b"<!DOCTYPE" not in document else None  # noqa: S314  see above
    except ET.ParseError:
        root = None
    if root is None or name not in (None, root.tag.rpartition("}")[2]):
        raise Unreadable("an answer", None)
    return root


def children(element: "ET.Element", name: str) -> "list[ET.Element]":
    """Return the children of a name."""
    return [child for child in element if child.tag.rpartition("}")[2] == name]


def text(element: "ET.Element", name: str) -> str:
    """Return the text of the first child of a name, "" where there is none."""
    return next((child.text or "" for child in children(element, name)), "")


def number(element: "ET.Element", name: str) -> int:
    """Return the whole number in the first child of a name. Raises `Unreadable`."""
    said = text(element, name)
    # More digits than a size has are a store's mistake, or an attack: Python reads no more than 4,300 of them.
    if not (said.isascii() and said.isdigit() and len(said) <= CONTENT_LENGTH_MAX_DIGITS):
        raise Unreadable("an answer", None)
    return int(said)
