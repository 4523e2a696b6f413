"""The checks of a deployment, by the real libraries against the stand-ins."""

from collections.abc import Iterator

import pytest

from agreements import checkup, settings, toolbox
from agreements.checkup import Role
from agreements.doctor import Finding, Status, examine
from agreements.errors import Reason
from agreements.places import Names
from agreements.principal import Principal
from agreements.settings import BusSettings
from local.entra import Registration
from tests.deployments import TOPIC, Deployment, deployed

OK, FAILED, SKIPPED = Status


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("certificates")) as deployment:
        yield deployment


@pytest.fixture
def deployment(shared: Deployment, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    shared.apply(monkeypatch)
    return shared


def examined(role: Role | None = None) -> dict[str, Finding]:
    """Return the findings by name; of the queues only those of a role, since each costs the SDK a second."""
    checks = checkup.checks(role or Role.APP)
    wanted = [check for check in checks if role or not check.name.startswith(("send", "receive"))]
    return {finding.check: finding for finding in examine(wanted, seconds=20)}


def statuses(findings: dict[str, Finding]) -> dict[Status, list[str]]:
    """Return which checks ended how."""
    return {status: [name for name, found in findings.items() if found.status is status] for status in Status}


def test_a_sound_deployment(deployment: Deployment) -> None:
    """Everything is looked at, in the order in which a person would, and found good."""
    findings = examined(Role.APP)
    assert statuses(findings) == {
        OK: [
            "settings: Partner Center",
            "clock",
            "vault",
            "refresh token",
            "token exchange",
            "MFA",
            "Partner Center",
            "settings: Service Bus",
            "settings: timing",
            "receive from agreement-acceptances",
            "receive from agreement-retries",
            "send to agreement-retries",
            "send to agreement-duplicates",
            "send to agreement-rejections",
        ],
        FAILED: [],
        SKIPPED: [],
    }
    registration = Registration()
    assert findings["settings: Partner Center"].detail.endswith(", by certificate")
    assert findings["vault"].detail.endswith(f"read by application {registration.identity_client_id}")
    assert findings["refresh token"].detail.startswith("89 days left, until ")
    assert findings["MFA"].detail == f"user {registration.user_id} consented with MFA"
    assert findings["send to agreement-retries"].detail.endswith("by the connection string")


def test_what_operations_reach(deployment: Deployment) -> None:
    """Every place that a command looks at or takes from is tried, and every queue that one sends to."""
    found = examined(Role.OPERATIONS)
    names = Names(**settings.read(BusSettings).queues.model_dump(exclude={"outcomes"}))
    places = {str(place).casefold() for place in [*names.moving, *names.resting]}
    of_queues = [name for name in found if name.startswith(("peek into", "receive from", "send to"))]
    taken = {name.split()[-1].casefold() for name in of_queues if not name.startswith("send to")}
    assert taken == places
    assert [name for name in of_queues if name.startswith("send to")] == [
        "send to agreement-acceptances",
        "send to agreement-retries",
    ]
    assert {found[name].status for name in of_queues} == {OK}
    assert "settings: timing" not in found


def test_what_a_publisher_needs(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publisher has no business with the partner's token: no setting of that is asked for."""
    deployment.apply(monkeypatch, PARTNER_TENANT_ID="", PARTNER_CLIENT_ID="", KEY_VAULT_URL="")
    assert statuses(examined(Role.PUBLISHER)) == {
        OK: ["settings: Service Bus", "send to agreement-acceptances"],
        FAILED: [],
        SKIPPED: [],
    }


@pytest.mark.parametrize(
    ("role", "name"),
    [
        (Role.APP, "send to agreement-outcomes"),
        (Role.OPERATIONS, "peek into agreement-outcomes/Subscriptions/receipts"),
        (Role.PUBLISHER, "peek into agreement-outcomes/Subscriptions/receipts"),
    ],
)
@pytest.mark.parametrize("topic", [TOPIC, "not-there"])
def test_the_topic_where_there_is_one(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, role: Role, name: str, topic: str
) -> None:
    """Once the setting names a topic, whoever tells or looks up what was told knows that they can."""
    deployment.apply(monkeypatch, OUTCOMES_TOPIC=topic)
    wanted = {"settings: Service Bus", name.replace(TOPIC, topic)}
    [_, found] = examine([c for c in checkup.checks(role) if c.name in wanted], seconds=20)
    assert found.status is (OK if topic == TOPIC else FAILED)
    if topic != TOPIC:
        assert "OUTCOMES_TOPIC: it names not-there" in found.advice


def test_without_settings(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every missing setting is named at once, and nothing else is blamed."""
    deployment.apply(monkeypatch, **dict.fromkeys(deployment.environment, ""))
    monkeypatch.setenv("RETRY_CAP_SECONDS", "1")
    findings = examined(Role.APP)
    assert statuses(findings)[FAILED] == [
        "settings: Partner Center",
        "settings: Service Bus",
        "settings: timing",
    ]
    assert statuses(findings)[OK] == []
    assert "PARTNER_TENANT_ID is missing" in findings["settings: Partner Center"].detail
    assert findings["queues"].detail == "needs settings: Service Bus, which failed"


def test_a_namespace_reached_by_identity(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an identity reaches Service Bus, the host name is told, and the identity with each queue."""
    deployment.apply(monkeypatch, ServiceBus="", ServiceBus__fullyQualifiedNamespace="bus.invalid")
    findings = examined()
    assert findings["settings: Service Bus"].detail == "bus.invalid"
    [(client, who)] = [toolbox.bus_tools(settings.read(BusSettings).service_bus)]
    assert client.fully_qualified_namespace == "bus.invalid"
    assert isinstance(who, Principal)


def test_a_refresh_token_of_one_machine(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in the environment has no age to tell and no vault; it is exchanged all the same."""
    given = Registration().refresh_token
    deployment.apply(monkeypatch, PARTNER_REFRESH_TOKEN=given, KEY_VAULT_URL="", REFRESH_TOKEN_SECRET_NAME="")
    findings = examined()
    assert statuses(findings)[SKIPPED] == ["vault", "refresh token"]
    assert statuses(findings)[FAILED] == []
    assert findings["vault"].detail.startswith("PARTNER_REFRESH_TOKEN is set")


def test_a_managed_identity_elsewhere(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a person's machine the app's identity cannot be used: that is said, and not called a failure."""
    deployment.apply(monkeypatch, PARTNER_CLIENT_CERTIFICATE="")
    monkeypatch.setattr(Principal, "is_person", True)
    findings = examined()
    assert statuses(findings)[SKIPPED] == ["token exchange", "MFA", "Partner Center"]
    assert "set PARTNER_CLIENT_CERTIFICATE or PARTNER_CLIENT_SECRET" in findings["token exchange"].detail


def test_a_managed_identity_where_it_lives(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the app runs, its identity is what is checked."""
    deployment.apply(monkeypatch, PARTNER_CLIENT_CERTIFICATE="")
    findings = examined()
    assert findings["token exchange"].detail.endswith("by managed identity as federated credential")
    assert findings["Partner Center"].status is OK


def test_a_vault_that_refuses(deployment: Deployment) -> None:
    """What is wrong is told once, where it is wrong; what needs it is skipped."""
    with deployment.faults({"status": 403, "times": None}, part="KEY_VAULT_URL"):
        findings = examined()
    assert statuses(findings)[FAILED] == ["vault"]
    assert statuses(findings)[SKIPPED] == ["refresh token", "token exchange", "MFA", "Partner Center"]
    assert findings["vault"].reason is Reason.VAULT_REFUSED


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (700082, Reason.REFRESH_TOKEN_EXPIRED),
        (50173, Reason.REFRESH_TOKEN_REVOKED),
        (50076, Reason.MFA_DEMANDED),
        (7000222, Reason.CLIENT_SECRET_EXPIRED),
    ],
)
def test_a_token_endpoint_that_refuses(deployment: Deployment, number: int, reason: Reason) -> None:
    """What Entra refuses has its number, its reason and the advice of that reason."""
    with deployment.faults({"aadsts": number, "times": None}):
        findings = examined()
    assert statuses(findings)[FAILED] == ["token exchange"]
    exchange = findings["token exchange"]
    assert (exchange.reason, exchange.advice) == (reason, reason.advice)
    assert f"AADSTS{number}" in exchange.detail


def test_a_consent_without_mfa(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A consent that was given without MFA is found in the token, and again at Partner Center."""
    with deployment.directory(mfa=False):
        token = deployment.control("POST", "refresh-tokens")["refreshToken"]
    deployment.apply(monkeypatch, PARTNER_REFRESH_TOKEN=token, KEY_VAULT_URL="", REFRESH_TOKEN_SECRET_NAME="")
    findings = examined()
    assert statuses(findings)[FAILED] == ["MFA", "Partner Center"]
    assert {findings[name].reason for name in ("MFA", "Partner Center")} == {Reason.MFA_MISSING}


def test_a_refresh_token_that_ends_soon(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that nothing renewed is found before it is dead."""
    monkeypatch.setattr(checkup, "FEW_DAYS", 91)
    findings = examined()
    assert statuses(findings)[FAILED] == ["refresh token"]
    assert "renew_refresh_token" in findings["refresh token"].advice
