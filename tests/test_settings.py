from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import BaseModel, SecretStr, ValidationError

from agreements import settings
from agreements.errors import SettingsError
from agreements.settings import (
    FunctionAppSettings,
    RefreshTokenSettings,
    ServiceBusSettings,
    TokenSettings,
)
from tests.fakes import shown

GUID = "14876998-c0dc-46e6-9d0c-65a57a6c32ec"
SECRET = "planted-secret"
CONNECTION = f"Endpoint=sb://x;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey={SECRET}"
NEEDED = {
    "ServiceBus__fullyQualifiedNamespace": "contoso.servicebus.windows.net",
    "PARTNER_TENANT_ID": GUID,
    "PARTNER_CLIENT_ID": GUID,
    "PARTNER_CLIENT_SECRET": SECRET,
    "PARTNER_REFRESH_TOKEN": SECRET,
}
IN_A_VAULT = {
    "KEY_VAULT_URL": "https://contoso.vault.azure.net/",
    "REFRESH_TOKEN_SECRET_NAME": "partner-refresh-token",
    "PARTNER_REFRESH_TOKEN": "",
}
ONE_SOURCE = "the https address of a key vault, or PARTNER_REFRESH_TOKEN set: exactly one of the two"
A_NAME = "a secret's name (letters, digits, hyphens), set together with KEY_VAULT_URL"
A_CERTIFICATE = (
    "the path of a PEM file with a certificate and its RSA private key, without a passphrase; "
    "and none beside PARTNER_CLIENT_SECRET"
)


class ServiceBusOnly(BaseModel):
    """What a command needs that only talks to Service Bus."""

    service_bus: ServiceBusSettings


class TokenOnly(BaseModel):
    """What a command needs that only has to do with the token."""

    token: TokenSettings
    refresh_token: RefreshTokenSettings


def read(**changes: str) -> FunctionAppSettings:
    """Read what is needed, with some variables changed; an empty one counts as none."""
    return settings.read(FunctionAppSettings, NEEDED | changes)


def problems(**changes: str) -> tuple[str, ...]:
    """Return what is wrong with an environment."""
    with pytest.raises(SettingsError) as caught:
        read(**changes)
    return caught.value.problems


def test_defaults_are_the_documented_ones() -> None:
    """With only what is required, everything else has its documented default."""
    given = read()
    assert given.queues.model_dump() == {
        "acceptances": "agreement-acceptances",
        "retries": "agreement-retries",
        "duplicates": "agreement-duplicates",
        "rejections": "agreement-rejections",
        "outcomes": None,
    }
    assert given.partner_center.model_dump() == {
        "url": "https://api.partnercenter.microsoft.com",
        "connect_timeout": 5,
        "read_timeout": 30,
    }
    assert (given.token.authority, given.token.timeout) == ("https://login.microsoftonline.com", 15)
    assert given.retry.model_dump() == {
        "base_seconds": 5,
        "cap_seconds": 900,
        "limit_hours": 24,
        "slow_base_seconds": 300,
        "slow_cap_seconds": 3600,
        "slow_limit_hours": 168,
        "new_customer_grace_seconds": 3600,
    }
    assert given.delivery.model_dump() == {"send_timeout": 30, "deadline": 150}


def test_secrets_are_read_and_never_shown() -> None:
    """Secrets are there for those who use them, and masked wherever settings are shown."""
    given = read(ServiceBus=CONNECTION)
    assert given.token.client_secret == SecretStr(SECRET)
    assert given.refresh_token.value == SecretStr(SECRET)
    assert given.service_bus.connection_string == SecretStr(CONNECTION)
    assert SECRET not in f"{given} {given!r}"


def test_the_environment_is_read_unless_another_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default the process's environment is read, as it is at the time of reading."""
    monkeypatch.setenv("ServiceBus__fullyQualifiedNamespace", "late.servicebus.windows.net")
    assert settings.read(ServiceBusOnly).service_bus.namespace == "late.servicebus.windows.net"


def test_only_what_the_model_groups_is_demanded() -> None:
    """A command demands only the settings it uses."""
    environ = {"ServiceBus__fullyQualifiedNamespace": "contoso.servicebus.windows.net"}
    assert settings.read(ServiceBusOnly, environ).service_bus.namespace == environ.popitem()[1]


def test_all_that_is_missing_is_named_at_once() -> None:
    """Every missing setting has its line: its variable's name and what belongs there."""
    with pytest.raises(SettingsError) as caught:
        settings.read(FunctionAppSettings, {})
    assert caught.value.problems == (
        "ServiceBus__fullyQualifiedNamespace must be a host name, unless ServiceBus is a connection string",
        "PARTNER_TENANT_ID is missing: a GUID: the partner's tenant",
        "PARTNER_CLIENT_ID is missing: a GUID: the app registration's client id",
        f"KEY_VAULT_URL must be {ONE_SOURCE}",
    )


@pytest.mark.parametrize("blank", ["", "  ", "\n"], ids=["empty", "spaces", "newline"])
def test_a_blank_variable_is_none(blank: str) -> None:
    """A variable that is set to nothing is as good as not set: the default holds, or it is missing."""
    assert read(RETRIES_QUEUE=blank).queues.retries == "agreement-retries"
    assert problems(PARTNER_TENANT_ID=blank) == (
        "PARTNER_TENANT_ID is missing: a GUID: the partner's tenant",
    )


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("PARTNER_TENANT_ID", "contoso", "a GUID: the partner's tenant"),
        ("PARTNER_CLIENT_ID", "contoso", "a GUID: the app registration's client id"),
        ("PARTNER_CENTER_URL", "http://api.example", "an https address"),
        ("PARTNER_CENTER_URL", "https://", "an https address"),
        ("PARTNER_CENTER_URL", "https://[", "an https address"),
        ("PARTNER_CENTER_URL", "https://api.example/?a=b", "an https address"),
        ("PARTNER_CENTER_URL", "https://api.example/#a", "an https address"),
        ("PARTNER_AUTHORITY_URL", "login.example", "an https address"),
        ("CONNECT_TIMEOUT_SECONDS", "0", "seconds above 0"),
        ("READ_TIMEOUT_SECONDS", "inf", "seconds above 0"),
        ("TOKEN_TIMEOUT_SECONDS", "nan", "seconds above 0"),
        ("SEND_TIMEOUT_SECONDS", "-1", "seconds above 0"),
        ("DEADLINE_SECONDS", "soon", "seconds, more than SEND_TIMEOUT_SECONDS"),
        ("DEADLINE_SECONDS", "30", "seconds, more than SEND_TIMEOUT_SECONDS"),
        ("RETRY_BASE_SECONDS", "0", "seconds above 0"),
        ("RETRY_CAP_SECONDS", "4.9", "seconds, RETRY_BASE_SECONDS or more"),
        ("RETRY_LIMIT_HOURS", "0", "hours above 0"),
        ("SLOW_RETRY_BASE_SECONDS", "x", "seconds above 0"),
        ("SLOW_RETRY_CAP_SECONDS", "299", "seconds, SLOW_RETRY_BASE_SECONDS or more"),
        ("SLOW_RETRY_LIMIT_HOURS", "-1", "hours above 0"),
        ("NEW_CUSTOMER_GRACE_SECONDS", "-1", "seconds, 0 or more"),
        ("NEW_CUSTOMER_GRACE_SECONDS", "inf", "seconds, 0 or more"),
        (
            "ServiceBus__fullyQualifiedNamespace",
            "sb://contoso/",
            "a host name, unless ServiceBus is a connection string",
        ),
        ("ServiceBus", "contoso.servicebus.windows.net", "a connection string (one machine only)"),
        ("ServiceBus", "Endpoint=sb://x", "a connection string (one machine only)"),
        ("ServiceBus", "SharedAccessKey=x", "a connection string (one machine only)"),
        ("ServiceBus__credential", "password", "managedidentity"),
        ("ServiceBus__clientId", "me", "a GUID: the client id of a user-assigned identity"),
    ],
)
def test_a_wrong_value_is_named_by_its_variable(name: str, value: str, problem: str) -> None:
    """The error has the variable and what belongs there, once."""
    assert problems(**{name: value}) == (f"{name} must be {problem}",)


@pytest.mark.parametrize(
    "name", [*NEEDED, "PARTNER_CENTER_URL", "RETRY_BASE_SECONDS", "ServiceBus", "ServiceBus__clientId"]
)
def test_no_value_is_shown_in_an_error(name: str) -> None:
    """A wrong value may be a secret in the wrong place: neither it nor any other is in the error."""
    planted = f"{SECRET} ;"
    with pytest.raises(SettingsError) as caught:
        read(**{name: planted, "DEADLINE_SECONDS": planted})
    assert SECRET not in shown(caught.value)
    assert GUID not in shown(caught.value)


def test_several_problems_are_all_named() -> None:
    """Whoever deploys mends everything in one go."""
    assert problems(PARTNER_TENANT_ID="", DEADLINE_SECONDS="0") == (
        "PARTNER_TENANT_ID is missing: a GUID: the partner's tenant",
        "DEADLINE_SECONDS must be seconds, more than SEND_TIMEOUT_SECONDS",
    )


def test_a_wrong_base_is_not_blamed_on_its_cap() -> None:
    """A cap is compared only with a base that could be read."""
    assert problems(RETRY_BASE_SECONDS="x", RETRY_CAP_SECONDS="1") == (
        "RETRY_BASE_SECONDS must be seconds above 0",
    )


def test_a_wrong_send_timeout_is_not_blamed_on_the_deadline() -> None:
    """A deadline is compared only with a send timeout that could be read."""
    assert problems(SEND_TIMEOUT_SECONDS="x", DEADLINE_SECONDS="1") == (
        "SEND_TIMEOUT_SECONDS must be seconds above 0",
    )


def test_the_least_bit_of_time_to_ask_is_enough() -> None:
    """A deadline that exceeds the send timeout leaves some time to ask, however little."""
    given = read(SEND_TIMEOUT_SECONDS="5", DEADLINE_SECONDS="5.5").delivery
    assert (given.send_timeout, given.deadline) == (5, 5.5)


@pytest.mark.parametrize(
    ("first", "second"),
    list(
        combinations(
            ["ACCEPTANCES_QUEUE", "RETRIES_QUEUE", "DUPLICATES_QUEUE", "REJECTIONS_QUEUE", "OUTCOMES_TOPIC"],
            2,
        )
    ),
)
@pytest.mark.parametrize(("one", "other"), [("parked", "parked"), ("parked", "PARKED"), ("PARKED", "parked")])
def test_no_two_queues_are_one(first: str, second: str, one: str, other: str) -> None:
    """A queue that two ends share would mix them up, or feed itself; the broker knows no case of names."""
    [problem] = problems(**{first: one, second: other})
    own = "a topic and none of the queues" if second == "OUTCOMES_TOPIC" else "a queue of its own"
    assert problem.startswith(f"{second} must be {own}")


def test_a_cap_may_be_its_base() -> None:
    """Base and cap may be equal, then every wait is drawn from the same range."""
    given = read(RETRY_BASE_SECONDS="7", RETRY_CAP_SECONDS="7", SLOW_RETRY_CAP_SECONDS="300")
    assert (given.retry.base_seconds, given.retry.cap_seconds, given.retry.slow_cap_seconds) == (7, 7, 300)


def test_no_grace_at_all_is_allowed() -> None:
    """Zero turns the grace for new customers off."""
    assert read(NEW_CUSTOMER_GRACE_SECONDS="0").retry.new_customer_grace_seconds == 0


def test_a_trailing_slash_is_dropped() -> None:
    """An address may end in a slash; paths are joined to it without."""
    given = read(PARTNER_CENTER_URL="https://api.example:8443/base/")
    assert given.partner_center.url == "https://api.example:8443/base"


def test_a_connection_string_needs_no_namespace() -> None:
    """On one machine a connection string stands for the namespace."""
    given = read(ServiceBus=CONNECTION, ServiceBus__fullyQualifiedNamespace="")
    assert given.service_bus.namespace is None


@pytest.mark.parametrize("name", FunctionAppSettings.model_fields)
def test_settings_do_not_change(name: str) -> None:
    """Settings are read once; nobody can change them afterwards."""
    concern = getattr(read(), name)
    first = next(iter(type(concern).model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(concern, first, "changed")


@pytest.mark.parametrize(
    ("concern", "name"),
    [
        (concern.__name__, name)
        for concern in settings.Concern.__subclasses__()
        for name in concern.model_fields
    ],
)
def test_every_setting_says_what_belongs_there(concern: str, name: str) -> None:
    """Each field has a variable's name and a description, of which errors are made."""
    field = getattr(settings, concern).model_fields[name]
    assert field.alias
    assert field.description


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("SEND_TIMEOUT_SECONDS", "150", "DEADLINE_SECONDS must be seconds, more than SEND_TIMEOUT_SECONDS"),
        ("ACCEPTANCES_QUEUE", "Agreement-Rejections", "REJECTIONS_QUEUE must be a queue of its own"),
        ("RETRY_BASE_SECONDS", "901", "RETRY_CAP_SECONDS must be seconds, RETRY_BASE_SECONDS or more"),
    ],
)
def test_a_default_can_be_wrong_beside_another_setting(name: str, value: str, problem: str) -> None:
    """What was left at its default is checked against what was set."""
    with pytest.raises(SettingsError) as caught:
        settings.read(FunctionAppSettings, NEEDED | {name: value})
    [found] = caught.value.problems
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("changes", "host"),
    [
        ({}, "contoso.servicebus.windows.net"),
        (
            {
                "ServiceBus__fullyQualifiedNamespace": "",
                "ServiceBus": f"Endpoint=sb://localhost:5672/;SharedAccessKeyName=k;SharedAccessKey={SECRET}",
            },
            "localhost",
        ),
    ],
    ids=["a namespace", "a connection string"],
)
def test_the_host_of_the_namespace_is_known(changes: dict[str, str], host: str) -> None:
    """However it is reached, and without the port, which differs from start to start on one machine."""
    assert read(**changes).service_bus.host == host


# --- the token


def test_a_refresh_token_may_lie_in_a_vault() -> None:
    """The vault's address and the secret's name together stand for the token itself."""
    given = read(**IN_A_VAULT).refresh_token
    assert (given.vault_url, given.secret_name) == (
        "https://contoso.vault.azure.net",
        "partner-refresh-token",
    )
    assert given.value is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"PARTNER_REFRESH_TOKEN": ""}, f"KEY_VAULT_URL must be {ONE_SOURCE}"),
        (IN_A_VAULT | {"PARTNER_REFRESH_TOKEN": SECRET}, f"KEY_VAULT_URL must be {ONE_SOURCE}"),
        (IN_A_VAULT | {"KEY_VAULT_URL": "http://contoso.example"}, f"KEY_VAULT_URL must be {ONE_SOURCE}"),
        (
            IN_A_VAULT | {"REFRESH_TOKEN_SECRET_NAME": ""},
            f"REFRESH_TOKEN_SECRET_NAME must be {A_NAME}",
        ),
        (
            IN_A_VAULT | {"REFRESH_TOKEN_SECRET_NAME": "a/b"},
            f"REFRESH_TOKEN_SECRET_NAME must be {A_NAME}",
        ),
        (
            {"REFRESH_TOKEN_SECRET_NAME": "partner-refresh-token"},
            f"REFRESH_TOKEN_SECRET_NAME must be {A_NAME}",
        ),
    ],
    ids=["neither", "both", "no-https", "no-name", "no-such-name", "name-alone"],
)
def test_a_refresh_token_lies_in_exactly_one_place(changes: dict[str, str], problem: str) -> None:
    """Neither place, both, or half of one is one error, which says what belongs together."""
    assert problems(**changes) == (problem,)


def test_without_secret_and_certificate_it_is_the_managed_identity() -> None:
    """Nothing needs to be set for the credential that needs no secret; which identity it is may be."""
    given = read(PARTNER_CLIENT_SECRET="", AZURE_CLIENT_ID=GUID).token
    assert (given.client_secret, given.client_certificate) == (None, None)
    assert str(given.identity_client_id) == GUID


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A PEM file with a certificate and its private key."""
    made = trustme.CA().issue_cert("agreements.example", key_type=trustme.KeyType.RSA)
    file = tmp_path / "certificate.pem"
    file.write_bytes(made.private_key_and_cert_chain_pem.bytes())
    return file


def test_a_certificate_may_prove_the_app(certificate: Path) -> None:
    """The path of a file with both certificate and key is accepted."""
    given = read(PARTNER_CLIENT_SECRET="", PARTNER_CLIENT_CERTIFICATE=str(certificate)).token
    assert given.client_certificate == certificate


def test_a_secret_and_a_certificate_are_one_too_many(certificate: Path) -> None:
    """Nobody can know which of two credentials is meant: one clear error."""
    [problem] = problems(PARTNER_CLIENT_CERTIFICATE=str(certificate))
    assert problem == f"PARTNER_CLIENT_CERTIFICATE must be {A_CERTIFICATE}"


def _other_key(pem: str) -> str:
    other = trustme.CA().issue_cert("agreements.example", key_type=trustme.KeyType.RSA)
    return other.private_key_pem.bytes().decode() + pem[pem.index("-----BEGIN CERTIFICATE") :]


def _elliptic(_: str) -> str:
    made = trustme.CA().issue_cert("agreements.example", key_type=trustme.KeyType.ECDSA)
    return made.private_key_and_cert_chain_pem.bytes().decode()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pem: pem[: pem.index("-----BEGIN CERTIFICATE")],
        lambda pem: pem[pem.index("-----BEGIN CERTIFICATE") :],
        lambda pem: SECRET,
        lambda pem: "",
        _other_key,
        _elliptic,
    ],
    ids=["no-certificate", "no-key", "neither", "empty", "another-key", "elliptic"],
)
def test_a_file_that_proves_nothing_is_found_at_the_start(
    certificate: Path, spoil: Callable[[str], str]
) -> None:
    """A file without both, or whose key is another's or not RSA, is named at start and never shown."""
    certificate.write_text(spoil(certificate.read_text()))
    given = {"PARTNER_CLIENT_SECRET": "", "PARTNER_CLIENT_CERTIFICATE": str(certificate)}
    assert problems(**given) == (f"PARTNER_CLIENT_CERTIFICATE must be {A_CERTIFICATE}",)


def test_a_certificate_that_is_not_there(tmp_path: Path) -> None:
    """A path that leads nowhere is an error like any other."""
    given = {"PARTNER_CLIENT_SECRET": "", "PARTNER_CLIENT_CERTIFICATE": str(tmp_path / "none.pem")}
    assert problems(**given) == (f"PARTNER_CLIENT_CERTIFICATE must be {A_CERTIFICATE}",)


def test_a_key_under_a_passphrase_asks_no_terminal(certificate: Path) -> None:
    """A key that a passphrase protects is refused, and nobody is asked for it."""
    key = load_pem_private_key(certificate.read_bytes(), None)
    locked = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a passphrase")
    ).decode()
    pem = certificate.read_text()
    certificate.write_text(locked + pem[pem.index("-----BEGIN CERTIFICATE") :])
    given = {"PARTNER_CLIENT_SECRET": "", "PARTNER_CLIENT_CERTIFICATE": str(certificate)}
    assert problems(**given) == (f"PARTNER_CLIENT_CERTIFICATE must be {A_CERTIFICATE}",)
