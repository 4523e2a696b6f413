"""The tokens: what each says, and what an API makes of one that it is shown."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from time import time
from uuid import uuid4

from local.entra.directory import Directory, Grant, Registration
from local.entra.signing import SigningKey

EXCHANGE_AUDIENCE = "api://AzureADTokenExchange"
IDENTITY_SECONDS = 24 * 3600
_ID_TOKEN_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Issued:
    """An access token that was handed out: for which API, whose, whether with MFA, and till when."""

    audience: str
    user_id: str
    tenant_id: str
    mfa: bool
    app_only: bool
    expires: float


class Issuing:
    """Signs tokens, and tells an API what is known of one."""

    def __init__(self, directory: Directory, key: SigningKey) -> None:
        self.directory, self._key = directory, key
        self._known: dict[str, Issued] = {}

    def access_token(self, grant: Grant, resource: str, scopes: str) -> str:
        """Issue an access token by which the app acts for the person."""
        now = self.directory.now
        claims = {
            **self._person(grant),
            "aud": resource,
            "iss": f"https://sts.windows.net/{grant.tenant_id}/",
            "appid": self.directory.registration.client_id,
            "scp": scopes,
            "upn": grant.upn,
            "jti": str(uuid4()),
            "iat": int(now),
            "nbf": int(now),
            "exp": int(now) + self.directory.conditions.access_token_seconds,
            "ver": "1.0",
        }
        token = self._key.sign(claims)
        self._known[token] = _read(claims)
        return token

    def id_token(self, grant: Grant, nonce: str | None, issuer: str) -> str:
        """Issue an id_token: who signed in, for the app's own eyes."""
        now = int(time())
        claims = {
            **self._person(grant),
            "aud": self.directory.registration.client_id,
            "iss": issuer,
            "sub": self.directory.registration.user_id,
            "preferred_username": grant.upn,
            "iat": now,
            "nbf": now,
            "exp": now + _ID_TOKEN_SECONDS,
            "ver": "2.0",
        }
        return self._key.sign(claims if nonce is None else {**claims, "nonce": nonce})

    def identity_token(self, resource: str) -> tuple[str, int]:
        """Issue a token to the managed identity for a resource; with it the Unix second in which it ends."""
        registration, now = self.directory.registration, int(time())
        claims = {
            "aud": resource,
            "iss": identity_issuer(registration),
            "sub": registration.identity_principal_id,
            "oid": registration.identity_principal_id,
            "tid": registration.tenant_id,
            "appid": registration.identity_client_id,
            "idtyp": "app",
            "iat": now,
            "nbf": now,
            "exp": now + IDENTITY_SECONDS,
        }
        return self._key.sign(claims), now + IDENTITY_SECONDS

    def client_info(self, grant: Grant) -> str:
        """Return what MSAL tells accounts apart by."""
        info = {"uid": self.directory.registration.user_id, "utid": grant.tenant_id}
        return base64.urlsafe_b64encode(json.dumps(info).encode()).rstrip(b"=").decode()

    def find(self, access_token: str) -> Issued | None:
        """Return what is known of an access token: nothing if it is expired, or was never issued here."""
        issued = self._known.get(access_token)
        if issued is None and (claims := self._key.claims(access_token)) is not None:
            issued = self._known[access_token] = _read(claims)
        return issued if issued and issued.expires > self.directory.now else None

    def _person(self, grant: Grant) -> dict[str, object]:
        return {
            "tid": grant.tenant_id,
            "oid": self.directory.registration.user_id,
            "amr": ["pwd", "mfa"] if grant.mfa else ["pwd"],
        }


def identity_issuer(registration: Registration) -> str:
    """Return the issuer of the managed identity's tokens, which the federated credential names."""
    return f"https://login.microsoftonline.com/{registration.tenant_id}/v2.0"


def _read(claims: Mapping[str, object]) -> Issued:
    amr, end = claims.get("amr", []), claims["exp"]
    assert isinstance(amr, list)
    assert isinstance(end, int)
    return Issued(
        audience=str(claims["aud"]),
        user_id=str(claims["oid"]),
        tenant_id=str(claims["tid"]),
        mfa="mfa" in amr,
        app_only=claims.get("idtyp") == "app",
        expires=float(end),
    )
