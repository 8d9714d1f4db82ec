"""What stands below an assignment in a source file: the text that says what the name means."""

import ast
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_SECTION: Final = re.compile(r" *# --- (.+?) -+")
_LINK: Final = re.compile(r"(?<!\]\()(?<![/\w])docs/([\w/-]+\.md)(#[\w-]+)?")


class Declaration(NamedTuple):
    """A name, the paragraphs below it (none, if there is no text), and the section (`# --- S3 ---`) that it is in."""

    name: str
    paragraphs: list[str]
    section: str


def declarations(source: str) -> Iterator[Declaration]:
    """Yield every annotated name of a module and of its classes, in their order."""
    tree = ast.parse(source)
    for body in [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]:
        for node, below in zip(body, [*body[1:], None], strict=True):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                yield Declaration(node.target.id, paragraphs(_text(below)), section_of(node, source))


def section_of(node: ast.stmt, source: str) -> str:
    """Return the title of the last section comment above a statement, `""` if there is none."""
    titles = [match[1] for line in source.splitlines()[: node.lineno] if (match := _SECTION.match(line))]
    return titles[-1] if titles else ""


def _text(node: ast.stmt | None) -> str:
    """Return a statement that is nothing but a text."""
    match node:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return text
    return ""


def paragraphs(text: str) -> list[str]:
    """Return a docstring as lines of a document, one a paragraph; `docs/records.md#set-up` becomes a link."""
    found = [" ".join(each.split()) for each in re.split(r"\n\s*\n", text)]
    return [_LINK.sub(r"[\1](\1\2)", each) for each in found if each]
