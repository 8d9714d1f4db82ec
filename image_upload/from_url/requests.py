"""What is to be imported: the body of the request, and the order that is made of it."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from image_upload.auth.principals import Principal
from image_upload.limits import FROM_URL_WAIT_MAX_S, FROM_URL_WAIT_S, MEMBERS_MAX, SOURCE_URL_MAX_CHARS
from image_upload.web.json_body import at_most


class ImportRequest(BaseModel):
    """A file to import."""

    model_config = ConfigDict(
        defer_build=True,
        json_schema_extra={"examples": [{"url": "https://www.example.com/cat.jpg", "purpose": "upload"}]},
    )

    url: str = Field(max_length=SOURCE_URL_MAX_CHARS, description="The https URL of the file on a public server.")
    purpose: str | None = Field(
        None,
        description="What it is for; decides key, types, size and life time. Without it: the first of GET /purposes.",
    )
    filename: str | None = Field(None, description="The bare file name, in any script. Without it: that of the URL.")
    sha256: str | None = Field(None, description="Its SHA-256, hexadecimal or base64: other bytes are refused.")
    metadata: Annotated[dict[str, str], at_most(MEMBERS_MAX)] | None = Field(
        None, max_length=MEMBERS_MAX, description="Stored with the object, as with POST /uploads."
    )
    wait: float = Field(
        FROM_URL_WAIT_S,
        ge=0,
        le=FROM_URL_WAIT_MAX_S,
        strict=True,
        description="Seconds to wait for the file; then the import goes on as a job. 0: a job at once.",
    )


class Order(BaseModel):
    """An import for a user, as one invocation of the function hands it to another. `url` may hold a secret."""

    model_config = ConfigDict(frozen=True)

    url: str = Field(repr=False)
    purpose: str | None
    filename: str | None
    sha256: str | None
    metadata: dict[str, str] | None
    user_id: str
    signed_in: bool
    scopes: tuple[str, ...]

    @classmethod
    def of(cls, wanted: ImportRequest, principal: Principal) -> "Order":
        """Return the order of a request."""
        given: dict[str, Any] = wanted.model_dump(exclude={"wait"})
        return cls(
            **given, user_id=principal.user_id, signed_in=principal.signed_in, scopes=tuple(sorted(principal.scopes))
        )

    @property
    def principal(self) -> Principal:
        """The user who ordered it."""
        return Principal(self.user_id, self.signed_in, frozenset(self.scopes))
