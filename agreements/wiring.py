"""Builds the objects from the settings; alone names every concrete class and credential."""

import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from azure.functions import ServiceBusMessage
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential
from azure.servicebus import ServiceBusClient

from agreements import deliveries
from agreements.auth import RefreshTokenExchange, Tokens
from agreements.gate import Gate
from agreements.handler import Handler
from agreements.outcomes import Backoff, Policy
from agreements.partner_center import PartnerCenter, Timeouts
from agreements.queues import QueueNames, Queues
from agreements.settings import (
    FunctionAppSettings,
    OperationsSettings,
    PartnerCenterSettings,
    RetrySettings,
    ServiceBusSettings,
    TokenSettings,
)

# For one request of a person's command to Service Bus.
_OPERATION_SECONDS = 30.0

if TYPE_CHECKING:
    from agreements.operations import Operations


class Consumers(NamedTuple):
    """What takes the messages of each queue that has a trigger; returning means that one may be completed."""

    acceptances: Callable[[ServiceBusMessage], None]
    retries: Callable[[ServiceBusMessage], None]


def consumers(given: FunctionAppSettings) -> Consumers:
    """Build everything that the function app needs, once per process."""
    # At INFO the SDKs write a line for every call, which the host would pass on.
    logging.getLogger("azure").setLevel(logging.WARNING)
    handle = _handler(given)

    def take(queue: str, *, ours: bool) -> Callable[[ServiceBusMessage], None]:
        return lambda message: handle(deliveries.receive(message, queue=queue, ours=ours))

    return Consumers(
        acceptances=take(given.queues.acceptances, ours=False), retries=take(given.queues.retries, ours=True)
    )


def partner_center(given: PartnerCenterSettings, token: TokenSettings) -> PartnerCenter:
    """Build the client of Partner Center."""
    timeouts = Timeouts(given.connect_timeout, given.read_timeout)
    return PartnerCenter(given.url, _tokens(token), timeouts, Gate())


def operations(given: OperationsSettings) -> "Operations":
    """Build what the commands for operations work with."""
    # Only here: the function app starts without them.
    from agreements.operations import Names, Operations
    from agreements.parked import Parked

    logging.getLogger("azure").setLevel(logging.CRITICAL)
    queues = given.queues
    return Operations(
        store=Parked(_service_bus(given.service_bus), _OPERATION_SECONDS),
        names=Names(
            acceptances=queues.acceptances,
            retries=queues.retries,
            duplicates=queues.duplicates,
            rejections=queues.rejections,
        ),
        now=lambda: datetime.now(UTC),
        pause=time.sleep,
    )


def _handler(given: FunctionAppSettings) -> Handler:
    client = partner_center(given.partner_center, given.token)
    names = QueueNames(
        retries=given.queues.retries,
        duplicates=given.queues.duplicates,
        rejections=given.queues.rejections,
    )
    return Handler(
        confirmations=client,
        records=client,
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
