"""Whether a caller is the app that it says it is: by secret, by certificate, or by its managed identity."""

import base64
import binascii
from collections.abc import Mapping

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.x509 import Certificate

from local.entra.denials import DeniedError
from local.entra.directory import Directory
from local.entra.issuing import EXCHANGE_AUDIENCE, identity_issuer
from local.entra.signing import SigningKey

_JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_NEEDED = ["aud", "exp", "iss", "sub"]


def check(directory: Directory, key: SigningKey, form: Mapping[str, object], token_url: str) -> None:
    """Check the app's credential.

    Raises:
        DeniedError: it is unknown, or shows no credential or a wrong one.
    """
    if form.get("client_id") != directory.registration.client_id:
        raise DeniedError(700016)
    if assertion := form.get("client_assertion"):
        if form.get("client_assertion_type") != _JWT_BEARER:
            raise DeniedError(50013)
        _check_assertion(directory, key, str(assertion), token_url)
    elif secret := form.get("client_secret"):
        if secret != directory.registration.client_secret:
            raise DeniedError(7000215)
    else:
        raise DeniedError(7000218)


def _check_assertion(directory: Directory, key: SigningKey, assertion: str, token_url: str) -> None:
    try:
        said = jwt.decode(assertion, options={"verify_signature": False})
        if said.get("iss") == directory.registration.client_id:
            _check_certificate(directory, assertion, token_url)
        else:
            _check_federated(directory, key, assertion, said)
    except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError):
        raise DeniedError(700024) from None
    except jwt.InvalidTokenError:
        raise DeniedError(50013) from None


def _check_certificate(directory: Directory, assertion: str, token_url: str) -> None:
    certificate = _signer(directory, jwt.get_unverified_header(assertion))
    public_key = certificate.public_key()
    assert isinstance(public_key, RSAPublicKey)
    client_id = directory.registration.client_id
    try:
        jwt.decode(
            assertion,
            public_key,
            ["PS256", "RS256"],
            audience=token_url,
            subject=client_id,
            options={"require": _NEEDED},
        )
    except jwt.InvalidSignatureError:
        raise DeniedError(700027) from None


def _signer(directory: Directory, header: Mapping[str, object]) -> Certificate:
    """Find the registered certificate that an assertion's header names by its thumbprint."""
    for certificate in directory.certificates:
        by_name = {"x5t#S256": certificate.fingerprint(SHA256()), "x5t": certificate.fingerprint(SHA1())}  # noqa: S303 - the header's own
        if any(_bytes(header.get(name)) == thumbprint for name, thumbprint in by_name.items()):
            return certificate
    raise DeniedError(700027)


def _bytes(text: object) -> bytes:
    try:
        return base64.urlsafe_b64decode(f"{text}==")
    except (binascii.Error, ValueError):
        return b""


def _check_federated(
    directory: Directory, key: SigningKey, assertion: str, said: Mapping[str, object]
) -> None:
    """Check an assertion against the one federated credential there is: that of the managed identity."""
    if said.get("iss") != identity_issuer(directory.registration):
        raise DeniedError(700211)
    if said.get("aud") != EXCHANGE_AUDIENCE:
        raise DeniedError(700212)
    if said.get("sub") != directory.registration.identity_principal_id:
        raise DeniedError(700213)
    key.check(assertion, audience=EXCHANGE_AUDIENCE)
