"""Builds the objects from the settings; alone names every concrete class and credential."""

import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from azure.core.credentials import TokenCredential
from azure.functions import ServiceBusMessage
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential
from azure.keyvault.secrets import SecretClient
from azure.servicebus import ServiceBusClient
from pydantic import SecretStr

from agreements import deliveries, telemetry
from agreements.auth import Application, Exchange, RefreshTokens, Tokens
from agreements.bounded import BoundedTransport
from agreements.credentials import ClientCertificate, ClientCredential, ClientSecret, FederatedIdentity
from agreements.gate import Gate
from agreements.handler import Handler, Nobody, Outcomes
from agreements.partner_center import PartnerCenter
from agreements.policy import Backoff, Policy
from agreements.queues import QueueNames, Queues, Topic
from agreements.renewal import Renewal, skip
from agreements.settings import (
    FunctionAppSettings,
    RefreshTokenSettings,
    RetrySettings,
    ServiceBusSettings,
    TokenSettings,
)
from agreements.telemetry import TraceContext
from agreements.transport import Timeouts
from agreements.vault import GivenToken, Vault

type Consumer = Callable[[ServiceBusMessage, TraceContext], None]

# Azure's SDKs write a line for every call at INFO, which the host would pass on. The others quote what they
# cannot read: MSAL a token endpoint's answer (at ERROR), urllib3 a header (at WARNING). Our own errors say
# that they could not, without the quotation.
_LOUDEST = {"azure": logging.WARNING, "msal": logging.CRITICAL, "urllib3": logging.ERROR}


class Consumers(NamedTuple):
    """What takes the messages of each queue that has a trigger; returning means that one may be completed."""

    acceptances: Consumer
    retries: Consumer


def consumers(given: FunctionAppSettings) -> Consumers:
    """Build everything that the function app needs, once per process."""
    for library, level in _LOUDEST.items():
        logging.getLogger(library).setLevel(level)
    handle = _handler(given)
    traced = telemetry.tracing(enabled=given.telemetry.distro or given.telemetry.own)

    def take(queue: str, *, ours: bool) -> Consumer:
        def consume(message: ServiceBusMessage, trace: TraceContext) -> None:
            with traced(trace):
                handle(deliveries.receive(message, queue=queue, ours=ours))

        return consume

    return Consumers(
        acceptances=take(given.queues.acceptances, ours=False), retries=take(given.queues.retries, ours=True)
    )


def renewal(given: FunctionAppSettings) -> Callable[[], None]:
    """Build what renews the refresh token, where it lies in a key vault."""
    if given.refresh_token.vault_url is None:
        return skip
    return Renewal(
        vault=vault(given.refresh_token, given.token),
        exchange=application(given.token).exchange,
        seconds=given.delivery.deadline,
    )


def _handler(given: FunctionAppSettings) -> Handler:
    partner_center = PartnerCenter(
        given.partner_center.url,
        Tokens(Exchange(application(given.token).exchange, refresh_tokens(given.refresh_token, given.token))),
        Timeouts(given.partner_center.connect_timeout, given.partner_center.read_timeout),
        Gate(),
    )
    names = QueueNames(
        retries=given.queues.retries,
        duplicates=given.queues.duplicates,
        rejections=given.queues.rejections,
    )
    client = service_bus(given.service_bus)
    return Handler(
        confirmations=partner_center,
        records=partner_center,
        outcomes=_outcomes(given, client),
        outbox=Queues(client, names, given.delivery.send_timeout),
        policy=_policy(given.retry),
        seconds=given.delivery.deadline,
        reserve=given.delivery.send_timeout,
        now=lambda: datetime.now(UTC),
        random=random.random,
        pause=time.sleep,
    )


def _outcomes(given: FunctionAppSettings, client: ServiceBusClient) -> Outcomes:
    if given.queues.outcomes is None:
        return Nobody()
    source = f"sb://{given.service_bus.host}/{given.queues.acceptances}"
    return Topic(
        client, given.queues.outcomes, source, given.delivery.send_timeout, lambda: datetime.now(UTC)
    )


def application(given: TokenSettings) -> Application:
    """Build the app registration as a confidential client."""
    # It quotes an answer that it cannot read, token and all; what went wrong comes as an exception, too.
    logging.getLogger("msal").setLevel(logging.CRITICAL)
    return Application(
        authority=given.authority,
        tenant_id=str(given.tenant_id),
        client_id=str(given.client_id),
        credential=_client_credential(given),
        timeout=given.timeout,
    )


def _client_credential(given: TokenSettings) -> ClientCredential:
    if given.client_secret is not None:
        return ClientSecret(given.client_secret)
    if given.client_certificate is not None:
        return ClientCertificate(SecretStr(given.client_certificate.read_text()))
    return FederatedIdentity(_managed_identity(given))


def refresh_tokens(given: RefreshTokenSettings, token: TokenSettings) -> RefreshTokens:
    """Build what reads the refresh token."""
    return GivenToken(given.value) if given.value is not None else vault(given, token)


def vault(
    given: RefreshTokenSettings, token: TokenSettings, credential: TokenCredential | None = None
) -> Vault:
    """Build the key vault's secret, which this app's identity may read, unless it is to be another's.

    The settings must name a vault.
    """
    credential = credential or _azure_identity(token)
    # On this machine no token can go astray, and no name below localhost is resolved everywhere.
    loopback = urlsplit(given.vault_url).hostname in ("localhost", "127.0.0.1")
    client = SecretClient(
        str(given.vault_url),
        credential,
        verify_challenge_resource=not loopback,
        transport=BoundedTransport(),
    )
    return Vault(client, str(given.secret_name), token.timeout)


def _azure_identity(given: TokenSettings) -> TokenCredential:
    """Return who this app is in Azure: where it has a secret or certificate, that may be a developer."""
    if given.client_secret is None and given.client_certificate is None:
        return _managed_identity(given)
    client_id = str(given.identity_client_id) if given.identity_client_id else None
    return DefaultAzureCredential(managed_identity_client_id=client_id, **_waits(given))


def _managed_identity(given: TokenSettings) -> ManagedIdentityCredential:
    client_id = str(given.identity_client_id) if given.identity_client_id else None
    return ManagedIdentityCredential(client_id=client_id, **_waits(given))


def _waits(given: TokenSettings) -> dict[str, Any]:
    # By default a machine without an identity waits for one for minutes; where there is one, it is near.
    transport = BoundedTransport(connection_timeout=min(2.0, given.timeout), read_timeout=given.timeout)
    return {"transport": transport, "retry_total": 1}


def service_bus(
    given: ServiceBusSettings, person: TokenCredential | None = None, **options: Any
) -> ServiceBusClient:
    """Build the client for whoever this app is, unless it is to be another; options are the SDK's own."""
    # The SDK's own default makes a send after an idle detach take seconds.
    options = {"retry_backoff_factor": 0.1} | options
    if given.connection_string is not None:
        connection = given.connection_string.get_secret_value()
        return ServiceBusClient.from_connection_string(connection, **options)
    client_id = str(given.client_id) if given.client_id else None
    credential = person or (
        ManagedIdentityCredential(client_id=client_id)
        if given.credential
        else DefaultAzureCredential(managed_identity_client_id=client_id)
    )
    return ServiceBusClient(str(given.namespace), credential, **options)


def _policy(given: RetrySettings) -> Policy:
    fast, slow = timedelta(hours=given.limit_hours), timedelta(hours=given.slow_limit_hours)
    return Policy(
        transient=Backoff(base=given.base_seconds, cap=given.cap_seconds, limit=fast),
        throttled=Backoff(base=given.base_seconds, cap=given.cap_seconds, limit=slow),
        service=Backoff(base=given.slow_base_seconds, cap=given.slow_cap_seconds, limit=slow),
        new_customer_grace=timedelta(seconds=given.new_customer_grace_seconds),
    )
