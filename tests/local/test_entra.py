from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

import jwt
import msal
import pytest
import requests

from local import control
from local.entra import DeniedError, Directory, Grants, Issuing, Registration, SigningKey
from local.entra.denials import DENIALS
from local.partner_center import serve
from local.parts import in_thread
from tests.local.signing_in import SCOPE, Http, claims, federated

KEY = SigningKey()
REDIRECT = "http://localhost:5000/signed-in"
DAY = 86400.0


@pytest.fixture(scope="module")
def served() -> Iterator[Http]:
    """Serve every part, and lead to them."""
    with in_thread(lambda: serve(credential="secret")) as environment:
        http = Http(environment)
        with http.session:
            yield http


@pytest.fixture
def http(served: Http) -> Iterator[Http]:
    """Undo afterwards what the test did to the directory."""
    before = served.control("GET", "directory")
    yield served
    served.control("PATCH", "directory", before)
    served.control("DELETE", "faults")


@pytest.fixture
def app(http: Http) -> msal.ConfidentialClientApplication:
    """MSAL's client with the app's secret."""
    return http.msal(http.environment["PARTNER_CLIENT_SECRET"])


def refreshed(http: Http, app: msal.ConfidentialClientApplication, token: str = "") -> dict[str, Any]:
    """Exchange a refresh token; the first one if none is given."""
    given = token or http.environment["PARTNER_REFRESH_TOKEN"]
    answer: dict[str, Any] = app.acquire_token_by_refresh_token(given, scopes=[SCOPE])
    return answer


def signed_in(http: Http, app: msal.ConfidentialClientApplication) -> dict[str, Any]:
    """Sign the person in: start the flow, take the page as a browser does, redeem the code."""
    flow = started(app)
    answer: dict[str, Any] = app.acquire_token_by_auth_code_flow(flow, posted_back(http, flow["auth_uri"]))
    return answer


def started(app: msal.ConfidentialClientApplication, **options: Any) -> dict[str, str]:
    """Begin to sign in, in the way that MSAL advises."""
    flow: dict[str, str] = app.initiate_auth_code_flow(
        [SCOPE], redirect_uri=REDIRECT, response_mode="form_post", **options
    )
    return flow


class Form(HTMLParser):
    """A form as a browser reads it: where it goes, and its fields."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action, self.fields = "", dict[str, str]()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        self.action = said.get("action", self.action)
        if tag == "input":
            self.fields[said["name"]] = said["value"]


def posted_back(http: Http, uri: str) -> dict[str, str]:
    """Return what the browser posts to the app."""
    page = http.session.get(uri, allow_redirects=False)
    assert page.status_code == 200, page.text
    assert "document.forms[0].submit()" in page.text
    form = Form(page.text)
    assert form.action == REDIRECT
    return form.fields


def sent_back(http: Http, uri: str) -> dict[str, str]:
    """Return what the browser is redirected to the app with."""
    page = http.session.get(uri, allow_redirects=False)
    assert page.status_code == 302, page.text
    where, _, query = page.headers["Location"].partition("?")
    assert where == REDIRECT
    return {name: values[0] for name, values in parse_qs(query).items()}


def test_msal_gets_a_token_that_the_api_accepts(http: Http, app: msal.ConfidentialClientApplication) -> None:
    """MSAL's exchange of the refresh token yields a token by which Partner Center lets the caller in."""
    answer = refreshed(http, app)
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3599)
    url = f"{http.environment['PARTNER_CENTER_URL']}/v1/agreements"
    given = {"Authorization": f"Bearer {answer['access_token']}"}
    assert http.session.get(url, headers=given).status_code == 200


def test_the_token_carries_what_partner_center_looks_at(
    http: Http, app: msal.ConfidentialClientApplication
) -> None:
    """The access token says who the user is, by which tenant, for which API, and that MFA was done."""
    told = claims(refreshed(http, app)["access_token"])
    assert told["aud"] == "https://api.partnercenter.microsoft.com"
    assert told["tid"] == http.environment["PARTNER_TENANT_ID"]
    assert (told["scp"], told["amr"]) == ("user_impersonation", ["pwd", "mfa"])
    assert (told["oid"], told["upn"]) == (Registration().user_id, "service-account@partner.example")


def test_tokens_are_signed_by_the_published_key(http: Http, app: msal.ConfidentialClientApplication) -> None:
    """Whoever fetches the key set that the configuration names can verify an access token."""
    token = refreshed(http, app)["access_token"]
    configuration = http.session.get(f"{http.authority}/v2.0/.well-known/openid-configuration").json()
    [key] = jwt.PyJWKSet.from_dict(http.session.get(configuration["jwks_uri"]).json()).keys
    assert jwt.get_unverified_header(token)["kid"] == key.key_id
    assert jwt.decode(token, key, ["RS256"], audience="https://api.partnercenter.microsoft.com")


def test_each_exchange_gives_a_new_refresh_token_and_the_old_one_stays_good(
    http: Http, app: msal.ConfidentialClientApplication
) -> None:
    """The refresh token is renewed with every exchange; the one before it can still be used."""
    first = http.environment["PARTNER_REFRESH_TOKEN"]
    second = refreshed(http, app)["refresh_token"]
    again = [refreshed(http, app, token)["refresh_token"] for token in (first, second)]
    assert len({first, second, *again}) == 4


def test_an_idle_refresh_token_dies_after_ninety_days_whatever_came_of_it(
    http: Http, app: msal.ConfidentialClientApplication
) -> None:
    """A token is good for 90 days from its issue: using it renews nothing but the new one."""
    old = refreshed(http, app)["refresh_token"]
    http.control("PATCH", "directory", {"clockAheadSeconds": 60 * DAY})
    new = refreshed(http, app, old)["refresh_token"]
    http.control("PATCH", "directory", {"clockAheadSeconds": 91 * DAY})
    assert refreshed(http, app, old)["error_codes"] == [700082]
    assert "access_token" in refreshed(http, app, new)


def test_revoking_ends_what_was_issued_and_nothing_later() -> None:
    """Revoked tokens are denied by 50173; one that a later consent gives is good."""
    with in_thread(lambda: serve()) as environment:
        there = Http(environment)
        with there.session:
            app = there.msal(environment["PARTNER_CLIENT_SECRET"])
            old = there.control("POST", "refresh-tokens")["refreshToken"]
            there.control("DELETE", "refresh-tokens")
            new = there.control("POST", "refresh-tokens")["refreshToken"]
            tokens = (environment["PARTNER_REFRESH_TOKEN"], old, new)
            denied = [refreshed(there, app, token).get("error_codes") for token in tokens]
    assert denied == [[50173], [50173], None]


def test_an_access_token_lives_as_long_as_it_is_told_to(
    http: Http, app: msal.ConfidentialClientApplication
) -> None:
    """With another lifetime and the clock ahead, the API no longer knows a token that the app still has."""
    http.control("PATCH", "directory", {"accessTokenSeconds": 600})
    fresh = http.control("POST", "refresh-tokens")["refreshToken"]
    answer = refreshed(http, app, fresh)
    assert answer["expires_in"] == 600
    url = f"{http.environment['PARTNER_CENTER_URL']}/v1/agreements"
    given = {"Authorization": f"Bearer {answer['access_token']}"}
    assert http.session.get(url, headers=given).status_code == 200
    http.control("PATCH", "directory", {"clockAheadSeconds": 601})
    assert http.session.get(url, headers=given).status_code == 401


@pytest.mark.parametrize(
    ("credential", "number"),
    [
        ("another", 7000215),
        (None, 7000218),
        ({"client_assertion": lambda: "no.jwt.atall"}, 50013),
    ],
)
def test_a_wrong_credential_is_no_client(http: Http, credential: object, number: int) -> None:
    """A wrong secret, none at all and rubbish for an assertion: each is ``invalid_client`` by its number."""
    answer = refreshed(http, http.msal(credential))
    assert (answer["error"], answer["error_codes"]) == ("invalid_client", [number])
    assert answer["error_description"].startswith(f"AADSTS{number}: ")


def test_an_unknown_application_is_not_authorized(http: Http) -> None:
    """An application that is not in the directory is ``unauthorized_client`` with AADSTS700016."""
    secret = http.environment["PARTNER_CLIENT_SECRET"]
    other = http.msal(secret, client_id="11111111-2222-3333-4444-555555555555")
    assert refreshed(http, other)["error_codes"] == [700016]


def test_an_unknown_refresh_token_is_no_grant(http: Http, app: msal.ConfidentialClientApplication) -> None:
    """A refresh token that was never issued is ``invalid_grant`` with AADSTS70008."""
    answer = refreshed(http, app, "another")
    assert (answer["error"], answer["error_codes"]) == ("invalid_grant", [70008])


def test_another_resource_needs_another_consent(http: Http, app: msal.ConfidentialClientApplication) -> None:
    """The consent is for Partner Center: a scope of another API is denied with AADSTS65001."""
    given = http.environment["PARTNER_REFRESH_TOKEN"]
    answer = app.acquire_token_by_refresh_token(given, scopes=["https://graph.microsoft.com/User.Read"])
    assert (answer["error_codes"], answer["suberror"]) == ([65001], "consent_required")


def test_another_tenant_does_not_exist(http: Http) -> None:
    """MSAL is told that it has the wrong tenant as soon as it looks for the token endpoint."""
    other = f"{http.environment['PARTNER_AUTHORITY_URL']}/11111111-2222-3333-4444-555555555555"
    with pytest.raises(ValueError, match="double check your tenant"):
        refreshed(http, http.msal("any", authority=other))


def test_the_certificate_of_the_app_proves_it(http: Http, tmp_path: Path) -> None:
    """MSAL's assertion, signed with the registered certificate's key, is as good as the secret."""
    with in_thread(lambda: serve(certificates=tmp_path, credential="certificate")) as environment:
        there = Http(environment)
        pem = Path(environment["PARTNER_CLIENT_CERTIFICATE"]).read_text()
        credential = {"private_key": pem, "public_certificate": pem}
        token = Registration().refresh_token
        with there.session:
            assert "access_token" in refreshed(there, there.msal(credential), token)
    # Another directory has another certificate, until this one is registered there, too.
    assert refreshed(http, http.msal(credential))["error_codes"] == [700027]
    registered = http.session.post(
        f"{http.environment['PARTNER_AUTHORITY_URL']}/_control/certificates", data=pem
    )
    assert registered.status_code == 204
    assert "access_token" in refreshed(http, http.msal(credential))


def test_a_private_key_that_is_not_the_certificates_proves_nothing(http: Http, tmp_path: Path) -> None:
    """An assertion that names a registered certificate but is signed by another key is denied."""
    certificate, other = tmp_path / "one", tmp_path / "other"
    with (
        in_thread(lambda: serve(certificates=certificate)) as environment,
        in_thread(lambda: serve(certificates=other)),
    ):
        there = Http(environment)
        credential = {
            "private_key": (other / "app-certificate.pem").read_text(),
            "public_certificate": (certificate / "app-certificate.pem").read_text(),
        }
        with there.session:
            assert refreshed(there, there.msal(credential))["error_codes"] == [700027]


@pytest.fixture
def assertion() -> dict[str, object]:
    """Return the claims of the assertion that Entra expects of the managed identity."""
    registration = Registration()
    return {
        "aud": "api://AzureADTokenExchange",
        "iss": f"https://login.microsoftonline.com/{registration.tenant_id}/v2.0",
        "sub": registration.identity_principal_id,
        "exp": 4102444800,
    }


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({}, None),
        ({"iss": "https://token.example"}, 700211),
        ({"aud": "https://vault.azure.net"}, 700212),
        ({"sub": "another"}, 700213),
        ({"exp": 1000}, 700024),
        ({"nbf": 4102444800}, 700024),
    ],
)
def test_a_federated_assertion_is_judged_by_what_it_says(
    assertion: dict[str, object], changes: dict[str, object], number: int | None
) -> None:
    """Issuer, audience, subject and time must each be those of the one federated credential."""
    form = {"client_assertion": KEY.sign(assertion | changes)}
    assert denial(form) == number


def test_a_federated_assertion_of_another_key_is_no_proof(assertion: dict[str, object]) -> None:
    """The right claims, signed by another key, are denied."""
    assert denial({"client_assertion": SigningKey().sign(assertion)}) == 50013


def test_an_assertion_of_an_unknown_type_is_no_proof(assertion: dict[str, object]) -> None:
    """SAML, say, is not read."""
    form = {"client_assertion": KEY.sign(assertion), "client_assertion_type": "saml"}
    assert denial(form) == 50013


def denial(changes: Mapping[str, object]) -> int | None:
    """Return the number by which an exchange is denied; none if it is not."""
    registration = Registration()
    directory = Directory(registration)
    form: dict[str, object] = {
        "client_id": registration.client_id,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "grant_type": "refresh_token",
        "refresh_token": registration.refresh_token,
        "scope": SCOPE,
        **changes,
    }
    try:
        Grants(directory, Issuing(directory, KEY), KEY).exchange("https://localhost/tenant", form)
    except DeniedError as denied:
        return denied.number
    return None


@pytest.mark.parametrize(
    "scope", ["", "openid", f"{SCOPE} https://graph.microsoft.com/User.Read", "User.Read"]
)
def test_a_scope_is_of_one_resource(scope: str) -> None:
    """No resource, several, or a scope that names none: there would be no audience for the token."""
    assert (
        denial({"client_assertion": None, "client_secret": Registration().client_secret, "scope": scope})
        == 70011
    )


def test_a_grant_that_is_not_known_is_denied() -> None:
    """The app's own token, for one, is not to be had here."""
    form = {"client_secret": Registration().client_secret, "grant_type": "client_credentials"}
    assert denial(form | {"client_assertion": None}) == 70003


def test_the_managed_identity_proves_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    """azure-identity's token for the exchange audience, given to MSAL as a callable, is proof enough."""
    with in_thread(lambda: serve(credential="managed-identity")) as environment:
        for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
            monkeypatch.setenv(name, environment[name])
        there = Http(environment)
        with there.session:
            app = there.msal(federated(environment["AZURE_CLIENT_ID"]))
            assert "access_token" in refreshed(there, app, Registration().refresh_token)


def test_a_person_signs_in_with_pkce(http: Http, app: msal.ConfidentialClientApplication) -> None:
    """MSAL's code flow ends with an access token, a refresh token, and an id_token that says who it was."""
    answer = signed_in(http, app)
    told = answer["id_token_claims"]
    assert (told["tid"], told["oid"]) == (http.environment["PARTNER_TENANT_ID"], Registration().user_id)
    assert (told["preferred_username"], told["amr"]) == ("service-account@partner.example", ["pwd", "mfa"])
    assert claims(answer["access_token"])["scp"] == "user_impersonation"
    assert "access_token" in refreshed(http, app, answer["refresh_token"])
    assert len(app.get_accounts()) == 1


def test_a_redirect_sends_the_browser_back_where_no_form_is_asked_for(http: Http) -> None:
    """By default the code comes in the query, beside the state."""
    client_id = http.environment["PARTNER_CLIENT_ID"]
    asked = {"client_id": client_id, "redirect_uri": REDIRECT, "response_type": "code", "state": "a&b"}
    back = sent_back(http, f"{http.authority}/oauth2/v2.0/authorize?{urlencode(asked)}")
    assert (back["state"], set(back)) == ("a&b", {"state", "code"})


def test_a_form_is_escaped(http: Http, app: msal.ConfidentialClientApplication) -> None:
    """What an app hands in as its state comes back as it was, and is no markup."""
    flow = started(app, state='"><b>')
    assert posted_back(http, flow["auth_uri"])["state"] == '"><b>'


def test_without_mfa_every_later_token_lacks_it(http: Http, app: msal.ConfidentialClientApplication) -> None:
    """What was not proved at the sign-in is in no token that comes of it; Partner Center refuses it."""
    http.control("PATCH", "directory", {"mfa": False})
    first = signed_in(http, app)
    http.control("PATCH", "directory", {"mfa": True})
    later = refreshed(http, app, first["refresh_token"])
    assert first["id_token_claims"]["amr"] == ["pwd"]
    assert claims(later["access_token"])["amr"] == ["pwd"]
    url = f"{http.environment['PARTNER_CENTER_URL']}/v1/agreements"
    refused = http.session.get(url, headers={"Authorization": f"Bearer {later['access_token']}"})
    assert (refused.status_code, refused.json()["code"]) == (401, 900421)


def test_a_person_of_another_tenant_or_with_another_consent_is_seen_in_the_token(
    http: Http, app: msal.ConfidentialClientApplication
) -> None:
    """The tokens tell the tenant, name and scope that were, and not those that were hoped for."""
    other = "11111111-2222-3333-4444-555555555555"
    scopes = ["https://graph.microsoft.com/User.Read"]
    http.control("PATCH", "directory", {"tenantId": other, "upn": "x@other.example", "grantedScopes": scopes})
    answer = signed_in(http, app)
    told = claims(answer["access_token"])
    assert (told["tid"], told["upn"]) == (other, "x@other.example")
    assert (told["aud"], told["scp"]) == ("https://graph.microsoft.com", "User.Read")
    assert answer["scope"] == scopes[0]
    url = f"{http.environment['PARTNER_CENTER_URL']}/v1/agreements"
    refused = http.session.get(url, headers={"Authorization": f"Bearer {answer['access_token']}"})
    assert (refused.status_code, refused.json()["code"]) == (401, 900420)


@pytest.mark.parametrize(
    ("denied", "said"),
    [
        ("access_denied", "AADSTS65004: "),
        ("consent_required", "AADSTS65001: "),
        ("server_error", "Signing in"),
    ],
)
def test_a_denial_comes_back_to_the_app(
    http: Http, app: msal.ConfidentialClientApplication, denied: str, said: str
) -> None:
    """The browser is sent back with the error and the state, as MSAL takes it."""
    http.control("PATCH", "directory", {"denied": denied})
    answer = signed_in(http, app)
    assert answer["error"] == denied
    assert answer["error_description"].startswith(said)


@pytest.mark.parametrize(
    ("changes", "number"),
    [({"client_id": "another"}, 700016), ({"redirect_uri": "https://else.example/"}, 50011)],
)
def test_nobody_is_sent_where_the_app_is_not(http: Http, changes: dict[str, str], number: int) -> None:
    """An unknown app or address is told on Entra's own page: the browser stays."""
    asked = {"client_id": http.environment["PARTNER_CLIENT_ID"], "redirect_uri": REDIRECT} | changes
    page = http.session.get(f"{http.authority}/oauth2/v2.0/authorize?{urlencode(asked)}")
    assert (page.status_code, page.json()["error_codes"]) == (400, [number])


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
    ],
)
def test_only_codes_with_s256_are_given(http: Http, changes: dict[str, str], error: str) -> None:
    """Other ways to be answered, and the plain challenge, are refused."""
    client_id = http.environment["PARTNER_CLIENT_ID"]
    asked = {"client_id": client_id, "redirect_uri": REDIRECT, "response_type": "code"} | changes
    assert sent_back(http, f"{http.authority}/oauth2/v2.0/authorize?{urlencode(asked)}")["error"] == error


@pytest.mark.parametrize(
    ("changes", "ahead", "number"),
    [
        ({}, 0, None),
        ({"code_verifier": "guessed"}, 0, 501481),
        ({"redirect_uri": "http://localhost:6000/"}, 0, 500112),
        ({"code": "guessed"}, 0, 70008),
        ({}, 601, 70008),
    ],
)
def test_a_code_is_for_whoever_asked_for_it(
    http: Http,
    app: msal.ConfidentialClientApplication,
    changes: dict[str, str],
    ahead: float,
    number: int | None,
) -> None:
    """A code is redeemed once, within ten minutes, with the verifier and redirect URI it was asked for by."""
    flow = started(app)
    form = {
        "client_id": http.environment["PARTNER_CLIENT_ID"],
        "client_secret": http.environment["PARTNER_CLIENT_SECRET"],
        "grant_type": "authorization_code",
        "redirect_uri": REDIRECT,
        "code": posted_back(http, flow["auth_uri"])["code"],
        "code_verifier": flow["code_verifier"],
        "scope": SCOPE,
        **changes,
    }
    http.control("PATCH", "directory", {"clockAheadSeconds": ahead})
    answers = [http.session.post(f"{http.authority}/oauth2/v2.0/token", data=form).json() for _ in range(2)]
    assert answers[0].get("error_codes") == (None if number is None else [number])
    assert answers[1]["error_codes"] == [70008 if number == 70008 else 54005]


@pytest.mark.parametrize("number", DENIALS)
def test_every_denial_is_to_be_had_on_demand(
    http: Http, app: msal.ConfidentialClientApplication, number: int
) -> None:
    """A rule with a number denies token requests by it, in Entra's body, so often and no more."""
    http.control("PUT", "faults", [{"aadsts": number, "times": 1}])
    answer = refreshed(http, app)
    assert answer["error_codes"] == [number]
    assert answer["error_description"].startswith(f"AADSTS{number}: ")
    assert {"error", "timestamp", "trace_id", "correlation_id", "error_uri"} <= set(answer)
    # MSAL gives the same denial again for a while, if the same application asks the same.
    assert "access_token" in refreshed(http, http.msal(http.environment["PARTNER_CLIENT_SECRET"]))


def test_missing_mfa_comes_with_the_claims_to_ask_for(
    http: Http, app: msal.ConfidentialClientApplication
) -> None:
    """50076 carries what a client must ask of the next sign-in."""
    http.control("PUT", "faults", [{"aadsts": 50076}])
    answer = refreshed(http, app)
    assert (answer["error"], answer["suberror"]) == ("invalid_grant", "basic_action")
    assert '"essential":true' in answer["claims"]


@pytest.mark.parametrize(
    "rule",
    [{"aadsts": 1}, {"aadsts": 50076, "status": 400}, {"aadsts": 50076, "drop": "after"}, {"aadst": 50076}],
)
def test_a_rule_that_cannot_be_is_refused(http: Http, rule: dict[str, object]) -> None:
    """An unknown number, or two answers at once, is named."""
    url = f"{http.environment['PARTNER_AUTHORITY_URL']}/_control/faults"
    answer = http.session.put(url, json=[rule])
    assert answer.status_code == 400
    assert "aadst" in answer.json()["error"]


@pytest.mark.parametrize(
    "change", [b'{"mfa": "yes"}', b'{"unknown": 1}', b"[]", b"rubbish", b'{"denied": "no"}']
)
def test_a_change_that_cannot_be_changes_nothing(http: Http, change: bytes) -> None:
    """What is not known of the directory, or is of another type, is refused whole."""
    before = http.control("GET", "directory")
    url = f"{http.environment['PARTNER_AUTHORITY_URL']}/_control/directory"
    assert http.session.patch(url, data=change).status_code == 400
    assert http.control("GET", "directory") == before


def test_a_certificate_that_is_none_is_refused(http: Http) -> None:
    """Rubbish is not registered."""
    url = f"{http.environment['PARTNER_AUTHORITY_URL']}/_control/certificates"
    assert http.session.post(url, data=b"rubbish").status_code == 400


def test_the_exchanges_are_counted_by_what_came_of_them(
    http: Http, app: msal.ConfidentialClientApplication
) -> None:
    """Issued, denied, failing, throttled and cut: each is counted under its grant, and no token is told."""
    before = control.exchanges(http.environment)
    rules = [{"aadsts": 700082}, {"method": "POST", "status": 503}, {"method": "POST", "status": 429}]
    http.control("PUT", "faults", [*rules, {"method": "POST", "drop": "before"}])
    told = [refreshed(http, app)]
    for _ in range(2):
        with pytest.raises(requests.RequestException):
            http.session.post(f"{http.authority}/oauth2/v2.0/token", data=form(http)).raise_for_status()
    with pytest.raises(requests.ConnectionError):
        http.session.post(f"{http.authority}/oauth2/v2.0/token", data=form(http))
    told.append(refreshed(http, http.msal(http.environment["PARTNER_CLIENT_SECRET"])))
    results = ("AADSTS700082", "HTTP 503", "HTTP 429", "cut", "issued")
    after = control.exchanges(http.environment)
    assert [
        after["refresh_token", result] - before.get(("refresh_token", result), 0) for result in results
    ] == [1] * 5
    assert told[1]["access_token"] not in str(http.control("GET", "exchanges"))


def form(http: Http) -> dict[str, str]:
    """Return the form of a token request."""
    return {"grant_type": "refresh_token", "client_id": http.environment["PARTNER_CLIENT_ID"]}


def test_a_wrong_tenant_is_a_bad_request(http: Http) -> None:
    """Every endpoint denies another tenant before it looks at anything else."""
    other = f"{http.environment['PARTNER_AUTHORITY_URL']}/another"
    keys, page = f"{other}/discovery/v2.0/keys", f"{other}/oauth2/v2.0/authorize"
    answers = [http.session.post(f"{other}/oauth2/v2.0/token"), *map(http.session.get, (keys, page))]
    assert [(answer.status_code, answer.json()["error_codes"]) for answer in answers] == [(400, [90002])] * 3
