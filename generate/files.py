"""Which files are generated, and by what: a path → what makes the new text of the old one."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from generate import errors, limits, metrics, purposes, routes, settings, stores, template
from generate.blocks import BlockError

ROOT: Final = Path(__file__).resolve().parent.parent

FILES: Final[Mapping[str, Callable[[str], str]]] = {
    ".env.example": settings.dotenv,
    "docker-compose.yml": settings.compose,
    "docs/errors.md": errors.page,
    "docs/limits.md": limits.page,
    "docs/metrics.md": metrics.page,
    "docs/purposes.md": purposes.page,
    "docs/routes.md": routes.page,
    "docs/settings.md": settings.page,
    "docs/stack.md": template.page,
    "docs/stores.md": stores.page,
    "image_upload/domain/shipped_purposes.py": purposes.compiled,
    "infra/template.yaml": template.generated,
    "tests/contract/README.md": stores.page,
}


def stale(root: Path = ROOT) -> dict[str, str]:
    """Return the files that differ from what the code says, each with the text that it should have.

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
