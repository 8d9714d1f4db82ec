"""Which files are generated, and by what: a path → what makes the new text of the old one."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from generate import limits, settings, template
from generate.blocks import BlockError

ROOT: Final = Path(__file__).resolve().parent.parent

FILES: Final[Mapping[str, Callable[[str], str]]] = {
    "docker-compose.yml": settings.compose,
    "docs/limits.md": limits.page,
    "infra/template.yaml": template.generated,
}


def stale(root: Path = ROOT) -> dict[str, str]:
    """The files that differ from what the code says, each with the text that it should have.

    Raises `BlockError` for a file that lacks a block.
    """
    found = {}
    for path, generated in FILES.items():
        before = (root / path).read_text(encoding="utf-8")
        try:
            after = generated(before)
        except BlockError as error:
            raise BlockError(f"{path}: {error}") from None
        if after != before:
            found[path] = after
    return found
