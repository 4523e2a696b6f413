"""Why this app gets no token, or no access with one: the codes of Entra and Partner Center, by reason."""

from collections.abc import Sequence

from agreements.errors import Reason

# https://learn.microsoft.com/entra/identity-platform/reference-error-codes
ENTRA = {
    Reason.REFRESH_TOKEN_EXPIRED: (70008, 700082, 700084),
    Reason.REFRESH_TOKEN_REVOKED: (50132, 50133, 50173),
    Reason.MFA_DEMANDED: (50072, 50074, 50076, 50078, 50079, 50158),
    Reason.CONDITIONAL_ACCESS: (53000, 53001, 53002, 53003, 53004, 70043, 70044, 530032),
    Reason.CONSENT_MISSING: (65001, 65004, 65005, 650052, 650056),
    Reason.SERVICE_USER_REFUSED: (50020, 50034, 50053, 50055, 50057, 50105),
    Reason.CLIENT_SECRET_WRONG: (7000215,),
    Reason.CLIENT_SECRET_EXPIRED: (7000222,),
    Reason.CLIENT_CREDENTIAL_MISSING: (7000216, 7000218),
    Reason.CLIENT_IS_PUBLIC: (700025,),
    Reason.CLIENT_ASSERTION_REFUSED: (50013, 50027, 700023, 700024, 700027),
    Reason.FEDERATION_MISSING: (70021, 700211, 700212, 700213),
    Reason.APP_UNKNOWN: (700016, 7000112),
    Reason.TOKEN_ENDPOINT_FAILING: (50196, 90033, 90055),
}
_BY_NUMBER = {number: reason for reason, numbers in ENTRA.items() for number in numbers}
_BY_ERROR = {
    "server_error": Reason.TOKEN_ENDPOINT_FAILING,
    "temporarily_unavailable": Reason.TOKEN_ENDPOINT_FAILING,
}

PARTNER_CENTER = {
    (401, "900421"): Reason.MFA_MISSING,
    (401, "900420"): Reason.AUDIENCE_REFUSED,
    (403, "900329"): Reason.APP_KIND_REFUSED,
    (403, "900309"): Reason.CONDITIONAL_ACCESS,
    (403, "90000"): Reason.CONDITIONAL_ACCESS,
}


def no_token(error: str, numbers: Sequence[int]) -> Reason:
    """Return why the token endpoint refused: by its AADSTS numbers, or by the OAuth error without any."""
    known = (_BY_NUMBER[number] for number in numbers if number in _BY_NUMBER)
    return next(known, _BY_ERROR.get(error, Reason.TOKEN_UNAVAILABLE))


def no_access(status: int, code: str | None) -> Reason | None:
    """Return why Partner Center refuses the token; ``None`` when it is not the token that it refuses."""
    return PARTNER_CENTER.get((status, code or ""), Reason.TOKEN_REFUSED if status == 401 else None)
