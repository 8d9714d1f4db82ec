"""docs/limits.md: a table of each section of `image_upload.limits`."""

from collections import defaultdict
from pathlib import Path

from generate.blocks import fill, table
from generate.declarations import declarations
from image_upload import limits
from image_upload.languages.wording import human_bytes

_HOUR_S = 3_600
_OWN_CHOICE = "our own choice"


def page(text: str) -> str:
    """docs/limits.md."""
    rows: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for module in sorted(Path(limits.__file__).parent.glob("*.py")):
        for name, text_below, section in declarations(module.read_text(encoding="utf-8")):
            if section:
                meaning, source = [*text_below, _OWN_CHOICE][:2]
                rows[section].append((f"`{name}`", value_of(name), meaning, source))
    titles = ("Constant", "Value", "What it means, what breaks", "Source")
    return fill(text, {f"limits, {section}": table(titles, each) for section, each in rows.items()})


def value_of(name: str) -> str:
    """`5,368,709,120 (5 GiB)`, `86,400 (1 day)`."""
    value = getattr(limits, name)
    number = f"{value:,}".removesuffix(".0")
    if "_BYTES" in name and value >= limits.KIB:
        return f"{number} ({human_bytes(value)})"
    if name.endswith("_S") and value >= _HOUR_S:
        count, unit = (value // _HOUR_S, "hour") if value < 24 * _HOUR_S else (value // (24 * _HOUR_S), "day")
        return f"{number} ({count} {unit}{'s' if count > 1 else ''})"
    return number
