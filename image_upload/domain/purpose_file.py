"""Read a file of purposes (TOML, docs/purposes.md), and report all its faults with their lines.

A start reads only a file that differs from the one that ships, whose values are in `shipped_purposes`.
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from image_upload.domain import checks
from image_upload.domain.keys import DEFAULT_FOLDER, OTHER_FOLDER, OWN_FOLDERS
from image_upload.domain.purposes import GIF_TYPES, GROUPS, USER_FILE, VARIANT_FORMATS, Purpose, Purposes, Variant
from image_upload.errors import UnsupportedFileType
from image_upload.languages.wording import human_bytes
from image_upload.limits import QUOTA_MAX, S3_OBJECT_MAX_BYTES

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", re.ASCII)
_PLACEHOLDERS: Final = ("id", "ext", "user", "yyyymmdd", "class_id")
# A folder of its own, then any segments, and the id last, where `keys.owner_tag_in` looks for the owner.
_PATTERN: Final = re.compile(
    r"[A-Za-z0-9_-]+/(?:(?:[A-Za-z0-9_-]|\{user\}|\{yyyymmdd\}|\{class_id\})+/)*\{id\}(?:\.\{ext\})?", re.ASCII
)
_SIZE: Final = re.compile(r"([0-9]{1,15}) ?(B|KiB|MiB|GiB|TiB)", re.ASCII)
_UNIT_POWERS: Final = {"B": 0, "KiB": 1, "MiB": 2, "GiB": 3, "TiB": 4}
_SCOPE: Final = re.compile(r"[!#-\[\]-~]{1,100}", re.ASCII)  # RFC 6749 section 3.3
_TASK: Final = re.compile(r"[a-z0-9_.-]{1,64}", re.ASCII)
_VARIANT: Final = re.compile(r"([a-z0-9-]{1,40}):([0-9]{1,5})(?::([a-z]{1,10}))?", re.ASCII)
_VARIANTS_MAX: Final = 8
_WIDTHS: Final = range(16, 4096 + 1)
_EXTENSION: Final = re.compile(r"[a-z0-9]{1,10}", re.ASCII)
_DAYS_MAX: Final = 2**31 - 1  # an Integer: https://docs.aws.amazon.com/AmazonS3/latest/API/API_LifecycleExpiration.html
_EXTENSIONS: Final = {each: ext for group in (*GROUPS.values(), GIF_TYPES) for each, ext in group.items()}

# The beginning of a line: `[invoice]`, `["invoice"]`; `key =`.
_HEADER: Final = re.compile(r"""\s*\[\s*["']?([^"'\]]*?)["']?\s*\]""")
_MEMBER: Final = re.compile(r"""\s*["']?([A-Za-z0-9_-]+)["']?\s*=""")

_Types = Mapping[str, tuple[str, ...]]


class PurposeFileError(ValueError):
    """A file of purposes cannot be used. The message has a line for each fault."""


class _Fault(NamedTuple):
    """What is wrong with a field of a purpose; `field` is "" for the whole purpose."""

    purpose: str
    field: str
    what: str


@functools.lru_cache(maxsize=2)  # two sections of the settings have the same file
def parse(text: str, name: str = "purposes.toml") -> Purposes:
    """Return the purposes of a file's text. `name` is the file's, for messages. Raises `PurposeFileError`."""
    import tomllib  # only an edited file is parsed

    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PurposeFileError(f"{name} is not TOML: {error}") from None
    if not tables.keys() - {USER_FILE.name}:
        raise PurposeFileError(f"{name} has no purpose. The first is the default of uploads that name none")
    faults: list[_Fault] = []
    rows = [_row(each, table, faults) for each, table in tables.items()]
    named = [row for row in rows if row.name != USER_FILE.name]
    faults += [*_name_faults(named), *_folder_faults(named)]
    if faults:
        lines = _lines(text)
        found = sorted((lines.get(each[:2], lines.get((each.purpose, ""), 0)), each) for each in faults)
        count = "1 fault" if len(found) == 1 else f"{len(found)} faults"
        raise PurposeFileError("\n    ".join([f"{name} has {count}:", *(_said(*each) for each in found)]))
    return Purposes.of(*named, user_file=next((row for row in rows if row not in named), USER_FILE))


def _said(line: int, fault: _Fault) -> str:
    where = f"{fault.purpose}.{fault.field}" if fault.field else fault.purpose
    return f"line {line}, {where}: {fault.what}" if line else f"{where}: {fault.what}"


def _lines(text: str) -> dict[tuple[str, str], int]:
    """Return the line of each (purpose, field), and of each (purpose, ""). tomllib does not tell them."""
    found: dict[tuple[str, str], int] = {}
    purpose = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            purpose = header[1]
            found.setdefault((purpose, ""), number)
        elif member := _MEMBER.match(line):
            found.setdefault((purpose, member[1]) if purpose else (member[1], ""), number)
    return found


# --- the fields of one purpose ----------------------------------------------------------------------


def _key(value: Any) -> str:
    pattern = value if isinstance(value, str) else ""
    if not pattern:
        raise ValueError('no text. Write a pattern such as "invoices/{user}/{id}.{ext}"')
    placeholders = re.findall(r"\{([^{}]*)\}", pattern)
    if unknown := [f"{{{each}}}" for each in placeholders if each not in _PLACEHOLDERS]:
        known = ", ".join(f"{{{each}}}" for each in _PLACEHOLDERS)
        raise ValueError(f"{', '.join(unknown)} is no placeholder. There are {known}")
    if "id" not in placeholders:
        raise ValueError("has no {id}, so two uploads would get the same key. End it with {id} or {id}.{ext}")
    if not _PATTERN.fullmatch(pattern):
        raise ValueError(
            "is no pattern of the form folder/…/{id} or folder/…/{id}.{ext}. A folder has A-Z, a-z, 0-9, _ and -, "
            "and those behind the first also {user}, {yyyymmdd} and {class_id}"
        )
    return pattern


def _kept_days(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _DAYS_MAX:
        raise ValueError("no whole number of days from 1. Leave it out for files that are kept for ever")
    return value


def _files_per_day(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= QUOTA_MAX:
        raise ValueError("no whole number from 1. Leave it out for any number of uploads")
    return value


def _types(value: Any) -> _Types:
    if not isinstance(value, list) or not value:
        raise ValueError('no list. Write one such as ["images", "application/pdf", {"image/heic" = ["heic", "heif"]}]')
    found: dict[str, tuple[str, ...]] = {}
    wrong = []
    for each in value:
        try:
            found |= _taken(each)
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError("; ".join(wrong))
    return found


def _taken(entry: Any) -> _Types:
    """Return the types of one entry: a group, a media type, or media types with their extensions."""
    if isinstance(entry, dict):
        return {_media_type(name): _extensions(name, given) for name, given in entry.items()}
    if isinstance(entry, str) and entry in GROUPS:
        return GROUPS[entry]
    name = _media_type(entry)
    # An audio type that is not listed has the extensions of all audio types. For other types any extension agrees.
    return {name: _EXTENSIONS.get(name, _EXTENSIONS.get(name.partition("/")[0] + "/*", ()))}


def _media_type(value: Any) -> str:
    try:
        found = checks.media_type(value) if isinstance(value, str) else ""
    except UnsupportedFileType:
        found = ""
    main, _, sub = found.partition("/")
    if not found or ";" in value or ("*" in found and (sub != "*" or ("*" in main and main != "*"))):
        raise ValueError(
            f"{value!r} is neither a media type such as application/pdf or image/* nor a group. The groups are "
            f"{', '.join(GROUPS)}"
        )
    return found


def _extensions(media_type: str, value: Any) -> tuple[str, ...]:
    given = value if isinstance(value, list) else [None]
    if wrong := [each for each in given if not isinstance(each, str) or not _EXTENSION.fullmatch(each)]:
        raise ValueError(
            f'{wrong[0]!r} is no extension of {media_type}. Write a list such as ["heic", "heif"]: 1 to 10 of a-z and '
            "0-9, without a dot"
        )
    return tuple(given)


def _largest(value: Any) -> int:
    count = value if isinstance(value, int) and not isinstance(value, bool) else None
    if isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        count = int(match[1]) * 1024 ** _UNIT_POWERS[match[2]]
    if count is None or count < 1:
        raise ValueError(f'{value!r} is no size. Write one such as "10 MiB" (B, KiB, MiB, GiB, TiB), or whole bytes')
    if count > S3_OBJECT_MAX_BYTES:
        raise ValueError(f"S3 holds no file above {human_bytes(S3_OBJECT_MAX_BYTES)}. Leave it out for that limit")
    return count


def _flag(value: Any) -> bool:
    if value is not True and value is not False:
        raise ValueError("neither true nor false")
    return bool(value)


def _scope(value: Any) -> str:
    if not isinstance(value, str) or not _SCOPE.fullmatch(value):
        raise ValueError(
            f'{value!r} is no scope. Write one word, such as "invoices". Leave it out to let every user upload'
        )
    return value


def _task(value: Any) -> str:
    if not isinstance(value, str) or not _TASK.fullmatch(value):
        raise ValueError(f'{value!r} is no task. Write 1 to 64 of a-z, 0-9, _, - and dot, such as "read-text"')
    return value


def variants(value: Any) -> tuple[Variant, ...]:
    """Return the variants of a text such as `thumb:320,card:1280:avif`. Raises `ValueError`."""
    if not isinstance(value, str) or not value:
        raise ValueError('no text. Write name:width, such as "thumb:320,card:1280:avif"')
    entries = value.split(",")
    if len(entries) > _VARIANTS_MAX:
        raise ValueError(f"has more than {_VARIANTS_MAX} variants. Leave some out")
    found = [_variant(each.strip()) for each in entries]
    if twice := {each.name for each in found if [other.name for other in found].count(each.name) > 1}:
        raise ValueError(f"{', '.join(sorted(twice))} stands there twice. Give each variant its own name")
    return tuple(found)


def _variant(text: str) -> Variant:
    match = _VARIANT.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is no variant. Write name:width or name:width:format, such as thumb:320; a name has a-z, 0-9, -"
        )
    width = int(match[2])
    if width not in _WIDTHS:
        raise ValueError(f"{text!r} has no width of {_WIDTHS[0]} to {_WIDTHS[-1]} pixels")
    for form in VARIANT_FORMATS:
        if form == (match[3] or VARIANT_FORMATS[0]):
            return Variant(match[1], width, form)
    raise ValueError(f"{text!r} has no format of {', '.join(VARIANT_FORMATS)}")


class _Field(NamedTuple):
    """How a field is read. `otherwise` stands in for one that is missing, and for one with a fault."""

    read: Callable[[Any], Any]
    otherwise: Any
    is_required: bool = False


_FIELDS: Final[Mapping[str, _Field]] = {
    "key": _Field(_key, "", is_required=True),
    "types": _Field(_types, {}, is_required=True),
    "largest": _Field(_largest, S3_OBJECT_MAX_BYTES),
    "kept_days": _Field(_kept_days, None),
    "cdn": _Field(_flag, otherwise=False),
    "cools": _Field(_flag, otherwise=False),
    "scope": _Field(_scope, None),
    "checked": _Field(_flag, otherwise=False),
    "variants": _Field(variants, ()),
    "task": _Field(_task, None),
    "files_per_day": _Field(_files_per_day, None),
}


# What the route of `[user-file]` decides: version 1 clients name no type, and their keys hold the file's name.
_FIXED: Final = frozenset({"key", "types", "cdn", "checked", "variants"})


def _row(name: str, table: Any, faults: list[_Fault]) -> Purpose:
    """Return a purpose, and add its faults. `user-file` has the values of `USER_FILE` where the file has none."""
    is_user_file = name == USER_FILE.name
    values: dict[str, Any] = {field: each.otherwise for field, each in _FIELDS.items()}
    if is_user_file:
        own = USER_FILE._asdict() | {"largest": USER_FILE.max_bytes}
        values |= {field: own[field] for field in values}
    if not isinstance(table, dict):
        faults.append(_Fault(name, "", f"no table. A purpose is [{name}] with its fields below"))
        table = {}
    else:
        missing = [] if is_user_file else [field for field, each in _FIELDS.items() if each.is_required]
        missing = [field for field in missing if field not in table]
        faults += [_Fault(name, "", f"{field} is missing") for field in missing]
    for field, value in table.items():
        try:
            if field not in _FIELDS:
                raise ValueError(f"no such field. There are {', '.join(_FIELDS)}")
            if is_user_file and field in _FIXED:
                raise ValueError("is decided by POST /files/upload-url. Leave it out")
            values[field] = _FIELDS[field].read(value)
        except ValueError as error:
            faults.append(_Fault(name, field, str(error)))
    if is_user_file and "cools" not in table and values["kept_days"] is not None:
        values["cools"] = False
    if values["cools"] and values["kept_days"] is not None:
        faults.append(_Fault(name, "cools", "true is for files that are kept for ever. Leave out this or kept_days"))
    row = Purpose(name, max_bytes=values.pop("largest"), **values)
    if row.variants and not (row.checked and (row.holds_pictures or not row.types)):
        what = "are made of verified pictures. Set checked = true, and types to images that a browser shows"
        faults.append(_Fault(name, "variants", what))
    return row


# --- what purposes must agree on --------------------------------------------------------------------


def _name_faults(rows: Sequence[Purpose]) -> Iterator[_Fault]:
    """Yield names that cannot be used: clients name a purpose without regard to case."""
    taken = {USER_FILE.name: "the purpose of POST /files/upload-url"}
    for row in rows:
        if not _NAME.fullmatch(row.name):
            yield _Fault(
                row.name, "", "a name has 1 to 40 of A-Z, a-z, 0-9, _ and -, and begins with a letter or digit"
            )
        if other := taken.get(row.name.lower()):
            yield _Fault(row.name, "", f"is also the name of {other}. Case makes no difference")
        taken.setdefault(row.name.lower(), row.name)


def _folder_faults(rows: Sequence[Purpose]) -> Iterator[_Fault]:
    """Yield folders that two purposes share, and that forms without purpose and folder cannot share."""
    taken = {USER_FILE.prefix: "POST /files/upload-url", **dict.fromkeys(OWN_FOLDERS, "the service itself")}
    for row in rows:
        if not row.key:
            continue
        if other := taken.get(row.prefix):
            yield _Fault(row.name, "key", f"{row.prefix} is the folder of {other} already. Each purpose has its own")
        taken.setdefault(row.prefix, row.name)
        if row.prefix in (f"{DEFAULT_FOLDER}/", f"{OTHER_FOLDER}/") and row.kept_days is not None:
            what = "also takes forms that name neither purpose nor folder, and keeps them for ever"
            yield _Fault(row.name, "kept_days", f"{row.prefix} {what}. Choose another folder")
        if row.prefix == f"{OTHER_FOLDER}/" and row.cdn:
            what = "also takes forms of any type that name neither purpose nor folder, which must not be public"
            yield _Fault(row.name, "cdn", f"{row.prefix} {what}. Choose another folder")
