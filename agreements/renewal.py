"""Renews the refresh token before it dies of disuse: exchanges it, and stores the new one that came along."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from pydantic import SecretStr

from agreements import telemetry
from agreements.auth import Grant
from agreements.deadline import Deadline
from agreements.errors import TokenError
from agreements.vault import LIFETIME, StoredToken

# A token that ends sooner is an error, even if it could be renewed: somebody must look.
FEW_DAYS = 14


class Vault(Protocol):
    """Where the refresh token is stored; each of these raises TokenError when it fails."""

    def read(self, deadline: Deadline, /) -> StoredToken:
        """Return the newest version."""

    def store(self, value: SecretStr, *, expires: datetime, deadline: Deadline) -> StoredToken:
        """Store a new version."""

    def disable_older(self, kept: StoredToken, deadline: Deadline) -> int:
        """Disable what is older than a version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """Renews the refresh token of a vault, and writes one log line about it.

    The old version stays good until the new one is stored, and for one renewal more: what reads it meanwhile
    is served. Runs that overlap store no token over one that another stored, or a person who consented.

    Attributes:
        exchange: trades a refresh token for an access token and a new refresh token; raises TokenError.
        seconds: the deadline for one renewal.
        now: the wall clock, aware.
    """

    vault: Vault
    exchange: Callable[[SecretStr, Deadline], Grant]
    seconds: float
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __call__(self) -> None:
        """Renew it; a failure is told by the log line, at level ERROR, and nothing is raised."""
        deadline = Deadline.after(self.seconds)
        try:
            old = self.vault.read(deadline)
        except TokenError as error:
            self._log("failed", error=error)
            return
        try:
            new = self._renewed(old, deadline)
        except TokenError as error:
            self._log("failed", expires=old.expires, error=error)
        else:
            self._log("renewed", expires=new.expires, error=self._tidied(old, deadline))

    def _renewed(self, old: StoredToken, deadline: Deadline) -> StoredToken:
        granted = self.exchange(old.value, deadline)
        if granted.refresh_token is None:
            raise TokenError("no new refresh token came with the access token")
        newest = self.vault.read(deadline)
        if newest.version != old.version:
            return newest
        return self.vault.store(granted.refresh_token, expires=self.now() + LIFETIME, deadline=deadline)

    def _tidied(self, kept: StoredToken, deadline: Deadline) -> TokenError | None:
        try:
            self.vault.disable_older(kept, deadline)
        except TokenError as error:
            return error
        return None

    def _log(self, what: str, *, expires: datetime | None = None, error: TokenError | None = None) -> None:
        left = (expires - self.now()).days if expires else None
        telemetry.log(
            {
                "renewal": what,
                "daysLeft": left,
                "expires": expires.isoformat(timespec="seconds") if expires else None,
                "detail": str(error) if error else None,
                "reason": error.reason if error else None,
                "advice": error.reason.advice if error else None,
                "errorCode": error.code if error else None,
            },
            level=logging.ERROR if error or (left is not None and left < FEW_DAYS) else logging.INFO,
        )


def skip() -> None:
    """Say that there is nothing to renew: the refresh token of one machine lies in its environment."""
    telemetry.log(
        {"renewal": "skipped", "detail": "PARTNER_REFRESH_TOKEN is set, which nothing renews"},
        level=logging.INFO,
    )
