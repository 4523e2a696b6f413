"""Builds what the commands need on a person's machine, as ``wiring`` does for the function app."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from azure.core.credentials import AccessToken
from azure.identity import DefaultAzureCredential
from azure.servicebus import ServiceBusClient

from agreements import reach, wiring
from agreements.auth import Application, Exchange, Tokens
from agreements.consent import Consent
from agreements.deadline import Deadline
from agreements.gate import Gate
from agreements.operations import Operations
from agreements.parked import Parked
from agreements.partner_center import PartnerCenter
from agreements.places import Names
from agreements.principal import Principal
from agreements.publisher import Publisher
from agreements.reach import Entity, Right
from agreements.settings import BusSettings, ConsentSettings, PartnerSettings, ServiceBusSettings
from agreements.transport import Timeouts
from agreements.vault import Vault

# For one request to Service Bus.
_OPERATION_SECONDS = 30.0


class PartnerTools(NamedTuple):
    """What reaches Partner Center; ``person`` reads the vault, if one is set."""

    application: Application
    vault: Vault | None
    person: Principal[AccessToken]
    tokens: Tokens
    partner_center: PartnerCenter


class PublishTools(NamedTuple):
    """What publishes events; ``check`` raises ``DeploymentError`` where the queue cannot be sent to."""

    publisher: Publisher
    check: Callable[[], object]


class BusTools(NamedTuple):
    """What reaches Service Bus, and by whose right."""

    client: ServiceBusClient
    who: object


def partner_tools(given: PartnerSettings) -> PartnerTools:
    """Build what reaches Partner Center: whoever is signed in here reads the vault, where one is set."""
    app, person = wiring.application(given.token), _person(given.token.identity_client_id)
    in_vault = given.refresh_token.vault_url is not None
    vault = wiring.vault(given.refresh_token, given.token, person) if in_vault else None
    tokens = Tokens(Exchange(app.exchange, vault or wiring.refresh_tokens(given.refresh_token, given.token)))
    timeouts = Timeouts(given.partner_center.connect_timeout, given.partner_center.read_timeout)
    partner_center = PartnerCenter(given.partner_center.url, tokens, timeouts, Gate())
    return PartnerTools(app, vault, person, tokens, partner_center)


def bus_tools(given: ServiceBusSettings) -> BusTools:
    """Build what reaches Service Bus: whoever is signed in here, and nothing is tried twice."""
    person = _person(given.client_id)
    client = wiring.service_bus(given, person, retry_total=0)
    return BusTools(client, person if given.connection_string is None else "the connection string")


def operations(given: BusSettings) -> Operations:
    """Build what the commands work with that look at queues, or change what waits there."""
    person = _person(given.service_bus.client_id)
    return Operations(
        store=Parked(wiring.service_bus(given.service_bus, person), _OPERATION_SECONDS),
        names=Names(
            acceptances=given.queues.acceptances,
            retries=given.queues.retries,
            duplicates=given.queues.duplicates,
            rejections=given.queues.rejections,
        ),
        now=lambda: datetime.now(UTC),
        pause=time.sleep,
        signed_in=lambda: str(person) if given.service_bus.connection_string is None else None,
    )


def publishing(given: BusSettings) -> PublishTools:
    """Build what publishes events; nothing is tried twice but by whoever uses it."""
    client = bus_tools(given.service_bus).client
    queue = Entity(name=given.queues.acceptances, setting="ACCEPTANCES_QUEUE")
    return PublishTools(
        Publisher(client, queue.name, _OPERATION_SECONDS),
        lambda: reach.reach(client, queue, Right.SEND, Deadline.after(_OPERATION_SECONDS)),
    )


def consent(given: ConsentSettings, seconds: float) -> Consent:
    """Build a sign-in for which a person has that long; the settings must name a vault."""
    person = _person(given.token.identity_client_id)
    return Consent(
        application=wiring.application(given.token),
        vault=wiring.vault(given.refresh_token, given.token, person),
        tenant_id=given.token.tenant_id,
        seconds=seconds,
        timeout=2 * given.token.timeout,
        now=lambda: datetime.now(UTC),
    )


def _person(client_id: UUID | None) -> Principal[AccessToken]:
    """Return who is signed in on this machine; in Azure that is its managed identity."""
    return Principal(DefaultAzureCredential(managed_identity_client_id=str(client_id) if client_id else None))
