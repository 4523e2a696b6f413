"""The token endpoint of Microsoft Entra ID, as far as MSAL for Python needs it to renew a partner's token."""

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time
from uuid import uuid4

from aiohttp import web
from aiohttp.typedefs import Handler

_PARTNER_CENTER = "https://api.partnercenter.microsoft.com"
_LIFETIME_SECONDS = 3599


@dataclass(frozen=True, slots=True)
class Registration:
    """The app registration and the consent that exist in this directory."""

    tenant_id: str = "5e0f2a51-93d5-4a0c-8f5c-2c3f0a6f7d10"
    client_id: str = "7c1d3b0e-46f2-4a39-9d5e-bb1f6a1c0c52"
    client_secret: str = "a-secret-for-this-machine-only"  # noqa: S105 - opens nothing but this stand-in
    refresh_token: str = "a-refresh-token-for-this-machine-only"  # noqa: S105 - the same
    user_id: str = "3d6f2c09-eb40-48ca-a4b3-d24c9c007531"


@dataclass(frozen=True, slots=True)
class Issued:
    """An access token that was handed out: the user it speaks for (``oid``), and its end in Unix seconds."""

    user_id: str
    expires: float


class DeniedError(Exception):
    """Entra gives no token: HTTP status, OAuth error and the AADSTS number that support asks for."""

    def __init__(self, status: int, error: str, number: int, text: str) -> None:
        super().__init__(f"AADSTS{number}: {text}")
        self.status, self.error, self.number = status, error, number


class Tokens:
    """Exchanges refresh tokens, and remembers what was issued so that an API can tell ours from any other."""

    def __init__(self, registration: Registration, *, clock: Callable[[], float] = time) -> None:
        self.registration = registration
        self._clock = clock
        self._refresh = {registration.refresh_token}
        self._access: dict[str, Issued] = {}

    def exchange(self, tenant: str, form: Mapping[str, object]) -> dict[str, object]:
        """Answer a token request with a new access token and a new refresh token; the old one stays good.

        Raises:
            DeniedError: for another tenant, client, secret, grant type or refresh token.
        """
        self.check_tenant(tenant)
        self._check_client(form)
        if form.get("grant_type") != "refresh_token":
            raise DeniedError(
                400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type."
            )
        if form.get("refresh_token") not in self._refresh:
            text = "The provided authorization code or refresh token has expired or was never issued."
            raise DeniedError(400, "invalid_grant", 70008, text)
        return self._issue()

    def check_tenant(self, tenant: str) -> None:
        """Refuse every tenant but the one there is."""
        if tenant != self.registration.tenant_id:
            raise DeniedError(400, "invalid_request", 90002, f"Tenant '{tenant}' not found.")

    def _check_client(self, form: Mapping[str, object]) -> None:
        known = (self.registration.client_id, self.registration.client_secret)
        if (form.get("client_id"), form.get("client_secret")) != known:
            raise DeniedError(401, "invalid_client", 7000215, "Invalid client secret provided.")

    def _issue(self) -> dict[str, object]:
        expires = self._clock() + _LIFETIME_SECONDS
        access, refresh = _shaped_like_jwt(self._claims(expires)), f"1.{secrets.token_urlsafe(48)}"
        self._access[access] = Issued(self.registration.user_id, expires)
        self._refresh.add(refresh)
        return {
            "token_type": "Bearer",
            "scope": f"{_PARTNER_CENTER}/user_impersonation",
            "expires_in": _LIFETIME_SECONDS,
            "ext_expires_in": _LIFETIME_SECONDS,
            "access_token": access,
            "refresh_token": refresh,
        }

    def _claims(self, expires: float) -> dict[str, object]:
        return {
            "aud": _PARTNER_CENTER,
            "tid": self.registration.tenant_id,
            "oid": self.registration.user_id,
            "appid": self.registration.client_id,
            "scp": "user_impersonation",
            "amr": ["pwd", "mfa"],
            "exp": int(expires),
        }

    def find(self, access_token: str) -> Issued | None:
        """Return what is known of an access token: nothing if it is expired, or was never issued here."""
        issued = self._access.get(access_token)
        return issued if issued and issued.expires > self._clock() else None


def _shaped_like_jwt(claims: Mapping[str, object]) -> str:
    parts = [json.dumps(part).encode() for part in ({"typ": "JWT", "alg": "RS256"}, claims)]
    parts.append(secrets.token_bytes(32))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def application(tokens: Tokens) -> web.Application:
    """Build the web application: the tenant's OpenID configuration, and its token endpoint."""

    async def configuration(request: web.Request) -> web.Response:
        tokens.check_tenant(request.match_info["tenant"])
        return web.json_response(_configuration(f"https://{request.host}", tokens.registration.tenant_id))

    async def token(request: web.Request) -> web.Response:
        return web.json_response(tokens.exchange(request.match_info["tenant"], await request.post()))

    app = web.Application(middlewares=[_answer_denied])
    app.router.add_get("/{tenant}/v2.0/.well-known/openid-configuration", configuration)
    app.router.add_post("/{tenant}/oauth2/v2.0/token", token)
    return app


def _configuration(url: str, tenant: str) -> dict[str, object]:
    return {
        "issuer": f"{url}/{tenant}/v2.0",
        "authorization_endpoint": f"{url}/{tenant}/oauth2/v2.0/authorize",
        "token_endpoint": f"{url}/{tenant}/oauth2/v2.0/token",
        "device_authorization_endpoint": f"{url}/{tenant}/oauth2/v2.0/devicecode",
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
    }


@web.middleware
async def _answer_denied(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except DeniedError as denied:
        return web.json_response(_body(denied), status=denied.status)


def _body(denied: DeniedError) -> dict[str, object]:
    trace, correlation, now = str(uuid4()), str(uuid4()), f"{datetime.now(UTC):%F %T}Z"
    return {
        "error": denied.error,
        "error_description": f"{denied} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {now}",
        "error_codes": [denied.number],
        "timestamp": now,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": f"https://login.microsoftonline.com/error?code={denied.number}",
    }
