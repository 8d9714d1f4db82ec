"""The settings of the key pair that signs, and of the region it signs for."""

from pydantic import SecretStr

from image_upload.settings.section import Known, Section, setting


def _key_pair(value: SecretStr | None, known: Known) -> SecretStr | None:
    if (value is None) != (known.get("aws_access_key_id") is None):
        raise ValueError("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together")
    return value


class AwsSettings(Section):
    """What `storage` and `database` both sign with."""

    # --- The bucket ------------------------------------------------------------------------------------

    aws_region: str = setting(
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        pattern=r"[a-z0-9-]{1,32}",
        description="the bucket's region, such as ap-northeast-2",
    )
    """The bucket's region. It is part of every signature and of the host, because the global host redirects and a
    redirect breaks a browser's preflight. Lambda sets `AWS_REGION` to its own region."""

    aws_access_key_id: str | None = setting(
        "AWS_ACCESS_KEY_ID",
        default=None,
        description="an access key id; without it the usual AWS credential chain is asked",
    )
    """Signs the URLs. Without it the AWS credential chain is asked (profile, SSO, role). Lambda sets it from the
    function's role."""

    aws_secret_access_key: SecretStr | None = setting(
        "AWS_SECRET_ACCESS_KEY",
        default=None,
        description="the secret that belongs to AWS_ACCESS_KEY_ID",
        check=_key_pair,
    )
    """Goes together with `AWS_ACCESS_KEY_ID`; one alone is refused."""

    aws_session_token: SecretStr | None = setting(
        "AWS_SESSION_TOKEN",
        default=None,
        description="the session token of temporary credentials",
    )
    """Becomes part of each presigned URL. Such a URL ends with the credentials, even before its own time, also the
    one hour of a part's URL."""
