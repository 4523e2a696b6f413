"""Who a credential turns out to be."""

from typing import Any

import jwt
import pytest
from azure.core.credentials import AccessToken

from agreements.principal import Principal

USER = {"oid": "0dd", "scp": "user_impersonation", "upn": "planted@partner.example"}


class FakeCredential:
    """Gives one token, and keeps what it was asked for."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.asked: list[tuple[tuple[str, ...], dict[str, Any]]] = []

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        self.asked.append((scopes, options))
        return AccessToken(self.token, 1)


def principal(**claims: object) -> Principal[AccessToken]:
    token = jwt.encode(claims, "a key that is long enough for a signature", algorithm="HS256")
    found = Principal(FakeCredential(token))
    assert found.get_token("scope").token == token
    return found


@pytest.mark.parametrize(
    ("claims", "person", "told"),
    [
        ({**USER, "appid": "04b07795-8ddb-461a-bbee-02f9e1bf7b46"}, True, "user 0dd by Azure CLI"),
        ({**USER, "appid": "another"}, True, "user 0dd by another"),
        ({"appid": "1d", "xms_mirid": "/subscriptions/x"}, False, "managed identity 1d"),
        ({"appid": "1d"}, False, "application 1d"),
    ],
)
def test_a_principal_is_told_by_ids(claims: dict[str, object], person: bool, told: str) -> None:
    """A person and an application are told apart, by ids alone: these are what a role is assigned to."""
    found = principal(**claims)
    assert (found.is_person, str(found)) == (person, told)


@pytest.mark.parametrize("token", ["opaque", None], ids=["opaque", "none yet"])
def test_a_token_that_tells_nothing(token: str | None) -> None:
    """A token that cannot be read is used all the same, and whose it is is not made up."""
    found = Principal(FakeCredential(token or ""))
    if token:
        found.get_token("scope")
    assert (found.is_person, str(found)) == (False, "an identity that its token does not tell")


def test_a_principal_asks_as_it_is_asked() -> None:
    """What the SDK asks for reaches the credential unchanged."""
    credential = FakeCredential("opaque")
    Principal(credential).get_token("a", "b", claims="c", tenant_id="t")
    assert credential.asked == [(("a", "b"), {"claims": "c", "tenant_id": "t"})]
