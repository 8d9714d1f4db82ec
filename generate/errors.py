"""docs/errors.md: a table of each section of `image_upload.errors`."""

import ast
from collections import defaultdict
from pathlib import Path

from generate.blocks import BlockError, fill, table
from generate.declarations import paragraphs, section_of
from image_upload import errors


def page(text: str) -> str:
    """docs/errors.md."""
    kinds = {kind.__name__: kind for kind in errors.every_problem()}
    rows: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for module in sorted(Path(errors.__file__).parent.glob("*.py")):
        source = module.read_text(encoding="utf-8")
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef) and (kind := kinds.get(node.name)):
                said = paragraphs(kind.__doc__ or "")
                if len(said) != len(("when", "what to do")):
                    raise BlockError(f"the docstring of {node.name} must say in two paragraphs: when, what to do")
                rows[section_of(node, source)].append((f"`{kind.code}`", str(kind.status), *said))
    titles = ("Code", "Status", "When", "What to do")
    return fill(text, {f"errors, {section}": table(titles, each) for section, each in rows.items()})
