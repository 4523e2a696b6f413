"""The whole product in one process: real SDK, real TLS, real MSAL; only the far ends are stand-ins."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from azure.functions.servicebus import ServiceBusMessage
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential
from azure.servicebus import ServiceBusClient, ServiceBusReceivedMessage, ServiceBusReceiveMode

from agreements import settings, wiring
from agreements.deadline import Deadline
from agreements.settings import (
    FunctionAppSettings,
    OperationsSettings,
    PartnerSettings,
    ServiceBusSettings,
)
from local import control, partner_center, service_bus
from local.parts import in_thread

ENTITIES = Path(__file__).parent.parent / "infra" / "service-bus.json"
EVENT = {
    "customerTenantId": "14876998-c0dc-46e6-9d0c-65a57a6c32ec",
    "dateAgreed": "2018-06-14",
    "primaryContact": {"firstName": "Zoë", "lastName": "O'Brien", "email": "zoe@contoso.example"},
}
CORRELATION_ID = "ab993325-1605-4cf4-bac4-fb584142a31b"


@pytest.fixture(scope="module")
def environment() -> Iterator[Mapping[str, str]]:
    namespace = service_bus.Namespace.from_file(ENTITIES)
    with (
        in_thread(lambda: service_bus.serve(namespace)) as broker,
        in_thread(partner_center.serve) as api,
    ):
        yield {**broker, **api}


@pytest.fixture(scope="module")
def client(environment: Mapping[str, str]) -> Iterator[ServiceBusClient]:
    with ServiceBusClient.from_connection_string(environment["ServiceBus"]) as client:
        yield client


@pytest.fixture(scope="module")
def consumers(environment: Mapping[str, str]) -> Iterator[wiring.Consumers]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", environment["REQUESTS_CA_BUNDLE"])
        yield wiring.consumers(settings.read(FunctionAppSettings, environment))


def message(body: bytes, sequence_number: int, **properties: object) -> ServiceBusMessage:
    return ServiceBusMessage(
        body=body,
        message_id="an-id-of-the-publisher",
        correlation_id=CORRELATION_ID,
        content_type="application/json",
        delivery_count=1,
        sequence_number=sequence_number,
        enqueued_time_utc=datetime.now(UTC),
        application_properties=properties,
        user_properties=properties,
    )


def taken(client: ServiceBusClient, queue: str) -> ServiceBusReceivedMessage:
    mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
    with client.get_queue_receiver(queue, receive_mode=mode) as receiver:
        [received] = receiver.receive_messages(max_wait_time=10)
    return received


def given(received: ServiceBusReceivedMessage) -> dict[str, object]:
    return {
        name.decode() if isinstance(name, bytes) else name: value.decode()
        if isinstance(value, bytes)
        else value
        for name, value in (received.application_properties or {}).items()
    }


def test_an_acceptance_is_recorded_and_its_double_is_parked(
    environment: Mapping[str, str], client: ServiceBusClient, consumers: wiring.Consumers
) -> None:
    """The first of two equal events is on record as written; the second lies in duplicates, whole."""
    body = json.dumps(EVENT).encode()
    consumers.acceptances(message(body, 1))
    consumers.acceptances(message(body, 2, region="EMEA"))

    [agreement] = control.ledger(environment)
    assert agreement["customerTenantId"] == EVENT["customerTenantId"]
    assert agreement["correlationId"] == CORRELATION_ID
    parked = taken(client, "agreement-duplicates")
    assert b"".join(parked.body) == body
    assert parked.content_type == "application/json"
    assert parked.correlation_id == CORRELATION_ID
    assert given(parked)["mcaReason"] == "AlreadyRecorded"
    assert given(parked)["region"] == "EMEA"


def test_a_retry_is_scheduled_and_its_copy_is_believed(
    environment: Mapping[str, str], client: ServiceBusClient, consumers: wiring.Consumers
) -> None:
    """A failing service means a copy in retries; what we wrote on it is read back from that queue."""
    customer = "5c2f8a1e-7b0d-4e58-a6f7-0d9f4b8e2c31"
    body = json.dumps(EVENT | {"customerTenantId": customer}).encode()
    control.set_faults(environment, [{"method": "POST", "pathContains": customer, "status": 503}])
    consumers.acceptances(message(body, 3))

    with client.get_queue_receiver("agreement-retries") as receiver:
        [scheduled] = receiver.peek_messages()
    ours = given(scheduled)
    assert ours["mcaReason"] == "Unavailable"
    assert ours["mcaMaybeRecorded"] is True
    consumers.retries(message(body, 4, **ours))
    assert control.ledger(environment)[-1]["requestId"] == ours["mcaRequestId"]


def test_an_unreadable_event_is_parked_whole(client: ServiceBusClient, consumers: wiring.Consumers) -> None:
    """What nobody can read is parked byte for byte, with a reason that every Service Bus tool shows."""
    consumers.acceptances(message(b"\xff\x00not json", 5))
    parked = taken(client, "agreement-rejections")
    assert b"".join(parked.body) == b"\xff\x00not json"
    assert parked.dead_letter_reason == "NotJson"
    assert "Send the event as one JSON object" in str(parked.dead_letter_error_description)


@pytest.mark.parametrize(
    ("environ", "kind"),
    [
        ({}, DefaultAzureCredential),
        ({"ServiceBus__credential": "managedidentity"}, ManagedIdentityCredential),
        (
            {
                "ServiceBus__credential": "managedidentity",
                "ServiceBus__clientId": "7c1d3b0e-46f2-4a39-9d5e-bb1f6a1c0c52",
            },
            ManagedIdentityCredential,
        ),
    ],
    ids=["the developer's", "system-assigned", "user-assigned"],
)
def test_a_namespace_is_reached_with_an_identity(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], kind: type[object]
) -> None:
    """With a namespace instead of a connection string, the settings choose the identity as the host does."""
    made: list[object] = []
    monkeypatch.setattr(
        wiring, "ServiceBusClient", lambda namespace, credential, **_: made.append(credential)
    )
    given = ServiceBusSettings.model_validate(
        {"ServiceBus__fullyQualifiedNamespace": "ns.servicebus.windows.net", **environ}
    )
    wiring._service_bus(given)  # noqa: SLF001 - nothing of this can be reached from outside without an Azure
    assert [type(credential) for credential in made] == [kind]


def test_operations_look_at_the_queues_of_the_settings(environment: Mapping[str, str]) -> None:
    """What the commands work with is built of their own settings alone, and reaches the broker."""
    given = settings.read(OperationsSettings, {"ServiceBus": environment["ServiceBus"]})
    at = wiring.operations(given)
    assert list(at.messages(at.names.dead_letter_queues[:1])) == []
    assert at.now().tzinfo
    at.store.close()


def test_a_customer_is_asked_about(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands' client of Partner Center is the app's own."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", environment["REQUESTS_CA_BUNDLE"])
    given = settings.read(PartnerSettings, environment)
    client = wiring.partner_center(given.partner_center, given.token)
    directly, nobody = UUID("dddddddd-0000-4000-8000-000000000000"), UUID(int=1 << 120)
    ids: dict[str, Any] = {"correlation_id": UUID(CORRELATION_ID), "deadline": Deadline.after(30)}
    assert client.direct_acceptance(directly, **ids)
    assert not client.direct_acceptance(nobody, **ids)
    assert client.customer_agreements(nobody, **ids) == []
