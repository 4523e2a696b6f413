from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.identity import ManagedIdentityCredential
from azure.keyvault.secrets import ApiVersion, SecretClient

from local.entra import Registration
from local.partner_center import serve
from local.parts import in_thread
from tests.local.signing_in import Http

QUICKLY: dict[str, Any] = {"retry_total": 0}


@pytest.fixture(scope="module")
def http() -> Iterator[Http]:
    """Serve every part, and be an app whose App Service has its identity."""
    with (
        in_thread(lambda: serve(credential="managed-identity")) as environment,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "REQUESTS_CA_BUNDLE"):
            patch.setenv(name, environment[name])
        http = Http(environment)
        with http.session:
            yield http


def a_client(http: Http, **options: Any) -> SecretClient:
    """Build the SDK's client as an app on this machine does."""
    credential = ManagedIdentityCredential(client_id=http.environment["AZURE_CLIENT_ID"])
    url = http.environment["KEY_VAULT_URL"]
    return SecretClient(url, credential, verify_challenge_resource=False, **options)


@pytest.fixture
def client(http: Http) -> Iterator[SecretClient]:
    """The SDK's client; afterwards no fault is in force."""
    with a_client(http) as client:
        yield client
    http.control("DELETE", "faults", part="KEY_VAULT_URL")


def test_the_vault_holds_the_first_refresh_token(http: Http, client: SecretClient) -> None:
    """What a consent would have stored is there, and ends in 90 days."""
    secret = client.get_secret(http.environment["REFRESH_TOKEN_SECRET_NAME"])
    assert secret.value == Registration().refresh_token
    assert secret.properties.expires_on is not None
    assert timedelta(days=89) < secret.properties.expires_on - datetime.now(UTC) <= timedelta(days=90)


def test_each_value_is_a_version_and_the_newest_is_what_is_got(client: SecretClient) -> None:
    """Setting a secret again keeps the older versions, each to be got by its id."""
    ends = datetime(2030, 1, 1, tzinfo=UTC)
    first = client.set_secret("twice", "one", expires_on=ends, content_type="text/plain", tags={"a": "b"})
    second = client.set_secret("twice", "two")
    assert client.get_secret("twice").value == "two"
    again = client.get_secret("twice", first.properties.version)
    assert (again.value, again.properties.expires_on) == ("one", ends)
    assert (again.properties.content_type, again.properties.tags) == ("text/plain", {"a": "b"})
    assert again.properties.enabled
    assert second.properties.expires_on is None
    assert first.id != second.id


def test_moments_are_whole_seconds(client: SecretClient) -> None:
    """As in the real vault: two versions of one second cannot be told apart by when they were made."""
    created = client.set_secret("moment", "x").properties.created_on
    assert created is not None
    assert created.microsecond == 0


def test_a_disabled_version_is_kept_but_not_given(client: SecretClient) -> None:
    """Disabling forbids reading that version alone, until it is enabled again."""
    old = client.set_secret("disabled", "one").properties.version
    client.set_secret("disabled", "two")
    client.update_secret_properties("disabled", old, enabled=False)
    with pytest.raises(HttpResponseError) as caught:
        client.get_secret("disabled", old)
    assert caught.value.status_code == 403
    assert caught.value.error is not None
    assert (caught.value.error.code, caught.value.error.innererror) == (
        "Forbidden",
        {"code": "SecretDisabled"},
    )
    assert client.get_secret("disabled").value == "two"
    client.update_secret_properties("disabled", old, enabled=True)
    assert client.get_secret("disabled", old).value == "one"


def test_an_update_without_a_version_is_of_the_newest(client: SecretClient) -> None:
    """What is not named in an update stays as it is."""
    client.set_secret("update", "one", tags={"a": "b"})
    ends = datetime(2031, 1, 1, tzinfo=UTC)
    told = client.update_secret_properties("update", expires_on=ends)
    assert (told.expires_on, told.tags, told.enabled) == (ends, {"a": "b"}, True)


def test_all_versions_are_listed_page_by_page_and_no_value(http: Http, client: SecretClient) -> None:
    """A daily renewal soon makes more versions than fit on a page; the SDK follows to the last."""
    made = {client.set_secret("many", f"value {number}").properties.version for number in range(60)}
    listed = list(client.list_properties_of_secret_versions("many"))
    assert {one.version for one in listed} == made
    assert len(list(client.list_properties_of_secret_versions("many", max_page_size=7))) == 60
    counted = http.control("GET", "calls", part="KEY_VAULT_URL")["calls"]
    [pages] = [one["count"] for one in counted if one["route"].endswith("/versions") and one["status"] == 200]
    assert pages == 3 + 9


@pytest.mark.parametrize("version", ["", "0123456789abcdef0123456789abcdef"])
def test_what_is_not_there_is_not_found(client: SecretClient, version: str) -> None:
    """An unknown secret, and an unknown version of a known one, have the real vault's code."""
    client.set_secret("known", "x")
    name = "known" if version else "unknown"
    for ask in (client.get_secret, client.update_secret_properties):
        with pytest.raises(ResourceNotFoundError) as caught:
            ask(name, version)
        assert caught.value.error is not None
        assert caught.value.error.code == "SecretNotFound"


@pytest.mark.parametrize(("name", "value"), [("under_score", "x"), ("long", "x" * 25_001)])
def test_a_bad_name_or_value_is_refused_and_not_quoted(client: SecretClient, name: str, value: str) -> None:
    """The limits of the real vault hold, and no error shows the value."""
    with pytest.raises(HttpResponseError) as caught:
        client.set_secret(name, value)
    assert caught.value.status_code == 400
    assert value not in str(caught.value) or value == "x"


def test_an_unknown_version_of_the_api_is_refused(http: Http) -> None:
    """The query's api-version is looked at; every one that the SDK knows is taken."""
    for version in ApiVersion:
        with a_client(http, api_version=version) as client:
            assert client.get_secret(http.environment["REFRESH_TOKEN_SECRET_NAME"]).value
    with a_client(http, api_version="1.0") as client, pytest.raises(HttpResponseError, match="api-version"):
        client.get_secret("any")


def test_the_client_refuses_the_challenge_unless_told_otherwise(http: Http) -> None:
    """The SDK's own check holds: on this machine it must be switched off by whoever knows that it is one."""
    credential = ManagedIdentityCredential(client_id=http.environment["AZURE_CLIENT_ID"])
    with (
        SecretClient(http.environment["KEY_VAULT_URL"], credential) as client,
        pytest.raises(ValueError, match="does not match the requested domain"),
    ):
        client.get_secret("any")


def ask(http: Http, authorization: str) -> Any:
    """Ask for a secret by hand."""
    url = f"{http.environment['KEY_VAULT_URL']}/secrets/any?api-version=7.4"
    return http.session.get(url, headers={"Authorization": authorization}, timeout=10)


def test_only_a_token_for_vaults_opens_it(http: Http) -> None:
    """No token, rubbish, and a good token for something else: 401, and where to get the right one."""
    credential = ManagedIdentityCredential(client_id=http.environment["AZURE_CLIENT_ID"])
    other = credential.get_token("api://AzureADTokenExchange/.default").token
    for authorization, text in (
        ("", "missing"),
        ("Bearer rubbish", "not valid"),
        (f"Bearer {other}", "Invalid audience"),
    ):
        answer = ask(http, authorization)
        assert answer.status_code == 401
        assert text in answer.json()["error"]["message"]
        assert 'resource="https://vault.azure.net"' in answer.headers["WWW-Authenticate"]


def test_an_identity_that_is_refused_shows_in_the_sdk(http: Http) -> None:
    """A token that the vault does not take ends in the SDK's own error, and in no loop."""

    class Wrong(ManagedIdentityCredential):
        def get_token_info(self, *scopes: str, **options: Any) -> Any:
            return super().get_token_info("api://AzureADTokenExchange/.default")

    credential = Wrong(client_id=http.environment["AZURE_CLIENT_ID"])
    url = http.environment["KEY_VAULT_URL"]
    with (
        SecretClient(url, credential, verify_challenge_resource=False) as client,
        pytest.raises(ClientAuthenticationError, match="AKV10022"),
    ):
        client.get_secret("any")


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"status": 403, "body": {"error": {"code": "Forbidden", "message": "planned"}}}, HttpResponseError),
        (
            {"status": 429, "headers": {"Retry-After": "1"}, "body": {"error": {"code": "Throttled"}}},
            HttpResponseError,
        ),
        ({"status": 503}, HttpResponseError),
        ({"drop": "before"}, (ServiceResponseError, ServiceRequestError)),
    ],
)
def test_faults_meet_it_as_they_do_the_other_parts(
    http: Http, client: SecretClient, rule: dict[str, object], error: Any
) -> None:
    """Refused, throttled, failing and cut: each comes to the SDK as it would from the real vault."""
    client.set_secret("faulty", "x")
    http.control("PUT", "faults", [rule], part="KEY_VAULT_URL")
    with pytest.raises(error):
        client.get_secret("faulty", **QUICKLY)
    assert client.get_secret("faulty").value == "x"


def test_a_throttled_sdk_comes_again_by_itself(http: Http, client: SecretClient) -> None:
    """The SDK obeys Retry-After, and gets what it asked for."""
    client.set_secret("throttled", "x")
    rule = {"status": 429, "headers": {"Retry-After": "0"}, "times": 2}
    http.control("PUT", "faults", [rule], part="KEY_VAULT_URL")
    assert client.get_secret("throttled").value == "x"


def test_a_page_of_no_size_is_refused(client: SecretClient) -> None:
    """What is no number of items, or more than a page may hold, is told."""
    client.set_secret("paged", "x")
    for size in ("many", 26, 0):
        with pytest.raises(HttpResponseError, match="maxresults"):
            list(client.list_properties_of_secret_versions("paged", params={"maxresults": size}))


def test_a_path_that_is_none_is_refused_in_the_vaults_own_shape(http: Http) -> None:
    """Whatever is asked, the error is JSON of the one shape."""
    credential = ManagedIdentityCredential(client_id=http.environment["AZURE_CLIENT_ID"])
    token = credential.get_token("https://vault.azure.net/.default").token
    url = f"{http.environment['KEY_VAULT_URL']}/keys?api-version=7.4"
    answer = http.session.get(url, headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "BadParameter")
