"""The settings: frozen models of the environment, one per concern, and the only reader of ``os.environ``."""

import os
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
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

    @field_validator("namespace")
    @classmethod
    def _or_connection_string(cls, namespace: str | None, info: ValidationInfo) -> str | None:
        if namespace is None and info.data.get("connection_string") is None:
            raise ValueError
        return namespace


class QueueSettings(Concern):
    """The names of the queues; the trigger's and the scale controller's too, hence ``%SETTING%`` there."""

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

    @field_validator("retries", "duplicates", "rejections")
    @classmethod
    def _a_queue_of_its_own(cls, queue: str, info: ValidationInfo) -> str:
        if queue.casefold() in {str(other).casefold() for other in info.data.values()}:
            raise ValueError
        return queue


class PartnerCenterSettings(Concern):
    """Where Partner Center is, and how long to wait for it."""

    url: HttpsUrl = Field(
        "https://api.partnercenter.microsoft.com", alias="PARTNER_CENTER_URL", description="an https address"
    )
    connect_timeout: Seconds = Field(5, alias="CONNECT_TIMEOUT_SECONDS", description="seconds above 0")
    read_timeout: Seconds = Field(30, alias="READ_TIMEOUT_SECONDS", description="seconds above 0")


class TokenSettings(Concern):
    """Where the partner's token comes from, and how this app proves itself there."""

    authority: HttpsUrl = Field(
        "https://login.microsoftonline.com", alias="PARTNER_AUTHORITY_URL", description="an https address"
    )
    tenant_id: UUID = Field(alias="PARTNER_TENANT_ID", description="a GUID: the partner's tenant")
    client_id: UUID = Field(alias="PARTNER_CLIENT_ID", description="a GUID: the app registration's client id")
    client_secret: SecretStr = Field(
        alias="PARTNER_CLIENT_SECRET", description="a secret of the app registration"
    )
    refresh_token: SecretStr = Field(
        alias="PARTNER_REFRESH_TOKEN", description="the refresh token of a consent given with MFA"
    )
    timeout: Seconds = Field(15, alias="TOKEN_TIMEOUT_SECONDS", description="seconds above 0")


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


class FunctionAppSettings(BaseModel):
    """Everything that the function app needs."""

    model_config = ConfigDict(frozen=True)

    service_bus: ServiceBusSettings
    queues: QueueSettings
    partner_center: PartnerCenterSettings
    token: TokenSettings
    retry: RetrySettings
    delivery: DeliverySettings


class OperationsSettings(BaseModel):
    """What the commands need that look at queues, or change what waits there."""

    model_config = ConfigDict(frozen=True)

    service_bus: ServiceBusSettings
    queues: QueueSettings


class PartnerSettings(BaseModel):
    """What is needed to ask Partner Center."""

    model_config = ConfigDict(frozen=True)

    partner_center: PartnerCenterSettings
    token: TokenSettings


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
