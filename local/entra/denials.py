"""How Entra says no: the OAuth error, and the AADSTS number that tells why."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import uuid4

from aiohttp import web


class Denial(NamedTuple):
    """What Entra answers for one AADSTS number: HTTP status, OAuth error and text, and what else it says."""

    status: int
    error: str
    text: str
    more: Mapping[str, str] = {}


_MFA_CLAIMS = (
    '{"access_token":{"capolids":{"essential":true,"values":["0d3f7a3e-5a1e-4b7e-9b0e-6d1f6a1d2c11"]}}}'
)
DENIALS = {
    50011: Denial(400, "invalid_request", "The redirect URI of the request is none of the application's."),
    50013: Denial(401, "invalid_client", "The assertion's signature or audience is not valid."),
    50020: Denial(400, "invalid_grant", "The user's account does not exist in this tenant."),
    50076: Denial(
        400,
        "invalid_grant",
        "Multi-factor authentication is needed to access the resource.",
        {"suberror": "basic_action", "claims": _MFA_CLAIMS},
    ),
    50158: Denial(
        400,
        "invalid_grant",
        "An external security challenge was not satisfied.",
        {"suberror": "basic_action", "claims": _MFA_CLAIMS},
    ),
    50173: Denial(400, "invalid_grant", "The grant was revoked and a fresh one is needed: sign in again."),
    54005: Denial(400, "invalid_grant", "The authorization code was already redeemed."),
    65001: Denial(
        400,
        "invalid_grant",
        "The user or an administrator has not consented to use the application for this resource.",
        {"suberror": "consent_required"},
    ),
    65004: Denial(400, "access_denied", "The user declined to consent."),
    70003: Denial(400, "unsupported_grant_type", "The grant type is not supported."),
    70008: Denial(400, "invalid_grant", "The code or refresh token has expired, or was never issued."),
    70011: Denial(400, "invalid_scope", "The scope is not valid: name scopes of one resource."),
    90002: Denial(400, "invalid_request", "The tenant was not found."),
    500112: Denial(400, "invalid_grant", "The redirect URI differs from that of the authorization request."),
    501481: Denial(400, "invalid_grant", "The code_verifier does not match the code_challenge."),
    700016: Denial(400, "unauthorized_client", "The application was not found in the directory."),
    700024: Denial(401, "invalid_client", "The client assertion is not within its valid time range."),
    700025: Denial(401, "invalid_client", "The client is public: it must present no secret or assertion."),
    700027: Denial(401, "invalid_client", "The certificate that signed the assertion is not registered."),
    700082: Denial(400, "invalid_grant", "The refresh token has expired due to inactivity."),
    700211: Denial(401, "invalid_client", "No federated identity record matches the assertion's issuer."),
    700212: Denial(401, "invalid_client", "No federated identity record matches the assertion's audience."),
    700213: Denial(401, "invalid_client", "No federated identity record matches the assertion's subject."),
    7000215: Denial(401, "invalid_client", "The client secret is not valid."),
    7000218: Denial(401, "invalid_client", "The request must contain client_assertion or client_secret."),
    7000222: Denial(401, "invalid_client", "The client secret keys have expired."),
}


class DeniedError(Exception):
    """Entra gives no token; ``number`` is the AADSTS number, ``detail`` goes behind its text."""

    def __init__(self, number: int, detail: str = "") -> None:
        self.number, self.denial = number, DENIALS[number]
        super().__init__(f"AADSTS{number}: {' '.join(filter(None, (self.denial.text, detail)))}")


def body(denied: DeniedError) -> dict[str, object]:
    """Return the body that goes with a denial."""
    trace, correlation, now = str(uuid4()), str(uuid4()), f"{datetime.now(UTC):%F %T}Z"
    return {
        "error": denied.denial.error,
        "error_description": f"{denied} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {now}",
        "error_codes": [denied.number],
        "timestamp": now,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": f"https://login.microsoftonline.com/error?code={denied.number}",
        **denied.denial.more,
    }


def response(denied: DeniedError) -> web.Response:
    """Answer with a denial."""
    return web.json_response(body(denied), status=denied.denial.status)
