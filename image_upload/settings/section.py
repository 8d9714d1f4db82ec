"""A section: the settings of one room, read from the environment and checked field by field.

    class UsageSettings(Section):
        quota_bytes_per_day: int | None = setting("QUOTA_BYTES_PER_DAY", default=None, least=1, description="…")

The annotation says what the text becomes: bool, int, float, str, SecretStr, a Literal of words, or a tuple of texts
between commas. Not a model of pydantic: building one took 20 ms of each start, this takes 8.
"""

import re
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any, ClassVar, Final, Literal, Self, Union, get_args, get_origin

from pydantic import SecretStr

_REQUIRED: Final = object()

BOOLEANS: Final = {
    **dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "off", "0"), False),
}


class Known(dict[str, Any]):
    """The fields above the one that is checked, by name. One with a fault is missing.

    `serving` is false for a process that answers no HTTP: it needs no secret of tokens and sign-in.
    """

    def __init__(self, *, serving: bool) -> None:
        super().__init__()
        self.serving = serving

    @property
    def production(self) -> bool:
        """Whether what is unsafe is refused. False where ENVIRONMENT itself is wrong."""
        return self.get("environment") == "production"

    @property
    def on_lambda(self) -> bool:
        """Whether this process runs inside AWS Lambda."""
        return self.get("lambda_function_name") is not None


# From the value and the fields above it to the value to use. Raises `ValueError` with the fault, without the value of a
# secret.
Check = Callable[[Any, Known], Any]
# The same for the text, None if it is not set, before it is parsed.
Before = Callable[[str | None, Known], str | None]


class Setting:
    """One field of a section: its environment variables, its default, and what is expected of it."""

    def __init__(
        self,
        variables: tuple[str, ...],
        default: Any,
        description: str,
        *,
        least: int | None,
        most: int | None,
        pattern: str | None,
        before: Before | None,
        check: Check | None,
    ) -> None:
        self.variables = variables
        self.default = default
        self.description = description
        self._least = least
        self._most = most
        self._pattern = pattern
        self._before = before
        self._check = check
        self.type: Any = None

    def __set_name__(self, owner: type, name: str) -> None:
        annotation = owner.__annotations__[name]
        origin: Any = get_origin(annotation)
        # An optional setting has one type beside None.
        union = get_args(annotation) if origin in (Union, UnionType) else (annotation,)
        (self.type,) = (each for each in union if each is not NoneType)

    @property
    def is_required(self) -> bool:
        """Whether there is no default."""
        return self.default is _REQUIRED

    @property
    def is_secret(self) -> bool:
        """Whether its value is shown nowhere."""
        return self.type is SecretStr

    @property
    def choices(self) -> tuple[str, ...]:
        """All that it can be, where that is a list of words."""
        if self.type is bool:
            return ("true", "false")
        return get_args(self.type) if get_origin(self.type) is Literal else ()

    def read(self, given: Mapping[str, str], known: Known) -> Any:
        """Return its value. Raises `ValueError` that says what is wrong."""
        text = next((given[name] for name in self.variables if name in given), None)
        if self._before is not None:
            text = self._before(text, known)
        if text is None and self.is_required:
            raise ValueError("missing")
        value = self.default if text is None else self._parsed(text)
        return value if self._check is None else self._check(value, known)

    def _parsed(self, text: str) -> Any:
        kind = self.type
        if kind is bool:
            if text.lower() not in BOOLEANS:
                raise ValueError("neither true nor false")
            return BOOLEANS[text.lower()]
        if kind is int or kind is float:
            return self._number(text)
        if get_origin(kind) is tuple:
            return tuple(item for item in (part.strip() for part in text.split(",")) if item)
        if get_origin(kind) is Literal:
            if text not in get_args(kind):
                raise ValueError("not one of them")
            return text
        if self._pattern is not None and not re.fullmatch(self._pattern, text):
            raise ValueError("not of this form")
        # What else a setting can be, such as the contents of a file, its check makes of the text.
        return kind(text) if kind in (str, SecretStr) else text

    def _number(self, text: str) -> int | float:
        try:
            value: int | float = self.type(text)
        except ValueError:
            raise ValueError("not a whole number" if self.type is int else "not a number") from None
        if self._least is not None and not value >= self._least:
            raise ValueError(f"below {self._least}")
        if self._most is not None and not value <= self._most:
            raise ValueError(f"above {self._most}")
        return value


def setting(
    *variables: str,
    description: str,
    default: Any = _REQUIRED,
    least: int | None = None,
    most: int | None = None,
    pattern: str | None = None,
    before: Before | None = None,
    check: Check | None = None,
) -> Any:
    """Declare a field of a section: its variables, the preferred one first. `description` is what is expected.

    `least` and `most` bound a number, `pattern` matches the whole of a text. `before` changes the text, `check` the
    value, also the default.
    """
    return Setting(variables, default, description, least=least, most=most, pattern=pattern, before=before, check=check)


class Section:
    """The base of every section, a frozen value. A check may look at the fields above its own, so these come first."""

    fields: ClassVar[dict[str, Setting]] = {}

    # --- Where the service runs ------------------------------------------------------------------------

    environment: Literal["local", "development", "test", "production"] = setting(
        "ENVIRONMENT", "ENV", default="production", description="one of local, development, test, production"
    )
    """What is unsafe (plain http, unverified TLS, a short secret, test tokens) is possible only outside
    production. The default is the strict one, for services where it was forgotten."""

    lambda_function_name: str | None = setting(
        "AWS_LAMBDA_FUNCTION_NAME", default=None, description="set by Lambda itself"
    )
    """With it the service knows that it runs on Lambda: no `.env`, no CORS answers of its own, smaller forms. Do not
    set it yourself."""

    def __init_subclass__(cls) -> None:
        bases = [base for base in reversed(cls.__mro__) if issubclass(base, Section)]
        cls.fields = {name: each for base in bases for name, each in vars(base).items() if isinstance(each, Setting)}

    def __init__(self, values: Mapping[str, Any]) -> None:
        vars(self).update(values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name} of {type(self).__name__} cannot be changed")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # as of every value with an __eq__ of its own

    @classmethod
    def read(cls, given: Mapping[str, str], *, serving: bool) -> tuple[Self, dict[str, str]]:
        """Return the section, and its faults: variable → what is wrong. With a fault the section is not complete."""
        known, faults = Known(serving=serving), {}
        for name, field in cls.fields.items():
            try:
                known[name] = field.read(given, known)
            except ValueError as error:
                faults[field.variables[0]] = str(error)
        return cls(known), faults

    def replaced(self, **changed: Any) -> Self:
        """Return the same but for some fields, which are not checked."""
        return type(self)({**vars(self), **changed})

    @property
    def production(self) -> bool:
        """Whether what is unsafe is refused."""
        return self.environment == "production"

    @property
    def on_lambda(self) -> bool:
        """Whether this process runs inside AWS Lambda."""
        return self.lambda_function_name is not None
