"""What a token says of itself."""

from uuid import UUID

import jwt
import pytest

from agreements import claims
from agreements.errors import Reason, TokenError
from tests.fakes import shown

TENANT = UUID("5e0f2a51-93d5-4a0c-8f5c-2c3f0a6f7d10")
GOOD: dict[str, object] = {
    "aud": "https://api.partnercenter.microsoft.com",
    "tid": str(TENANT),
    "scp": "user_impersonation",
    "amr": ["pwd", "mfa"],
    "oid": "3d6f2c09-eb40-48ca-a4b3-d24c9c007531",
    "upn": "service@partner.example",
}


def token(**changes: object) -> str:
    """Return an access token with other claims than a good one; ``None`` leaves one out."""
    said = {name: value for name, value in (GOOD | changes).items() if value is not None}
    return jwt.encode(said, "a key that is long enough for a signature", algorithm="HS256")


def reasons(**changes: object) -> list[Reason]:
    return [problem.reason for problem in claims.problems(claims.read(token(**changes)), TENANT)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": "https://api.partnercenter.microsoft.com/"},
        {"aud": "fa3d9a0c-3fb0-42cc-9193-47c7ecd2edbd"},
        {"scp": "other user_impersonation"},
        {"amr": ["mfa"]},
    ],
)
def test_a_good_token_has_no_problem(changes: dict[str, object]) -> None:
    """Both versions of tokens are known, and more permissions do no harm."""
    assert not reasons(**changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": "https://graph.windows.net"}, Reason.AUDIENCE_REFUSED),
        ({"aud": None}, Reason.AUDIENCE_REFUSED),
        ({"tid": "00000000-0000-0000-0000-000000000001"}, Reason.TOKEN_REFUSED),
        ({"tid": None}, Reason.TOKEN_REFUSED),
        ({"scp": "user_impersonation_not"}, Reason.CONSENT_MISSING),
        ({"scp": None}, Reason.CONSENT_MISSING),
        ({"amr": ["pwd"]}, Reason.MFA_MISSING),
        ({"amr": None}, Reason.MFA_MISSING),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, object], reason: Reason) -> None:
    """Each thing that Partner Center would refuse is found by itself, before it does."""
    assert reasons(**changes) == [reason]


def test_the_gravest_comes_first() -> None:
    """Of several problems, one without whose remedy the others do not matter is named first."""
    wrong = reasons(aud="x", tid=None, scp="", amr=[])
    assert wrong == [
        Reason.AUDIENCE_REFUSED,
        Reason.TOKEN_REFUSED,
        Reason.CONSENT_MISSING,
        Reason.MFA_MISSING,
    ]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "service@partner.example"),
        ({"upn": None, "unique_name": "guest@partner.example"}, "guest@partner.example"),
        ({"upn": None}, "user 3d6f2c09-eb40-48ca-a4b3-d24c9c007531"),
    ],
)
def test_a_user_has_a_name(changes: dict[str, object], name: str) -> None:
    """Who consented is named by what they sign in with, or by their id."""
    assert claims.read(token(**changes)).name == name


@pytest.mark.parametrize("unreadable", ["planted-token", "planted.to.ken", token(tid="planted-tenant")])
def test_an_unreadable_token_is_an_error(unreadable: str) -> None:
    """What cannot be read is refused, and nothing of it shows."""
    with pytest.raises(TokenError, match="cannot be read") as caught:
        claims.read(unreadable)
    assert "planted" not in str(caught.value)
    assert unreadable not in shown(caught.value)
