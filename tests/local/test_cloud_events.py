"""Publishers and subscribers that are not ours: an independent CloudEvents library, over real AMQP."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceiveMode,
    ServiceBusReceiver,
    ServiceBusSender,
)
from cloudevents.core.bindings import amqp
from cloudevents.core.v1.event import CloudEvent

from agreements import envelopes, events, outcome_events
from agreements.outcome_events import OutcomeEvent
from agreements.outcomes import Attempt, Confirmed
from local.functions_host import messages
from local.parts import in_thread
from local.service_bus import Namespace, serve
from tests import fakes
from tests.test_samples import ACCEPTED, PLAIN

SECONDS = 10.0
ENTITIES: Mapping[str, object] = {
    "queues": [{"name": "acceptances"}],
    "topics": [{"name": "outcomes", "subscriptions": [{"name": "crm"}]}],
}
ATTRIBUTES = {
    "id": "acceptance-4711",
    "source": "https://crm.example.com/acceptances",
    "type": "com.example.crm.acceptance",
    "specversion": "1.0",
    "datacontenttype": "application/json",
    "subject": str(fakes.CUSTOMER),
    "time": datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
}


@dataclass(frozen=True)
class Wire:
    """A queue and a topic, by the real SDK."""

    acceptances: ServiceBusSender
    taken: ServiceBusReceiver
    outcomes: ServiceBusSender
    told: ServiceBusReceiver

    def publish(self, message: ServiceBusMessage) -> ServiceBusReceivedMessage:
        """Send a message to the queue and take it from there."""
        self.acceptances.send_messages(message, timeout=SECONDS)
        [received] = self.taken.receive_messages(1, max_wait_time=SECONDS)
        return received


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    """Serve a queue and a topic, and open both ends of them once."""
    taking = ServiceBusReceiveMode.RECEIVE_AND_DELETE
    with in_thread(lambda: serve(Namespace.from_dict(ENTITIES))) as environment, ExitStack() as stack:
        client = ServiceBusClient.from_connection_string(environment["ServiceBus"], retry_total=0)
        yield Wire(
            stack.enter_context(client.get_queue_sender("acceptances")),
            stack.enter_context(client.get_queue_receiver("acceptances", receive_mode=taking)),
            stack.enter_context(client.get_topic_sender("outcomes")),
            stack.enter_context(client.get_subscription_receiver("outcomes", "crm", receive_mode=taking)),
        )


def handed_over(message: ServiceBusReceivedMessage) -> tuple[bytes, str | None, Mapping[str, object]]:
    """Return what the Functions host makes of a message: body, content type and properties."""
    body = messages.body(message).bytes
    assert isinstance(body, bytes)
    return body, message.content_type, messages.application_properties(message)


def sent_by_the_library(message: amqp.AMQPMessage) -> ServiceBusMessage:
    """Put what the library made into a message of the SDK's, as its users do."""
    properties: dict[Any, Any] = dict(message.application_properties)
    if "cloudEvents_time" in properties:
        # Milliseconds are beyond what this SDK takes for a number; a datetime becomes AMQP's timestamp.
        properties["cloudEvents_time"] = datetime.fromtimestamp(properties["cloudEvents_time"] / 1000, UTC)
    return ServiceBusMessage(
        message.application_data,
        content_type=message.properties.get("content-type"),
        application_properties=properties,
    )


@pytest.mark.parametrize(
    "mode", [amqp.to_structured_event, amqp.to_binary_event], ids=["structured", "binary"]
)
def test_what_the_library_publishes_is_read(wire: Wire, mode: Any) -> None:
    """In either mode of AMQP the event arrives whole, with source and id as its publisher gave them."""
    published = CloudEvent(attributes=dict(ATTRIBUTES), data=fakes.given())
    received = wire.publish(sent_by_the_library(mode(published)))
    assert events.parse(*handed_over(received)) == fakes.event()
    found = envelopes.unwrap(*handed_over(received))
    assert found.cloud_event_id == ATTRIBUTES["id"]
    assert found.event_id == f"{ATTRIBUTES['source']} {ATTRIBUTES['id']}"


def test_binary_data_of_the_library_is_read(wire: Wire) -> None:
    """Data that the library was given as bytes travels as base64, and is the event all the same."""
    published = CloudEvent(attributes=dict(ATTRIBUTES), data=fakes.body())
    received = wire.publish(sent_by_the_library(amqp.to_structured_event(published)))
    assert b"data_base64" in handed_over(received)[0]
    assert events.parse(*handed_over(received)) == fakes.event()


@pytest.mark.parametrize("sample", ACCEPTED, ids=lambda sample: sample.file)
def test_a_sample_survives_the_way(wire: Wire, sample: Any) -> None:
    """Every format arrives by AMQP as it was sent, properties with a colon in their names included."""
    message = ServiceBusMessage(
        sample.body, content_type=sample.contentType, application_properties=dict(sample.properties)
    )
    assert events.parse(*handed_over(wire.publish(message))) == events.parse(PLAIN)


def test_the_library_reads_what_is_told(wire: Wire) -> None:
    """A subscriber with the library alone gets the outcome: attributes, extensions and data."""
    attempt = Attempt(event=fakes.event(), answer=fakes.agreement(), cloud_event_id=str(ATTRIBUTES["id"]))
    told = outcome_events.tell(fakes.delivery(), attempt, Confirmed(), source="sb://contoso", now=fakes.NOW)
    [event] = told
    message = ServiceBusMessage(event.body(), content_type=outcome_events.CONTENT_TYPE)
    wire.outcomes.send_messages(message, timeout=SECONDS)
    [received] = wire.told.receive_messages(1, max_wait_time=SECONDS)
    found = amqp.from_amqp_event(amqp_message(received))
    assert told_by(found) == event
    assert (found.get_type(), found.get_subject()) == (event.type, str(fakes.CUSTOMER))
    assert (found.get_extension("causationid"), found.get_time()) == (ATTRIBUTES["id"], fakes.NOW)


def amqp_message(received: ServiceBusReceivedMessage) -> amqp.AMQPMessage:
    """Return a message of the SDK's as the library takes it."""
    return amqp.AMQPMessage(
        properties={"content-type": received.content_type},
        application_properties=dict(messages.application_properties(received)),
        application_data=b"".join(received.body),
    )


def told_by(event: Any) -> OutcomeEvent:
    """Return our event of what the library holds."""
    return OutcomeEvent.model_validate({**event.get_attributes(), "data": event.get_data()})
