"""The refresh token in Key Vault, by the real SDK against a vault over real TLS."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, NoReturn
from urllib.parse import urljoin

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.keyvault.secrets import SecretClient
from pydantic import SecretStr

from agreements import settings, wiring
from agreements.deadline import Deadline
from agreements.errors import Reason, TokenError
from agreements.vault import LIFETIME, GivenToken, Vault
from local.entra import Registration
from local.partner_center import serve
from local.parts import in_thread
from tests.test_settings import TokenOnly

AMPLE = Deadline.after(1e6)
SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=90)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mapping[str, str]]:
    """The environment that leads to a fresh vault, with the refresh token of a consent in it."""
    with in_thread(lambda: serve(credential="managed-identity")) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield environment


@pytest.fixture
def vault(environment: Mapping[str, str]) -> Vault:
    given = settings.read(TokenOnly, environment)
    return wiring.vault(given.refresh_token, given.token)


@contextmanager
def faults(
    environment: Mapping[str, str], *rules: dict[str, object], part: str = "KEY_VAULT_URL"
) -> Iterator[None]:
    """Let the vault, or another part, fail by these rules for a while."""
    url, verify = urljoin(environment[part], "/_control/faults"), environment["REQUESTS_CA_BUNDLE"]
    requests.put(url, json=rules, verify=verify, timeout=5).raise_for_status()
    try:
        yield
    finally:
        requests.delete(url, verify=verify, timeout=5).raise_for_status()


def asked(environment: Mapping[str, str]) -> int:
    """Return how many calls the vault got."""
    url, verify = f"{environment['KEY_VAULT_URL']}/_control/calls", environment["REQUESTS_CA_BUNDLE"]
    calls = requests.get(url, verify=verify, timeout=5).json()["calls"]
    return sum(int(call["count"]) for call in calls)


def failure(ask: Callable[[], object]) -> TokenError:
    """Return the error with which asking ends."""
    with pytest.raises(TokenError) as caught:
        ask()
    return caught.value


def test_the_stored_token_is_read(vault: Vault) -> None:
    """The newest version is read with its version and its end, and shows no value."""
    stored = vault.read(AMPLE)
    assert stored.value.get_secret_value() == Registration().refresh_token
    assert stored.version
    assert stored.expires - stored.created == LIFETIME
    assert Registration().refresh_token not in repr(stored)


def test_a_new_version_takes_the_place_of_the_old_one(vault: Vault) -> None:
    """What was stored is what is read from then on, with the end that was given."""
    old = vault.read(AMPLE)
    new = vault.store(SecretStr("another"), expires=SOON, deadline=AMPLE)
    assert vault.read(AMPLE) == new
    assert (new.value.get_secret_value(), new.expires) == ("another", SOON)
    assert new.version != old.version


def test_a_token_without_an_end_ends_by_its_age(vault: Vault) -> None:
    """A token that a person stored by hand, without an end, is taken to end ninety days after."""
    client: SecretClient = vault._client  # noqa: SLF001 - to store what our own code never would
    client.set_secret("partner-refresh-token", "by hand")
    stored = vault.read(AMPLE)
    assert stored.expires == stored.created + timedelta(days=90)


def test_older_versions_are_disabled(vault: Vault) -> None:
    """All that is older than the given version can no longer be read; what is not, can."""
    first = vault.read(AMPLE)
    client: SecretClient = vault._client  # noqa: SLF001 - to look at versions one by one
    second = vault.store(SecretStr("two"), expires=SOON, deadline=AMPLE)
    kept = type(second)(
        value=second.value,
        version=second.version,
        # The vault's clock has whole seconds, in which all of this may happen.
        created=second.created + timedelta(seconds=0.5),
        expires=second.expires,
    )
    assert vault.disable_older(first, AMPLE) == 0
    assert vault.disable_older(kept, AMPLE) == 2
    enabled = [one.enabled for one in client.list_properties_of_secret_versions("partner-refresh-token")]
    assert enabled == [False, False]
    assert vault.disable_older(kept, AMPLE) == 0


def test_a_secret_that_is_not_there(environment: Mapping[str, str]) -> None:
    """Before anybody consented there is nothing to read, and the remedy is to consent."""
    elsewhere = dict(environment) | {"REFRESH_TOKEN_SECRET_NAME": "another-name"}
    given = settings.read(TokenOnly, elsewhere)
    error = failure(lambda: wiring.vault(given.refresh_token, given.token).read(AMPLE))
    assert error.reason is Reason.REFRESH_TOKEN_MISSING


def test_a_version_that_somebody_disabled(vault: Vault) -> None:
    """A newest version that is disabled is not taken for a missing role, which no role would mend."""
    client: SecretClient = vault._client  # noqa: SLF001 - to do what a person does in the portal
    client.update_secret_properties("partner-refresh-token", vault.read(AMPLE).version, enabled=False)
    assert failure(lambda: vault.read(AMPLE)).reason is Reason.VAULT_SECRET_DISABLED
    assert vault.store(SecretStr("another"), expires=SOON, deadline=AMPLE) == vault.read(AMPLE)


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"status": 403, "body": {"error": {"code": "Forbidden"}}}, Reason.VAULT_REFUSED),
        ({"status": 403, "body": {"error": {"code": "x", "innererror": "planted"}}}, Reason.VAULT_REFUSED),
        ({"status": 401, "body": {}}, Reason.VAULT_REFUSED),
        ({"status": 409, "body": {"error": {"code": "Conflict"}}}, Reason.VAULT_SECRET_DELETED),
        ({"status": 503, "body": "<html>planted"}, Reason.VAULT_FAILING),
        ({"status": 429, "body": {"error": {"code": "Throttled"}}}, Reason.VAULT_FAILING),
        ({"status": 307, "headers": {"Location": "https://localhost:1/"}}, Reason.VAULT_UNREACHABLE),
        ({"status": 200, "body": "planted, but not JSON"}, Reason.VAULT_UNREACHABLE),
        ({"drop": "before"}, Reason.VAULT_UNREACHABLE),
    ],
    ids=[
        "forbidden",
        "forbidden-oddly",
        "unauthorized",
        "deleted",
        "failing",
        "throttled",
        "redirect",
        "not-json",
        "cut",
    ],
)
def test_a_refusal_is_named_by_its_remedy(
    vault: Vault, environment: Mapping[str, str], rule: dict[str, object], reason: Reason
) -> None:
    """Whatever the vault says in place of the secret has its reason; none of it is repeated."""
    vault.read(AMPLE)
    with faults(environment, {**rule, "times": None}):
        errors = [
            failure(lambda: vault.read(Deadline.after(5))),
            failure(lambda: vault.store(SecretStr("planted"), expires=SOON, deadline=Deadline.after(5))),
        ]
    assert [error.reason for error in errors] == [reason] * 2
    assert not any("planted" in f"{error} {error!r} {vars(error)}" for error in errors)


def test_a_cut_line_is_ridden_out(vault: Vault, environment: Mapping[str, str]) -> None:
    """A connection that was cut is no failure of ours, and there is an end to trying."""
    with faults(environment, {"drop": "before"}):
        assert vault.read(AMPLE).version
    before = asked(environment)
    with faults(environment, {"drop": "before", "times": None}):
        failure(lambda: vault.read(AMPLE))
    assert asked(environment) - before == 3


def test_a_vault_that_asks_for_patience_is_not_waited_for(
    vault: Vault, environment: Mapping[str, str]
) -> None:
    """However long the vault would have us wait, that is for whoever tries again later."""
    vault.read(AMPLE)
    before = asked(environment)
    with faults(environment, {"status": 429, "headers": {"Retry-After": "3600"}, "times": None}):
        assert failure(lambda: vault.read(AMPLE)).reason is Reason.VAULT_FAILING
    assert asked(environment) - before == 1


def test_no_wait_outlasts_the_deadline(vault: Vault, environment: Mapping[str, str]) -> None:
    """A vault that does not answer in time is given up, and without time left it is not asked."""
    with faults(environment, {"delaySeconds": 30, "times": None}):
        assert failure(lambda: vault.read(Deadline.after(0.3))).reason is Reason.VAULT_UNREACHABLE
    before = asked(environment)
    assert failure(lambda: vault.read(Deadline.after(0))).reason is Reason.VAULT_UNREACHABLE
    assert asked(environment) == before


@pytest.mark.parametrize(
    ("part", "rule"),
    [("IDENTITY_ENDPOINT", {"delaySeconds": 60}), ("KEY_VAULT_URL", {"delaySeconds": 60})],
    ids=["identity", "vault"],
)
def test_neither_identity_nor_tries_outlast_the_deadline(
    environment: Mapping[str, str], part: str, rule: dict[str, object]
) -> None:
    """The token that the vault is asked with, and every try, are waited for within the same deadline."""
    given = settings.read(TokenOnly, {**environment, "TOKEN_TIMEOUT_SECONDS": "50"})
    vault = wiring.vault(given.refresh_token, given.token)
    before = monotonic()
    with faults(environment, {**rule, "times": None}, part=part):
        failure(lambda: vault.read(Deadline.after(1)))
    assert monotonic() - before < 40


def test_an_address_that_is_no_vault(environment: Mapping[str, str]) -> None:
    """An address that answers like no vault of its name gets no token of ours."""
    credential = _Nobody()
    client = SecretClient(environment["KEY_VAULT_URL"], credential)
    error = failure(lambda: Vault(client, "partner-refresh-token", 5).read(AMPLE))
    assert error.reason is Reason.VAULT_UNREACHABLE
    assert credential.asked == 0


def test_nobody_to_ask_as(environment: Mapping[str, str]) -> None:
    """Without an identity the vault is not asked, and the remedy is to have one."""
    client = SecretClient(environment["KEY_VAULT_URL"], _Nobody(), verify_challenge_resource=False)
    error = failure(lambda: Vault(client, "partner-refresh-token", 5).read(AMPLE))
    assert error.reason is Reason.MANAGED_IDENTITY_MISSING
    assert "planted" not in f"{error} {error!r} {vars(error)}"


class _Nobody:
    """A credential that has no token to give; ``asked`` counts."""

    def __init__(self) -> None:
        self.asked = 0

    def get_token(self, *scopes: str, **options: Any) -> NoReturn:
        """Fail."""
        self.asked += 1
        raise ClientAuthenticationError("planted")


def test_the_token_of_one_machine_is_always_the_same() -> None:
    """What the environment gives is given again, under the same version, and masked."""
    given = GivenToken(SecretStr("planted"))
    assert given.read(AMPLE) is given
    assert given.version
    assert "planted" not in repr(given)
