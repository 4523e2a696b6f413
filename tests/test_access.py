import pytest

from agreements import access
from agreements.errors import Actor, Reason
from local.entra.denials import DENIALS


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (700082, Reason.REFRESH_TOKEN_EXPIRED),
        (70008, Reason.REFRESH_TOKEN_EXPIRED),
        (50173, Reason.REFRESH_TOKEN_REVOKED),
        (50076, Reason.MFA_DEMANDED),
        (50158, Reason.MFA_DEMANDED),
        (53003, Reason.CONDITIONAL_ACCESS),
        (65001, Reason.CONSENT_MISSING),
        (50057, Reason.SERVICE_USER_REFUSED),
        (7000215, Reason.CLIENT_SECRET_WRONG),
        (7000222, Reason.CLIENT_SECRET_EXPIRED),
        (7000218, Reason.CLIENT_CREDENTIAL_MISSING),
        (700025, Reason.CLIENT_IS_PUBLIC),
        (700027, Reason.CLIENT_ASSERTION_REFUSED),
        (700024, Reason.CLIENT_ASSERTION_REFUSED),
        (700213, Reason.FEDERATION_MISSING),
        (700016, Reason.APP_UNKNOWN),
        (90033, Reason.TOKEN_ENDPOINT_FAILING),
        (99999, Reason.TOKEN_UNAVAILABLE),
    ],
)
def test_each_number_of_entra_has_its_reason(number: int, reason: Reason) -> None:
    """What Entra refuses by number has a reason whose advice mends it; what is unknown is looked up."""
    assert access.no_token("invalid_grant", [number]) is reason


def test_the_first_known_number_counts() -> None:
    """Entra may give several numbers: one that is known says more than one that is not."""
    assert access.no_token("invalid_grant", [99999, 50173]) is Reason.REFRESH_TOKEN_REVOKED


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("temporarily_unavailable", Reason.TOKEN_ENDPOINT_FAILING),
        ("server_error", Reason.TOKEN_ENDPOINT_FAILING),
        ("invalid_grant", Reason.TOKEN_UNAVAILABLE),
    ],
)
def test_without_a_number_the_oauth_error_counts(error: str, reason: Reason) -> None:
    """A failure of the endpoint's own is told apart from a refusal."""
    assert access.no_token(error, []) is reason


def test_whatever_the_stand_in_denies_us_is_known() -> None:
    """Every number by which Entra's stand-in can deny an exchange of ours has a reason."""
    of_requests_that_we_never_make = {50011, 54005, 70003, 70011, 90002, 500112, 501481}
    unknown = {number for number in DENIALS if access.no_token("", [number]) is Reason.TOKEN_UNAVAILABLE}
    assert unknown == of_requests_that_we_never_make


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (401, "900421", Reason.MFA_MISSING),
        (401, "900420", Reason.AUDIENCE_REFUSED),
        (401, "800001", Reason.TOKEN_REFUSED),
        (401, None, Reason.TOKEN_REFUSED),
        (403, "900329", Reason.APP_KIND_REFUSED),
        (403, "900309", Reason.CONDITIONAL_ACCESS),
        (403, "20002", None),
        (403, "900421", None),
        (403, None, None),
        (500, "900421", None),
    ],
)
def test_a_refused_token_is_told_from_a_refused_call(
    status: int, code: str | None, reason: Reason | None
) -> None:
    """Any 401, and a 403 about the token, has its reason; any other answer says nothing about the token."""
    assert access.no_access(status, code) is reason


def test_every_remedy_is_somebodys() -> None:
    """Whatever keeps the app from its token is for whoever runs it, unless it passes by itself."""
    reasons = {access.no_token("", [number]) for number in DENIALS} | {Reason.TOKEN_REFUSED}
    assert {reason.actor for reason in reasons} <= {Actor.APP_OWNER, Actor.NOBODY}
