"""The whole product in one process: real SDK, real TLS, real MSAL; only the far ends are stand-ins."""

import json
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from azure.functions.servicebus import ServiceBusMessage
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential
from azure.servicebus import ServiceBusClient, ServiceBusReceivedMessage, ServiceBusReceiveMode
from opentelemetry import trace

from agreements import settings, telemetry, wiring
from agreements.settings import FunctionAppSettings, ServiceBusSettings
from local import control, partner_center, service_bus
from local.parts import in_thread
from tests.fakes import UNTRACED

TOPIC = "agreement-outcomes"
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
        yield wiring.consumers(settings.read(FunctionAppSettings, {**environment, "OUTCOMES_TOPIC": TOPIC}))


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
    consumers.acceptances(message(body, 1), UNTRACED)
    consumers.acceptances(message(body, 2, region="EMEA"), UNTRACED)

    [agreement] = control.ledger(environment)
    assert agreement["customerTenantId"] == EVENT["customerTenantId"]
    assert agreement["correlationId"] == CORRELATION_ID
    parked = taken(client, "agreement-duplicates")
    assert b"".join(parked.body) == body
    assert parked.content_type == "application/json"
    assert parked.correlation_id == CORRELATION_ID
    assert given(parked)["mcaReason"] == "AlreadyRecorded"
    assert given(parked)["region"] == "EMEA"
    outcomes = told(client, str(EVENT["customerTenantId"]))
    assert [one["data"]["outcome"] for one in outcomes] == ["confirmed", "duplicate"]
    assert {one["source"] for one in outcomes} == {"sb://localhost/agreement-acceptances"}
    assert {one["causationid"] for one in outcomes} == {"an-id-of-the-publisher"}


def told(client: ServiceBusClient, customer: str) -> list[dict[str, Any]]:
    """Return what was told of a customer, as the commands look it up."""
    with client.get_subscription_receiver(TOPIC, "receipts") as receiver:
        peeked = receiver.peek_messages(250, sequence_number=1)
    found = [json.loads(b"".join(one.body)) for one in peeked]
    return [one for one in found if one.get("subject") == customer]


def test_a_retry_is_scheduled_and_its_copy_is_believed(
    environment: Mapping[str, str], client: ServiceBusClient, consumers: wiring.Consumers
) -> None:
    """A failing service means a copy in retries; what we wrote on it is read back from that queue."""
    customer = "5c2f8a1e-7b0d-4e58-a6f7-0d9f4b8e2c31"
    body = json.dumps(EVENT | {"customerTenantId": customer}).encode()
    control.set_faults(environment, [{"method": "POST", "pathContains": customer, "status": 503}])
    consumers.acceptances(message(body, 3), UNTRACED)

    with client.get_queue_receiver("agreement-retries") as receiver:
        [scheduled] = receiver.peek_messages()
    ours = given(scheduled)
    assert ours["mcaReason"] == "Unavailable"
    assert ours["mcaMaybeRecorded"] is True
    consumers.retries(message(body, 4, **ours), UNTRACED)
    assert control.ledger(environment)[-1]["requestId"] == ours["mcaRequestId"]
    assert [one["data"]["outcome"] for one in told(client, customer)] == ["delayed", "confirmed"]


def test_without_a_topic_nobody_is_told(
    environment: Mapping[str, str], client: ServiceBusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the setting an event is confirmed as ever, and nothing is sent to any topic."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", environment["REQUESTS_CA_BUNDLE"])
    customer = "7a1c5d1e-2b7f-4f0e-9a55-0b8f4f8e2c77"
    body = json.dumps(EVENT | {"customerTenantId": customer}).encode()
    wiring.consumers(settings.read(FunctionAppSettings, environment)).acceptances(message(body, 8), UNTRACED)
    assert control.ledger(environment)[-1]["customerTenantId"] == customer
    assert told(client, customer) == []


def test_what_is_too_large_for_a_copy_is_parked_with_its_body(
    environment: Mapping[str, str], client: ServiceBusClient, consumers: wiring.Consumers
) -> None:
    """A message that is nearly full has no room for our properties: its body is kept, and why it is there."""
    customer = "d3f6b0a4-19c5-4a0e-8f0e-6f3f4c1f7b55"
    body = json.dumps(EVENT | {"customerTenantId": customer, "padding": "x" * 201_500}).encode()
    control.set_faults(environment, [{"method": "POST", "pathContains": customer, "status": 503}])
    consumers.acceptances(message(body, 6, **{f"property{n}": "y" * 20_000 for n in range(3)}), UNTRACED)

    parked = taken(client, "agreement-rejections")
    assert b"".join(parked.body) == body
    assert parked.dead_letter_reason == "CopyTooLarge"
    assert "property1" not in given(parked)
    assert str(given(parked)["mcaOrigin"]).startswith("agreement-acceptances/6/")


class TraceIds(logging.Handler):
    """Keeps the id of the trace in which each line was written."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.found.append(f"{trace.get_current_span().get_span_context().trace_id:032x}")


@pytest.mark.parametrize(
    "switch", ["PYTHON_ENABLE_OPENTELEMETRY", "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY"]
)
def test_a_delivery_is_traced_where_the_worker_traces(
    environment: Mapping[str, str], client: ServiceBusClient, monkeypatch: pytest.MonkeyPatch, switch: str
) -> None:
    """With either of the worker's switches, a delivery's line belongs to the trace of its invocation."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", environment["REQUESTS_CA_BUNDLE"])
    traced = wiring.consumers(settings.read(FunctionAppSettings, {**environment, switch: "true"}))
    host = SimpleNamespace(
        trace_parent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", trace_state=""
    )
    lines = TraceIds()
    telemetry.logger.addHandler(lines)
    try:
        traced.acceptances(message(b"not json", 7), host)
    finally:
        telemetry.logger.removeHandler(lines)
    assert lines.found == ["0af7651916cd43dd8448eb211c80319c"]
    taken(client, "agreement-rejections")


def test_an_unreadable_event_is_parked_whole(client: ServiceBusClient, consumers: wiring.Consumers) -> None:
    """What nobody can read is parked byte for byte, with a reason that every Service Bus tool shows."""
    consumers.acceptances(message(b"\xff\x00not json", 5), UNTRACED)
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
    wiring.service_bus(given)
    assert [type(credential) for credential in made] == [kind]
