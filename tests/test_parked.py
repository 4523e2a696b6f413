"""Peeking, taking and copying through the real SDK over real AMQP."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import monotonic, time
from typing import Any
from uuid import UUID

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusSender
from azure.servicebus.amqp import AmqpAnnotatedMessage
from azure.servicebus.exceptions import MessagingEntityNotFoundError, ServiceBusError

from agreements import amqp
from agreements.copies import replayed
from agreements.errors import DeploymentError
from agreements.messages import BodyKind, ParkedMessage, Place, State
from agreements.parked import Parked
from agreements.taking import Taking
from agreements.values import AmqpType, Value
from local.parts import in_thread
from local.service_bus import Namespace, serve
from tests.test_copies import STAMP
from tests.test_values import VALUES

SECONDS = 5.0
QUEUE = Place("parked")
ENTITIES = {
    "queues": [
        {"name": "parked", "properties": {"lockDuration": "PT1M", "maxDeliveryCount": 1000}},
        {"name": "target"},
        {"name": "dying", "properties": {"deadLetteringOnMessageExpiration": True}},
    ]
}


@dataclass
class Clock:
    """The broker's clock: the real one, and ahead of it when a test says so."""

    ahead: float = 0

    def __call__(self) -> float:
        return time() + self.ahead


@dataclass
class Bus:
    """A broker of ours with its engine in reach, and the product at work on it."""

    parked: Parked
    namespace: Namespace
    clock: Clock
    sender: ServiceBusSender
    client: ServiceBusClient

    def send(self, *messages: ServiceBusMessage) -> None:
        self.sender.send_messages(messages, timeout=SECONDS)

    def many(self, count: int) -> None:
        self.send(*(ServiceBusMessage(b"{}", message_id=str(number)) for number in range(count)))

    def lying(self, place: Place = QUEUE) -> list[ParkedMessage]:
        return list(self.parked.peek(place))


@pytest.fixture(scope="module")
def shared() -> Iterator[Bus]:
    clock = Clock()
    namespace = Namespace.from_dict(ENTITIES, clock=clock)
    with in_thread(lambda: serve(namespace)) as environment:
        client = ServiceBusClient.from_connection_string(environment["ServiceBus"], retry_total=0)
        parked = Parked(client, SECONDS)
        sender = client.get_queue_sender("parked")
        # Opened at the same time: each costs the SDK half a second.
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda open_: open_(), [sender.__enter__, lambda: parked.open([QUEUE])]))
        yield Bus(parked, namespace, clock, sender, client)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda close: close(), [sender.close, parked.close]))


@pytest.fixture
def bus(shared: Bus) -> Iterator[Bus]:
    """Give a test the broker, and empty it afterwards."""
    yield shared
    shared.clock.ahead += 120
    for entity in shared.namespace:
        while entity.name in {"parked", "target"} and (taken := entity.take()):  # type: ignore[attr-defined]  # a queue
            assert taken
    shared.clock.ahead = 0


def test_a_copy_keeps_all_that_was_sent(bus: Bus) -> None:
    """Body, every field and every property with its type arrive as a publisher wrote them."""
    sent = ServiceBusMessage(
        b"\xff{}",
        content_type="application/json",
        correlation_id="c",
        message_id="m",
        subject="s",
        to="t",
        reply_to="r",
        session_id="i",
        reply_to_session_id="ri",
        partition_key="i",
        time_to_live=timedelta(hours=1),
    )
    # The SDK itself misreads a decimal's digits.
    given = {value.type: value for value in VALUES if value.type is not AmqpType.DECIMAL128}
    sent.raw_amqp_message.properties.content_encoding = "gzip"  # type: ignore[union-attr]  # it is there
    sent.application_properties = amqp.outgoing(
        replace(_example(), properties={str(name): value for name, value in given.items()})
    ).application_properties
    bus.send(sent)
    [message] = bus.lying()
    assert message.properties == given
    bus.parked.send("target", [message])
    [copy] = bus.lying(Place("target"))
    assert replace(copy, place=message.place, enqueued_time=message.enqueued_time) == message
    assert copy.content_encoding == "gzip"
    [raw] = bus.parked._receivers[Place("target")].peek_messages(1, sequence_number=1)  # noqa: SLF001 - what is not in our picture
    assert raw.time_to_live is None


def _example() -> ParkedMessage:
    return ParkedMessage(place=QUEUE, sequence_number=1, enqueued_time=datetime.now(UTC), body=b"")


@pytest.mark.parametrize(
    ("value", "body"),
    [
        ("text", b"text"),
        (b"\xff", b"\xff"),
        ({"a": ["ü", 1, True, None, 1.5, UUID(int=1)]}, None),
        (7, b"7"),
    ],
    ids=["text", "bytes", "map", "number"],
)
def test_a_value_body_arrives_as_data(bus: Bus, value: Any, body: bytes | None) -> None:
    """What a consumer of DATA cannot read is replayed so that it can; JMS publishers send such bodies."""
    bus.sender.send_messages(AmqpAnnotatedMessage(value_body=value), timeout=SECONDS)
    [message] = bus.lying()
    assert message.body_kind is BodyKind.VALUE
    bus.parked.send("target", [replayed(message, STAMP)])
    [copy] = bus.lying(Place("target"))
    assert copy.body_kind is BodyKind.DATA
    expected = (
        body or json.dumps({"a": ["ü", 1, True, None, 1.5, str(UUID(int=1))]}, ensure_ascii=False).encode()
    )
    assert copy.body == message.body == expected


def test_a_sequence_body_is_shown_as_json(bus: Bus) -> None:
    """No publisher should send one; whoever does is seen all the same."""
    bus.sender.send_messages(AmqpAnnotatedMessage(sequence_body=[["a", 1]]), timeout=SECONDS)
    [message] = bus.lying()
    assert (message.body_kind, message.body) == (BodyKind.SEQUENCE, b'[["a", 1]]')


def test_a_property_of_no_simple_type_is_shown(bus: Bus) -> None:
    """A list may not be there at all; where it is, the messages around it are seen all the same."""
    bus.send(ServiceBusMessage(b"{}", application_properties={"list": [1, "a"]}))  # type: ignore[dict-item]  # it should not be
    [message] = bus.lying()
    assert message.properties["list"] == Value.string('[1, "a"]')


def test_nothing_is_invented_for_a_bare_message(bus: Bus) -> None:
    """What a publisher left out stays out of the copy."""
    bus.sender.send_messages(ServiceBusMessage(b"{}"), timeout=SECONDS)
    [message] = bus.lying()
    assert (message.properties, message.content_type, message.correlation_id) == ({}, None, None)


def test_peeking_goes_through_a_deep_queue_and_leaves_it(bus: Bus) -> None:
    """Page after page, in order; nothing is locked or counted."""
    bus.many(600)
    numbers = [message.sequence_number for message in bus.lying()]
    assert numbers == sorted(numbers)
    assert len(numbers) == 600
    assert bus.parked.highest(QUEUE) == numbers[-1]
    assert [m.sequence_number for m in bus.parked.peek(QUEUE, numbers[-2])] == numbers[-2:]
    assert {m.delivery_count for m in bus.lying()} == {0}


def test_a_namespace_has_one_name(bus: Bus) -> None:
    """However it was written in the settings, a plan that was made for it fits it."""
    with ServiceBusClient.from_connection_string(
        "Endpoint=sb://Contoso.servicebus.windows.net;SharedAccessKeyName=n;SharedAccessKey=k"
    ) as client:
        assert Parked(client, SECONDS).namespace == "contoso.servicebus.windows.net"
    assert bus.parked.namespace.startswith("localhost:")


def test_an_empty_place_has_no_highest_number(bus: Bus) -> None:
    """Where nothing lies, whatever comes lies beyond."""
    assert bus.parked.highest(QUEUE) == 0


def test_a_message_is_found_by_its_number(bus: Bus) -> None:
    """It, and not the next one when it is gone."""
    bus.many(2)
    [first, second] = bus.lying()
    assert bus.parked.find(QUEUE, first.sequence_number) == first
    assert bus.parked.find(QUEUE, first.sequence_number - 1) is None
    assert bus.parked.find(QUEUE, second.sequence_number + 1) is None


def test_a_place_that_is_not_there_is_told(bus: Bus) -> None:
    """A queue by a wrong name is an error, and not an empty queue."""
    with pytest.raises(MessagingEntityNotFoundError):
        bus.parked.open([Place("nowhere")])


def test_chosen_messages_are_reached_and_the_others_come_back_uncounted(bus: Bus) -> None:
    """Deep in the queue, one is removed; those before and behind lie as they lay, delivered never."""
    bus.many(350)
    numbers = [message.sequence_number for message in bus.lying()]
    with bus.parked.taking(QUEUE) as taking:
        removed: list[int] = []
        while len(removed) < 2:
            page = taking.page(100, SECONDS)
            chosen = [taken for taken in page if taken.message.sequence_number in (numbers[3], numbers[250])]
            taking.hold(taken for taken in page if taken not in chosen)
            removed += [taken.message.sequence_number for taken in chosen if taking.complete(taken)]
        assert taking.lock_seconds == pytest.approx(60, abs=2)
    left = bus.lying()
    assert [m.sequence_number for m in left] == [n for n in numbers if n not in removed]
    assert {m.delivery_count for m in left} == {0}
    # And they can be taken again at once.
    with bus.parked.taking(QUEUE) as taking:
        assert len(taking.page(10, SECONDS)) == 10


def test_what_is_in_hand_at_the_end_comes_back(bus: Bus) -> None:
    """A run that ends with messages in hand gives them back too."""
    bus.many(3)
    with bus.parked.taking(QUEUE) as taking:
        taken = taking.page(3, SECONDS)
    assert taken
    assert {m.delivery_count for m in bus.lying()} == {0}


def lose_connection(taking: Taking) -> None:
    """Close what is under the receiver, as the SDK does after a failure."""
    receiver: Any = taking._receiver  # noqa: SLF001 - nothing public loses a connection
    receiver._close_handler()  # noqa: SLF001 - the same


def test_a_connection_that_was_lost_is_survived(bus: Bus) -> None:
    """What the old one had locked comes back by itself, and is not mistaken for what the new one has."""
    bus.many(4)
    with bus.parked.taking(QUEUE) as taking:
        taking.hold(old := taking.page(1, SECONDS))
        lose_connection(taking)
        new = taking.page(1, SECONDS)
        taking.hold(new)
        assert old[0].message.sequence_number != new[0].message.sequence_number
    bus.clock.ahead = 90
    counts = {m.sequence_number: m.delivery_count for m in bus.lying()}
    assert [counts[taken.message.sequence_number] for taken in (*old, *new)] == [1, 0]
    with bus.parked.taking(QUEUE) as taking:
        assert taking.page(1, SECONDS)
        lose_connection(taking)
    assert len(counts) == 4


def late(taking: Taking) -> None:
    """Let it be so late that the locks are half used up."""
    taking._clock = lambda: monotonic() + 40  # noqa: SLF001 - a clock for the test


def test_locks_are_kept(bus: Bus) -> None:
    """What is held aside by the thousand, and what is in hand, is renewed before its lock expires."""
    bus.many(1200)
    with bus.parked.taking(QUEUE) as taking:
        held = 0
        while held <= 1000:
            page = taking.page(100, SECONDS)
            taking.hold(page)
            held += len(page)
        [in_hand] = taking.page(1, SECONDS)
        taking.keep()
        before = in_hand.received.locked_until_utc
        bus.clock.ahead = 40
        late(taking)
        taking.keep()
        bus.clock.ahead = 80
        assert {m.delivery_count for m in bus.lying()} == {0}
        assert before
        assert (in_hand.received.locked_until_utc or before) > before + timedelta(seconds=30)


def test_a_clock_that_is_behind_renews_no_later(bus: Bus) -> None:
    """How long a lock holds is not what our clock makes of the broker's: it is renewed within the minute."""
    bus.many(1)
    bus.clock.ahead = 200
    with bus.parked.taking(QUEUE) as taking:
        assert taking.page(1, SECONDS)
        assert taking.lock_seconds == 60


def test_a_clock_that_is_far_ahead_is_told(bus: Bus) -> None:
    """The SDK would take every lock for expired, and remove nothing."""
    bus.many(1)
    bus.clock.ahead = -90
    with bus.parked.taking(QUEUE) as taking, pytest.raises(ServiceBusError, match="clock is ahead"):
        taking.page(1, SECONDS)


def test_a_lock_that_is_lost_is_let_go(bus: Bus) -> None:
    """When renewing comes too late, the messages are the queue's again, and are not settled by us."""
    bus.many(2)
    with bus.parked.taking(QUEUE) as taking:
        taken = [taking.page(1, SECONDS)[0], taking.page(1, SECONDS)[0]]
        taking.hold(taken[:1])
        bus.clock.ahead = 90
        late(taking)
        taking.keep()
        assert not taking.complete(taken[1])
    assert len(bus.lying()) == 2


def test_sending_splits_by_size_and_tells_what_never_fits(bus: Bus) -> None:
    """Many go in as few batches as they fit; one that is too large for the broker is told by its index."""
    small, large, huge = (replace(_example(), body=b"x" * size) for size in (10, 200_000, 300_000))
    assert bus.parked.send("target", [small, large, large, huge, small]) == [3]
    assert [len(m.body) for m in bus.lying(Place("target"))] == [10, 200_000, 200_000, 10]
    assert bus.parked.send("target", []) == []


def test_a_scheduled_message_is_cancelled_once(bus: Bus) -> None:
    """What is cancelled is gone; what came due meanwhile is told apart."""
    at = datetime.now(UTC) + timedelta(hours=1)
    [number] = bus.sender.schedule_messages(ServiceBusMessage(b"{}"), at)
    [message] = bus.lying()
    assert (message.state, message.sequence_number) == (State.SCHEDULED, number)
    assert message.scheduled_for == at.replace(microsecond=at.microsecond // 1000 * 1000)
    assert bus.parked.cancel("parked", number)
    assert not bus.parked.cancel("parked", number)
    assert bus.lying() == []


def test_dead_letters_are_taken_from_their_own_queue(bus: Bus) -> None:
    """A sub-queue is a place like any other."""
    place = Place("dying", dead=True)
    bus.parked.send("dying", [_example()])
    bus.namespace.find("dying").dead_letters.admit(  # type: ignore[attr-defined]  # a queue
        bus.namespace.find("dying").lock()  # type: ignore[attr-defined]  # the same
    )
    with bus.parked.taking(place) as taking:
        [taken] = taking.page(1, SECONDS)
        assert taken.message.place == place
        assert taking.complete(taken)
        assert taking.page(1, 0.1) == []


def test_nobody_else_reads_what_we_receive(bus: Bus) -> None:
    """The SDK's own thread, beside us, mixes up lock tokens: one message would be removed for another."""
    bus.many(2)
    before = set(threading.enumerate())
    with bus.parked.taking(QUEUE) as taking:
        assert taking.page(1, SECONDS)
        assert set(threading.enumerate()) == before
        lose_connection(taking)
        assert taking.page(1, SECONDS)
        assert set(threading.enumerate()) == before


@pytest.mark.parametrize(
    ("where", "there"),
    [
        ("azure.servicebus._pyamqp._decode._DECODE_BY_CONSTRUCTOR", {}),
        ("azure.servicebus._pyamqp._decode.decode_payload", lambda _: _Unmarked()),
        ("azure.servicebus._pyamqp.client.AMQPClient", lambda _: object()),
    ],
    ids=["no-table", "no-effect", "another-thread"],
)
def test_an_sdk_that_is_another_inside_is_refused(
    monkeypatch: pytest.MonkeyPatch, where: str, there: object
) -> None:
    """Better no command than one whose copies silently lose the types of a publisher's properties."""
    monkeypatch.setattr(where, there)
    monkeypatch.setattr(amqp, "_marking", lambda decode, mark: decode)
    with pytest.raises(DeploymentError, match=r"azure-servicebus 7\.\d+.* is another inside"):
        amqp.keep_types.__wrapped__()


class _Unmarked:
    application_properties: dict[bytes, int] | None = None


def test_types_are_marked_once() -> None:
    """However often it is called, the decoder is changed once."""
    amqp.keep_types()
    amqp.keep_types()
    assert Value(AmqpType.LONG, 1) == Value(AmqpType.LONG, 1)
