"""How Partner Center says no: its codes, and the two shapes of its error bodies."""

from collections.abc import Sequence


class RefusedError(Exception):
    """A call that Partner Center answers with an error: HTTP ``status`` and the JSON ``body``."""

    def __init__(self, status: int, body: dict[str, object]) -> None:
        super().__init__(f"{status}: {body['description']}")
        self.status, self.body = status, body


def _gateway(status: int, code: int, description: str, data: Sequence[str] = ()) -> RefusedError:
    body = {"code": code, "description": description, "data": list(data), "source": "PartnerFD"}
    return RefusedError(status, body)


def _customer_domain(code: int, message: str, name: str) -> RefusedError:
    body: dict[str, object] = {
        "code": code,
        "message": message,
        "description": message,
        "errorName": name,
        "isRetryable": False,
        "parameters": {},
        "errorMessageExtended": f"InternalErrorCode={code}",
    }
    return RefusedError(400, body)


def token_missing() -> RefusedError:
    """No token, or one that was not issued here or has expired."""
    return _gateway(401, 800001, "The partner token is missing or not valid.")


def audience_invalid() -> RefusedError:
    """The token is for another API."""
    return _gateway(401, 900420, "The token's audience is not valid.")


def mfa_missing() -> RefusedError:
    """The token's user has not passed MFA."""
    return _gateway(401, 900421, "The token lacks multi-factor authentication.")


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
    """No template of that id belongs to that agreement type."""
    return _gateway(400, 3000, "The agreement template is not valid for the agreement type.", ["templateId"])


def date_in_future() -> RefusedError:
    """The acceptance lies ahead of the server's clock."""
    text = "Date of agreement cannot be greater than the current date."
    return _customer_domain(600002, text, "InvalidDateOfAgreement")


def already_exists() -> RefusedError:
    """The customer has this agreement with the same contact on record."""
    text = "A partner confirmed agreement already exists for the customer."
    return _customer_domain(600061, text, "PartnerConfirmedAgreementAlreadyExists")
