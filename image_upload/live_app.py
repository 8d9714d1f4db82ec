"""The current app on Lambda. When secrets of SECRETS_FROM change, a new app replaces it.

No request is handled during the replacement: a Lambda process handles one event at a time.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette

from image_upload.app import create_app
from image_upload.aws.secret_source import Reading, Secrets, SecretsUnavailable, listed
from image_upload.limits import SECRETS_REFRESH_TIMEOUT_S, SECRETS_RETRY_S
from image_upload.settings import Settings, SettingsError, load, secret_settings
from image_upload.telemetry import logs

log = logging.getLogger(__name__)

# Wall time, because the monotonic clock may stop while Lambda freezes the process.
wall_clock = time.time

_CANNOT_START = "The service cannot start: "

# The largest share of an invocation's time for reading changed secrets.
_SHARE = 0.25


class LiveApp:
    """Settings and the app.

    `environ` does not change. The secrets of `reading` are read again every `SECRETS_REFRESH_SECONDS`. The constructor
    raises `SettingsError`.
    """

    def __init__(self, environ: Mapping[str, str], reading: Reading | None = None) -> None:
        self._environ = environ
        self._source = reading.source if reading is not None else None
        try:
            self._secrets: Secrets = reading.result() if reading is not None else {}
        except SecretsUnavailable as error:
            raise SettingsError(f"{_CANNOT_START}{error}") from None
        self.settings = self._load(self._secrets)
        logs.configure(self.settings.service)
        if twice := sorted(name for name in self._secrets if environ.get(name, "").strip()):
            log.warning(
                "a secret is given by SECRETS_FROM and by a variable; the variable is ignored, remove it",
                extra={"fields": {"settings": twice}},
            )
        self.app = create_app(self.settings)
        self._asked_at = wall_clock()
        self._due_at = self._asked_at + self.settings.service.secrets_refresh_s

    def _load(self, secrets: Secrets) -> Settings:
        """Return the settings with these secrets. Raises `SettingsError`, which names settings but no values."""
        if self._source is None:
            return load(self._environ)
        known = secret_settings()
        if foreign := sorted(secrets.keys() - known):
            raise SettingsError(
                f"{_CANNOT_START}{self._source.text} holds {listed(foreign)}. Only these may come from there: "
                f"{', '.join(known)}. Set the others as variables of the function, and delete what is no setting."
            )
        try:
            return load({**self._environ, **secrets})
        except SettingsError as error:
            raise SettingsError(f"{error} {self._source.text} holds: {listed(sorted(secrets)) or 'nothing'}.") from None

    def refresh(self, context: Any) -> None:
        """Read the secrets again, if it is time. Never raises: after a failure the current app stays."""
        now = wall_clock()
        if self._source is None or self._asked_at <= now < self._due_at:
            return
        # The next attempt after a failure; a success sets a later one.
        self._asked_at, self._due_at = now, now + SECRETS_RETRY_S
        try:
            left_s = context.get_remaining_time_in_millis() / 1000
            secrets = self._source.begin(min(SECRETS_REFRESH_TIMEOUT_S, left_s * _SHARE)).result()
            if secrets != self._secrets:
                self._take_over(secrets)
        except (SecretsUnavailable, SettingsError) as error:
            _not_refreshed(str(error).removeprefix(_CANNOT_START))
        except Exception as error:  # noqa: BLE001  a request must not fail because of it
            # The error's text may quote a secret, so only its type is logged.
            _not_refreshed(type(error).__name__)
        else:
            self._due_at = now + self.settings.service.secrets_refresh_s

    def _take_over(self, secrets: Secrets) -> None:
        """Serve with these secrets from now on."""
        settings = self._load(secrets)
        before = self.app
        self.app = create_app(settings)
        changed = {name for name, _ in self._secrets.items() ^ secrets.items()}
        self.settings, self._secrets = settings, secrets
        log.info("secrets have changed", extra={"fields": {"settings": sorted(changed)}})
        try:
            # On Mangum's event loop: connections to S3 and the database belong to their loop.
            asyncio.get_event_loop().run_until_complete(asyncio.wait_for(_closed(before), SECRETS_REFRESH_TIMEOUT_S))
        except Exception as error:  # noqa: BLE001  the connections are not used any more
            log.warning("connections were not closed", extra={"fields": {"reason": type(error).__name__}})


async def _closed(app: Starlette) -> None:
    """Close an app's connections, as a plain server does when it ends."""
    async with app.router.lifespan_context(app):
        pass


def _not_refreshed(reason: str) -> None:
    log.error("secrets were not refreshed; the ones of before stay in use", extra={"fields": {"reason": reason}})
