"""The answers of the room's route, for the OpenAPI document only."""

from pydantic import BaseModel, Field


class Key(BaseModel):
    """A public key of Ed25519: RFC 8037."""

    kty: str = Field(examples=["OKP"])
    crv: str = Field(examples=["Ed25519"])
    x: str = Field(description="The key, in base64url.")
    kid: str = Field(description="Its thumbprint (RFC 7638), which receipts name.")
    alg: str = Field(examples=["EdDSA"])
    use: str = Field(examples=["sig"])


class KeySet(BaseModel):
    """A JSON Web Key Set: the key that signs now, and while JWT_SECRET changes the one of before."""

    keys: list[Key]
