"""docs/purposes.md, and the Python values of purposes.toml."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from generate.blocks import fill, table
from image_upload.domain import purpose_file, purposes
from image_upload.domain.purposes import Purpose, Purposes, Variant
from image_upload.languages.wording import human_bytes

FILE: Final = Path(__file__).resolve().parent.parent / "purposes.toml"

_GROUPS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "images": purposes.IMAGE_TYPES,
    "images, with `ALLOW_GIF`": purposes.GIF_TYPES,
    "audio": purposes.AUDIO_TYPES,
    "documents": purposes.DOCUMENT_TYPES,
    "any": purposes.ANY_TYPE,
}
_COLUMNS: Final = ("Key", "Kept", "Types", "Largest", "CDN", "Cools", "Checked", "More")
# How the values in `compiled` are written: a type map that is a group has the group's name.
_CONSTANTS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "IMAGE_TYPES": purposes.IMAGE_TYPES,
    "AUDIO_TYPES": purposes.AUDIO_TYPES,
    "DOCUMENT_TYPES": purposes.DOCUMENT_TYPES,
    "ANY_TYPE": purposes.ANY_TYPE,
}


def declared() -> Purposes:
    """Return the purposes of purposes.toml. Ends the process with the faults of the file."""
    try:
        return purpose_file.parse(FILE.read_text(encoding="utf-8"))
    except purpose_file.PurposeFileError as error:
        raise SystemExit(f"{error}. docs/purposes.md describes the fields.") from None


def compiled(_: str) -> str:
    """image_upload/domain/shipped_purposes.py."""
    found = declared()
    own = [] if found.user_file == purposes.USER_FILE else [found.user_file]
    rows = [*found.named.values(), *own]
    groups = sorted({_constant(row) for row in rows} & _CONSTANTS.keys())
    names = ", ".join([*groups, "Purpose", "Purposes", *(["Variant"] if any(row.variants for row in rows) else [])])
    return "\n".join(
        [
            '"""The values of purposes.toml. Written by `make generate`: a start need not parse the file."""',
            "",
            "# fmt: off",
            "# ruff: noqa: E501, RUF100  a line has all of a purpose, however long",
            "",
            "from typing import Final",
            "",
            f"from image_upload.domain.purposes import {names}",
            "",
            "# Of the bytes of the file.",
            f'SHA256: Final = "{hashlib.sha256(FILE.read_bytes()).hexdigest()}"',
            "",
            "PURPOSES: Final = Purposes.of(",
            *(f"    {_written(row)}," for row in found.named.values()),
            *(f"    user_file={_written(row)}," for row in own),
            ")",
            "",
        ]
    )


def _written(row: Purpose) -> str:
    values: dict[str, Any] = {**row._asdict(), "types": None}
    shown = (f"{name}={_constant(row) if name == 'types' else _literal(value)}" for name, value in values.items())
    return f"Purpose({', '.join(shown)})"


def _constant(row: Purpose) -> str:
    return next((name for name, taken in _CONSTANTS.items() if taken == row.types), _literal(row.types))


def _literal(value: Any) -> str:
    """Return a Python literal as the formatter writes it: with double quotes."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_literal(name)}: {_literal(each)}' for name, each in value.items())}}}"
    if isinstance(value, Variant):
        return f"Variant{tuple(value)}".replace("'", '"')
    if isinstance(value, tuple):
        return f"({', '.join(_literal(each) for each in value)}{',' if len(value) == 1 else ''})"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def page(text: str) -> str:
    """docs/purposes.md."""
    named = [(f"`{name}`", *_facts(purpose)) for name, purpose in declared().named.items()]
    types = [
        (group, f"`{media_type}`", " ".join(f"`{each}`" for each in extensions) or "any")
        for group, taken in _GROUPS.items()
        for media_type, extensions in taken.items()
    ]
    return fill(
        text,
        {
            "purposes": table(("Purpose", *_COLUMNS), named),
            "internal purpose": table(
                ("Minted by", *_COLUMNS), [("`POST /files/upload-url`", *_facts(declared().user_file))]
            ),
            "types": table(("Group", "Type", "Extensions"), types),
        },
    )


def _facts(purpose: Purpose) -> tuple[str, ...]:
    return (
        f"`{purpose.key}`",
        f"{purpose.kept_days} days" if purpose.kept_days else "for ever",
        _taken(purpose.types),
        human_bytes(purpose.max_bytes),
        "yes" if purpose.cdn else "no",
        "yes" if purpose.cools else "no",
        "yes" if purpose.checked else "no",
        ", ".join(f"{name} `{value}`" for name, value in _more(purpose).items() if value),
    )


def _more(purpose: Purpose) -> dict[str, str | int | None]:
    """Return the fields that few purposes have, as the file writes them."""
    variants = ",".join(":".join(map(str, each)) for each in purpose.variants)
    return {"scope": purpose.scope, "variants": variants, "task": purpose.task, "files_per_day": purpose.files_per_day}


def _taken(types: Mapping[str, tuple[str, ...]]) -> str:
    """Return the group that a purpose takes, or its types."""
    group = next((name for name, taken in purposes.GROUPS.items() if taken == types), None)
    return group or " ".join(f"`{each}`" for each in types)
