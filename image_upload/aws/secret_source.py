"""Read the secrets that SECRETS_FROM refers to, from Parameter Store or Secrets Manager, without an SDK.

https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParametersByPath.html
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html

Reading begins before the rest of the service is imported, so that the import and the call run at the same time. Import
only the standard library and the signer here: boto3 alone takes longer to import than the whole service.
"""

import contextlib
import functools
import http.client
import json
import random
import re
import socket
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from threading import Thread
from typing import Any, Final
from urllib.parse import urlsplit

from image_upload.aws.endpoints import Address, canonical_host, suffix_of
from image_upload.aws.sigv4 import Credentials, Signer
from image_upload.limits import (
    SECRETS_ANSWER_MAX_BYTES,
    SECRETS_ATTEMPT_TIMEOUT_S,
    SECRETS_PAGE_PARAMETERS,
    SECRETS_PAGES_MAX,
)
from image_upload.settings import secret_reference

# The name of a setting → its value.
Secrets = Mapping[str, str]

_TARGETS: Final = {"ssm": "AmazonSSM.GetParametersByPath", "secretsmanager": "secretsmanager.GetSecretValue"}
_ENDPOINT_VARIABLES: Final = {"ssm": "AWS_ENDPOINT_URL_SSM", "secretsmanager": "AWS_ENDPOINT_URL_SECRETS_MANAGER"}

_OK: Final = 200
# Temporary failures. https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
_RETRYABLE_STATUSES: Final = frozenset({429, 500, 502, 503, 504})
_RETRYABLE_CODES: Final = r"Throttl|TooManyRequests|RequestLimitExceeded|InternalS|ServiceUnavailable"
_CODE: Final = r"(?:.*#)?([A-Za-z]{1,64})"
# A random pause spreads the second attempts of processes that were started and throttled together.
_PAUSE_S: Final = (0.1, 0.5)
# A secret may have been written where a name belongs, so messages cut names.
_NAME_MAX_CHARS: Final = 64


class SecretsUnavailable(Exception):
    """The secrets could not be read. The message says why and what to do, and holds none of them."""


class _TemporaryFailure(Exception):
    """An attempt failed, but the next one may succeed."""


class SecretSource:
    """The source that SECRETS_FROM names. Raises `ValueError` if it names none."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.text = environ["SECRETS_FROM"].strip()
        self._reference = secret_reference.parse(self.text)
        region = self._reference.region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION", "")
        credentials = Credentials(
            environ.get("AWS_ACCESS_KEY_ID", ""),
            environ.get("AWS_SECRET_ACCESS_KEY", ""),
            environ.get("AWS_SESSION_TOKEN") or None,
        )
        self._is_complete = all((region, credentials.access_key_id, credentials.secret_access_key))
        url = urlsplit(_endpoint(self._reference.service, region, environ))
        self._host, self._port, self._tls = url.hostname or "", url.port, url.scheme == "https"
        self._authorities = environ.get("SSL_CERT_FILE")
        address = Address("", region, url.scheme, canonical_host(url.scheme, url.netloc), "")
        self._signer = Signer(address, credentials, service=self._reference.service)
        self._open: http.client.HTTPConnection | None = None

    def begin(self, limit_s: float) -> "Reading":
        """Start to read in a thread, for at most `limit_s` seconds."""
        return Reading(self, limit_s)

    def read(self, limit_s: float) -> Secrets:
        """Return all secrets. Try twice if the first failure is temporary. Raises `SecretsUnavailable`."""
        if not self._is_complete:
            raise SecretsUnavailable(
                "SECRETS_FROM needs AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which Lambda sets from "
                "the function's role. Give the function a role."
            )
        until = time.monotonic() + limit_s
        try:
            return self._attempt(until)
        except _TemporaryFailure as failure:
            pause_s = random.uniform(*_PAUSE_S)  # no secret
            if time.monotonic() + pause_s >= until:
                raise SecretsUnavailable(str(failure)) from None
            time.sleep(pause_s)  # a random pause, so that processes do not retry together
        try:
            return self._attempt(until)
        except _TemporaryFailure as failure:
            raise SecretsUnavailable(str(failure)) from None

    def break_off(self) -> None:
        """Close the connection that another thread waits on. A peer that sends a byte a second meets no timeout."""
        socket_ = self._open.sock if self._open is not None else None
        if socket_ is not None:
            with contextlib.suppress(OSError):
                socket_.shutdown(socket.SHUT_RDWR)

    def _attempt(self, until: float) -> Secrets:
        timeout_s = min(SECRETS_ATTEMPT_TIMEOUT_S, until - time.monotonic())
        if timeout_s <= 0:
            raise _TemporaryFailure(self.no_answer("no time is left"))
        self._open = connection = self._connection(timeout_s)
        try:
            if self._reference.service == "ssm":
                return self._parameters(connection)
            return self._secret(connection)
        except ssl.SSLCertVerificationError as error:
            raise SecretsUnavailable(self.no_answer(f"its certificate: {error.verify_message}")) from None
        except (OSError, http.client.HTTPException) as error:
            raise _TemporaryFailure(self.no_answer(type(error).__name__)) from None
        finally:
            connection.close()

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        if not self._tls:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        return http.client.HTTPSConnection(self._host, self._port, timeout=timeout_s, context=self._context)

    @functools.cached_property
    def _context(self) -> ssl.SSLContext:
        """The TLS context, as for S3: certifi's authorities, or those of SSL_CERT_FILE. It takes 30 ms to make."""
        import certifi  # only TLS needs it

        return ssl.create_default_context(cafile=self._authorities or certifi.where())

    def _parameters(self, connection: http.client.HTTPConnection) -> Secrets:
        path = self._reference.name
        asked: dict[str, Any] = {"Path": path, "WithDecryption": True, "MaxResults": SECRETS_PAGE_PARAMETERS}
        found: dict[str, str] = {}
        for _ in range(SECRETS_PAGES_MAX):
            page = self._call(connection, asked)
            listed = page.get("Parameters")
            if not isinstance(listed, list):
                raise self._not_understood()
            for each in listed:
                match each:
                    case {"Name": str(name), "Value": str(value)} if name.startswith(path):
                        found[name.removeprefix(path)] = value
                    case _:
                        raise self._not_understood()
            match page.get("NextToken"):
                case None | "":
                    return found
                case str(token):
                    asked["NextToken"] = token
                case _:
                    raise self._not_understood()
        raise SecretsUnavailable(
            f"{self.text} has more than {SECRETS_PAGES_MAX} pages of parameters. Give the settings a path of their own."
        )

    def _secret(self, connection: http.client.HTTPConnection) -> Secrets:
        text = self._call(connection, {"SecretId": self._reference.name}).get("SecretString")
        if not isinstance(text, str):
            raise SecretsUnavailable(f"{self.text} holds bytes. {_MAKE_IT_AN_OBJECT}")
        found = _json(text)
        if not isinstance(found, dict):
            raise SecretsUnavailable(f"{self.text} holds no JSON object. {_MAKE_IT_AN_OBJECT}")
        if wrong := [name for name, value in found.items() if not isinstance(value, str)]:
            raise SecretsUnavailable(f"In {self.text} the value of {listed(wrong)} is no text. Put it into quotes.")
        return found

    def _call(self, connection: http.client.HTTPConnection, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Send one call; return the JSON object of the answer."""
        service, body = self._reference.service, json.dumps(asked).encode()
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": _TARGETS[service]}
        headers = self._signer.sign_call(body, headers, now=datetime.now(UTC).replace(microsecond=0))
        connection.request("POST", "/", body, headers)
        response = connection.getresponse()
        answer = response.read(SECRETS_ANSWER_MAX_BYTES + 1)
        if len(answer) > SECRETS_ANSWER_MAX_BYTES:
            raise SecretsUnavailable(f"{self._host} answered with more than {SECRETS_ANSWER_MAX_BYTES} bytes.")
        document = _json(answer)
        if response.status == _OK and isinstance(document, dict):
            return document
        if response.status == _OK:
            raise self._not_understood()
        raise self._refused(response.status, document if isinstance(document, dict) else {})

    def _refused(self, status: int, document: Mapping[str, Any]) -> Exception:
        """Return the exception for an error document of AWS. Its message repeats only the code, not AWS's text."""
        match = re.fullmatch(_CODE, str(document.get("__type", "")))
        code = match[1] if match else ""
        message = str(document.get("message") or document.get("Message") or "").lower()
        remedy = self._remedy(code, message)
        text = f"{self.text} could not be read: {self._host} answered {f'{status} {code}'.rstrip()}. {remedy}"
        is_temporary = status in _RETRYABLE_STATUSES or re.search(_RETRYABLE_CODES, code)
        return _TemporaryFailure(text) if is_temporary else SecretsUnavailable(text)

    def _remedy(self, code: str, message: str) -> str:
        """Return what to do about a code of AWS."""
        ssm = self._reference.service == "ssm"
        action = "ssm:GetParametersByPath" if ssm else "secretsmanager:GetSecretValue"
        if code in {"InvalidKeyId", "DecryptionFailure"} or "kms" in message or "ciphertext" in message:
            return (
                "Allow the function's role kms:Decrypt on the key that encrypts it (parameter SecretsKeyArn of the "
                "stack), and see that the key is enabled."
            )
        if code == "AccessDeniedException":
            name = f"parameter{self._reference.name}" if ssm else f"the secret {self._reference.name}"
            return (
                f"Allow the function's role {action} on {name} (parameter SecretsFrom of the stack), and kms:Decrypt "
                "if a key of your own encrypts it (SecretsKeyArn)."
            )
        if code == "ResourceNotFoundException":
            return f"Make the secret in {self._signer.address.region}, or set SECRETS_FROM to the one that is there."
        if re.search(_RETRYABLE_CODES, code):
            return (
                "Lambda tries again. If it goes on, too many processes start at once for Parameter Store: "
                "docs/deploy.md (Secrets) says what serves more."
            )
        return "See the code in AWS's documentation of the operation."

    def no_answer(self, why: str) -> str:
        """Return the message for a call without an answer: what failed, and what to check."""
        service = self._reference.service
        return (
            f"{self.text} could not be read: no answer from {self._host} ({why}). A function in subnets needs a way "
            f"there: an interface endpoint com.amazonaws.{self._signer.address.region}.{service} with private DNS, or "
            "a NAT gateway, and a security group that lets port 443 out."
        )

    def _not_understood(self) -> SecretsUnavailable:
        return SecretsUnavailable(f"{self._host} gave an answer for {self.text} that is not what AWS documents.")


_MAKE_IT_AN_OBJECT: Final = 'Make it a JSON object of settings, such as {"JWT_SECRET": "..."}.'


class Reading:
    """A read that runs in a thread, because name resolution has no timeout of its own and the caller has one."""

    def __init__(self, source: SecretSource, limit_s: float) -> None:
        self.source = source
        self._limit_s = limit_s
        self._until = time.monotonic() + limit_s
        self._outcome: Secrets | BaseException | None = None
        self._thread = Thread(target=self._read, name="secrets", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            self._outcome = self.source.read(self._limit_s)
        except BaseException as error:  # noqa: BLE001  raised where it is waited for
            self._outcome = error

    def result(self) -> Secrets:
        """Wait for the secrets and return them. Raises `SecretsUnavailable`."""
        self._thread.join(max(0.0, self._until - time.monotonic()))
        outcome = self._outcome
        if outcome is None:
            self.source.break_off()
            raise SecretsUnavailable(self.source.no_answer(f"{self._limit_s:g} s"))
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


def begin(environ: Mapping[str, str], limit_s: float) -> Reading | None:
    """Start to read what SECRETS_FROM names. Return None if it is not set, or is wrong: the settings report that."""
    if not environ.get("SECRETS_FROM", "").strip():
        return None
    try:
        source = SecretSource(environ)
    except ValueError:
        return None
    return source.begin(limit_s)


def listed(names: "list[str] | tuple[str, ...]") -> str:
    """Return names for a message, cut to `_NAME_MAX_CHARS`: a secret may have been written where a name belongs."""
    return ", ".join(name if len(name) <= _NAME_MAX_CHARS else f"{name[:_NAME_MAX_CHARS]}..." for name in names)


def _endpoint(service: str, region: str, environ: Mapping[str, str]) -> str:
    """Return scheme://host[:port] of a service.

    https://docs.aws.amazon.com/general/latest/gr/ssm.html, https://docs.aws.amazon.com/general/latest/gr/asm.html
    """
    own = environ.get(_ENDPOINT_VARIABLES[service])
    if own and environ.get("ENVIRONMENT", environ.get("ENV", "")) in {"local", "development", "test"}:
        return own
    fips = environ.get("AWS_USE_FIPS_ENDPOINT", "").lower() == "true"
    # Systems Manager's ordinary endpoints in GovCloud are FIPS endpoints.
    if fips and not (service == "ssm" and region.startswith("us-gov-")):
        service += "-fips"
    return f"https://{service}.{region}.{suffix_of(region)}"


def _json(text: str | bytes) -> Any:
    """Return the value of a JSON text; None if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
