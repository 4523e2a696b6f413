"""Publishing by the real SDK against a broker; failures that a broker will not produce by a fake."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast
from uuid import UUID

import pytest
from azure.servicebus import ServiceBusClient
from azure.servicebus.exceptions import (
    MessagingEntityNotFoundError,
    OperationTimeoutError,
    ServiceBusAuthorizationError,
    ServiceBusConnectionError,
    ServiceBusError,
    ServiceBusQuotaExceededError,
    ServiceBusServerBusyError,
)

from agreements import toolbox
from agreements.errors import BusyError, DeploymentError
from agreements.messages import Place
from agreements.publisher import Publisher
from agreements.publishing import Outgoing
from agreements.settings import BusSettings, QueueSettings, ServiceBusSettings
from local.parts import in_thread
from local.service_bus import Namespace, serve

ENTITIES = {
    "queues": [{"name": "orders", "properties": {"lockDuration": "PT1M", "maxDeliveryCount": 3}}],
    "topics": [{"name": "news", "subscriptions": [{"name": "receipts"}]}],
}


@pytest.fixture(scope="module")
def bus() -> Iterator[ServiceBusSettings]:
    with in_thread(lambda: serve(Namespace.from_dict(ENTITIES))) as environment:
        yield ServiceBusSettings.model_validate(environment)


def given(bus: ServiceBusSettings, queue: str) -> BusSettings:
    return BusSettings(service_bus=bus, queues=QueueSettings.model_validate({"ACCEPTANCES_QUEUE": queue}))


def outgoing(number: int, size: int = 10) -> Outgoing:
    return Outgoing(UUID(int=number), "application/json", json.dumps({"x": "y" * size}).encode())


def test_messages_arrive_in_as_few_batches_as_fit(bus: ServiceBusSettings) -> None:
    """With id, correlation id and content type; a batch that is too large for one is sent as several."""
    publisher, check = toolbox.publishing(given(bus, "orders"))
    check()
    publisher.send([outgoing(number, 60_000) for number in range(1, 31)])
    publisher.send([outgoing(31)])
    assert publisher.place.endswith("/orders")
    publisher.close()
    store = toolbox.operations(given(bus, "orders")).store
    found = list(store.peek(Place("orders")))
    store.close()
    assert [message.message_id for message in found] == [str(UUID(int=number)) for number in range(1, 32)]
    assert {(one.content_type, one.correlation_id == one.message_id) for one in found} == {
        ("application/json", True)
    }
    assert json.loads(found[30].body) == {"x": "y" * 10}


def test_a_queue_that_cannot_be_sent_to_is_told(bus: ServiceBusSettings) -> None:
    """Before anything is asked, with what to do about it."""
    publisher, check = toolbox.publishing(given(bus, "nowhere"))
    with pytest.raises(DeploymentError) as caught:
        check()
    assert "ACCEPTANCES_QUEUE" in caught.value.advice
    with pytest.raises(MessagingEntityNotFoundError):
        publisher.send([outgoing(1)])


class FakeSender:
    """Fails as it is told, and may fail once more when it is closed."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.closed = 0

    def create_message_batch(self) -> object:
        raise self.error

    def close(self) -> None:
        self.closed += 1
        raise ServiceBusConnectionError(message="gone")


@pytest.mark.parametrize(
    ("error", "told", "seconds"),
    [
        (ServiceBusServerBusyError(message="x"), "Service Bus asked for fewer messages", 10),
        (ServiceBusQuotaExceededError(message="x"), "the queue is full", 10),
        (OperationTimeoutError(message="x"), "Service Bus did not answer in time", 1),
        (ServiceBusConnectionError(message="x"), "the connection to Service Bus failed", 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_passes_is_told_from_what_does_not(error: ServiceBusError, told: str, seconds: float) -> None:
    """Who publishes waits as long as each takes, and the next try is with a link of its own."""
    opened: list[FakeSender] = []

    def open_sender(_: str) -> FakeSender:
        opened.append(FakeSender(error))
        return opened[-1]

    client = cast("ServiceBusClient", SimpleNamespace(get_queue_sender=open_sender))
    publisher = Publisher(client, "orders", 1.0)
    for _ in range(2):
        with pytest.raises(BusyError, match=told) as caught:
            publisher.send([outgoing(1)])
        assert caught.value.seconds == seconds
    assert [sender.closed for sender in opened] == [1, 1]


def test_a_refusal_is_no_reason_to_wait() -> None:
    """A right that is missing does not come by itself; where not even a link opened, none is closed."""

    def refuse(_: str) -> object:
        raise ServiceBusAuthorizationError(message="x")

    client = cast("ServiceBusClient", SimpleNamespace(get_queue_sender=refuse))
    with pytest.raises(ServiceBusAuthorizationError):
        Publisher(client, "orders", 1.0).send([outgoing(1)])
