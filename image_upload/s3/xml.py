"""Read S3's XML answers by local names, because not all stores send S3's namespace."""

from typing import TYPE_CHECKING, Final

from image_upload.limits import CONTENT_LENGTH_MAX_DIGITS
from image_upload.s3.errors import S3Failure

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET


NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"


class Unreadable(S3Failure):
    """The answer is not the expected XML document."""


def parse(document: bytes, name: str | None = None) -> "ET.Element":
    """Return the root of an answer; with `name`, check its name. Raises `Unreadable`.

    Documents with a document type are refused, so that no entities are expanded. S3 sends none.
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
    """Return the children with this name."""
    return [child for child in element if child.tag.rpartition("}")[2] == name]


def text(element: "ET.Element", name: str) -> str:
    """Return the text of the first child with this name; "" if there is none."""
    return next((child.text or "" for child in children(element, name)), "")


def number(element: "ET.Element", name: str) -> int:
    """Return the integer in the first child with this name. Raises `Unreadable`."""
    digits = text(element, name)
    # More digits than a size has are an error, and Python raises for more than 4,300.
    if not (digits.isascii() and digits.isdigit() and len(digits) <= CONTENT_LENGTH_MAX_DIGITS):
        raise Unreadable("an answer", None)
    return int(digits)
