"""Read the environment variables into one frozen `Settings` value, and report all faults in one message.

`load` is called once, by an entry point. Nothing else in the package reads the environment.
docs/settings.md describes each setting and is held to these modules by a test.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeVar

from image_upload.settings import origins
from image_upload.settings.auth import AuthSettings
from image_upload.settings.database import DatabaseSettings
from image_upload.settings.from_url import FromUrlSettings
from image_upload.settings.notify import NotifySettings
from image_upload.settings.proxy import ProxySettings
from image_upload.settings.section import BOOLEANS, Section, Setting
from image_upload.settings.service import ServiceSettings
from image_upload.settings.sign_in import SignInSettings
from image_upload.settings.storage import StorageSettings
from image_upload.settings.tasks import TasksSettings
from image_upload.settings.telemetry import TelemetrySettings
from image_upload.settings.uploads import UploadSettings
from image_upload.settings.usage import UsageSettings
from image_upload.settings.verification import VerificationSettings
from image_upload.settings.web import WebSettings

# Secrets that Lambda itself sets, from the function's role.
_LAMBDAS_SECRETS: Final = frozenset({"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"})


class SettingsError(Exception):
    """The settings cannot be used. The message lists every fault and where to read on."""


class Settings(NamedTuple):
    """Everything an operator can decide, a section a room. What two sections must agree on is in `_between`."""

    sign_in: SignInSettings
    auth: AuthSettings
    usage: UsageSettings
    storage: StorageSettings
    proxy: ProxySettings
    web: WebSettings
    uploads: UploadSettings
    verification: VerificationSettings
    database: DatabaseSettings
    from_url: FromUrlSettings
    notify: NotifySettings
    tasks: TasksSettings
    service: ServiceSettings
    telemetry: TelemetrySettings

    def replaced(self, **changed: Any) -> "Settings":
        """Return the same but for some fields, in each section that has them. They are not checked."""
        if unknown := changed.keys() - {name for section in self for name in section.fields}:
            raise TypeError(f"no setting is called {', '.join(sorted(unknown))}")
        sections: dict[str, Any] = self._asdict()
        for name, section in sections.items():
            sections[name] = section.replaced(
                **{each: changed[each] for each in changed.keys() & section.fields.keys()}
            )
        return Settings(**sections)

    @property
    def front_ends(self) -> tuple[str, ...]:
        """The origins of the front ends: those that may call, and the one that a sign-in leads back to."""
        callback = self.sign_in.frontend_callback_url
        front_end = origins.of_url(callback) if callback else None
        return (*self.web.cors_allow_origins, *([front_end] if front_end else []))


SECTIONS: Final[dict[str, type[Section]]] = Settings.__annotations__


def every_setting() -> dict[str, Setting]:
    """Return every setting once, by its environment variable, the preferred one."""
    return {field.variables[0]: field for section in SECTIONS.values() for field in section.fields.values()}


def secret_settings() -> tuple[str, ...]:
    """Return the variables that hold a secret: those that SECRETS_FROM may lead to."""
    return tuple(name for name, field in every_setting().items() if field.is_secret and name not in _LAMBDAS_SECRETS)


_OneSection = TypeVar("_OneSection", bound=Section)


def load(environ: Mapping[str, str], *, serving: bool = True) -> Settings:
    """Return the settings of a mapping shaped like `os.environ`. An empty value counts as not set.

    `serving` is false for a process that answers no HTTP, such as most commands. Then the secrets of tokens and sign-in
    may be missing. Given values are always checked.
    Raises `SettingsError` with all faults in one message. Secrets are never repeated in it.
    """
    given = _given(environ)
    return Settings(**_read(SECTIONS, given, _between(given) if serving else {}, serving=serving))


def load_section(section: type[_OneSection], environ: Mapping[str, str], *, serving: bool) -> _OneSection:
    """Return one section alone, as `load` reads all of them."""
    read: _OneSection = _read({"only": section}, _given(environ), {}, serving=serving)["only"]
    return read


def _given(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are set and count."""
    given = {name: value.strip() for name, value in environ.items() if value.strip()}
    if given.get("ENVIRONMENT", given.get("ENV")) != "local":
        # The users' .env files have it, so only local runs may use it.
        given.pop("LOCALSTACK_ENDPOINT", None)
    return given


def _between(given: Mapping[str, str]) -> dict[str, str]:
    """Return what one section lacks because of another, where HTTP is answered: variable → what is wrong.

    It looks at what is given, not at the sections, so that the message has it beside the faults within them.
    """
    wrong = {}
    if given.keys() & {"GOOGLE_CLIENT_ID", "GITHUB_CLIENT_ID"} and "JWT_SECRET" not in given:
        wrong["JWT_SECRET"] = "missing; who signs in gets a token that is signed with it"
    if "QUEUE_URL" in given and "JWT_SECRET" not in given:
        wrong["JWT_SECRET"] = "missing; the tokens of jobs are made from it"
    is_in_lines = "AWS_LAMBDA_FUNCTION_NAME" in given and BOOLEANS.get(given.get("METRICS", "").lower())
    if is_in_lines and given.get("LOG_LEVEL", "").upper() in ("WARNING", "ERROR"):
        wrong["LOG_LEVEL"] = "above INFO, which is the level of the lines that hold METRICS"
    for name in ("QUOTA_BYTES_TOTAL", "QUOTA_FILES_TOTAL"):
        if name in given and "DATABASE_URL" not in given:
            wrong[name] = "without DATABASE_URL nothing is counted for longer than a day"
    return wrong


def _read(
    sections: Mapping[str, type[Section]], given: Mapping[str, str], between: Mapping[str, str], *, serving: bool
) -> dict[str, Any]:
    """Return each section's value. Raises `SettingsError` about all of them."""
    values: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for name, section in sections.items():
        values[name], faults = section.read(given, serving=serving)
        # Sections share fields, and a shared fault is reported once.
        wrong |= faults
    wrong |= between
    if wrong:
        raise SettingsError(_describe(wrong, serving=serving))
    return values


def _describe(wrong: Mapping[str, str], *, serving: bool) -> str:
    """Return one line a fault: the variable, what is wrong with it, what was expected."""
    known = every_setting()
    lines = [f"  {variable}: {what}. Expected: {known[variable].description}." for variable, what in wrong.items()]
    count = "1 setting is" if len(lines) == 1 else f"{len(lines)} settings are"
    advice = (
        "Set them in the environment or in a .env file; .env.example is a working set and docs/settings.md "
        "describes each one."
    )
    start = "The service cannot start" if serving else "The command cannot begin"
    return "\n".join([f"{start}: {count} missing or wrong.", *lines, advice])


def read_dotenv(environ: Mapping[str, str], path: str = ".env") -> dict[str, str]:
    """Return the environment completed by a `.env` file where there is one; real variables win."""
    from dotenv import dotenv_values  # Lambda never needs it

    from_file: dict[str, Any] = dict(dotenv_values(path))
    return {name: value for name, value in from_file.items() if value is not None} | dict(environ)
