"""What every client of the local Service Bus can rely on: the same promises for each SDK.

Run by ``make conformance``; each promise has a queue of its own.
"""

from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from pathlib import Path

import pytest

from local import tls
from local.parts import in_thread
from local.service_bus import Namespace, serve
from local.service_bus.tokens import KEY
from tests.conformance.clients import (
    DEAD_LETTERS,
    SUBSCRIPTIONS,
    Client,
    Outgoing,
    Property,
    Received,
    Refused,
    Settlement,
)
from tests.conformance.conftest import LANGUAGES, Bus
from tests.conformance.node_client import NodeClient, node

COMPLETE, ABANDON, DEFER, DEAD_LETTER = Settlement
MINUTE = 60.0
WHOLE = Outgoing(
    body=b'{"name": "\xc3\x84"}',
    message_id="m-1",
    correlation_id="c-1",
    subject="accepted",
    content_type="application/json",
    reply_to="answers",
    to="questions",
    properties={"colour": "rot"},
)


def bodies(messages: list[Received]) -> list[bytes]:
    """Return what the messages carry."""
    return [message.body for message in messages]


def numbered(number: int) -> list[Outgoing]:
    """Return so many messages whose bodies are their numbers."""
    return [Outgoing(body=b"%d" % each) for each in range(number)]


def put_and_lock(client: Client, queue: str, message: Outgoing = WHOLE) -> Received:
    """Send a message and receive it."""
    client.send(queue, [message])
    [received] = client.receive(queue)
    return received


def test_a_message_arrives_as_it_was_sent(bus: Bus, client: Client, queue: str) -> None:
    """Body, properties and annotations of a message are those that were sent, and the broker's own."""
    before = bus.now(-1)
    got = put_and_lock(client, queue)
    assert (got.body, got.properties) == (WHOLE.body, WHOLE.properties)
    assert (got.message_id, got.correlation_id, got.subject) == ("m-1", "c-1", "accepted")
    assert (got.content_type, got.reply_to, got.to) == ("application/json", "answers", "questions")
    assert (got.sequence_number, got.delivery_count, got.state) == (1, 0, "active")
    assert before < got.enqueued_at < bus.now(1)
    assert got.locked_until is not None
    assert 50 < (got.locked_until - got.enqueued_at).total_seconds() < 70
    client.settle(queue, got, COMPLETE)


def test_a_batch_arrives_in_order(client: Client, queue: str) -> None:
    """Messages that are sent together come one by one, in the same order and numbered by it."""
    client.send(queue, numbered(20))
    got = client.receive(queue, 20)
    assert bodies(got) == [b"%d" % each for each in range(20)]
    assert [message.sequence_number for message in got] == list(range(1, 21))
    for message in got:
        client.settle(queue, message, COMPLETE)


def test_a_completed_message_is_gone(client: Client, queue: str) -> None:
    """Completing removes a message; what is only locked is still there."""
    got = put_and_lock(client, queue)
    assert len(client.peek(queue)) == 1
    client.settle(queue, got, COMPLETE)
    assert client.peek(queue) == []


def test_an_abandoned_message_comes_again(client: Client, queue: str) -> None:
    """Abandoning counts a delivery and gives the message back at its place."""
    client.send(queue, numbered(2))
    [first] = client.receive(queue)
    client.settle(queue, first, ABANDON)
    again = client.receive(queue, 2)
    assert [(message.body, message.delivery_count) for message in again] == [(b"0", 1), (b"1", 0)]
    for message in again:
        client.settle(queue, message, COMPLETE)


def test_too_many_deliveries_end_in_the_dead_letter_queue(client: Client, queue: str) -> None:
    """After the queue's number of deliveries the broker gives a message up and says so."""
    client.send(queue, [WHOLE])
    for _ in range(3):
        [got] = client.receive(queue)
        client.settle(queue, got, ABANDON)
    [dead] = client.receive(queue + DEAD_LETTERS)
    assert (dead.body, dead.dead_letter_reason) == (WHOLE.body, "MaxDeliveryCountExceeded")
    client.settle(queue + DEAD_LETTERS, dead, COMPLETE)


def test_dead_lettering_tells_why(client: Client, queue: str) -> None:
    """A dead letter carries its reason and description, and all else as it was."""
    got = put_and_lock(client, queue)
    client.settle(queue, got, DEAD_LETTER, reason="Spoilt", description="it smells")
    assert client.peek(queue) == []
    [dead] = client.receive(queue + DEAD_LETTERS)
    assert (dead.dead_letter_reason, dead.dead_letter_description) == ("Spoilt", "it smells")
    assert (dead.body, dead.message_id) == (WHOLE.body, "m-1")
    assert dead.properties["colour"] == "rot"
    client.settle(queue + DEAD_LETTERS, dead, COMPLETE)
    assert client.peek(queue + DEAD_LETTERS) == []


def test_a_sub_queue_is_a_queue(client: Client, queue: str) -> None:
    """A dead letter can be peeked, abandoned as often as one likes, and deferred; nobody can send there."""
    dead_letters = queue + DEAD_LETTERS
    client.settle(queue, put_and_lock(client, queue), DEAD_LETTER, reason="r", description="d")
    for attempt in range(4):
        [dead] = client.receive(dead_letters)
        assert dead.delivery_count == attempt
        client.settle(dead_letters, dead, ABANDON)
    [dead] = client.receive(dead_letters)
    client.settle(dead_letters, dead, DEFER)
    [peeked] = client.peek(dead_letters)
    assert peeked.state == "deferred"
    [deferred] = client.receive_deferred(dead_letters, [dead.sequence_number])
    client.settle(dead_letters, deferred, COMPLETE)
    with pytest.raises(Refused):
        client.send(dead_letters, [WHOLE])


@pytest.mark.parametrize("how", [COMPLETE, DEAD_LETTER])
def test_a_deferred_message_is_received_by_its_number(client: Client, queue: str, how: Settlement) -> None:
    """A deferred message comes only to whoever asks for its number, and is then settled like any other."""
    got = put_and_lock(client, queue)
    client.settle(queue, got, DEFER)
    assert [message.state for message in client.peek(queue)] == ["deferred"]
    [deferred] = client.receive_deferred(queue, [got.sequence_number])
    assert (deferred.body, deferred.message_id) == (WHOLE.body, "m-1")
    client.settle(queue, deferred, how)
    assert client.peek(queue) == []
    assert len(client.peek(queue + DEAD_LETTERS)) == (how is DEAD_LETTER)
    with pytest.raises(Refused) as refused:
        client.receive_deferred(queue, [got.sequence_number])
    assert refused.value.code == "MessageNotFound"


def test_an_abandoned_deferred_message_stays_deferred(client: Client, queue: str) -> None:
    """Abandoning a deferred message counts the delivery, and does not bring it back to everybody."""
    got = put_and_lock(client, queue)
    client.settle(queue, got, DEFER)
    [deferred] = client.receive_deferred(queue, [got.sequence_number])
    client.settle(queue, deferred, ABANDON)
    [peeked] = client.peek(queue)
    assert (peeked.state, peeked.delivery_count) == ("deferred", 1)
    [deferred] = client.receive_deferred(queue, [got.sequence_number])
    client.settle(queue, deferred, COMPLETE)


def test_peeking_takes_nothing(bus: Bus, client: Client, queue: str) -> None:
    """Peeking shows locked, waiting and scheduled messages page by page, and changes none of them."""
    client.send(queue, numbered(3))
    [locked] = client.receive(queue)
    client.schedule(queue, [Outgoing(body=b"later")], bus.now(3600))
    assert bodies(client.peek(queue, 2)) == [b"0", b"1"]
    rest = client.peek(queue, 10, first=3)
    assert [(message.body, message.state) for message in rest] == [(b"2", "active"), (b"later", "scheduled")]
    assert client.peek(queue, 10, first=5) == []
    client.settle(queue, locked, COMPLETE)
    assert [message.delivery_count for message in client.receive(queue, 2)] == [0, 0]


def test_a_scheduled_message_comes_at_its_time(bus: Bus, client: Client, queue: str) -> None:
    """A scheduled message can be seen, but is not delivered before its time."""
    [number] = client.schedule(queue, [WHOLE], bus.now(MINUTE))
    assert [(message.sequence_number, message.state) for message in client.peek(queue)] == [
        (number, "scheduled")
    ]
    client.send(queue, [Outgoing(body=b"now")])
    [now] = client.receive(queue)
    assert now.body == b"now"
    client.settle(queue, now, COMPLETE)
    bus.wait(MINUTE + 1)
    [got] = client.receive(queue)
    assert (got.body, got.state) == (WHOLE.body, "active")
    client.settle(queue, got, COMPLETE)


def test_a_scheduled_message_can_be_cancelled(bus: Bus, client: Client, queue: str) -> None:
    """A cancelled message is gone, the others stay, and cancelling twice is refused."""
    first, second = client.schedule(queue, [WHOLE, WHOLE], bus.now(MINUTE))
    client.cancel(queue, [first])
    assert [message.sequence_number for message in client.peek(queue)] == [second]
    with pytest.raises(Refused) as refused:
        client.cancel(queue, [first])
    assert refused.value.code == "MessageNotFound"


def test_a_renewed_lock_outlives_its_first_term(bus: Bus, client: Client, queue: str) -> None:
    """Renewing moves the end of a lock; the message can be completed after its first end."""
    got = put_and_lock(client, queue)
    bus.wait(MINUTE / 2)
    renewed = client.renew(queue, got)
    assert got.locked_until is not None
    assert 25 < (renewed - got.locked_until).total_seconds() < 60
    bus.wait(MINUTE - 15)
    client.settle(queue, got, COMPLETE)
    assert client.peek(queue) == []


def test_a_lost_lock_settles_nothing(bus: Bus, client: Client, queue: str) -> None:
    """Once its lock has expired a message goes to the next receiver, and its first one is refused."""
    got = put_and_lock(client, queue)
    bus.wait(MINUTE + 1)
    for attempt in (
        lambda: client.settle(queue, got, COMPLETE),
        lambda: client.renew(queue, got),
    ):
        with pytest.raises(Refused) as refused:
            attempt()
        assert refused.value.code == "MessageLockLost"
    [again] = client.receive(queue)
    assert (again.sequence_number, again.delivery_count) == (got.sequence_number, 1)
    client.settle(queue, again, COMPLETE)


def test_a_duplicate_is_taken_and_dropped(bus: Bus, client: Client) -> None:
    """A message id counts once within the window, and again after it."""
    queue = bus.queue("detecting")
    twice = Outgoing(body=b"twice", message_id="same")
    client.send(queue, [twice])
    client.send(queue, [twice, Outgoing(body=b"other", message_id="other")])
    assert bodies(client.peek(queue)) == [b"twice", b"other"]
    bus.wait(11 * MINUTE)
    client.send(queue, [twice])
    assert bodies(client.peek(queue)) == [b"twice", b"other", b"twice"]


@pytest.mark.parametrize("life", [None, 10])
def test_an_expired_message_is_dead_lettered(bus: Bus, client: Client, life: int | None) -> None:
    """The shorter of the queue's and the sender's time to live ends a message, with the broker's reason."""
    queue = bus.queue("burying")
    client.send(queue, [Outgoing(body=b"late", time_to_live=life)])
    bus.wait((life or 30) - 5)
    assert bodies(client.peek(queue)) == [b"late"]
    bus.wait(6)
    assert client.peek(queue) == []
    [dead] = client.receive(queue + DEAD_LETTERS)
    assert (dead.body, dead.dead_letter_reason) == (b"late", "TTLExpiredException")
    bus.wait(24 * 60 * MINUTE)
    assert len(client.peek(queue + DEAD_LETTERS)) == 1


def test_an_expired_message_is_dropped_where_nobody_wants_it(bus: Bus, client: Client, queue: str) -> None:
    """Where expired messages are not dead-lettered, they are gone."""
    client.send(queue, [Outgoing(body=b"late", time_to_live=10)])
    bus.wait(11)
    assert client.peek(queue) == []
    assert client.peek(queue + DEAD_LETTERS) == []


def test_a_large_message_arrives_whole(client: Client, queue: str) -> None:
    """A message of many frames arrives byte for byte."""
    body = bytes(range(256)) * 1000
    got = put_and_lock(client, queue, Outgoing(body=body))
    assert got.body == body
    client.settle(queue, got, COMPLETE)


def test_a_message_that_is_too_large_is_refused(client: Client, queue: str) -> None:
    """Beyond 256 KB a message is refused by its size, and the sender goes on with others."""
    with pytest.raises(Refused) as refused:
        client.send(queue, [Outgoing(body=bytes(300_000))])
    assert refused.value.code == "MessageSizeExceeded"
    assert put_and_lock(client, queue).body == WHOLE.body


def test_receiving_and_deleting_in_one(client: Client, queue: str) -> None:
    """In the mode receive-and-delete what was delivered is gone, with no lock."""
    client.send(queue, numbered(5))
    got = client.receive(queue, 5, deletes=True)
    assert bodies(got) == [b"0", b"1", b"2", b"3", b"4"]
    assert client.peek(queue) == []


INSTANT = datetime(2026, 9, 14, 9, 30, 0, 250000, UTC)
PROPERTIES: dict[str, Property] = {
    "text": "Ä\u2028\U0001f600",
    "empty": "",
    "number": -2147483648,
    "large": 2147483647,
    "fraction": 1.5,
    "yes": True,
    "no": False,
    "instant": INSTANT,
    "nothing": None,
}
# Both SDKs show an instant as its milliseconds.
SHOWN = {**PROPERTIES, "instant": round(INSTANT.timestamp() * 1000)}

# The JavaScript SDK shows a boolean of two bytes, as the Python SDK writes it, as 1 or 0.
NUMBERS_FOR_BOOLEANS = {("sync", "node"), ("aio", "node")}


@pytest.mark.parametrize(
    ("writer", "reader"),
    [pytest.param(*pair, marks=pytest.mark.xdist_group("node-0")) for pair in product(LANGUAGES, repeat=2)],
)
def test_properties_keep_their_types_across_languages(bus: Bus, writer: str, reader: str) -> None:
    """Each property that one client sends, another shows with the same value and type."""
    queue = bus.queue()
    bus.client(writer).send(queue, [Outgoing(properties=PROPERTIES)])
    [got] = bus.client(reader).receive(queue)
    assert got.properties == SHOWN
    told = {name: type(value) for name, value in got.properties.items()}
    if (writer, reader) in NUMBERS_FOR_BOOLEANS:
        told |= {"yes": bool, "no": bool}
    assert told == {name: type(value) for name, value in SHOWN.items()}
    bus.client(reader).settle(queue, got, COMPLETE)


def test_every_subscription_gets_a_copy(client: Client, language: str) -> None:
    """A topic gives each message to all of its subscriptions, each with dead letters of its own."""
    topic = f"topic-{language}"
    one, two = (f"{topic}{SUBSCRIPTIONS}{name}" for name in ("one", "two"))
    client.send(topic, [WHOLE, Outgoing(body=b"second")])
    for subscription in (one, two):
        got = client.receive(subscription, 2)
        assert bodies(got) == [WHOLE.body, b"second"]
        client.settle(subscription, got[0], COMPLETE)
        client.settle(subscription, got[1], DEAD_LETTER, reason=subscription, description="d")
        [dead] = client.receive(subscription + DEAD_LETTERS)
        assert dead.dead_letter_reason == subscription
        client.settle(subscription + DEAD_LETTERS, dead, COMPLETE)


def test_a_subscription_can_be_peeked_and_loses_what_expires(bus: Bus, client: Client, language: str) -> None:
    """A subscription's own time to live ends its copies, in its own dead-letter queue, where they stay."""
    topic = f"passing-{language}"
    subscription = f"{topic}{SUBSCRIPTIONS}brief"
    client.send(topic, [WHOLE, Outgoing(body=b"sooner", time_to_live=10)])
    assert [(message.body, message.state) for message in client.peek(subscription)] == [
        (WHOLE.body, "active"),
        (b"sooner", "active"),
    ]
    bus.wait(11)
    assert bodies(client.peek(subscription)) == [WHOLE.body]
    bus.wait(20)
    assert client.peek(subscription) == []
    bus.wait(60 * MINUTE)
    dead = client.receive(subscription + DEAD_LETTERS, 2)
    assert {message.body for message in dead} == {WHOLE.body, b"sooner"}
    assert {message.dead_letter_reason for message in dead} == {"TTLExpiredException"}
    for message in dead:
        client.settle(subscription + DEAD_LETTERS, message, COMPLETE)
    assert client.peek(subscription + DEAD_LETTERS) == []


def test_a_message_is_scheduled_to_a_topic(bus: Bus, client: Client, language: str) -> None:
    """What is scheduled to a topic comes to its subscriptions in time, and not if it was cancelled."""
    topic = f"planned-{language}"
    subscription = f"{topic}{SUBSCRIPTIONS}brief"
    at = bus.now(4)
    first, _ = client.schedule(topic, [Outgoing(body=b"not"), WHOLE], at)
    client.cancel(topic, [first])
    [got] = client.receive(subscription)
    assert got.body == WHOLE.body
    assert got.enqueued_at >= at - timedelta(milliseconds=1)
    client.settle(subscription, got, COMPLETE)
    assert client.peek(subscription) == []


def test_a_copy_in_a_subscription_is_like_any_message(bus: Bus, client: Client, language: str) -> None:
    """It can be renewed, abandoned, deferred, asked for by its number, and received without a lock."""
    topic = f"kept-{language}"
    subscription = f"{topic}{SUBSCRIPTIONS}brief"
    client.send(topic, [WHOLE])
    [got] = client.receive(subscription)
    assert client.renew(subscription, got) > bus.now()
    client.settle(subscription, got, ABANDON)
    [again] = client.receive(subscription)
    assert (again.sequence_number, again.delivery_count) == (got.sequence_number, 1)
    client.settle(subscription, again, DEFER)
    [deferred] = client.receive_deferred(subscription, [got.sequence_number])
    client.settle(subscription, deferred, COMPLETE)
    client.send(topic, [WHOLE])
    assert bodies(client.receive(subscription, deletes=True)) == [WHOLE.body]


CHANGES = {"colour": "blue", "attempt": 2, "final": True}


@pytest.mark.xdist_group("node-0")
@pytest.mark.parametrize("how", [ABANDON, DEFER, DEAD_LETTER])
@pytest.mark.parametrize("deferred", [False, True])
def test_properties_change_while_settling(bus: Bus, how: Settlement, *, deferred: bool) -> None:
    """Properties given with a settlement are there afterwards, over the link as over the management node."""
    client, queue = bus.client("node"), bus.queue()
    assert isinstance(client, NodeClient)
    got = put_and_lock(client, queue)
    if deferred:
        client.settle(queue, got, DEFER)
        [got] = client.receive_deferred(queue, [got.sequence_number])
    client.settle_changed(queue, got, how, CHANGES, reason="Spoilt", description="d")
    place = queue + DEAD_LETTERS if how is DEAD_LETTER else queue
    [peeked] = client.peek(place)
    told = {} if how is not DEAD_LETTER else {"DeadLetterReason": "Spoilt", "DeadLetterErrorDescription": "d"}
    assert peeked.properties == {**CHANGES, **told}
    assert (peeked.body, peeked.message_id) == (WHOLE.body, WHOLE.message_id)


def test_a_wrong_key_is_refused(bus: Bus, language: str) -> None:
    """Whoever has not the key is told so, under the name for that."""
    wrong = bus.connection_string.replace(KEY, "another")
    with LANGUAGES[language](wrong) as client, pytest.raises(Refused) as refused:
        client.send(bus.queue(), [WHOLE])
    assert refused.value.code == "UnauthorizedAccess"


def test_a_busy_broker_says_so(bus: Bus, client: Client, queue: str) -> None:
    """The error is the one by which the SDKs know that they may try again; nothing was stored."""
    bus.fail(operation="send", fault="busy")
    with pytest.raises(Refused) as refused:
        client.send(queue, [WHOLE])
    assert refused.value.code == "ServiceBusy"
    assert client.peek(queue) == []
    client.send(queue, [WHOLE])


def test_a_link_that_was_ended_is_opened_again(bus: Bus, client: Client, queue: str) -> None:
    """A client whose link the broker ended goes on with its next call."""
    bus.fail(operation="send", fault="detach")
    with pytest.raises(Refused):
        client.send(queue, [WHOLE])
    assert put_and_lock(client, queue).body == WHOLE.body


def test_an_unknown_entity_is_not_found(client: Client) -> None:
    """Nothing can be sent to, or received from, what does not exist."""
    with pytest.raises(Refused) as refused:
        client.send("nowhere", [WHOLE])
    assert refused.value.code == "MessagingEntityNotFound"
    with pytest.raises(Refused) as refused:
        client.receive("nowhere")
    assert refused.value.code == "MessagingEntityNotFound"


def test_a_queue_disabled_for_sending_says_so(bus: Bus, client: Client) -> None:
    """The error names the reason, under which the SDKs know that an operator must act."""
    with pytest.raises(Refused) as refused:
        client.send(bus.queue("closed"), [WHOLE])
    assert refused.value.code == "MessagingEntityDisabled"


def test_a_queue_disabled_for_receiving_says_so(bus: Bus, client: Client) -> None:
    """Such a queue takes messages; receiving and peeking fail under the name for operators."""
    queue = bus.queue("shut")
    client.send(queue, [WHOLE])
    with pytest.raises(Refused) as refused:
        client.receive(queue)
    assert refused.value.code == "MessagingEntityDisabled"
    with pytest.raises(Refused) as refused:
        client.peek(queue)
    assert refused.value.code == "MessagingEntityDisabled"


def test_a_full_queue_says_so(bus: Bus, client: Client) -> None:
    """A queue that is full refuses more, until something is taken out."""
    queue = bus.queue("small")
    large = Outgoing(body=bytes(250_000))
    for _ in range(4):
        client.send(queue, [large])
    with pytest.raises(Refused) as refused:
        client.send(queue, [large])
    assert refused.value.code == "QuotaExceeded"
    assert len(client.receive(queue, deletes=True)) == 1
    client.send(queue, [large])


def test_sessions_are_refused(client: Client, queue: str) -> None:
    """A queue without sessions serves none; the JavaScript SDK tells that in words of its own."""
    with pytest.raises(Refused, match=r"does not require sessions|SessionCannotBeLocked"):
        client.accept_session(queue)


@pytest.mark.xdist_group("node-0")
def test_rules_are_refused(bus: Bus) -> None:
    """A filter on a subscription is refused rather than ignored."""
    javascript = bus.client("node")
    assert isinstance(javascript, NodeClient)
    with pytest.raises(Refused, match="not supported"):
        javascript.create_rule("topic-node", "one")


@pytest.mark.xdist_group("node-0")
def test_tls_is_served_too(tmp_path: Path) -> None:
    """Over TLS, as in Azure, the same broker answers; the Python SDK would insist on port 5671 for that."""
    identity = tls.identity(tmp_path)
    namespace = Namespace.from_dict({"queues": [{"name": "q"}]})
    with (
        in_thread(partial(serve, namespace, context=identity.context)) as environment,
        node(environment["ServiceBus"], identity.bundle) as client,
    ):
        got = put_and_lock(client, "q", Outgoing(body=bytes(200_000)))
        assert got.body == bytes(200_000)
        client.settle("q", got, COMPLETE)
