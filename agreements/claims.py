"""What an access token for Partner Center says of itself: looked at to find what is wrong, never to trust it.

It came from the token endpoint over TLS, so its signature, which only Partner Center is to check, is not.
"""

from collections.abc import Iterator
from typing import Annotated
from uuid import UUID

import jwt
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from agreements.errors import Reason, TokenError

# Tokens of version 1 name the resource by its address, those of version 2 by its id.
AUDIENCES = frozenset({"https://api.partnercenter.microsoft.com", "fa3d9a0c-3fb0-42cc-9193-47c7ecd2edbd"})
PERMISSION = "user_impersonation"

type _Words = Annotated[tuple[str, ...], BeforeValidator(lambda text: str(text).split())]


class Claims(BaseModel):
    """The claims that tell whether a token is of use; one that is missing is empty."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    audience: str = Field("", alias="aud")
    tenant_id: UUID | None = Field(None, alias="tid")
    scopes: _Words = Field((), alias="scp")
    methods: tuple[str, ...] = Field((), alias="amr")
    user_id: UUID | None = Field(None, alias="oid")
    upn: str | None = None
    unique_name: str | None = None

    @property
    def name(self) -> str:
        """The name that the user signs in with; guests have no UPN."""
        return self.upn or self.unique_name or f"user {self.user_id}"


def read(access_token: str) -> Claims:
    """Return a token's claims.

    Raises:
        TokenError: it is not a token that can be read.
    """
    try:
        return Claims.model_validate(jwt.decode(access_token, options={"verify_signature": False}))
    except (jwt.InvalidTokenError, ValidationError):
        raise TokenError("the access token cannot be read") from None


def problems(claims: Claims, tenant_id: UUID) -> Iterator[TokenError]:
    """Yield what makes a token useless for Partner Center, the gravest first."""
    if claims.audience.rstrip("/") not in AUDIENCES:
        yield TokenError("the token is not for Partner Center", reason=Reason.AUDIENCE_REFUSED)
    if claims.tenant_id != tenant_id:
        yield TokenError("the user is of another tenant than PARTNER_TENANT_ID", reason=Reason.TOKEN_REFUSED)
    if PERMISSION not in claims.scopes:
        yield TokenError(f"the token lacks the permission {PERMISSION}", reason=Reason.CONSENT_MISSING)
    if "mfa" not in claims.methods:
        yield TokenError("the user signed in without MFA", reason=Reason.MFA_MISSING)
