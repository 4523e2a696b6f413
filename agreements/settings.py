"""The settings: frozen models of the environment, one per concern, and the only reader of ``os.environ``."""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo

from agreements.errors import SettingsError


def _https(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
        raise ValueError
    return url.rstrip("/")


def _connection(value: SecretStr) -> SecretStr:
    given = value.get_secret_value()
    if not given.startswith("Endpoint=sb://") or "SharedAccess" not in given:
        raise ValueError
    return value


def _key_and_certificate(path: Path) -> Path:
    # Only here, since few set one and all wait for the start.
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        # Tells whether they belong together; without a passphrase of ours it would ask the terminal for one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(path, password="")
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError:
        raise ValueError from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError  # noqa: TRY004 - of the two, pydantic takes this one for a wrong value
    return path


HttpsUrl = Annotated[str, AfterValidator(_https)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Concern(BaseModel):
    """Settings that belong together; a field's alias is the name of the environment variable.

    A field's description completes "must be …" in an error, so that no error needs to show a value.
    """

    # Defaults too: a default can be wrong beside another setting.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, validate_default=True)


class ServiceBusSettings(Concern):
    """How to reach Service Bus, named as the Functions binding names it (``connection="ServiceBus"``)."""

    connection_string: Annotated[SecretStr, AfterValidator(_connection)] | None = Field(
        None, alias="ServiceBus", description="a connection string (one machine only)"
    )
    namespace: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+$")] | None = Field(
        None,
        alias="ServiceBus__fullyQualifiedNamespace",
        description="a host name, unless ServiceBus is a connection string",
    )
    credential: Literal["managedidentity"] | None = Field(
        None, alias="ServiceBus__credential", description="managedidentity"
    )
    client_id: UUID | None = Field(
        None, alias="ServiceBus__clientId", description="a GUID: the client id of a user-assigned identity"
    )

    @property
    def host(self) -> str:
        """The host name of the namespace, also where a connection string leads to it."""
        if self.connection_string is None:
            return str(self.namespace)
        endpoint = self.connection_string.get_secret_value().split(";")[0].removeprefix("Endpoint=")
        return str(urlsplit(endpoint).hostname)

    @field_validator("namespace")
    @classmethod
    def _or_connection_string(cls, namespace: str | None, info: ValidationInfo) -> str | None:
        if namespace is None and info.data.get("connection_string") is None:
            raise ValueError
        return namespace


class QueueSettings(Concern):
    """The names of the queues, the trigger's and the scale controller's too, hence ``%SETTING%`` there.

    And of the topic: to whoever sends, it is a target like any queue, so it must not be one of them.
    """

    acceptances: str = Field(
        "agreement-acceptances", alias="ACCEPTANCES_QUEUE", description="the queue that publishers send to"
    )
    retries: str = Field(
        "agreement-retries", alias="RETRIES_QUEUE", description="a queue of its own, of scheduled copies"
    )
    duplicates: str = Field(
        "agreement-duplicates",
        alias="DUPLICATES_QUEUE",
        description="a queue of its own, of what is on record",
    )
    rejections: str = Field(
        "agreement-rejections",
        alias="REJECTIONS_QUEUE",
        description="a queue of its own, of what needs a person",
    )
    outcomes: str | None = Field(
        None,
        alias="OUTCOMES_TOPIC",
        description="a topic and none of the queues; without it no event is told",
    )

    @field_validator("retries", "duplicates", "rejections", "outcomes")
    @classmethod
    def _none_of_the_others(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is not None and name.casefold() in {str(other).casefold() for other in info.data.values()}:
            raise ValueError
        return name


class PartnerCenterSettings(Concern):
    """Where Partner Center is, and how long to wait for it."""

    url: HttpsUrl = Field(
        "https://api.partnercenter.microsoft.com", alias="PARTNER_CENTER_URL", description="an https address"
    )
    connect_timeout: Seconds = Field(5, alias="CONNECT_TIMEOUT_SECONDS", description="seconds above 0")
    read_timeout: Seconds = Field(30, alias="READ_TIMEOUT_SECONDS", description="seconds above 0")


class TokenSettings(Concern):
    """Where the partner's token comes from, and how this app proves itself there.

    Without a secret and a certificate it does so by its managed identity, as a federated credential.
    """

    authority: HttpsUrl = Field(
        "https://login.microsoftonline.com", alias="PARTNER_AUTHORITY_URL", description="an https address"
    )
    tenant_id: UUID = Field(alias="PARTNER_TENANT_ID", description="a GUID: the partner's tenant")
    client_id: UUID = Field(alias="PARTNER_CLIENT_ID", description="a GUID: the app registration's client id")
    client_secret: SecretStr | None = Field(
        None, alias="PARTNER_CLIENT_SECRET", description="a secret of the app registration"
    )
    client_certificate: Annotated[FilePath, AfterValidator(_key_and_certificate)] | None = Field(
        None,
        alias="PARTNER_CLIENT_CERTIFICATE",
        description="the path of a PEM file with a certificate and its RSA private key, without a passphrase"
        "; and none beside PARTNER_CLIENT_SECRET",
    )
    identity_client_id: UUID | None = Field(
        None, alias="AZURE_CLIENT_ID", description="a GUID: the client id of a user-assigned identity"
    )
    timeout: Seconds = Field(15, alias="TOKEN_TIMEOUT_SECONDS", description="seconds above 0")

    @field_validator("client_certificate")
    @classmethod
    def _or_a_secret(cls, certificate: Path | None, info: ValidationInfo) -> Path | None:
        if certificate is not None and info.data.get("client_secret") is not None:
            raise ValueError
        return certificate


class RefreshTokenSettings(Concern):
    """Where the refresh token lies: in a key vault, or on one machine in the environment."""

    value: SecretStr | None = Field(
        None,
        alias="PARTNER_REFRESH_TOKEN",
        description="the refresh token of a consent given with MFA (one machine only)",
    )
    vault_url: HttpsUrl | None = Field(
        None,
        alias="KEY_VAULT_URL",
        description="the https address of a key vault, or PARTNER_REFRESH_TOKEN set: exactly one of the two",
    )
    secret_name: Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{1,127}$")] | None = Field(
        None,
        alias="REFRESH_TOKEN_SECRET_NAME",
        description="a secret's name (letters, digits, hyphens), set together with KEY_VAULT_URL",
    )

    @field_validator("vault_url")
    @classmethod
    def _either(cls, url: str | None, info: ValidationInfo) -> str | None:
        if (url is None) is (info.data.get("value") is None):
            raise ValueError
        return url

    @field_validator("secret_name")
    @classmethod
    def _together(cls, name: str | None, info: ValidationInfo) -> str | None:
        if "vault_url" in info.data and (name is None) is not (info.data["vault_url"] is None):
            raise ValueError
        return name


class RetrySettings(Concern):
    """How long to wait between attempts, and for how long in all, by what went wrong."""

    base_seconds: Seconds = Field(5, alias="RETRY_BASE_SECONDS", description="seconds above 0")
    cap_seconds: Seconds = Field(
        900, alias="RETRY_CAP_SECONDS", description="seconds, RETRY_BASE_SECONDS or more"
    )
    limit_hours: Seconds = Field(24, alias="RETRY_LIMIT_HOURS", description="hours above 0")
    slow_base_seconds: Seconds = Field(300, alias="SLOW_RETRY_BASE_SECONDS", description="seconds above 0")
    slow_cap_seconds: Seconds = Field(
        3600, alias="SLOW_RETRY_CAP_SECONDS", description="seconds, SLOW_RETRY_BASE_SECONDS or more"
    )
    slow_limit_hours: Seconds = Field(168, alias="SLOW_RETRY_LIMIT_HOURS", description="hours above 0")
    new_customer_grace_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        3600, alias="NEW_CUSTOMER_GRACE_SECONDS", description="seconds, 0 or more"
    )

    @field_validator("cap_seconds", "slow_cap_seconds")
    @classmethod
    def _base_or_more(cls, cap: float, info: ValidationInfo) -> float:
        if cap < info.data.get(str(info.field_name).replace("cap", "base"), 0):
            raise ValueError
        return cap


class DeliverySettings(Concern):
    """How long one delivery may take in all, and one send within it."""

    send_timeout: Seconds = Field(30, alias="SEND_TIMEOUT_SECONDS", description="seconds above 0")
    deadline: Seconds = Field(
        150, alias="DEADLINE_SECONDS", description="seconds, more than SEND_TIMEOUT_SECONDS"
    )

    @field_validator("deadline")
    @classmethod
    def _longer_than_a_send(cls, deadline: float, info: ValidationInfo) -> float:
        if deadline <= info.data.get("send_timeout", 0):
            raise ValueError
        return deadline


class TelemetrySettings(Concern):
    """The worker's own switches for OpenTelemetry, through Azure's distro or set up by the app."""

    distro: bool = Field(
        default=False, alias="PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY", description="true or false"
    )
    own: bool = Field(default=False, alias="PYTHON_ENABLE_OPENTELEMETRY", description="true or false")


class FunctionAppSettings(BaseModel):
    """Everything that the function app needs."""

    model_config = ConfigDict(frozen=True)

    service_bus: ServiceBusSettings
    queues: QueueSettings
    partner_center: PartnerCenterSettings
    token: TokenSettings
    refresh_token: RefreshTokenSettings
    retry: RetrySettings
    delivery: DeliverySettings
    telemetry: TelemetrySettings


class PartnerSettings(BaseModel):
    """What reaching Partner Center takes."""

    model_config = ConfigDict(frozen=True)

    partner_center: PartnerCenterSettings
    token: TokenSettings
    refresh_token: RefreshTokenSettings


class BusSettings(BaseModel):
    """What reaching the queues takes."""

    model_config = ConfigDict(frozen=True)

    service_bus: ServiceBusSettings
    queues: QueueSettings


class TimingSettings(BaseModel):
    """How long to wait for what."""

    model_config = ConfigDict(frozen=True)

    retry: RetrySettings
    delivery: DeliverySettings


class ConsentSettings(BaseModel):
    """What a person's sign-in takes."""

    model_config = ConfigDict(frozen=True)

    token: TokenSettings
    refresh_token: RefreshTokenSettings


def read[T: BaseModel](model: type[T], environ: Mapping[str, str] = os.environ) -> T:
    """Return the settings that ``model`` groups by concern; an empty variable counts as none.

    Raises:
        SettingsError: some are missing or wrong; it names every one of them, and no value.
    """
    given = {name: value for name, value in environ.items() if value.strip()}
    try:
        return model.model_validate(dict.fromkeys(model.model_fields, given))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        fields = _fields(model)
        problems = (_problem(e["type"], fields[str(e["loc"][-1])]) for e in found)
        raise SettingsError(tuple(problems)) from None


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return all fields by either name: pydantic calls a default that fails by the field's own."""
    concerns = [field.annotation for field in model.model_fields.values()]
    named = [item for concern in concerns if concern for item in concern.model_fields.items()]
    return {name: field for own, field in named for name in (own, str(field.alias))}


def _problem(kind: str, field: FieldInfo) -> str:
    return f"{field.alias} {'is missing:' if kind == 'missing' else 'must be'} {field.description}"
