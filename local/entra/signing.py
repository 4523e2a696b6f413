"""The key that signs every token of this directory, so that whoever gets one can tell it from any other."""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Self, cast

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import RSAAlgorithm

from local.tls import alone, write

_ALGORITHM = "RS256"
_KEY_ID = "this-machine"


class SigningKey:
    """A throw-away RSA key."""

    def __init__(self, key: RSAPrivateKey | None = None) -> None:
        self._key = key or generate_private_key(public_exponent=65537, key_size=2048)

    @classmethod
    def kept_in(cls, directory: Path) -> Self:
        """Read the key kept in ``directory``, making it when there is none: tokens outlive a restart."""
        file = directory / "entra-signing-key.pem"
        with alone(directory):
            if not file.exists():
                made = generate_private_key(public_exponent=65537, key_size=2048)
                write(
                    file, [made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())], mode=0o600
                )
        return cls(cast("RSAPrivateKey", load_pem_private_key(file.read_bytes(), None)))

    def sign(self, claims: Mapping[str, object]) -> str:
        """Return a JWT that says this."""
        return jwt.encode(dict(claims), self._key, _ALGORITHM, headers={"kid": _KEY_ID})

    def claims(self, token: str) -> dict[str, object] | None:
        """Return what a token says, whatever its age and audience; nothing if it was not signed here."""
        try:
            return jwt.decode(token, self._key.public_key(), [_ALGORITHM], options=_ANY_AGE_AND_AUDIENCE)
        except jwt.InvalidTokenError:
            return None

    def check(self, token: str, audience: str) -> dict[str, object]:
        """Return what a token says.

        Raises:
            jwt.InvalidTokenError: it was not signed here, is not for this audience, or not valid now.
        """
        return jwt.decode(token, self._key.public_key(), [_ALGORITHM], audience=audience)

    @cached_property
    def document(self) -> dict[str, object]:
        """The JSON Web Key Set by which others verify tokens."""
        key = json.loads(RSAAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**key, "use": "sig", "kid": _KEY_ID, "alg": _ALGORITHM}]}


_ANY_AGE_AND_AUDIENCE = jwt.types.Options(
    verify_exp=False, verify_nbf=False, verify_iat=False, verify_aud=False
)
