"""The settings of the process itself: its log, and the source of its secrets."""

from typing import Literal

from image_upload.settings import secret_reference
from image_upload.settings.section import Known, Section, setting


def _secrets_from(value: str | None, known: Known) -> str | None:
    if value is not None:
        if not known.on_lambda:
            raise ValueError("only Lambda reads it; here set the plain variables, such as JWT_SECRET")
        secret_reference.parse(value)
    return value


def _log_level(text: str | None, known: Known) -> str | None:
    return "DEBUG" if known.get("debug") else text and text.upper()


class ServiceSettings(Section):
    """What no room owns. A check may look at the fields above its own."""

    # --- Secrets by reference --------------------------------------------------------------------------

    secrets_from: str | None = setting(
        "SECRETS_FROM",
        default=None,
        description=f"{secret_reference.EXPECTED}; only on Lambda",
        check=_secrets_from,
    )
    """Where secrets are: a path of Parameter Store with a SecureString for each setting (`/path/JWT_SECRET`), or one
    secret of Secrets Manager whose JSON object has the settings' names. They are read while the service starts, by
    one request. Any other name there stops the start. What is given there and as a variable is taken from there,
    with a warning in the log."""

    secrets_refresh_s: int = setting(
        "SECRETS_REFRESH_SECONDS",
        default=300,
        least=30,
        most=86_400,
        description="whole seconds from 30 to 86400",
    )
    """How old the secrets may be when a request comes: then they are read again first. Changed ones take over
    without a deployment. Where they are wrong or cannot be read, those of before stay in use, the log has an error
    that names the setting, and the next look is a minute later."""

    # --- Logs ------------------------------------------------------------------------------------------

    debug: bool = setting(
        "DEBUG",
        default=False,
        description="true or false",
    )
    """Sets the log level to `DEBUG`. It changes no answer."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = setting(
        "LOG_LEVEL",
        default="INFO",
        description="one of DEBUG, INFO, WARNING, ERROR",
        before=_log_level,
    )
    """How much is logged. Logs are JSON lines on standard error. No level shows a presigned query or a token."""
