import time
from collections.abc import Iterator, Mapping

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CredentialUnavailableError, DefaultAzureCredential, ManagedIdentityCredential

from local.entra import Registration
from local.partner_center import serve
from local.parts import in_thread
from tests.local.signing_in import Http, claims

VAULT = "https://vault.azure.net/.default"


@pytest.fixture(scope="module")
def served() -> Iterator[Http]:
    """Serve every part, and lead to them."""
    with in_thread(lambda: serve(credential="managed-identity")) as environment:
        http = Http(environment)
        with http.session:
            yield http


@pytest.fixture
def http(served: Http, monkeypatch: pytest.MonkeyPatch) -> Http:
    """Be an app whose App Service has this endpoint."""
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
        monkeypatch.setenv(name, served.environment[name])
    return served


@pytest.mark.parametrize("scope", [VAULT, "api://AzureADTokenExchange/.default"])
def test_azure_identity_gets_a_token_for_each_resource(http: Http, scope: str) -> None:
    """The credential's own client takes the answer, and the token says for whom and for what it is."""
    credential = ManagedIdentityCredential(client_id=http.environment["AZURE_CLIENT_ID"])
    token = credential.get_token(scope)
    told = claims(token.token)
    assert told["aud"] == scope.removesuffix("/.default")
    assert told["sub"] == Registration().identity_principal_id
    assert token.expires_on == told["exp"] > time.time() + 3600


def test_the_default_credential_finds_it_too(http: Http) -> None:
    """In the chain of credentials the managed identity has its turn."""
    credential = DefaultAzureCredential(managed_identity_client_id=http.environment["AZURE_CLIENT_ID"])
    with credential:
        assert claims(credential.get_token(VAULT).token)["aud"] == "https://vault.azure.net"


def test_an_identity_that_is_not_named_does_not_exist(http: Http) -> None:
    """There is no system-assigned identity here, and none of another id."""
    for credential in (ManagedIdentityCredential(), ManagedIdentityCredential(client_id="another")):
        with pytest.raises(ClientAuthenticationError, match="No user-assigned managed identity"):
            credential.get_token(VAULT)


def test_another_header_is_turned_away(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """The header keeps others on the machine from asking."""
    monkeypatch.setenv("IDENTITY_HEADER", "guessed")
    credential = ManagedIdentityCredential(client_id=http.environment["AZURE_CLIENT_ID"])
    with pytest.raises(ClientAuthenticationError, match="X-IDENTITY-HEADER"):
        credential.get_token(VAULT)


def test_an_unknown_resource_has_no_token(http: Http) -> None:
    """A token is to be had for what an app here needs, and for nothing else."""
    credential = ManagedIdentityCredential(client_id=http.environment["AZURE_CLIENT_ID"])
    with pytest.raises(ClientAuthenticationError, match="The resource is none of"):
        credential.get_token("https://management.azure.com/.default")


def ask(environment: Mapping[str, str], **changes: str) -> requests.Response:
    """Ask as the real endpoint's documentation has it."""
    query = {
        "api-version": "2019-08-01",
        "resource": "https://vault.azure.net",
        "client_id": environment["AZURE_CLIENT_ID"],
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    headers = {"X-IDENTITY-HEADER": environment["IDENTITY_HEADER"]}
    return requests.get(environment["IDENTITY_ENDPOINT"], params=query, headers=headers, timeout=10)


def test_the_answer_has_the_shape_of_app_service(http: Http) -> None:
    """Plain http, every value a string, the end in Unix seconds."""
    answer = ask(http.environment).json()
    assert set(answer) == {"access_token", "expires_on", "resource", "token_type", "client_id"}
    assert all(isinstance(value, str) for value in answer.values())
    assert http.environment["IDENTITY_ENDPOINT"].startswith("http://localhost:")
    assert int(answer["expires_on"]) > time.time()


def test_another_version_of_the_endpoint_does_not_exist(http: Http) -> None:
    """The api-version is looked at."""
    answer = ask(http.environment, api_version="2017-09-01")
    assert (answer.status_code, answer.json()["statusCode"]) == (400, 400)


def test_faults_meet_it_as_they_do_the_other_parts(http: Http) -> None:
    """A rule makes the identity unavailable to the app that needs it, so often and no more."""
    http.control(
        "PUT",
        "faults",
        [{"status": 400, "body": {"statusCode": 400, "message": "planned"}}],
        part="IDENTITY_ENDPOINT",
    )
    credential = ManagedIdentityCredential(client_id=http.environment["AZURE_CLIENT_ID"])
    with pytest.raises((ClientAuthenticationError, CredentialUnavailableError), match="planned"):
        credential.get_token(VAULT)
    assert credential.get_token(VAULT).token
    statuses = [one["status"] for one in http.control("GET", "calls", part="IDENTITY_ENDPOINT")["calls"]]
    assert {200, 400} <= set(statuses)
