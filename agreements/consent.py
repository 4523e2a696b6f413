"""A person's consent: signing in with MFA, and the refresh token that comes of it into the vault.

Authorization code with PKCE, redirected to a loopback port and redeemed by this app as a confidential client;
MSAL does what OAuth asks for.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from pydantic import SecretStr

from agreements import access, claims
from agreements.auth import SCOPE, Application, Grant, read_grant
from agreements.claims import Claims
from agreements.deadline import Deadline
from agreements.errors import ConsentError, DeploymentError, Reason, TokenError
from agreements.vault import LIFETIME, StoredToken

_NUMBER = re.compile(r"\bAADSTS(\d{4,8})\b")
_NO_MFA = (
    "Sign in again with a second factor. If Entra asks for none, demand it: register one for this user, and "
    "let a Conditional Access policy or the security defaults require MFA."
)
# What an exchange of nothing tells of the app's own credential, and of an endpoint that would redeem no
# sign-in either; anything else says that the credential was accepted.
_CREDENTIAL = {
    Reason.APP_UNKNOWN,
    Reason.CLIENT_ASSERTION_REFUSED,
    Reason.CLIENT_CREDENTIAL_MISSING,
    Reason.CLIENT_IS_PUBLIC,
    Reason.CLIENT_SECRET_EXPIRED,
    Reason.CLIENT_SECRET_WRONG,
    Reason.TOKEN_ENDPOINT_FAILING,
    Reason.TOKEN_ENDPOINT_UNREACHABLE,
}
_NOBODY_CAME = "Start again, and open the address on a machine from which the loopback port can be reached."


class Redirects(Protocol):
    """Where the browser comes back to."""

    @property
    def url(self) -> str:
        """The redirect URI."""

    def redirected(self, state: str, deadline: Deadline) -> dict[str, str]:
        """Return the parameters of the redirect that carries this state; TimeoutError when nobody comes."""


class Vault(Protocol):
    """Where the refresh token is to lie."""

    def check_writable(self, deadline: Deadline) -> None:
        """Fail as storing would, and change nothing."""

    def store(self, value: SecretStr, *, expires: datetime, deadline: Deadline) -> StoredToken:
        """Store a new version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consented:
    """Who consented, and until when that is good if nothing renews it."""

    user: str
    version: str
    expires: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """One sign-in of a person; ``seconds`` are those that the person has for it, ``timeout`` the vault."""

    application: Application
    vault: Vault
    tenant_id: UUID
    seconds: float
    timeout: float
    now: Callable[[], datetime]

    def __call__(self, redirects: Redirects, show: Callable[[str], object]) -> Consented:
        """Let a person sign in, check what came of it and store it; ``show`` is given the address to open.

        Raises:
            TokenError: the vault or the app's credential is refused, the sign-in failed, or storing it did.
            DeploymentError: nobody signed in.
            ConsentError: the token lacks what Partner Center asks for; nothing was stored.
        """
        # First what can be known first, so that nobody signs in for nothing.
        self.vault.check_writable(Deadline.after(self.timeout))
        self._check_credential()
        grant = self._sign_in(redirects, show, Deadline.after(self.seconds))
        found = claims.read(grant.access_token.get_secret_value())
        refresh_token = self._checked(grant, found)
        stored = self.vault.store(
            refresh_token, expires=self.now() + LIFETIME, deadline=Deadline.after(self.timeout)
        )
        return Consented(user=found.name, version=stored.version, expires=stored.expires)

    def _check_credential(self) -> None:
        try:
            self.application.exchange(SecretStr("none"), Deadline.after(self.timeout))
        except TokenError as error:
            if error.reason in _CREDENTIAL:
                raise

    def _sign_in(self, redirects: Redirects, show: Callable[[str], object], deadline: Deadline) -> Grant:
        with self.application.client(deadline) as client:
            flow = client.initiate_auth_code_flow(
                [SCOPE], redirect_uri=redirects.url, prompt="select_account", response_mode="form_post"
            )
            # As Microsoft's own sample asks for a second factor; what counts is what the token says.
            show(f"{flow['auth_uri']}&amr_values=mfa")
            try:
                redirected = redirects.redirected(flow["state"], deadline)
            except TimeoutError:
                raise DeploymentError(f"nobody signed in within {self.seconds:.0f} s", _NOBODY_CAME) from None
            _raise_denied(redirected)
            return read_grant(client.acquire_token_by_auth_code_flow(flow, redirected))

    def _checked(self, grant: Grant, found: Claims) -> SecretStr:
        problems = list(claims.problems(found, self.tenant_id))
        if grant.refresh_token is None:
            problems.append(TokenError("no refresh token came along", reason=Reason.CONSENT_MISSING))
        if problems or grant.refresh_token is None:
            gravest = problems[0].reason
            advice = _NO_MFA if gravest is Reason.MFA_MISSING else gravest.advice
            raise ConsentError(tuple(map(str, problems)), advice)
        return grant.refresh_token


def _raise_denied(redirected: Mapping[str, str]) -> None:
    if "error" in redirected:
        # Only the numbers of the description: it may name the person.
        numbers = [int(number) for number in _NUMBER.findall(redirected.get("error_description", ""))]
        error = redirected["error"]
        code = f"AADSTS{numbers[0]}" if numbers else None
        raise TokenError("the sign-in was refused", code, access.no_token(error, numbers))
