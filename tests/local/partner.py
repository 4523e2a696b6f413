"""A partner in front of the local Partner Center, shared by the tests of it."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msal
import requests


class Api:
    """A partner's session with the API: real TLS, and a real token by MSAL."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment, self.url = environment, environment["PARTNER_CENTER_URL"]
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = environment["REQUESTS_CA_BUNDLE"]
        self.sign_in()

    def sign_in(self) -> None:
        """Get a new token."""
        self.session.headers["Authorization"] = f"Bearer {self._token(self.environment)}"

    def _token(self, environment: Mapping[str, str]) -> str:
        app = msal.ConfidentialClientApplication(
            environment["PARTNER_CLIENT_ID"],
            authority=f"{environment['PARTNER_AUTHORITY_URL']}/{environment['PARTNER_TENANT_ID']}",
            client_credential=environment["PARTNER_CLIENT_SECRET"],
            instance_discovery=False,
            http_client=self.session,
        )
        scopes = ["https://api.partnercenter.microsoft.com/user_impersonation"]
        answer = app.acquire_token_by_refresh_token(environment["PARTNER_REFRESH_TOKEN"], scopes=scopes)
        return str(answer["access_token"])

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Call a path of the API."""
        return self.session.request(method, f"{self.url}{path}", timeout=10, **options)

    def confirm(
        self, customer: UUID | str, document: Mapping[str, object], **headers: str
    ) -> requests.Response:
        """Confirm an agreement; header names are written with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.call("POST", f"/v1/customers/{customer}/agreements", json=document, headers=named)

    def choose(self, **options: object) -> None:
        """Choose options anew; names as they travel."""
        answer = self.call("PATCH", "/_control/options", json=options)
        assert answer.status_code == 200, answer.text

    def agreements(self, customer: UUID, agreement_type: str | None) -> Any:
        """List a customer's agreements."""
        query = {"agreementType": agreement_type}
        return self.call("GET", f"/v1/customers/{customer}/agreements", params=query).json()

    def faults(self, *rules: Mapping[str, object]) -> None:
        """Put rules in force."""
        assert self.call("PUT", "/_control/faults", json=rules).status_code == 204

    def ledger(self, customer: UUID) -> list[dict[str, Any]]:
        """Look up what the ledger has on a customer."""
        lines = self.call("GET", "/_control/ledger").json()
        return [line for line in lines if line["customerTenantId"] == str(customer)]
