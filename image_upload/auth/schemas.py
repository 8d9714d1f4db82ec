"""The bodies of the sign-in routes."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from image_upload.limits import SIGN_IN_TEXT_MAX_CHARS

_Text = Annotated[str, Field(min_length=1, max_length=SIGN_IN_TEXT_MAX_CHARS)]


class TokenRequest(BaseModel):
    """A code or a refresh token. RFC 6749 sections 4.1.3 and 6."""

    grant_type: Literal["authorization_code", "refresh_token"]
    code: _Text | None = Field(None, description="authorization_code: what the front end's page got.")
    code_verifier: Annotated[str, Field(pattern=r"^[A-Za-z0-9._~-]{43,128}$")] | None = Field(
        None, description="authorization_code: whose SHA-256 was the `code_challenge`, if there was one."
    )
    refresh_token: _Text | None = Field(None, description="refresh_token: the newest one.")

    @model_validator(mode="after")
    def _complete(self) -> "TokenRequest":
        name = "code" if self.grant_type == "authorization_code" else "refresh_token"
        if getattr(self, name) is None:
            raise ValueError(f"{name} is missing")
        return self


class LogoutRequest(BaseModel):
    """The refresh token of the session to end."""

    refresh_token: _Text


class Person(BaseModel):
    """A user."""

    user_id: int | str = Field(description="A whole number for users who signed in here, else the token's `sub`.")
    email: str | None = Field(description="Only an address that a provider has verified.")
    name: str | None


class TestToken(BaseModel):
    """A token without a way to renew it."""

    access_token: str
    token_type: Literal["bearer"]
    expires_in: int = Field(description="Seconds.")
    user: Person


class Tokens(TestToken):
    """A short-lived access token, and the refresh token for the next one."""

    refresh_token: str = Field(description="For once.")
