"""What this directory knows: the app registration, the person who signs in, and what was granted."""

import hashlib
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import time
from typing import Literal

from cryptography.x509 import Certificate
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from local.entra.denials import DeniedError

PARTNER_CENTER = "https://api.partnercenter.microsoft.com"
_DAY_SECONDS = 86400.0
_CODE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Registration:
    """The app registration, its managed identity, and the consent that exist in this directory."""

    tenant_id: str = "5e0f2a51-93d5-4a0c-8f5c-2c3f0a6f7d10"
    client_id: str = "7c1d3b0e-46f2-4a39-9d5e-bb1f6a1c0c52"
    client_secret: str = "a-secret-for-this-machine-only"  # noqa: S105 - opens nothing but this stand-in
    refresh_token: str = "a-refresh-token-for-this-machine-only"  # noqa: S105 - the same
    user_id: str = "3d6f2c09-eb40-48ca-a4b3-d24c9c007531"
    identity_client_id: str = "b2a6f0d4-6f0e-4f3c-8a53-0e6a4f1f9c77"
    identity_principal_id: str = "e51c8a9b-3a44-4a0d-b8f4-7b1c35e6c0aa"


class Conditions(BaseModel):
    """What a test may change about the directory.

    Attributes:
        mfa: whether the person passes MFA when signing in; what was granted before stays as it was.
        upn: the person's name to sign in with.
        tenant_id: the tenant that the person belongs to.
        denied: the OAuth error with which signing in ends, in place of a code.
        granted_scopes: what the person consents to, in place of what the app asks for.
        access_token_seconds: how long an access token lives.
        refresh_token_days: how long a refresh token lives after it was issued.
        clock_ahead_seconds: how far ahead the clock is by which access and refresh tokens age.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, alias_generator=to_camel)

    mfa: bool = True
    upn: str = "service-account@partner.example"
    tenant_id: str = Registration().tenant_id
    denied: Literal["access_denied", "consent_required", "interaction_required", "server_error"] | None = None
    granted_scopes: list[str] | None = None
    access_token_seconds: int = Field(default=3599, ge=1)
    refresh_token_days: float = Field(default=90, gt=0)
    clock_ahead_seconds: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a person allowed by signing in; ``scopes`` None means: whatever is asked for later."""

    tenant_id: str
    upn: str
    mfa: bool
    scopes: tuple[str, ...] | None
    issued: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An authorization request, as far as the redemption of its code depends on it."""

    redirect_uri: str
    challenge: str | None
    nonce: str | None
    scopes: tuple[str, ...]


class Directory:
    """The directory; what it hands out lives in memory, and as long as ``conditions`` say."""

    def __init__(self, registration: Registration, *, clock: Callable[[], float] = time) -> None:
        self.registration = registration
        self.conditions = Conditions()
        self.certificates: list[Certificate] = []
        self._clock = clock
        self._codes: dict[str, tuple[Request, Grant]] = {}
        self._redeemed: set[str] = set()
        self._revoked: set[str] = set()
        self._refresh_tokens = {registration.refresh_token: self.sign_in()}

    @property
    def now(self) -> float:
        """The time in Unix seconds by which access and refresh tokens age."""
        return self._clock() + self.conditions.clock_ahead_seconds

    def check_tenant(self, tenant: str) -> None:
        """Refuse every tenant but the one there is."""
        if tenant != self.registration.tenant_id:
            raise DeniedError(90002)

    def sign_in(self) -> Grant:
        """Let the person sign in under the conditions there are."""
        granted = self.conditions.granted_scopes
        return Grant(
            tenant_id=self.conditions.tenant_id,
            upn=self.conditions.upn,
            mfa=self.conditions.mfa,
            scopes=None if granted is None else tuple(granted),
            issued=self.now,
        )

    def code(self, request: Request) -> str:
        """Sign the person in, and issue an authorization code for it."""
        code = f"1.{secrets.token_urlsafe(32)}"
        self._codes[code] = request, self.sign_in()
        return code

    def redeem(self, code: str, *, redirect_uri: str, verifier: str | None) -> tuple[Request, Grant]:
        """Take a code, once, from whoever knows its redirect URI and verifier.

        Raises:
            DeniedError: it is unknown, used, too old, or not theirs.
        """
        if code in self._redeemed:
            raise DeniedError(54005)
        request, grant = self._codes.pop(code, (None, None))
        if request is None or grant is None or self.now - grant.issued > _CODE_SECONDS:
            raise DeniedError(70008)
        self._redeemed.add(code)
        if redirect_uri != request.redirect_uri:
            raise DeniedError(500112)
        if request.challenge is not None and _challenge(verifier or "") != request.challenge:
            raise DeniedError(501481)
        return request, grant

    def refresh_token(self, grant: Grant) -> str:
        """Issue a refresh token."""
        token = f"1.{secrets.token_urlsafe(48)}"
        self._refresh_tokens[token] = replace(grant, issued=self.now)
        return token

    def granted(self, refresh_token: str) -> Grant:
        """Return what a refresh token stands for.

        Raises:
            DeniedError: it is unknown, revoked or too old.
        """
        grant = self._refresh_tokens.get(refresh_token)
        if grant is None:
            raise DeniedError(70008)
        if refresh_token in self._revoked:
            raise DeniedError(50173)
        if self.now - grant.issued > self.conditions.refresh_token_days * _DAY_SECONDS:
            days = f"{self.conditions.refresh_token_days:g}.00:00:00"
            raise DeniedError(700082, f"It was inactive for {days}.")
        return grant

    def revoke(self) -> None:
        """Revoke every refresh token that exists, as a changed password does."""
        self._revoked = set(self._refresh_tokens)


def _challenge(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636)."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
