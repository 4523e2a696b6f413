"""The partner's token, by real MSAL against a token endpoint over real TLS."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from pydantic import SecretStr

from agreements.auth import Application, Exchange, Grant, Tokens, read_grant
from agreements.credentials import ClientCertificate, ClientCredential, ClientSecret, FederatedIdentity
from agreements.deadline import Deadline, bounded
from agreements.errors import Reason, TokenError
from local.entra import Registration
from local.partner_center import serve
from local.parts import in_thread
from tests.fakes import FakeClock, shown
from tests.far_end import Say, far_end

ALIVE = SecretStr(Registration().refresh_token)
AMPLE = Deadline.after(1e6)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    folder = tmp_path_factory.mktemp("certificates")
    with in_thread(lambda: serve(certificates=folder, credential="certificate")) as environment:
        yield {**environment, "PARTNER_CLIENT_SECRET": Registration().client_secret}


@pytest.fixture
def application(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Application:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", environment["REQUESTS_CA_BUNDLE"])
    return Application(
        authority=environment["PARTNER_AUTHORITY_URL"],
        tenant_id=environment["PARTNER_TENANT_ID"],
        client_id=environment["PARTNER_CLIENT_ID"],
        credential=ClientSecret(SecretStr(environment["PARTNER_CLIENT_SECRET"])),
        timeout=5,
    )


@contextmanager
def faults(environment: Mapping[str, str], *rules: dict[str, object]) -> Iterator[None]:
    """Let the token endpoint fail by these rules for a while."""
    url, verify = f"{environment['PARTNER_AUTHORITY_URL']}/_control/faults", environment["REQUESTS_CA_BUNDLE"]
    requests.put(url, json=rules, verify=verify, timeout=5).raise_for_status()
    try:
        yield
    finally:
        requests.delete(url, verify=verify, timeout=5).raise_for_status()


def failure(ask: Callable[[], object]) -> TokenError:
    """Return the error with which asking ends."""
    with pytest.raises(TokenError) as caught:
        ask()
    return caught.value


class FakeIdentity:
    """An identity whose tokens are numbered; with an error it has none."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[str] = []
        self.bounded_by: list[float] = []

    def get_token(self, *scopes: str) -> "FakeIdentity":
        """Return itself, which has the newest token."""
        self.asked.extend(scopes)
        self.bounded_by.append(bounded(1000))
        if self.error is not None:
            raise self.error
        return self

    @property
    def token(self) -> str:
        """The newest token."""
        return f"assertion-{len(self.asked)}"


# --- one exchange


def test_a_refresh_token_becomes_an_access_token(application: Application) -> None:
    """The exchange is one that MSAL and the endpoint agree upon, and a new refresh token comes along."""
    grant = application.exchange(ALIVE, AMPLE)
    assert grant.access_token.get_secret_value().count(".") == 2
    assert grant.expires_in == 3599
    assert grant.refresh_token is not None
    assert application.exchange(grant.refresh_token, AMPLE).expires_in == 3599


def test_a_certificate_proves_the_app(application: Application, environment: Mapping[str, str]) -> None:
    """A PEM file with certificate and key is all that it takes; the key itself goes nowhere."""
    pem = SecretStr(Path(environment["PARTNER_CLIENT_CERTIFICATE"]).read_text())
    credential = ClientCertificate(pem)
    assert replace(application, credential=credential).exchange(ALIVE, AMPLE).expires_in == 3599
    assert "PRIVATE KEY" not in repr(credential)


def test_an_assertion_is_fetched_for_each_exchange(tmp_path: Path, application: Application) -> None:
    """The managed identity's assertion goes to the endpoint, and never one that was kept too long."""
    identity = FakeIdentity()
    with far_end(tmp_path) as end, pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(end.bundle))
        configuration = {
            "issuer": end.url,
            "authorization_endpoint": f"{end.url}/authorize",
            "token_endpoint": f"{end.url}/token",
        }
        body = json.dumps(configuration | {"access_token": "one", "expires_in": 60})
        end.script.append(Say(body=body.encode()))
        given = replace(application, authority=end.url, credential=FederatedIdentity(identity))
        for _ in range(2):
            assert given.exchange(ALIVE, AMPLE).expires_in == 60
        posted = [asked.body.decode() for asked in end.asked if asked.line.startswith("POST")]
    assert identity.asked == ["api://AzureADTokenExchange/.default"] * 2
    assert ["client_assertion=assertion-1" in posted[0], "client_assertion=assertion-2" in posted[1]] == [
        True
    ] * 2


def test_without_an_identity_there_is_no_assertion(application: Application) -> None:
    """A machine without a managed identity is told so; what its endpoint said is not repeated."""
    none = FederatedIdentity(FakeIdentity(ClientAuthenticationError("planted answer")))
    error = failure(lambda: replace(application, credential=none).exchange(ALIVE, AMPLE))
    assert error.reason is Reason.MANAGED_IDENTITY_MISSING
    assert "planted" not in shown(error)


def test_an_assertion_is_waited_for_within_the_deadline(application: Application) -> None:
    """Whoever waits for the managed identity does so no longer than for the exchange that needs it."""
    identity = FakeIdentity(ClientAuthenticationError("no"))
    given = replace(application, credential=FederatedIdentity(identity))
    failure(lambda: given.exchange(ALIVE, Deadline.after(100)))
    [seconds] = identity.bounded_by
    assert 50 < seconds <= 100


@pytest.mark.parametrize(
    ("credential", "name"),
    [
        (ClientSecret(SecretStr("planted")), "client secret"),
        (ClientCertificate(SecretStr("planted")), "certificate"),
        (FederatedIdentity(FakeIdentity()), "managed identity as federated credential"),
    ],
)
def test_a_credential_has_a_name_and_shows_nothing_else(credential: ClientCredential, name: str) -> None:
    """People are told which way the app proves itself, and never by what."""
    assert credential.name == name
    assert "planted" not in repr(credential)


@pytest.mark.parametrize(
    ("number", "grant_refused", "reason"),
    [
        (700082, True, Reason.REFRESH_TOKEN_EXPIRED),
        (50173, True, Reason.REFRESH_TOKEN_REVOKED),
        (50076, True, Reason.MFA_DEMANDED),
        (65001, True, Reason.CONSENT_MISSING),
        (7000215, False, Reason.CLIENT_SECRET_WRONG),
        (7000222, False, Reason.CLIENT_SECRET_EXPIRED),
        (7000218, False, Reason.CLIENT_CREDENTIAL_MISSING),
        (700025, False, Reason.CLIENT_IS_PUBLIC),
        (700027, False, Reason.CLIENT_ASSERTION_REFUSED),
        (700016, False, Reason.APP_UNKNOWN),
    ],
)
def test_a_denial_is_named_by_its_remedy(
    application: Application,
    environment: Mapping[str, str],
    number: int,
    grant_refused: bool,
    reason: Reason,
) -> None:
    """What Entra denies comes out of MSAL with its number and the reason that says what to do."""
    with faults(environment, {"aadsts": number}):
        error = failure(lambda: application.exchange(ALIVE, AMPLE))
    assert (error.code, error.reason, error.grant_refused) == (f"AADSTS{number}", reason, grant_refused)


def test_no_secret_is_in_a_denial(application: Application) -> None:
    """Neither a wrong secret nor a wrong refresh token shows in what goes up."""
    wrong = replace(application, credential=ClientSecret(SecretStr("planted-secret")))
    dead = SecretStr("planted-token")
    failures = [failure(lambda: wrong.exchange(ALIVE, AMPLE))]
    failures.append(failure(lambda: application.exchange(dead, AMPLE)))
    assert "planted" not in "".join(map(shown, failures)) + repr(wrong)


@pytest.mark.parametrize(
    "change",
    [{"authority": "https://localhost:1"}, {"tenant_id": "00000000-0000-0000-0000-000000000000"}],
    ids=["not there", "not a tenant"],
)
def test_an_endpoint_without_an_answer_is_a_token_error(
    application: Application, change: dict[str, Any]
) -> None:
    """No connection, and an authority that MSAL cannot use, are the same error as a refusal."""
    error = failure(lambda: replace(application, **change).exchange(ALIVE, AMPLE))
    assert str(error).startswith("the token endpoint gave no answer")
    assert error.reason is Reason.TOKEN_ENDPOINT_UNREACHABLE


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"method": "POST", "drop": "before"}, Reason.TOKEN_ENDPOINT_UNREACHABLE),
        ({"method": "POST", "status": 503, "body": "<html>"}, Reason.TOKEN_ENDPOINT_FAILING),
        ({"method": "GET", "status": 503, "body": "<html>"}, Reason.TOKEN_ENDPOINT_FAILING),
        ({"method": "POST", "status": 200, "body": "<html>"}, Reason.TOKEN_ENDPOINT_UNREACHABLE),
        (
            {"method": "POST", "status": 200, "body": {"access_token": "one", "expires_in": "soon"}},
            Reason.TOKEN_ENDPOINT_UNREACHABLE,
        ),
        ({"method": "POST", "status": 200, "body": {"access_token": 1}}, Reason.TOKEN_UNAVAILABLE),
        ({"method": "POST", "status": 400, "body": {"error": "<p>what?"}}, Reason.TOKEN_UNAVAILABLE),
        (
            {"method": "POST", "status": 307, "headers": {"Location": "/elsewhere"}},
            Reason.TOKEN_ENDPOINT_UNREACHABLE,
        ),
    ],
    ids=[
        "cut",
        "failing",
        "failing-discovery",
        "a-proxy",
        "no-lifetime",
        "no-token",
        "no-code",
        "redirect",
    ],
)
def test_an_answer_of_no_use_is_a_token_error(
    application: Application, environment: Mapping[str, str], rule: dict[str, object], reason: Reason
) -> None:
    """Whatever the endpoint says that grants nothing is an error; the refresh token is sent nowhere else."""
    with faults(environment, rule):
        error = failure(lambda: application.exchange(ALIVE, AMPLE))
    assert error.reason is reason
    assert "what" not in f"{error} {error.code}"


def test_no_wait_of_the_exchange_outlasts_the_deadline(application: Application) -> None:
    """Without time left the endpoint is not asked, however long it may take otherwise."""
    error = failure(lambda: application.exchange(ALIVE, Deadline.after(0)))
    assert str(error) == "the token endpoint gave no answer: ValueError"


@pytest.mark.parametrize(
    ("answer", "code", "reason"),
    [
        (
            {"error": "invalid_grant", "error_codes": [700082]},
            "AADSTS700082",
            Reason.REFRESH_TOKEN_EXPIRED,
        ),
        ({"error": "temporarily_unavailable"}, "temporarily_unavailable", Reason.TOKEN_ENDPOINT_FAILING),
    ],
)
def test_a_refusal_is_named_by_its_code(answer: dict[str, Any], code: str, reason: Reason) -> None:
    """A refusal is named by Entra's number, or by the OAuth error where there is none."""
    error = failure(lambda: read_grant(answer))
    assert (error.code, error.reason) == (code, reason)


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        ("invalid_grant", True),
        ("interaction_required", True),
        ("consent_required", True),
        ("login_required", True),
        ("invalid_client", False),
        ("temporarily_unavailable", False),
    ],
)
def test_whether_another_consent_mends_a_refusal(error: str, refused: bool) -> None:
    """Whatever Entra calls a grant that takes a person, a newer one in the vault is looked for."""
    answer = {"error": error, "error_codes": [50076]}
    assert failure(lambda: read_grant(answer)).grant_refused is refused


def test_a_grant_shows_no_token() -> None:
    """What was granted is for those who use it, masked wherever it is shown; who it was for is left out."""
    answer = {"access_token": "planted-a", "refresh_token": "planted-r", "id_token": "planted-i"}
    grant = read_grant(answer)
    assert grant.access_token.get_secret_value() == "planted-a"
    assert "planted" not in repr(grant)
    assert read_grant({"access_token": "one"}).refresh_token is None


# --- the refresh token


@dataclass(frozen=True)
class Kept:
    """A refresh token with a version."""

    value: SecretStr
    version: str


class FakeVault:
    """Holds one refresh token, whose value is its version; ``reads`` counts."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.reads = 0

    def read(self, _: Deadline, /) -> Kept:
        """Return it."""
        self.reads += 1
        return Kept(SecretStr(self.version), self.version)


def exchange(takes: set[str], vault: FakeVault, *, grant_refused: bool = True) -> Exchange:
    """Return an exchange of the refresh tokens that are taken; all others are denied."""

    def answer(refresh_token: SecretStr, deadline: Deadline) -> Grant:
        if refresh_token.get_secret_value() not in takes:
            raise TokenError("denied", grant_refused=grant_refused)
        return Grant(access_token=refresh_token, expires_in=3599)

    return Exchange(answer, vault)


def access_token(of: Exchange) -> str:
    return of(AMPLE).access_token.get_secret_value()


def test_the_refresh_token_is_read_once() -> None:
    """As long as it is of use, it is not read again."""
    vault = FakeVault("one")
    given = exchange({"one"}, vault)
    assert [access_token(given), access_token(given), vault.reads] == ["one", "one", 1]


def test_a_rotated_refresh_token_is_picked_up() -> None:
    """When the one in hand is denied and a newer one lies in the vault, that is taken, without a restart."""
    vault, takes = FakeVault("one"), {"one"}
    given = exchange(takes, vault)
    access_token(given)
    takes.clear()
    takes.add("two")
    vault.version = "two"
    assert [access_token(given), access_token(given), vault.reads] == ["two", "two", 2]


def test_a_dead_refresh_token_is_not_tried_twice() -> None:
    """When the vault has no other one, the denial goes up; a later one in the vault is found next time."""
    vault = FakeVault("dead")
    given = exchange({"two"}, vault)
    assert failure(lambda: given(AMPLE)).grant_refused
    assert vault.reads == 2
    vault.version = "two"
    assert access_token(given) == "two"


def test_a_refused_app_does_not_read_the_vault_again() -> None:
    """What is not the refresh token's fault is not mended by another one."""
    vault = FakeVault("one")
    given = exchange(set(), vault, grant_refused=False)
    failure(lambda: given(AMPLE))
    assert vault.reads == 1


def test_a_forgotten_refresh_token_is_read_anew() -> None:
    """After a token of it was refused, another consent may be in the vault."""
    vault = FakeVault("without MFA")
    given = exchange({"without MFA", "with MFA"}, vault)
    access_token(given)
    vault.version = "with MFA"
    given.forget()
    assert access_token(given) == "with MFA"


# --- access tokens, kept


class Endpoint:
    """An exchange with a list: what it answers next; ``asked`` and ``forgotten`` count."""

    def __init__(self, *answers: Grant | TokenError) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.forgotten = 0

    def __call__(self, deadline: Deadline) -> Grant:
        """Grant, or deny."""
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, TokenError):
            raise answer
        return answer

    def forget(self) -> None:
        """Count."""
        self.forgotten += 1


def grant(value: str, expires_in: float = 3599) -> Grant:
    return Grant(access_token=SecretStr(value), expires_in=expires_in)


def token(tokens: Tokens, refused: str | None = None) -> str:
    return tokens.token(AMPLE, refused=refused)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The clock by which tokens age."""
    clock = FakeClock()
    monkeypatch.setattr("agreements.flight.monotonic", clock)
    return clock


def test_a_token_is_kept_while_it_is_good() -> None:
    """Many threads that need a token at once cause one exchange."""
    endpoint = Endpoint(grant("one"))
    tokens = Tokens(endpoint)
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _: token(tokens), range(64))) == {"one"}
    assert endpoint.asked == 1


def test_a_token_near_its_end_is_renewed(clock: FakeClock) -> None:
    """No call starts with a token that dies on the way: it is renewed five minutes before."""
    tokens = Tokens(Endpoint(grant("one"), grant("two")))
    assert token(tokens) == "one"
    clock.now += 3599 - 300.1
    assert token(tokens) == "one"
    clock.now += 0.1
    assert [token(tokens), token(tokens)] == ["two", "two"]


def test_a_token_serves_until_its_last_minute_when_it_cannot_be_renewed(clock: FakeClock) -> None:
    """An endpoint that fails for minutes is not noticed while the token in hand is still good."""
    denied = TokenError("denied")
    tokens = Tokens(endpoint := Endpoint(grant("one"), denied, denied, denied))
    token(tokens)
    clock.now += 3599 - 300
    assert token(tokens) == "one"
    clock.now += 239
    assert token(tokens) == "one"
    clock.now += 2
    assert failure(lambda: token(tokens)) is denied
    assert endpoint.asked == 3


def test_a_token_of_a_short_life_is_used_too(clock: FakeClock) -> None:
    """A token that lives for seconds is renewed in the middle of its life, not for every call."""
    tokens = Tokens(Endpoint(grant("one", 10), grant("two", 10)))
    assert [token(tokens), token(tokens)] == ["one", "one"]
    clock.now += 5
    assert token(tokens) == "two"


def test_a_refused_token_is_never_given_again() -> None:
    """After a 401 there is a new token, for this thread and for all others that held the old one."""
    tokens = Tokens(endpoint := Endpoint(grant("one"), grant("two")))
    one = token(tokens)
    assert [token(tokens, one), token(tokens, one), token(tokens)] == ["two", "two", "two"]
    assert endpoint.forgotten == 2


def test_a_refusal_is_not_asked_for_again_at_once(clock: FakeClock) -> None:
    """Those right after a refusal share it; once some seconds have passed, the next one asks again."""
    denied = TokenError("denied")
    endpoint = Endpoint(denied, grant("one"))
    tokens = Tokens(endpoint)
    assert [failure(lambda: token(tokens)) for _ in range(3)] == [denied] * 3
    assert endpoint.asked == 1
    clock.now += 6
    assert token(tokens) == "one"


def test_another_threads_exchange_is_not_waited_for_longer_than_the_deadline() -> None:
    """A thread whose deadline passes while another exchanges gives up."""
    asked, go_on = threading.Event(), threading.Event()

    class Slow(Endpoint):
        def __call__(self, deadline: Deadline) -> Grant:
            asked.set()
            assert go_on.wait(10)
            return super().__call__(deadline)

    tokens = Tokens(Slow(grant("one")))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(token, tokens)
        assert asked.wait(10)
        with pytest.raises(TokenError, match="no time was left"):
            tokens.token(Deadline.after(0.05))
        go_on.set()
        assert first.result(10) == "one"
