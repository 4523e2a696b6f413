"""The partner's token: App+User, by the Secure Application Model.

A refresh token, given once by a person who signed in with MFA, is exchanged for short-lived access tokens by
this app as a confidential client. MSAL does what OAuth asks for.
"""

from dataclasses import dataclass
from typing import Any, Protocol, cast

import msal
import requests
from pydantic import SecretStr

from agreements.deadline import Deadline
from agreements.errors import TokenError
from agreements.flight import Flight

SCOPE = "https://api.partnercenter.microsoft.com/user_impersonation"
# Renewed that long before it ends, so that no call starts with a token that dies on the way.
_MARGIN_SECONDS = 300.0
# A refusal is not asked for again sooner: each delivery of a backlog would wait for one of its own.
_FAILURE_SECONDS = 10.0


class Exchange(Protocol):
    """Trades the refresh token for an access token."""

    def __call__(self, deadline: Deadline) -> dict[str, Any]:
        """Return the token endpoint's answer: ``access_token`` and ``expires_in``, or ``error``.

        Raises:
            TokenError: the endpoint could not be asked.
        """


class _Session(requests.Session):
    """MSAL's way to the network, with an end to every wait; without, it has none."""

    def __init__(self, deadline: Deadline, timeout: float) -> None:
        super().__init__()
        self._deadline = deadline
        self._timeout = timeout

    def request(self, *args: Any, **options: Any) -> requests.Response:
        """Ask within what is left of the deadline."""
        return super().request(*args, **{**options, "timeout": self._deadline.left(self._timeout)})


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshTokenExchange:
    """The exchange by MSAL, as a confidential client with a secret; ``timeout`` in seconds, for each call."""

    authority: str
    tenant_id: str
    client_id: str
    client_secret: SecretStr
    refresh_token: SecretStr
    timeout: float

    def __call__(self, deadline: Deadline) -> dict[str, Any]:
        """Exchange the refresh token; the application is made anew, since making it asks the authority."""
        try:
            with _Session(deadline, self.timeout) as session:
                application = msal.ConfidentialClientApplication(
                    self.client_id,
                    client_credential=self.client_secret.get_secret_value(),
                    authority=f"{self.authority}/{self.tenant_id}",
                    # The authority is ours to name; asking a public one about it would fail for all others.
                    instance_discovery=False,
                    http_client=session,
                )
                answer = application.acquire_token_by_refresh_token(
                    self.refresh_token.get_secret_value(), scopes=[SCOPE]
                )
        except (requests.RequestException, ValueError, msal.exceptions.MsalError) as error:
            # MSAL raises ValueError for an authority whose answer it cannot use, its own error for a 5xx.
            raise TokenError(f"the token endpoint gave no answer: {type(error).__name__}") from None
        return cast("dict[str, Any]", answer)


class Tokens:
    """Access tokens, kept in memory until shortly before they end; safe to share among threads."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._tokens = Flight(self._fetch, failure_seconds=_FAILURE_SECONDS)

    def token(self, deadline: Deadline, *, refused: str | None = None) -> str:
        """Return an access token that is not the one which the service refused.

        Raises:
            TokenError: there is none to be had.
        """
        try:
            return self._tokens.get(deadline, refused=refused)
        except TimeoutError:
            raise TokenError("no time was left to wait for another thread's exchange") from None

    def _fetch(self, deadline: Deadline) -> tuple[str, float]:
        answer = self._exchange(deadline)
        if not isinstance(answer.get("access_token"), str):
            raise TokenError("the token endpoint refused", code=_code(answer))
        return answer["access_token"], float(answer.get("expires_in", 0)) - _MARGIN_SECONDS


def _code(answer: dict[str, Any]) -> str:
    numbers = answer.get("error_codes") or []
    return f"AADSTS{numbers[0]}" if numbers else str(answer.get("error"))
