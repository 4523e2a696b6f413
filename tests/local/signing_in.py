"""What the tests of signing in share: the parts over TLS, MSAL in front of them, and their control."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from typing import Any, cast

import msal
import requests
from azure.identity import ManagedIdentityCredential

from local import control
from local.control import Steered

SCOPE = "https://api.partnercenter.microsoft.com/user_impersonation"


class Http:
    """A session that trusts the bundle that was handed out, and nothing from this machine's own settings."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = environment["REQUESTS_CA_BUNDLE"]

    @property
    def authority(self) -> str:
        """The URL of the tenant."""
        return f"{self.environment['PARTNER_AUTHORITY_URL']}/{self.environment['PARTNER_TENANT_ID']}"

    def control(
        self, method: str, what: str, body: object = None, *, part: Steered = "PARTNER_AUTHORITY_URL"
    ) -> Any:
        """Steer Entra, or another part; return what it answers."""
        return control.ask(self.environment, part, method, what, body)

    def msal(self, credential: object, **changes: str) -> msal.ConfidentialClientApplication:
        """Build MSAL's client as a partner's application does."""
        return msal.ConfidentialClientApplication(
            changes.get("client_id", self.environment["PARTNER_CLIENT_ID"]),
            authority=changes.get("authority", self.authority),
            client_credential=credential,
            instance_discovery=False,
            http_client=self.session,
        )


def federated(client_id: str) -> Mapping[str, Callable[[], str]]:
    """Return MSAL's credential that is the assertion of the managed identity."""
    identity = ManagedIdentityCredential(client_id=client_id)
    return {"client_assertion": lambda: identity.get_token("api://AzureADTokenExchange/.default").token}


def claims(token: str) -> dict[str, Any]:
    """Decode the middle of a JWT."""
    middle = token.split(".")[1]
    return cast("dict[str, Any]", json.loads(urlsafe_b64decode(middle + "=" * (-len(middle) % 4))))
