"""The settings of the process itself: its log, and where its secrets are."""

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

    secrets_from: str | None = setting(
        "SECRETS_FROM",
        default=None,
        description=f"{secret_reference.EXPECTED}; only on Lambda",
        check=_secrets_from,
    )
    secrets_refresh_s: int = setting(
        "SECRETS_REFRESH_SECONDS",
        default=300,
        least=30,
        most=86_400,
        description="whole seconds from 30 to 86400",
    )
    debug: bool = setting(
        "DEBUG",
        default=False,
        description="true or false",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = setting(
        "LOG_LEVEL",
        default="INFO",
        description="one of DEBUG, INFO, WARNING, ERROR",
        before=_log_level,
    )
