"""How Partner Center says no: its codes, and the shapes of its error bodies (A to E of the fact sheets).

A is the gateway's, B the customer domain's, C the throttle's; D is empty and E plain text.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_ROLE = "The supplied role does not have the rights to perform the requested operation"


class RefusedError(Exception):
    """A call that Partner Center answers with an error.

    Attributes:
        status: The HTTP status.
        body: The body as JSON, unless there is ``text``.
        text: The body as it is, which may be empty; none for JSON.
        headers: Headers of the answer beside those that every answer has.
        reason: The reason phrase, where it is not HTTP's own.
    """

    def __init__(
        self,
        status: int,
        body: dict[str, object] | None = None,
        *,
        text: str | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
        reason: str | None = None,
    ) -> None:
        self.status, self.body, self.text = status, body or {}, text
        self.headers, self.reason = headers, reason
        super().__init__(f"{status}: {self.body.get('description', text)}")


def _gateway(
    status: int, code: int, description: str, data: Sequence[str] = (), source: str = "PartnerFD"
) -> RefusedError:
    return RefusedError(
        status, {"code": code, "description": description, "data": list(data), "source": source}
    )


def _customer_domain(status: int, code: int, message: str, name: str) -> RefusedError:
    body: dict[str, object] = {
        "code": code,
        "message": message,
        "description": message,
        "errorName": name,
        "isRetryable": False,
        "parameters": {},
        "errorMessageExtended": f"InternalErrorCode={code}",
    }
    return RefusedError(status, body)


def throttled(seconds: int) -> RefusedError:
    """Too many calls; the text is the throttling guidance's."""
    message = f"Rate limit is exceeded. Try again in {seconds} seconds."
    body: dict[str, object] = {"statusCode": 429, "message": message}
    return RefusedError(429, body, headers={"Retry-After": str(seconds)})


def token_missing() -> RefusedError:
    """No token, or one that was not issued here or has expired."""
    return _gateway(401, 800001, "The partner token is missing or not valid.")


def audience_invalid() -> RefusedError:
    """The token is for another API."""
    return _gateway(401, 900420, "The token's audience is not valid.")


def app_only() -> RefusedError:
    """The token is an app's own, without a user."""
    return _gateway(403, 900329, "The resource does not support app-only tokens.")


def mfa_missing(how: Literal["A", "B", "2019"]) -> RefusedError:
    """The token's user has not passed MFA."""
    text = "The token lacks multi-factor authentication."
    if how == "2019":
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        return RefusedError(401, text="", headers=challenge, reason="Unauthorized - MFA required")
    if how == "B":
        return _customer_domain(401, 900421, text, "MfaRequired")
    return _gateway(401, 900421, text)


def role_missing() -> RefusedError:
    """The token's user is neither Admin agent nor Sales agent."""
    return RefusedError(403, text=_ROLE)


def not_a_direct_partner() -> RefusedError:
    """The caller is an indirect reseller, who may not attest."""
    return RefusedError(403, text="")


def retired(status: int, shape: Literal["A", "B", "empty", "text"]) -> RefusedError:
    """The way to confirm that these pages describe is gone; nobody shows how it answers."""
    text = "This API is no longer supported."
    if shape == "A":
        return _gateway(status, 900127, text)
    if shape == "B":
        return _customer_domain(status, 900127, text, "NotSupported")
    return RefusedError(status, text=text if shape == "text" else "")


def not_a_customer_id() -> RefusedError:
    """The customer in the path is no GUID."""
    return _gateway(400, 900118, "The customer id is not valid.")


def customer_unknown() -> RefusedError:
    """No such customer exists."""
    return _gateway(404, 60002, "The customer was not found.")


def no_relationship() -> RefusedError:
    """The customer belongs to another partner."""
    return _gateway(403, 20002, "There is no relationship between the caller and the account.")


def type_unknown() -> RefusedError:
    """The query names an agreement type that does not exist."""
    return _gateway(400, 900126, "The agreement type could not be parsed.", ["agreementType"])


def fields_invalid(fields: Sequence[str]) -> RefusedError:
    """The body lacks fields or they are ill-formed; ``data`` names them and never their values."""
    return _gateway(400, 800002, f"The input is not valid: {', '.join(fields)}.", fields)


def template_invalid() -> RefusedError:
    """No template of that id exists, or it does not belong to that agreement type."""
    return _gateway(400, 3000, "The agreement template is not valid for the agreement type.", ["templateId"])


def template_unknown() -> RefusedError:
    """No template of that id has a document."""
    return _gateway(404, 1000, "The agreement template was not found.", ["templateId"])


def country_unknown() -> RefusedError:
    """There is no agreement for that country."""
    return _gateway(400, 800002, "The country is not valid.", ["country"])


def date_in_future(status: int) -> RefusedError:
    """The acceptance lies ahead of the server's clock."""
    text = "Date of agreement cannot be greater than the current date."
    return _customer_domain(status, 600002, text, "InvalidDateOfAgreement")


def already_exists(status: int) -> RefusedError:
    """The customer has this agreement with the same contact on record."""
    text = "A partner confirmed agreement already exists for the customer."
    return _customer_domain(status, 600061, text, "PartnerConfirmedAgreementAlreadyExists")


def no_agreement(status: int) -> RefusedError:
    """The customer has no agreement on record."""
    return _customer_domain(status, 600009, "No agreement exists for the customer.", "AgreementNotFound")


def both_partners() -> RefusedError:
    """A partner is named in both ways."""
    return _gateway(400, 2000, "Only one of mpnId and tenantId may be given.", source="ComplianceController")


def no_partner() -> RefusedError:
    """No partner is named."""
    return _gateway(400, 2001, "One of mpnId and tenantId must be given.", source="ComplianceController")


def parameter_invalid(name: str) -> RefusedError:
    """A partner's id is not written as one."""
    text = f"The format of {name} is not valid."
    return _gateway(400, 2000, text, [name], source="PartnerApiServiceControllers")


def partner_unknown() -> RefusedError:
    """No partner has that tenant."""
    return _gateway(400, 2205, "The tenant was not found.", source="ComplianceController")


def partner_unsigned() -> RefusedError:
    """The tenant's partner has not signed."""
    text = "The tenant has not signed the Microsoft Partner Agreement."
    return _gateway(400, 2206, text, source="ComplianceController")
