import base64
import json
from collections.abc import Iterator, Mapping

import msal
import pytest
import requests

from local.entra import DeniedError, Registration, Tokens
from local.partner_center import serve
from local.parts import in_thread

SCOPE = "https://api.partnercenter.microsoft.com/user_impersonation"


@pytest.fixture(scope="module")
def environment() -> Iterator[Mapping[str, str]]:
    """Serve both parts, and lead to them."""
    with in_thread(lambda: serve()) as variables:
        yield variables


@pytest.fixture(scope="module")
def http(environment: Mapping[str, str]) -> Iterator[requests.Session]:
    """Trust the bundle that was handed out, and nothing from this machine's own settings."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = environment["REQUESTS_CA_BUNDLE"]
        yield session


def client(
    environment: Mapping[str, str], http: requests.Session, **changes: str
) -> msal.ConfidentialClientApplication:
    """Build MSAL's client as a partner's application does."""
    variables = {**environment, **changes}
    return msal.ConfidentialClientApplication(
        variables["PARTNER_CLIENT_ID"],
        authority=f"{variables['PARTNER_AUTHORITY_URL']}/{variables['PARTNER_TENANT_ID']}",
        client_credential=variables["PARTNER_CLIENT_SECRET"],
        instance_discovery=False,
        http_client=http,
    )


def claims(access_token: str) -> dict[str, object]:
    """Decode the middle of a JWT."""
    middle = access_token.split(".")[1]
    decoded = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    assert isinstance(decoded, dict)
    return decoded


def test_msal_gets_a_token_that_the_api_accepts(
    environment: Mapping[str, str], http: requests.Session
) -> None:
    """MSAL's exchange of the refresh token yields a token by which Partner Center lets the caller in."""
    app = client(environment, http)
    answer = app.acquire_token_by_refresh_token(environment["PARTNER_REFRESH_TOKEN"], scopes=[SCOPE])
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3599)
    url = f"{environment['PARTNER_CENTER_URL']}/v1/agreements"
    assert http.get(url, headers={"Authorization": f"Bearer {answer['access_token']}"}).status_code == 200


def test_the_token_carries_what_partner_center_looks_at(
    environment: Mapping[str, str], http: requests.Session
) -> None:
    """The access token says who the user is, by which tenant, for which API, and that MFA was done."""
    app = client(environment, http)
    answer = app.acquire_token_by_refresh_token(environment["PARTNER_REFRESH_TOKEN"], scopes=[SCOPE])
    told = claims(answer["access_token"])
    assert told["aud"] == "https://api.partnercenter.microsoft.com"
    assert told["tid"] == environment["PARTNER_TENANT_ID"]
    assert told["scp"] == "user_impersonation"
    assert told["amr"] == ["pwd", "mfa"]
    assert told["oid"] == Registration().user_id


def test_each_exchange_gives_a_new_refresh_token_and_the_old_one_stays_good(
    environment: Mapping[str, str], http: requests.Session
) -> None:
    """The refresh token is renewed with every exchange; the one before it can still be used."""
    app, first = client(environment, http), environment["PARTNER_REFRESH_TOKEN"]
    second = app.acquire_token_by_refresh_token(first, scopes=[SCOPE])["refresh_token"]
    again = [app.acquire_token_by_refresh_token(token, scopes=[SCOPE]) for token in (first, second)]
    assert len({first, second, *(answer["refresh_token"] for answer in again)}) == 4


@pytest.mark.parametrize("wrong", ["PARTNER_CLIENT_SECRET", "PARTNER_CLIENT_ID"])
def test_a_wrong_credential_is_no_client(
    environment: Mapping[str, str], http: requests.Session, wrong: str
) -> None:
    """A wrong secret or an unknown application is ``invalid_client`` with AADSTS7000215."""
    app = client(environment, http, **{wrong: "another"})
    answer = app.acquire_token_by_refresh_token(environment["PARTNER_REFRESH_TOKEN"], scopes=[SCOPE])
    assert (answer["error"], answer["error_codes"]) == ("invalid_client", [7000215])
    assert answer["error_description"].startswith("AADSTS7000215: ")


def test_an_unknown_refresh_token_is_no_grant(environment: Mapping[str, str], http: requests.Session) -> None:
    """A refresh token that was never issued is ``invalid_grant`` with AADSTS70008."""
    answer = client(environment, http).acquire_token_by_refresh_token("another", scopes=[SCOPE])
    assert (answer["error"], answer["error_codes"]) == ("invalid_grant", [70008])


def test_another_tenant_does_not_exist(environment: Mapping[str, str], http: requests.Session) -> None:
    """MSAL is told that it has the wrong tenant as soon as it looks for the token endpoint."""
    other = "11111111-2222-3333-4444-555555555555"
    with pytest.raises(ValueError, match="double check your tenant"):
        client(environment, http, PARTNER_TENANT_ID=other).acquire_token_by_refresh_token("x", scopes=[SCOPE])


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"client_secret": "another"}, 401),
        ({"refresh_token": "another"}, 400),
        ({"grant_type": "client_credentials"}, 400),
    ],
)
def test_a_denial_has_entras_body(
    environment: Mapping[str, str], http: requests.Session, changes: dict[str, str], status: int
) -> None:
    """A denial has the status, and every field of the body, that Entra gives it."""
    form = {
        "grant_type": "refresh_token",
        "client_id": environment["PARTNER_CLIENT_ID"],
        "client_secret": environment["PARTNER_CLIENT_SECRET"],
        "refresh_token": environment["PARTNER_REFRESH_TOKEN"],
        **changes,
    }
    url = f"{environment['PARTNER_AUTHORITY_URL']}/{environment['PARTNER_TENANT_ID']}/oauth2/v2.0/token"
    answer = http.post(url, data=form)
    assert answer.status_code == status
    assert set(answer.json()) == {
        "error",
        "error_description",
        "error_codes",
        "timestamp",
        "trace_id",
        "correlation_id",
        "error_uri",
    }
    assert f"AADSTS{answer.json()['error_codes'][0]}: " in answer.json()["error_description"]


def test_an_access_token_ends() -> None:
    """A token is known up to the second in which it expires, and not after."""
    now = 1000.0
    registration = Registration()
    tokens = Tokens(registration, clock=lambda: now)
    answer = tokens.exchange(
        registration.tenant_id,
        {
            "grant_type": "refresh_token",
            "client_id": registration.client_id,
            "client_secret": registration.client_secret,
            "refresh_token": registration.refresh_token,
        },
    )
    token = str(answer["access_token"])
    now += 3598
    assert tokens.find(token)
    now += 1
    assert tokens.find(token) is None


def test_a_wrong_tenant_is_a_bad_request() -> None:
    """A token request for another tenant is denied with 400 before anything else is looked at."""
    with pytest.raises(DeniedError) as caught:
        Tokens(Registration()).exchange("another", {})
    assert caught.value.status == 400
