"""What SECRETS_FROM says: where the secrets are that the settings only refer to. Pure, and imported before the rest."""

import re
from typing import Literal, NamedTuple

EXPECTED = "ssm:/path/ for Parameter Store, or secretsmanager:NAME_OR_ARN"

# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html (Name): at most 15 levels, of
# which the setting's name is one, and nothing that begins with "aws" or "ssm".
_PATH = r"(?a)(?!/(?i:aws|ssm))(?:/[A-Za-z0-9_.-]{1,128}){1,14}/"

# https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html (Name)
_SECRET = r"(?a)(?:arn:[a-z0-9-]+:secretsmanager:(?P<region>[a-z0-9-]{1,32}):\d{12}:secret:)?[A-Za-z0-9/_+=.@-]{1,512}"


class SecretReference(NamedTuple):
    """A path of Parameter Store with its slash at the end, or the name or ARN of a secret of Secrets Manager.

    `region` is that of an ARN; None is the process's own.
    """

    service: Literal["ssm", "secretsmanager"]
    name: str
    region: str | None = None


def parse(text: str) -> SecretReference:
    """`ssm:/upload/`, `secretsmanager:upload`. Raises `ValueError`."""
    service, _, name = text.partition(":")
    if service == "ssm" and re.fullmatch(_PATH, name):
        return SecretReference("ssm", name)
    if service == "secretsmanager" and (secret := re.fullmatch(_SECRET, name)):
        return SecretReference("secretsmanager", name, secret["region"])
    if service == "ssm":
        raise ValueError("no path such as /upload/, with a slash at both ends, that does not begin with aws or ssm")
    raise ValueError("neither a path of Parameter Store nor a secret of Secrets Manager")
