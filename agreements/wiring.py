"""Builds the objects from the settings; alone names every concrete class and credential."""

import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from azure.functions import ServiceBusMessage
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential
from azure.servicebus import ServiceBusClient

from agreements import deliveries, telemetry
from agreements.auth import RefreshTokenExchange, Tokens
from agreements.gate import Gate
from agreements.handler import Handler
from agreements.outcomes import Backoff, Policy
from agreements.partner_center import PartnerCenter, Timeouts
from agreements.queues import QueueNames, Queues
from agreements.settings import FunctionAppSettings, RetrySettings, ServiceBusSettings, TokenSettings
from agreements.telemetry import TraceContext

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


def _handler(given: FunctionAppSettings) -> Handler:
    partner_center = PartnerCenter(
        given.partner_center.url,
        _tokens(given.token),
        Timeouts(given.partner_center.connect_timeout, given.partner_center.read_timeout),
        Gate(),
    )
    names = QueueNames(
        retries=given.queues.retries,
        duplicates=given.queues.duplicates,
        rejections=given.queues.rejections,
    )
    return Handler(
        confirmations=partner_center,
        records=partner_center,
        outbox=Queues(_service_bus(given.service_bus), names, given.delivery.send_timeout),
        policy=_policy(given.retry),
        seconds=given.delivery.deadline,
        reserve=given.delivery.send_timeout,
        now=lambda: datetime.now(UTC),
        random=random.random,
        pause=time.sleep,
    )


def _tokens(given: TokenSettings) -> Tokens:
    return Tokens(
        RefreshTokenExchange(
            authority=given.authority,
            tenant_id=str(given.tenant_id),
            client_id=str(given.client_id),
            client_secret=given.client_secret,
            refresh_token=given.refresh_token,
            timeout=given.timeout,
        )
    )


def _service_bus(given: ServiceBusSettings) -> ServiceBusClient:
    # The SDK's own default makes a send after an idle detach take seconds.
    backoff = 0.1
    if given.connection_string is not None:
        connection = given.connection_string.get_secret_value()
        return ServiceBusClient.from_connection_string(connection, retry_backoff_factor=backoff)
    client_id = str(given.client_id) if given.client_id else None
    credential = (
        ManagedIdentityCredential(client_id=client_id)
        if given.credential
        else DefaultAzureCredential(managed_identity_client_id=client_id)
    )
    return ServiceBusClient(str(given.namespace), credential, retry_backoff_factor=backoff)


def _policy(given: RetrySettings) -> Policy:
    fast, slow = timedelta(hours=given.limit_hours), timedelta(hours=given.slow_limit_hours)
    return Policy(
        transient=Backoff(base=given.base_seconds, cap=given.cap_seconds, limit=fast),
        throttled=Backoff(base=given.base_seconds, cap=given.cap_seconds, limit=slow),
        service=Backoff(base=given.slow_base_seconds, cap=given.slow_cap_seconds, limit=slow),
        new_customer_grace=timedelta(seconds=given.new_customer_grace_seconds),
    )
