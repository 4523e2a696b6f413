"""The partner's token: App+User, by the Secure Application Model.

A refresh token, given once by a person who signed in with MFA, is exchanged for short-lived access tokens by
this app as a confidential client. MSAL does what OAuth asks for.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import msal
import requests
from pydantic import SecretStr

from agreements import access
from agreements.credentials import ClientCredential
from agreements.deadline import Deadline
from agreements.errors import Reason, TokenError
from agreements.flight import Fetched, Flight

SCOPE = "https://api.partnercenter.microsoft.com/user_impersonation"
# Renewed that long before it ends …
_AHEAD_SECONDS = 300.0
# … and not given any more this long before, so that no call starts with a token that dies on the way.
_LAST_SECONDS = 60.0
# A refusal is not asked for again sooner: those already on their way would each wait for one of their own.
_FAILURE_SECONDS = 5.0
_CODE = re.compile(r"\w{1,64}")
# The OAuth errors that another consent mends; Entra says the last three where a person would have to act.
_GRANT_REFUSED = {"invalid_grant", "interaction_required", "consent_required", "login_required"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What the token endpoint gave; ``expires_in`` is in seconds, and a new refresh token may come along."""

    access_token: SecretStr
    expires_in: float
    refresh_token: SecretStr | None = None


class _Session(requests.Session):
    """MSAL's way to the network, with an end to every wait; without, it has none."""

    def __init__(self, deadline: Deadline, timeout: float) -> None:
        super().__init__()
        self._deadline = deadline
        self._timeout = timeout

    def request(self, *args: Any, **options: Any) -> requests.Response:
        """Ask within what is left of the deadline, and nobody but who was meant to be asked."""
        timeout = self._deadline.left(self._timeout)
        return super().request(*args, **{**options, "timeout": timeout, "allow_redirects": False})


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """The app registration as a confidential client; ``timeout`` in seconds, for each call."""

    authority: str
    tenant_id: str
    client_id: str
    credential: ClientCredential
    timeout: float

    @contextmanager
    def client(self, deadline: Deadline) -> Iterator[msal.ConfidentialClientApplication]:
        """Lend MSAL's client, which asks the authority about itself as it is made.

        Raises:
            TokenError: the authority gave no answer, at this or at anything that was asked of the client.
        """
        try:
            # The managed identity, which may have to be asked for an assertion, knows of no deadline.
            with _Session(deadline, self.timeout) as session, deadline.bounding():
                yield msal.ConfidentialClientApplication(
                    self.client_id,
                    client_credential=self.credential.for_msal(),
                    authority=f"{self.authority}/{self.tenant_id}",
                    # The authority is ours to name; asking a public one about it would fail for all others.
                    instance_discovery=False,
                    http_client=session,
                )
        except msal.exceptions.MsalError:
            # It is raised for a failure of the endpoint's own, and for nothing else.
            message = "the token endpoint is failing"
            raise TokenError(message, reason=Reason.TOKEN_ENDPOINT_FAILING) from None
        except (requests.RequestException, ValueError) as error:
            # MSAL raises ValueError for an authority whose answer it cannot use, requests for no time left.
            message = f"the token endpoint gave no answer: {type(error).__name__}"
            raise TokenError(message, reason=Reason.TOKEN_ENDPOINT_UNREACHABLE) from None

    def exchange(self, refresh_token: SecretStr, deadline: Deadline) -> Grant:
        """Exchange a refresh token.

        Raises:
            TokenError: the endpoint refused, or could not be asked.
        """
        with self.client(deadline) as client:
            answer = client.acquire_token_by_refresh_token(refresh_token.get_secret_value(), scopes=[SCOPE])
            return read_grant(answer)


def read_grant(answer: Mapping[str, Any]) -> Grant:
    """Return what MSAL's answer grants.

    Raises:
        TokenError: it is a refusal; it has the AADSTS number, or the OAuth error where there is none.
    """
    access_token, refresh_token = answer.get("access_token"), answer.get("refresh_token")
    if not isinstance(access_token, str):
        raise _refused(answer)
    return Grant(
        access_token=SecretStr(access_token),
        expires_in=float(answer.get("expires_in", 0)),
        refresh_token=SecretStr(refresh_token) if isinstance(refresh_token, str) else None,
    )


def _refused(answer: Mapping[str, Any]) -> TokenError:
    error, numbers = str(answer.get("error")), answer.get("error_codes") or []
    # It goes into logs and properties: what is no code stays out of them.
    code = f"AADSTS{numbers[0]}" if numbers else error if _CODE.fullmatch(error) else None
    reason = access.no_token(error, numbers)
    return TokenError("the token endpoint refused", code, reason, grant_refused=error in _GRANT_REFUSED)


class RefreshToken(Protocol):
    """A refresh token."""

    @property
    def value(self) -> SecretStr:
        """The token itself."""

    @property
    def version(self) -> str:
        """What tells whether another one has taken its place."""


class RefreshTokens(Protocol):
    """Where the refresh token lies."""

    def read(self, deadline: Deadline, /) -> RefreshToken:
        """Return the newest one; raise TokenError when it cannot be read."""


class Exchange:
    """Exchanges the refresh token, which is read once and again when it proves to be of no use."""

    def __init__(
        self, exchange: Callable[[SecretStr, Deadline], Grant], refresh_tokens: RefreshTokens
    ) -> None:
        self._exchange = exchange
        self._refresh_tokens = refresh_tokens
        self._kept: RefreshToken | None = None

    def __call__(self, deadline: Deadline) -> Grant:
        """Return a grant; when it is refused, a newer refresh token, if there is one, is tried too.

        Raises:
            TokenError: there is none to be had.
        """
        kept = self._kept = self._kept or self._refresh_tokens.read(deadline)
        try:
            return self._exchange(kept.value, deadline)
        except TokenError as error:
            if not error.grant_refused:
                raise
            newest = self._kept = self._refresh_tokens.read(deadline)
            if newest.version == kept.version:
                raise
        return self._exchange(newest.value, deadline)

    def forget(self) -> None:
        """Read the refresh token anew next time: another consent may have been given meanwhile."""
        self._kept = None


class Exchanges(Protocol):
    """What makes grants of the refresh token."""

    def __call__(self, deadline: Deadline) -> Grant:
        """Return a new grant; raise TokenError when there is none."""

    def forget(self) -> None:
        """Read the refresh token anew next time."""


class Tokens:
    """Access tokens, kept in memory until shortly before they end; safe to share among threads."""

    def __init__(self, exchange: Exchanges) -> None:
        self._exchange = exchange
        self._tokens = Flight(self._fetch, failure_seconds=_FAILURE_SECONDS)

    def token(self, deadline: Deadline, *, refused: str | None = None) -> str:
        """Return an access token that is not the one which the service refused.

        Raises:
            TokenError: there is none to be had.
        """
        if refused is not None:
            self._exchange.forget()
        try:
            return self._tokens.get(deadline, refused=refused)
        except TimeoutError:
            raise TokenError("no time was left to wait for another thread's exchange") from None

    def _fetch(self, deadline: Deadline) -> Fetched[str]:
        grant = self._exchange(deadline)
        ahead = min(_AHEAD_SECONDS, grant.expires_in / 2)
        last = min(_LAST_SECONDS, ahead / 5)
        return Fetched(grant.access_token.get_secret_value(), grant.expires_in - ahead, ahead - last)
