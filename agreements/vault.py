"""The refresh token in Key Vault: the newest version of one secret."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
)
from azure.keyvault.secrets import SecretClient, SecretProperties
from pydantic import SecretStr

from agreements.deadline import Deadline
from agreements.errors import Reason, TokenError

# Entra lets a refresh token die after so long without use, if nobody shortened that.
LIFETIME = timedelta(days=90)
_RETRIES = 2
_REASONS = {
    401: Reason.VAULT_REFUSED,
    403: Reason.VAULT_REFUSED,
    404: Reason.REFRESH_TOKEN_MISSING,
    409: Reason.VAULT_SECRET_DELETED,
    429: Reason.VAULT_FAILING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredToken:
    """A refresh token as it is stored; times are aware, ``created`` by the vault's clock."""

    value: SecretStr
    version: str
    created: datetime
    expires: datetime


@dataclass(frozen=True, slots=True)
class GivenToken:
    """The refresh token of one machine: read from its environment, and always the same."""

    value: SecretStr
    version: str = "given"

    def read(self, _: Deadline, /) -> "GivenToken":
        """Return itself."""
        return self


class Vault:
    """One secret of a key vault; ``timeout`` in seconds, for each call."""

    def __init__(self, client: SecretClient, name: str, timeout: float) -> None:
        self._client = client
        self._name = name
        self._timeout = timeout

    def read(self, deadline: Deadline, /) -> StoredToken:
        """Return the newest version; one that was stored without an end is taken to end by its age.

        Raises:
            TokenError: it could not be read.
        """
        with _failures(deadline):
            secret = self._client.get_secret(self._name, **self._within(deadline))
        return _stored(SecretStr(secret.value or ""), secret.properties)

    def check_writable(self, deadline: Deadline) -> None:
        """Fail as storing would: nothing is asked to change, which takes the right to write all the same.

        Raises:
            TokenError: nothing could be stored.
        """
        with _failures(deadline), suppress(ResourceNotFoundError):
            self._client.update_secret_properties(self._name, **self._within(deadline))

    def store(self, value: SecretStr, *, expires: datetime, deadline: Deadline) -> StoredToken:
        """Store a new version and return it; the older ones stay as they are.

        Raises:
            TokenError: it could not be stored; the older ones are as good as they were.
        """
        with _failures(deadline):
            secret = self._client.set_secret(
                self._name, value.get_secret_value(), expires_on=expires, **self._within(deadline)
            )
        return _stored(value, secret.properties)

    def disable_older(self, kept: StoredToken, deadline: Deadline) -> int:
        """Disable the versions that are older than one, and return how many there were.

        Raises:
            TokenError: they could not be listed or disabled.
        """
        with _failures(deadline):
            versions = self._client.list_properties_of_secret_versions(self._name, **self._within(deadline))
            older = [one for one in versions if one.enabled and _created(one) < kept.created]
            for one in older:
                self._client.update_secret_properties(
                    self._name, one.version, enabled=False, **self._within(deadline)
                )
        return len(older)

    def _within(self, deadline: Deadline) -> dict[str, Any]:
        left = deadline.left(self._timeout)
        # A redirect would carry the secret elsewhere; and without ends of ours each wait has five minutes.
        return {
            "timeout": left,
            "connection_timeout": left,
            "read_timeout": left,
            "retry_total": _RETRIES,
            # For those the SDK would wait as long as the vault asks for, whatever time there is.
            "retry_status": 0,
            "permit_redirects": False,
        }


def _stored(value: SecretStr, properties: SecretProperties) -> StoredToken:
    created = _created(properties)
    return StoredToken(
        value=value,
        version=str(properties.version),
        created=created,
        expires=properties.expires_on or created + LIFETIME,
    )


def _created(properties: SecretProperties) -> datetime:
    # Always there; the SDK's type says otherwise.
    return cast("datetime", properties.created_on)


@contextmanager
def _failures(deadline: Deadline) -> Iterator[None]:
    """Turn what the SDK raises into our error, and bound its waits by the deadline.

    ValueError is what it raises for an address whose answers are not those of a vault of that name.
    """
    try:
        with deadline.bounding():
            yield
    except (AzureError, ValueError) as error:
        # From None: the original quotes the answer, and with it perhaps the secret.
        message = f"no answer of use from the key vault: {_name(error)}"
        raise TokenError(message, reason=_reason(error)) from None


def _reason(error: Exception) -> Reason:
    status = getattr(error, "status_code", None) or 0
    if not status and isinstance(error, ClientAuthenticationError):
        return Reason.MANAGED_IDENTITY_MISSING
    if isinstance(error, HttpResponseError) and _disabled(error):
        return Reason.VAULT_SECRET_DISABLED
    return _REASONS.get(status, Reason.VAULT_FAILING if status >= 500 else Reason.VAULT_UNREACHABLE)


def _disabled(error: HttpResponseError) -> bool:
    # A version that somebody disabled is refused with the status of a missing role.
    inner = error.error.innererror if error.error else None
    return isinstance(inner, dict) and inner.get("code") == "SecretDisabled"


def _name(error: Exception) -> str:
    status = getattr(error, "status_code", None)
    return f"{type(error).__name__} {status}" if status else type(error).__name__
