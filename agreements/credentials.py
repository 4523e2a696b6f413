"""How this app proves itself at the token endpoint: by a secret, a certificate, or its managed identity."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from azure.core.exceptions import AzureError
from pydantic import SecretStr

from agreements.errors import Reason, TokenError

# What Entra's federated identity credentials are issued for.
FEDERATION_SCOPE = "api://AzureADTokenExchange/.default"


class ClientCredential(Protocol):
    """How this app proves itself at the token endpoint."""

    @property
    def name(self) -> str:
        """Which way, for people."""

    def for_msal(self) -> object:
        """Return MSAL's ``client_credential``."""


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A secret of the app registration."""

    secret: SecretStr
    name: str = field(default="client secret", init=False)

    def for_msal(self) -> str:
        """Return the secret itself."""
        return self.secret.get_secret_value()


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate of the app registration and its private key: the content of a PEM file with both."""

    pem: SecretStr
    name: str = field(default="certificate", init=False)

    def for_msal(self) -> dict[str, str]:
        """Return the file as both; without a thumbprint MSAL makes the SHA-256 one."""
        pem = self.pem.get_secret_value()
        return {"private_key": pem, "public_certificate": pem}


class _Token(Protocol):
    @property
    def token(self) -> str: ...


class Identity(Protocol):
    """What azure-identity's credentials have in common; they keep a token until shortly before its end."""

    def get_token(self, *scopes: str) -> _Token:
        """Return a token for one scope."""


@dataclass(frozen=True, slots=True)
class FederatedIdentity:
    """The managed identity, as a federated credential of the app registration: no secret anywhere."""

    identity: Identity = field(repr=False)
    name: str = field(default="managed identity as federated credential", init=False)

    def for_msal(self) -> dict[str, Callable[[], str]]:
        """Return what makes the assertion; MSAL calls it for each request that needs one."""
        return {"client_assertion": self._assertion}

    def _assertion(self) -> str:
        try:
            return self.identity.get_token(FEDERATION_SCOPE).token
        except AzureError as error:
            # From None: its text quotes what the identity's endpoint answered.
            message = f"no assertion from the managed identity: {type(error).__name__}"
            raise TokenError(message, reason=Reason.MANAGED_IDENTITY_MISSING) from None
