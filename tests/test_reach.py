"""The reach into Service Bus, by the real SDK against a broker."""

from collections.abc import Iterator
from typing import cast

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.servicebus import ServiceBusClient, ServiceBusMessage
from azure.servicebus.exceptions import (
    MessagingEntityDisabledError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusConnectionError,
    ServiceBusServerBusyError,
)

from agreements.deadline import Deadline
from agreements.errors import DeploymentError
from agreements.reach import Entity, Right, reach
from local.parts import in_thread
from local.service_bus import Namespace, serve
from tests.fakes import FakeServiceBusClient

ENTITIES = {
    "queues": [{"name": "orders", "properties": {"lockDuration": "PT1M", "maxDeliveryCount": 3}}],
    "topics": [{"name": "news", "subscriptions": [{"name": "all"}]}],
}
ORDERS = Entity(name="orders", setting="ACCEPTANCES_QUEUE")
DEAD = Entity(name="orders", setting="ACCEPTANCES_QUEUE", dead_letters=True)
NEWS = Entity(name="news", setting="OUTCOMES_TOPIC", topic=True)
TOLD = Entity(name="news", setting="OUTCOMES_TOPIC", topic=True, subscription="all")
NOWHERE = Entity(name="nowhere", setting="RETRIES_QUEUE")


@pytest.fixture(scope="module")
def client() -> Iterator[ServiceBusClient]:
    namespace = Namespace.from_dict(ENTITIES)
    with in_thread(lambda: serve(namespace)) as environment:
        yield ServiceBusClient.from_connection_string(environment["ServiceBus"], retry_total=0)


def fault(client: ServiceBusClient, entity: Entity, right: Right) -> DeploymentError:
    with pytest.raises(DeploymentError) as caught:
        reach(client, entity, right, Deadline.after(10))
    return caught.value


@pytest.mark.parametrize(
    ("entity", "right", "told"),
    [
        (ORDERS, Right.SEND, "a sender's link opens"),
        (NEWS, Right.SEND, "a sender's link opens"),
        (DEAD, Right.PEEK, "a receiver's link opens; nothing waits there"),
        (TOLD, Right.PEEK, "a receiver's link opens; nothing waits there"),
    ],
    ids=["send to a queue", "send to a topic", "peek into a dead-letter queue", "peek into a subscription"],
)
def test_an_entity_is_reached(client: ServiceBusClient, entity: Entity, right: Right, told: str) -> None:
    """What exists and is allowed is within reach."""
    assert reach(client, entity, right, Deadline.after(10)) == told


@pytest.mark.parametrize("right", [Right.RECEIVE, Right.PEEK])
def test_no_message_is_taken(client: ServiceBusClient, right: Right) -> None:
    """A message that waits while its queue is checked still waits after, and no delivery of it is counted."""
    with client.get_queue_sender("orders") as sender, client.get_queue_receiver("orders") as receiver:
        sender.send_messages(ServiceBusMessage("x"), timeout=10)
        told = reach(client, ORDERS, right, Deadline.after(10))
        [message] = receiver.receive_messages(1, max_wait_time=10)
        receiver.complete_message(message)
    assert told == "a receiver's link opens; a message waits there"
    assert message.delivery_count == 0


@pytest.mark.parametrize("right", [Right.SEND, Right.PEEK])
def test_an_entity_that_is_missing(client: ServiceBusClient, right: Right) -> None:
    """What does not exist is named together with the setting that names it."""
    error = fault(client, NOWHERE, right)
    assert str(error) == "there is no such entity"
    assert "RETRIES_QUEUE: it names nowhere" in error.advice


def test_a_namespace_that_is_not_there() -> None:
    """No connection is told as one, with what decides about it."""
    string = "Endpoint=sb://localhost:1;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true;"
    nobody = ServiceBusClient.from_connection_string(string, retry_total=0)
    error = fault(nobody, ORDERS, Right.SEND)
    assert str(error) == "Service Bus cannot be connected to"
    assert "port 5671" in error.advice


@pytest.mark.parametrize(
    ("raised", "right", "message", "advice"),
    [
        (ServiceBusAuthorizationError(), Right.SEND, "may not send to", '"Azure Service Bus Data Sender"'),
        (ServiceBusAuthorizationError(), Right.PEEK, "may not peek into", "Data Receiver"),
        (ServiceBusAuthenticationError(), Right.SEND, "does not accept", "az login"),
        (ClientAuthenticationError(), Right.SEND, "does not accept", "az login"),
        (MessagingEntityDisabledError(), Right.SEND, "disabled", "Enable orders"),
        (ServiceBusConnectionError(), Right.SEND, "cannot be connected", "fullyQualifiedNamespace"),
        (ServiceBusServerBusyError(), Right.SEND, "failed: ServiceBusServerBusyError", "Try again"),
    ],
)
def test_each_refusal_has_its_advice(raised: Exception, right: Right, message: str, advice: str) -> None:
    """Whoever reads it knows what to do without reading code."""
    error = fault(refusing(raised), ORDERS, right)
    assert message in str(error)
    assert advice in error.advice


def refusing(error: Exception) -> ServiceBusClient:
    return cast("ServiceBusClient", _Refusing(open_error=error))


class _Refusing(FakeServiceBusClient):
    def get_queue_receiver(self, queue: str, **options: object) -> object:
        return self.get_queue_sender(queue)
