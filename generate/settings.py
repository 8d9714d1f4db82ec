"""The settings: their tables in docs/settings.md, .env.example, and what docker-compose.yml hands on."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from generate.blocks import BlockError, fill, table
from generate.declarations import Declaration, declarations
from image_upload import settings
from image_upload.domain.purposes import Purposes
from image_upload.settings import SECTIONS, every_setting, secret_settings
from image_upload.settings.section import Section, Setting

# Lambda alone sets it.
_LAMBDAS_OWN: Final = "AWS_LAMBDA_FUNCTION_NAME"


class Described(NamedTuple):
    """A setting, its default in words, and what stands about it in its module."""

    setting: Setting
    default: str
    meaning: str
    section: str


def described() -> Iterator[Described]:
    """Yield every setting once, in the order of the sections."""
    texts: dict[str, Declaration] = {}
    for module in Path(settings.__file__).parent.glob("*.py"):
        # A section may be called like one of its settings, and has no text below it.
        texts |= {each.name: each for each in declarations(module.read_text(encoding="utf-8")) if each.paragraphs}
    known = set()
    for section in SECTIONS.values():
        for name, each in section.fields.items():
            if name not in known:
                known.add(name)
                if name not in texts:
                    raise BlockError(f"the text below {name} must say what the setting does")
                yield Described(each, default_of(section, name), " ".join(texts[name].paragraphs), texts[name].section)


def default_of(section: type[Section], name: str) -> str:
    """Return what holds where a setting is not given, as the documents write it."""
    setting = section.fields[name]
    if setting.is_required:
        return "required"
    if name == "environment":
        return _written(setting.default)
    production, elsewhere = (
        _written(vars(section.read({"ENVIRONMENT": environment}, serving=False)[0]).get(name, setting.default))
        for environment in ("production", "test")
    )
    return production if production == elsewhere else f"{production} in production, else {elsewhere}"


def _written(value: Any) -> str:
    match value:
        case Purposes():
            return "`purposes.toml` beside `upload.py`"
        case None:
            return "not set"
        case ():
            return "empty"
        case tuple():
            return f"`{','.join(value)}`"
        case bool():
            return f"`{str(value).lower()}`"
    return f"`{value}`"


def page(text: str) -> str:
    """docs/settings.md."""
    rows: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for each in described():
        names = ", ".join(f"`{variable}`" for variable in each.setting.variables)
        rows[each.section].append((names, each.default, each.setting.description, each.meaning))
    titles = ("Setting", "Default", "Expected", "What it does, and why")
    tables = {f"settings, {section}": table(titles, found) for section, found in rows.items()}
    secrets = ", ".join(f"`{name}`" for name in secret_settings())
    return fill(text, {**tables, "secret settings": f"\n{secrets}.\n\n"})


def dotenv(text: str) -> str:
    """.env.example: every setting that it does not set, with what is expected of it and its default."""
    left_out = {_LAMBDAS_OWN, *re.findall(r"^(\w+)=", text, re.MULTILINE)}
    sections: dict[str, list[str]] = defaultdict(list)
    for each in described():
        if (variable := each.setting.variables[0]) not in left_out:
            default = each.default.replace("`", "")
            sections[each.section] += [f"# {each.setting.description} ({default})\n# {variable}=\n"]
    blocks = [f"\n# --- {section} ---\n{''.join(lines)}" for section, lines in sections.items()]
    return fill(text, {"settings": "".join([*blocks, "\n"])})


def compose(text: str) -> str:
    """docker-compose.yml, whose services are handed every variable of an env file that is a setting."""
    variables = [name for field in every_setting().values() for name in field.variables if name != _LAMBDAS_OWN]
    return fill(text, {"settings": "".join(f"{variable}: ${{{variable}:-}}\n" for variable in variables)})
