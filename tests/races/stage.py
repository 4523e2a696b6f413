"""Where a race is made to happen: the broker and Partner Center in this process, to be held up at will.

All between them is real: the SDK over AMQP, TLS, MSAL, the product. Only time is not waited for: the broker's
clock is put ahead instead, so that a lock runs out or a retry falls due at once.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from azure.functions.meta import Datum
from azure.functions.servicebus import ServiceBusMessage, ServiceBusMessageInConverter
from azure.servicebus import ServiceBusClient, ServiceBusReceivedMessage, ServiceBusReceiver, ServiceBusSender
from azure.servicebus import ServiceBusMessage as Published

from agreements import settings, wiring
from agreements.settings import FunctionAppSettings
from agreements.wiring import Consumers
from local import bus, control, service_bus
from local.functions_host import messages
from local.parts import in_thread
from local.service_bus import Namespace
from local.service_bus.entities import Entity
from tests.fakes import UNTRACED
from tests.races.holds import Holds

ROOT = Path(__file__).parents[2]
ACCEPTANCES, RETRIES = "agreement-acceptances", "agreement-retries"
DUPLICATES, REJECTIONS = "agreement-duplicates", "agreement-rejections"
QUEUES = ACCEPTANCES, RETRIES, DUPLICATES, REJECTIONS
TOPIC = "agreement-outcomes"
CONTACT = {"firstName": "Zoë", "lastName": "O'Brien", "email": "zoe@contoso.example"}
# Longer than a lock holds, and than any retry waits.
LOCK_SECONDS, RETRY_SECONDS = 61.0, 7200.0
_SECONDS = 20.0

# Returns what the log told of an event, by its correlation id, in order.
type Told = Callable[[str], list[str]]


class Clock:
    """The broker's clock: the real one, and ahead of it as far as a test says."""

    ahead = 0.0

    def __call__(self) -> float:
        """Return the seconds since 1970 UTC."""
        return time.time() + self.ahead


@dataclass(frozen=True, slots=True)
class Taken:
    """A message in hand, locked, and how the Functions worker hands it over."""

    queue: str
    received: ServiceBusReceivedMessage
    message: ServiceBusMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The far ends, what leads to them, and a host of our own that does one thing at a time when told."""

    environment: Mapping[str, str]
    clock: Clock
    namespace: Namespace
    holds: Holds
    consumers: Consumers
    receivers: Mapping[str, ServiceBusReceiver]
    receipts: ServiceBusReceiver
    sender: ServiceBusSender
    pool: ThreadPoolExecutor

    def publish(self, customer: UUID, **changes: object) -> str:
        """Publish an event of a customer as a CRM system would; return its correlation id."""
        event = {"customerTenantId": str(customer), "dateAgreed": "2020-01-01", "primaryContact": CONTACT}
        correlation_id = str(uuid4())
        body = json.dumps(event | changes).encode()
        self.send(bus.message(body, message_id="of-the-publisher", correlation_id=correlation_id))
        return correlation_id

    def send(self, message: Published) -> None:
        """Send a message to the acceptances queue."""
        self.sender.send_messages(message, timeout=_SECONDS)

    def take(self, queue: str = ACCEPTANCES) -> Taken:
        """Receive a message, which must be there or fall due by the clock."""
        [received] = self.receivers[queue].receive_messages(1, max_wait_time=_SECONDS)
        given = {
            name: Datum(data.value, data.kind) for name, data in messages.trigger_metadata(received).items()
        }
        body = messages.body(received)
        message = ServiceBusMessageInConverter.decode(Datum(body.value, body.kind), trigger_metadata=given)
        return Taken(queue, received, cast("ServiceBusMessage", message))

    def handle(self, taken: Taken, consumers: Consumers | None = None) -> None:
        """Call the function of the message's queue."""
        chosen = consumers or self.consumers
        (chosen.acceptances if taken.queue == ACCEPTANCES else chosen.retries)(taken.message, UNTRACED)

    def start(self, taken: Taken) -> Future[None]:
        """Handle a message at the same time as others."""
        return self.pool.submit(self.handle, taken)

    def complete(self, taken: Taken) -> None:
        """Complete a message, as the host does when the function has returned."""
        self.receivers[taken.queue].complete_message(taken.received)

    def deliver(self, queue: str = ACCEPTANCES, consumers: Consumers | None = None) -> None:
        """Take a message, handle it, and complete it; abandon it when the function raises, and raise that."""
        taken = self.take(queue)
        try:
            self.handle(taken, consumers)
        except Exception:
            self.receivers[queue].abandon_message(taken.received)
            raise
        self.complete(taken)

    def set_faults(self, *rules: Mapping[str, object]) -> None:
        """Make Partner Center fail by these rules, in place of those before."""
        control.set_faults(self.environment, rules)

    def entity(self, name: str) -> Entity:
        """Return a queue of the broker."""
        return self.namespace.find(name)

    def places(self, correlation_id: str) -> list[str]:
        """Return where an event is: the ledger as often as it is recorded, each queue with its reason."""
        found = [
            "ledger"
            for agreement in control.ledger(self.environment)
            if agreement["correlationId"] == correlation_id
        ]
        for queue, receiver in self.receivers.items():
            found += [
                f"{queue}: {_reason(message)}"
                for message in receiver.peek_messages(250, sequence_number=1)
                if message.correlation_id == correlation_id
            ]
        return found

    def outcomes(self, correlation_id: str) -> list[str]:
        """Return what was told of an event through the topic, in order, each with its reason."""
        told = [
            json.loads(b"".join(message.body))["data"]
            for message in self.receipts.peek_messages(250, sequence_number=1)
            if message.correlation_id == correlation_id
        ]
        return [": ".join(one[name] for name in ("outcome", "reason") if name in one) for one in told]

    def recorded(self, customer: UUID) -> list[dict[str, object]]:
        """Return all agreements that are recorded for a customer."""
        ledger = control.ledger(self.environment)
        return [agreement for agreement in ledger if agreement["customerTenantId"] == str(customer)]

    def posts(self) -> int:
        """Return how many confirmations were posted so far."""
        return sum(body["posts"] for body in control.posts(self.environment))

    def is_empty(self, queue: str) -> bool:
        """Tell whether nothing is in a queue: active, locked or scheduled."""
        return not self.receivers[queue].peek_messages(1, sequence_number=1)


def _reason(message: ServiceBusReceivedMessage) -> str:
    given = cast("Mapping[bytes, bytes]", message.application_properties or {})
    return given.get(b"mcaReason", b"").decode()


def outcome(line: Mapping[str, object]) -> str:
    """Return what a log line tells of a delivery: the outcome, and its reason or that it was recovered."""
    recovered = " (recovered)" if line.get("recovered") else ""
    return ": ".join(str(line[name]) for name in ("outcome", "reason") if name in line) + recovered


def consumers(environment: Mapping[str, str], **changes: str) -> Consumers:
    """Build the product anew, as a restart of the app would."""
    return wiring.consumers(settings.read(FunctionAppSettings, {**environment, **changes}))


def _entities(subscriptions: Iterable[str]) -> dict[str, Any]:
    entities: dict[str, Any] = json.loads((ROOT / "infra" / "service-bus.json").read_bytes())
    [topic] = entities["topics"]
    topic["subscriptions"] += [{"name": name} for name in subscriptions]
    return entities


@contextmanager
def serve(*subscriptions: str) -> Iterator[Stage]:
    """Serve the far ends on free ports, and let this process trust them, while the block runs.

    The topic gets these subscriptions beside the one that is provisioned.
    """
    clock, holds = Clock(), Holds()
    namespace = Namespace.from_dict(_entities(subscriptions), clock=clock)
    with (
        pytest.MonkeyPatch.context() as patch,
        in_thread(lambda: service_bus.serve(namespace)) as broker,
        holds.partner_center() as api,
        ThreadPoolExecutor(8) as pool,
    ):
        patch.setenv("REQUESTS_CA_BUNDLE", api["REQUESTS_CA_BUNDLE"])
        client = ServiceBusClient.from_connection_string(broker["ServiceBus"], retry_total=0)
        receivers = {queue: client.get_queue_receiver(queue) for queue in QUEUES}
        receipts = client.get_subscription_receiver(TOPIC, "receipts")
        sender = client.get_queue_sender(ACCEPTANCES)
        # At the same time: opening and closing take the SDK a second each.
        handlers = [*receivers.values(), receipts, sender]
        list(pool.map(lambda handler: handler.__enter__(), handlers))
        environment = {**broker, **api, "OUTCOMES_TOPIC": TOPIC}
        yield Stage(
            environment=environment,
            clock=clock,
            namespace=namespace,
            holds=holds,
            consumers=consumers(environment),
            receivers=receivers,
            receipts=receipts,
            sender=sender,
            pool=pool,
        )
        list(pool.map(lambda handler: handler.close(), handlers))
