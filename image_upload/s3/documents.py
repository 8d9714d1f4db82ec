"""S3's XML answers, read by local names: stores differ in whether they send S3's namespace."""

from typing import TYPE_CHECKING

from image_upload.s3.failures import S3Failure

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET


class Unreadable(S3Failure):
    """An answer that is no XML."""


def parse(document: bytes) -> "ET.Element":
    """The root of an answer. Raises `Unreadable`."""
    from xml.etree import ElementTree as ET  # noqa: PLC0415  minting a PUT need not pay for it

    try:
        return ET.fromstring(document)  # noqa: S314  our own bucket's answer; expat refuses entity bombs
    except ET.ParseError as error:
        raise Unreadable("an answer", None) from error


def children(element: "ET.Element", name: str) -> "list[ET.Element]":
    """The children of a name."""
    return [child for child in element if child.tag.rpartition("}")[2] == name]


def text(element: "ET.Element", name: str) -> str:
    """The text of the first child of a name, "" where there is none."""
    return next((child.text or "" for child in children(element, name)), "")
