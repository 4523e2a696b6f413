import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusMessageState,
    ServiceBusReceivedMessage,
    ServiceBusReceiveMode,
    ServiceBusReceiver,
    ServiceBusSender,
    ServiceBusSubQueue,
)
from azure.servicebus.aio import ServiceBusClient as AsyncServiceBusClient
from azure.servicebus.exceptions import (
    MessageLockLostError,
    MessageNotFoundError,
    MessageSizeExceededError,
    MessagingEntityDisabledError,
    MessagingEntityNotFoundError,
    ServiceBusError,
    ServiceBusQuotaExceededError,
)

from local.parts import in_thread
from local.service_bus import Namespace, serve
from local.service_bus.rules import Status

SECONDS = 5.0
ENTITIES = {
    "queues": [
        {"name": "orders", "properties": {"lockDuration": "PT1M", "maxDeliveryCount": 3}},
        {"name": "short", "properties": {"lockDuration": "PT0.3S"}},
        {"name": "small", "properties": {"maxSizeInMegabytes": 1}},
        {"name": "unique", "properties": {"requiresDuplicateDetection": True}},
    ],
    "topics": [{"name": "news", "subscriptions": [{"name": "all"}, {"name": "also"}]}],
}


@dataclass
class Clock:
    """The broker's clock: the real one, and ahead of it when a test says so."""

    ahead: float = 0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class Bus:
    """A running broker and the handlers that the tests share: each costs the SDK a second."""

    client: ServiceBusClient
    clock: Clock
    namespace: Namespace
    connection_string: str
    senders: dict[str, ServiceBusSender]
    receivers: dict[str, ServiceBusReceiver]

    def send(self, entity: str, *messages: ServiceBusMessage) -> None:
        """Send messages, as a batch if there are several."""
        self.senders[entity].send_messages(messages if len(messages) > 1 else messages[0], timeout=SECONDS)

    def receive(self, source: str = "orders") -> ServiceBusReceivedMessage:
        """Receive one message, which must be there."""
        (message,) = self.receivers[source].receive_messages(1, max_wait_time=SECONDS)
        return message

    @contextmanager
    def open(self) -> Iterator[None]:
        """Open all handlers at the same time, and close them so."""
        handlers = [*self.senders.values(), *self.receivers.values()]
        with ThreadPoolExecutor(len(handlers)) as pool:
            list(pool.map(lambda handler: handler.__enter__(), handlers))
            yield
            list(pool.map(lambda handler: handler.close(), handlers))


@pytest.fixture(scope="module")
def shared() -> Iterator[Bus]:
    """Serve the entities of the tests once."""
    clock = Clock()
    namespace = Namespace.from_dict(ENTITIES, clock=clock)
    with in_thread(lambda: serve(namespace)) as environment:
        client = ServiceBusClient.from_connection_string(environment["ServiceBus"], retry_total=0)
        queues = "orders", "short", "small", "unique"
        senders = {queue: client.get_queue_sender(queue) for queue in queues}
        receivers = {queue: client.get_queue_receiver(queue) for queue in queues}
        receivers |= {name: client.get_subscription_receiver("news", name) for name in ("all", "also")}
        receivers["dead"] = client.get_queue_receiver("orders", sub_queue=ServiceBusSubQueue.DEAD_LETTER)
        receivers["taken"] = client.get_queue_receiver(
            "orders", receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE
        )
        senders["news"] = client.get_topic_sender("news")
        bus = Bus(client, clock, namespace, environment["ServiceBus"], senders, receivers)
        with bus.open():
            yield bus


@pytest.fixture
def bus(shared: Bus) -> Iterator[Bus]:
    """Give a test the broker, and check that it left nothing behind."""
    shared.clock.ahead = 0
    yield shared
    left = {entity.name: entity.count() for entity in shared.namespace if entity.count()}
    assert not left


def body(message: ServiceBusReceivedMessage) -> bytes:
    """Return the whole body of a message."""
    return b"".join(message.body)


def soon(seconds: float) -> datetime:
    """Return an instant that many seconds ahead."""
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_a_message_arrives_as_it_was_sent(bus: Bus) -> None:
    """Body and every property survive; the broker adds number, times and count."""
    sent = ServiceBusMessage(
        "bödy",
        application_properties={"text": "t", "number": 7, "flag": True, "id": uuid4(), "raw": b"\x00"},
        content_type="application/json",
        correlation_id="c",
        message_id="m",
        partition_key="p",
        reply_to="r",
        session_id=None,
        subject="s",
        time_to_live=timedelta(hours=1),
        to="t",
    )
    before = datetime.now(UTC) - timedelta(seconds=1)
    bus.send("orders", sent)
    got = bus.receive()
    assert body(got) == "bödy".encode()
    wanted = {"content_type", "correlation_id", "message_id", "partition_key", "reply_to", "subject", "to"}
    assert all(getattr(got, name) == getattr(sent, name) for name in wanted)
    assert got.application_properties == {
        name.encode() if isinstance(name, str) else name: value.encode() if isinstance(value, str) else value
        for name, value in (sent.application_properties or {}).items()
    }
    assert got.time_to_live == timedelta(hours=1)
    assert got.enqueued_time_utc is not None
    assert before < got.enqueued_time_utc < soon(1)
    assert got.locked_until_utc is not None
    assert soon(50) < got.locked_until_utc < soon(61)
    assert got.delivery_count == 0
    assert got.state is ServiceBusMessageState.ACTIVE
    bus.receivers["orders"].complete_message(got)


def test_order_is_kept_over_batches(bus: Bus) -> None:
    """Lists and single messages come out in the order in which they went in."""
    bus.send("orders", *(ServiceBusMessage(str(number)) for number in range(50)))
    bus.send("orders", ServiceBusMessage("50"))
    batch = bus.senders["orders"].create_message_batch()
    batch.add_message(ServiceBusMessage("51"))
    bus.senders["orders"].send_messages(batch, timeout=SECONDS)
    receiver = bus.receivers["taken"]
    got: list[ServiceBusReceivedMessage] = []
    while len(got) < 52:
        got += receiver.receive_messages(52, max_wait_time=SECONDS)
    assert [int(body(message)) for message in got] == list(range(52))
    numbers = [message.sequence_number or 0 for message in got]
    assert numbers == sorted(numbers)


def test_abandoned_three_times_is_dead(bus: Bus) -> None:
    """Each abandon counts; at the maximum the broker dead-letters with its own reason."""
    bus.send("orders", ServiceBusMessage("poison"))
    for count in range(3):
        message = bus.receive()
        assert message.delivery_count == count
        bus.receivers["orders"].abandon_message(message)
    dead = bus.receive("dead")
    assert dead.dead_letter_reason == "MaxDeliveryCountExceeded"
    bus.receivers["dead"].complete_message(dead)


def test_dead_lettering_tells_why(bus: Bus) -> None:
    """Reason and description arrive as application properties beside the sender's own."""
    bus.send("orders", ServiceBusMessage("bad", application_properties={"mine": "kept"}))
    sent = bus.receive()
    bus.receivers["orders"].dead_letter_message(sent, reason="unreadable", error_description="not JSON")
    dead = bus.receive("dead")
    assert (dead.dead_letter_reason, dead.dead_letter_error_description) == ("unreadable", "not JSON")
    assert dead.application_properties == {
        b"mine": b"kept",
        b"DeadLetterReason": b"unreadable",
        b"DeadLetterErrorDescription": b"not JSON",
    }
    assert (dead.sequence_number, dead.enqueued_time_utc) == (sent.sequence_number, sent.enqueued_time_utc)
    bus.receivers["dead"].complete_message(dead)


def test_a_dead_letter_without_reason(bus: Bus) -> None:
    """Reason and description may be left out."""
    bus.send("orders", ServiceBusMessage("bad"))
    bus.receivers["orders"].dead_letter_message(bus.receive())
    dead = bus.receive("dead")
    assert dead.dead_letter_reason is None
    bus.receivers["dead"].complete_message(dead)


def test_a_renewed_lock_outlives_its_first_term(bus: Bus) -> None:
    """A renewed lock still settles when the first lock would have expired."""
    bus.send("orders", ServiceBusMessage("slow"))
    message = bus.receive()
    bus.clock.ahead += 40
    renewed = bus.receivers["orders"].renew_message_lock(message)
    assert renewed > soon(90)
    bus.clock.ahead += 40
    bus.receivers["orders"].complete_message(message)


def test_an_expired_lock_is_lost(bus: Bus) -> None:
    """Settling and renewing after the lock duration fail as lost; the message comes again, counted."""
    bus.send("orders", ServiceBusMessage("slow"))
    message = bus.receive()
    bus.clock.ahead += 60
    with pytest.raises(MessageLockLostError):
        bus.receivers["orders"].complete_message(message)
    with pytest.raises(MessageLockLostError):
        bus.receivers["orders"].renew_message_lock(message)
    again = bus.receive()
    assert again.delivery_count == 1
    bus.receivers["orders"].complete_message(again)


def test_a_lock_expires_by_itself(bus: Bus) -> None:
    """A waiting receiver gets the message as soon as another's lock expires; nobody has to ask."""
    bus.send("short", ServiceBusMessage("x"))
    bus.receive("short")
    again = bus.receive("short")
    assert again.delivery_count == 1
    bus.receivers["short"].complete_message(again)


@pytest.mark.parametrize("annotated", [True, False], ids=["annotation", "management"])
def test_a_scheduled_message_waits_for_its_time(bus: Bus, *, annotated: bool) -> None:
    """A scheduled message is seen as such, and received at its time and no sooner."""
    at = soon(0.5)
    if annotated:
        bus.send("orders", ServiceBusMessage("later", scheduled_enqueue_time_utc=at))
    else:
        bus.senders["orders"].schedule_messages(ServiceBusMessage("later"), at, timeout=SECONDS)
    (peeked,) = bus.receivers["orders"].peek_messages(1, sequence_number=1)
    assert peeked.state is ServiceBusMessageState.SCHEDULED
    message = bus.receive()
    assert datetime.now(UTC) >= at - timedelta(milliseconds=1)
    assert message.scheduled_enqueue_time_utc is not None
    assert abs(message.scheduled_enqueue_time_utc - at) < timedelta(milliseconds=1)
    bus.receivers["orders"].complete_message(message)


def test_scheduled_messages_can_be_cancelled(bus: Bus) -> None:
    """Scheduling gives a number for each message; by these they are cancelled, once."""
    later = [ServiceBusMessage("a"), ServiceBusMessage("b")]
    numbers = bus.senders["orders"].schedule_messages(later, soon(3600), timeout=SECONDS)
    assert len(numbers) == len(set(numbers)) == 2
    bus.senders["orders"].cancel_scheduled_messages(numbers, timeout=SECONDS)
    assert not bus.receivers["orders"].peek_messages(1, sequence_number=1)
    with pytest.raises(MessageNotFoundError):
        bus.senders["orders"].cancel_scheduled_messages(numbers, timeout=SECONDS)


def test_a_duplicate_is_accepted_and_dropped(bus: Bus) -> None:
    """Sending the same message id again succeeds, for now or for later, and leaves one message."""
    same = [ServiceBusMessage(text, message_id="same") for text in ("first", "second", "third")]
    bus.send("unique", same[0])
    bus.send("unique", same[1])
    assert len(bus.senders["unique"].schedule_messages(same[2], soon(3600), timeout=SECONDS)) == 1
    (only,) = bus.receivers["unique"].receive_messages(5, max_wait_time=SECONDS)
    assert body(only) == b"first"
    bus.receivers["unique"].complete_message(only)


def test_peeking_shows_every_state_page_by_page(bus: Bus) -> None:
    """Peek goes through active, locked and scheduled messages alike and ends with an empty page."""
    bus.send("orders", *(ServiceBusMessage(str(number)) for number in range(5)))
    bus.send("orders", ServiceBusMessage("5", scheduled_enqueue_time_utc=soon(3600)))
    locked = bus.receive()
    receiver = bus.receivers["orders"]
    pages = [
        receiver.peek_messages(4, sequence_number=1),
        receiver.peek_messages(4),
        receiver.peek_messages(4),
    ]
    assert [[body(message) for message in page] for page in pages] == [
        [b"0", b"1", b"2", b"3"],
        [b"4", b"5"],
        [],
    ]
    assert pages[1][1].state is ServiceBusMessageState.SCHEDULED
    assert pages[0][0].locked_until_utc is None
    assert pages[0][0].delivery_count == 0
    bus.senders["orders"].cancel_scheduled_messages(pages[1][1].sequence_number or 0, timeout=SECONDS)
    receiver.complete_message(locked)
    drain(bus, 4)


def test_a_page_of_large_messages_is_short(bus: Bus) -> None:
    """A page ends before it grows far beyond one message; the next one goes on from there."""
    for _ in range(3):
        bus.send("orders", ServiceBusMessage(b"x" * 150_000))
    receiver = bus.receivers["orders"]
    pages = [receiver.peek_messages(10, sequence_number=1)] + [receiver.peek_messages(10) for _ in range(3)]
    assert [len(page) for page in pages] == [1, 1, 1, 0]
    drain(bus, 3)


def test_every_subscription_gets_a_copy(bus: Bus) -> None:
    """A message to a topic, scheduled or not, arrives at each subscription, to be settled there by itself."""
    bus.senders["news"].schedule_messages(ServiceBusMessage("later"), soon(0.5), timeout=SECONDS)
    bus.send("news", ServiceBusMessage("now"))
    for name in ("all", "also"):
        for text in (b"now", b"later"):
            message = bus.receive(name)
            assert body(message) == text
            bus.receivers[name].complete_message(message)


def test_large_messages_travel_in_many_frames(bus: Bus) -> None:
    """A body of several frames arrives whole."""
    large = bytes(range(256)) * 1000
    bus.send("orders", ServiceBusMessage(large))
    message = bus.receive()
    assert body(message) == large
    bus.receivers["orders"].complete_message(message)


def test_too_large_messages_are_refused(bus: Bus) -> None:
    """More than 256 KiB is refused as such, sent or scheduled, and the sender goes on working."""
    large = ServiceBusMessage(b"x" * 262_144)
    with pytest.raises(MessageSizeExceededError):
        bus.send("orders", large)
    with pytest.raises(MessageSizeExceededError):
        bus.senders["orders"].schedule_messages(large, soon(1), timeout=SECONDS)
    bus.send("orders", ServiceBusMessage("small"))
    drain(bus, 1)


def test_a_disabled_or_full_queue_takes_nothing(bus: Bus) -> None:
    """Whoever sends or schedules is told as by a Service Bus, and can send once there is room again."""
    entity = bus.namespace.target("small")
    sender = bus.senders["small"]
    entity.status = Status.SEND_DISABLED
    with pytest.raises(MessagingEntityDisabledError):
        bus.send("small", ServiceBusMessage("early"))
    entity.status = Status.ACTIVE
    for _ in range(4):
        bus.send("small", ServiceBusMessage(b"x" * 250_000))
    with pytest.raises(ServiceBusQuotaExceededError):
        bus.send("small", ServiceBusMessage(b"x" * 250_000))
    with pytest.raises(ServiceBusQuotaExceededError):
        sender.schedule_messages(ServiceBusMessage(b"x" * 250_000), soon(60), timeout=SECONDS)
    bus.receivers["small"].complete_message(bus.receive("small"))
    bus.send("small", ServiceBusMessage(b"x" * 250_000))
    for _ in range(4):
        bus.receivers["small"].complete_message(bus.receive("small"))


def test_an_unknown_entity_is_not_found(bus: Bus) -> None:
    """A name that is not in the namespace is refused as not found."""
    with pytest.raises(MessagingEntityNotFoundError):
        bus.client.get_queue_sender("nowhere").send_messages(ServiceBusMessage(""), timeout=SECONDS)


def test_sessions_are_refused(bus: Bus) -> None:
    """A session receiver is told that the queue has no sessions, not served as if it had."""
    with pytest.raises(ServiceBusError, match="does not require sessions"):
        bus.client.get_queue_receiver("orders", session_id="one").receive_messages(1, max_wait_time=1)


def test_a_deferred_message_is_received_by_its_number(bus: Bus) -> None:
    """A deferred message comes to nobody but the one who asks for its number, and is settled like others."""
    receiver = bus.receivers["orders"]
    bus.send("orders", ServiceBusMessage("x"))
    message = bus.receive()
    receiver.defer_message(message)
    assert message.sequence_number is not None
    [peeked] = receiver.peek_messages(sequence_number=message.sequence_number)
    assert peeked.state is ServiceBusMessageState.DEFERRED
    [deferred] = receiver.receive_deferred_messages(message.sequence_number)
    assert (body(deferred), deferred.state) == (b"x", ServiceBusMessageState.DEFERRED)
    receiver.complete_message(deferred)
    with pytest.raises(MessageNotFoundError):
        receiver.receive_deferred_messages(message.sequence_number)


async def _round_trip(connection_string: str) -> list[str]:
    async with AsyncServiceBusClient.from_connection_string(connection_string, retry_total=0) as client:
        sender, receiver = client.get_queue_sender("orders"), client.get_queue_receiver("orders")
        async with sender, receiver:
            await sender.send_messages([ServiceBusMessage("a"), ServiceBusMessage("b")], timeout=SECONDS)
            got = await receiver.receive_messages(2, max_wait_time=SECONDS)
            for message in got:
                await receiver.complete_message(message)
            return [str(message) for message in got]


def test_the_asynchronous_sdk_is_served_too(bus: Bus) -> None:
    """The aio client sends, receives and settles."""
    assert asyncio.run(_round_trip(bus.connection_string)) == ["a", "b"]


def drain(bus: Bus, count: int) -> None:
    """Remove so many messages that a test left."""
    for _ in range(count):
        bus.receive("taken")
