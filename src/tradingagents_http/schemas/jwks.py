"""The public keys of tokens, as a JSON Web Key Set (RFC 7517, 5)."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from tradingagents_http.schemas import Answer


class _PublicKey(Answer):
    use: Annotated[Literal["sig"], Field(description="The key verifies signatures.")]
    alg: Annotated[str, Field(description="The one algorithm of the key.", examples=["ES256"])]
    kid: Annotated[str, Field(description="The id of the key, which the header of a token has, too.")]


class RsaPublicKey(_PublicKey):
    """An RSA key (RFC 7518, 6.3)."""

    kty: Literal["RSA"]
    n: Annotated[str, Field(description="The modulus, in base64url.")]
    e: Annotated[str, Field(description="The exponent, in base64url.", examples=["AQAB"])]


class EcPublicKey(_PublicKey):
    """A key on an elliptic curve (RFC 7518, 6.2)."""

    kty: Literal["EC"]
    crv: Annotated[str, Field(description="The curve.", examples=["P-256"])]
    x: Annotated[str, Field(description="The first coordinate, in base64url.")]
    y: Annotated[str, Field(description="The second coordinate, in base64url.")]


class OkpPublicKey(_PublicKey):
    """A key for EdDSA (RFC 8037, 2)."""

    kty: Literal["OKP"]
    crv: Annotated[str, Field(description="The curve.", examples=["Ed25519"])]
    x: Annotated[str, Field(description="The public key, in base64url.")]


PublicKey: TypeAlias = Annotated[RsaPublicKey | EcPublicKey | OkpPublicKey, Field(discriminator="kty")]


class PublicKeySet(Answer):
    """The public keys of tokens: first the key of new tokens, then previous keys. Empty if keys are secret texts."""

    keys: list[PublicKey]
