"""Service Bus: peek at what waits, take what was chosen, settle it, send its copy.

A message cannot be locked by its number: receiving goes from the head. What was not chosen is held aside on
the way, locked, its locks renewed by the thousand, and given back at the end without counting a delivery. So
a chosen message is reached however deep it lies, and a run raises the delivery count of the others by one at
most: when it is killed, and their locks expire. (Deferring instead would leave messages that other receivers
cannot see behind, and two round trips more for each.)
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from uuid import UUID

from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceiver,
    ServiceBusSender,
    ServiceBusSubQueue,
)
from azure.servicebus.exceptions import (
    MessageLockLostError,
    MessageNotFoundError,
    MessageSizeExceededError,
    ServiceBusError,
)

from agreements import amqp
from agreements.messages import ParkedMessage, Place

_PAGE = 250
# How many locks one request renews.
_RENEWED_AT_ONCE = 1000
# How many deliveries one frame gives back.
_RELEASED_AT_ONCE = 1000
_HIGHEST = 2**63 - 1
# What our queues are made with; where locks hold longer, renewing early does no harm.
_LOCK_SECONDS = 60.0


class Parked:
    """The places where messages wait. Not safe to share among threads.

    Args:
        client: opens a connection for each place that is looked at, and keeps it.
        timeout: seconds for one request.
    """

    def __init__(self, client: ServiceBusClient, timeout: float) -> None:
        amqp.keep_types()
        self._client = client
        self._timeout = timeout
        self._receivers: dict[Place, ServiceBusReceiver] = {}
        self._senders: dict[str, ServiceBusSender] = {}

    @property
    def namespace(self) -> str:
        """The namespace's name."""
        return self._client.fully_qualified_namespace.lower()

    def close(self) -> None:
        """Close what was opened, at the same time: the SDK takes a second for each."""
        opened = [*self._receivers.values(), *self._senders.values()]
        with ThreadPoolExecutor(max(1, len(opened))) as pool:
            list(pool.map(lambda handler: handler.close(), opened))

    def open(self, places: Iterable[Place]) -> None:
        """Connect to places at the same time, to find out whether they can be reached.

        Raises:
            ServiceBusError: one of them cannot.
        """
        receivers = [self._receiver(place) for place in dict.fromkeys(places)]
        with ThreadPoolExecutor(max(1, len(receivers))) as pool:
            list(pool.map(lambda receiver: receiver.peek_messages(1, timeout=self._timeout), receivers))

    def peek(self, place: Place, first: int = 1) -> Iterator[ParkedMessage]:
        """Yield what is in a place, whatever its state, from a sequence number on; locks nothing."""
        receiver = self._receiver(place)
        while page := receiver.peek_messages(_PAGE, sequence_number=first, timeout=self._timeout):
            for message in page:
                yield amqp.read(message, place)
            first = int(page[-1].sequence_number or 0) + 1

    def find(self, place: Place, number: int) -> ParkedMessage | None:
        """Return the message with a sequence number, ``None`` if it is gone."""
        found = self._receiver(place).peek_messages(1, sequence_number=number, timeout=self._timeout)
        return amqp.read(found[0], place) if found and found[0].sequence_number == number else None

    def highest(self, place: Place) -> int:
        """Return the highest sequence number in a place, 0 if it is empty."""
        low, high, receiver = 0, _HIGHEST, self._receiver(place)
        while low < high:
            middle = (low + high + 1) // 2
            found = receiver.peek_messages(1, sequence_number=middle, timeout=self._timeout)
            low, high = (int(found[0].sequence_number or 0), high) if found else (low, middle - 1)
        return low

    @contextmanager
    def taking(self, place: Place) -> Iterator["Taking"]:
        """Take messages from a place while the block runs; what was held aside is given back at its end."""
        with self._new_receiver(place) as receiver:
            taking = Taking(receiver, place, self._timeout)
            try:
                yield taking
            finally:
                taking.give_back()

    def send(self, queue: str, messages: Sequence[ParkedMessage]) -> list[int]:
        """Send messages in as few batches as their sizes allow; return the indexes of those that never fit.

        Raises:
            ServiceBusError: nobody knows which of the others arrived.
        """
        sender = self._sender(queue)
        refused: list[int] = []
        batch = sender.create_message_batch()
        for index, message in enumerate(messages):
            copy = amqp.outgoing(message)
            try:
                batch.add_message(copy)
            except ValueError:  # the batch is full, or the message larger than any batch
                sender.send_messages(batch, timeout=self._timeout)
                batch = sender.create_message_batch()
                refused += self._send_alone(sender, copy, index)
        sender.send_messages(batch, timeout=self._timeout)
        return refused

    def _send_alone(self, sender: ServiceBusSender, copy: ServiceBusMessage, index: int) -> list[int]:
        try:
            sender.send_messages(copy, timeout=self._timeout)
        except MessageSizeExceededError:
            return [index]
        return []

    def cancel(self, queue: str, number: int) -> bool:
        """Cancel a scheduled message; return whether it was still scheduled."""
        try:
            self._sender(queue).cancel_scheduled_messages(number, timeout=self._timeout)
        except MessageNotFoundError:
            return False
        return True

    def _receiver(self, place: Place) -> ServiceBusReceiver:
        if place not in self._receivers:
            self._receivers[place] = self._new_receiver(place)
        return self._receivers[place]

    def _new_receiver(self, place: Place) -> ServiceBusReceiver:
        sub_queue = ServiceBusSubQueue.DEAD_LETTER if place.dead else None
        return amqp.alone(self._client.get_queue_receiver(place.queue, sub_queue=sub_queue))

    def _sender(self, queue: str) -> ServiceBusSender:
        if queue not in self._senders:
            self._senders[queue] = self._client.get_queue_sender(queue)
        return self._senders[queue]


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that is locked for us."""

    message: ParkedMessage
    received: ServiceBusReceivedMessage = field(repr=False)


@dataclass(slots=True)
class _Aside:
    """Locks that are renewed together: tokens of 16 bytes, and until when they hold, by our clock."""

    until: float
    tokens: bytearray = field(default_factory=bytearray)

    def __iter__(self) -> Iterator[UUID]:
        return (UUID(bytes_le=bytes(self.tokens[at : at + 16])) for at in range(0, len(self.tokens), 16))


@dataclass(slots=True)
class _InHand:
    """A message that is being dealt with, and until when its lock holds, by our clock."""

    until: float
    received: ServiceBusReceivedMessage


def _lock_seconds(received: ServiceBusReceivedMessage) -> float:
    """Return how long a lock holds: by the broker's clock, which ours need not agree with."""
    until = received.locked_until_utc or datetime.now(UTC)
    told = (until - datetime.now(UTC)).total_seconds()
    if told <= 0:
        raise ServiceBusError("this machine's clock is ahead of Service Bus's by a minute or more: set it")
    return min(told, _LOCK_SECONDS)


class Taking:
    """Takes the messages of one place from its head on."""

    def __init__(
        self,
        receiver: ServiceBusReceiver,
        place: Place,
        timeout: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._receiver = receiver
        self._place = place
        self._timeout = timeout
        self._clock = clock
        self.lock_seconds = 0.0
        self._in_hand: dict[int, _InHand] = {}
        self._aside: list[_Aside] = []
        self._runs = array("q")  # first and last delivery id of each unbroken run
        self._link: object = None

    def page(self, count: int, wait: float) -> list[Taken]:
        """Lock up to so many of the next messages; none after ``wait`` seconds in which nothing came.

        Raises:
            ServiceBusError: also when this machine's clock is so far ahead that the SDK would settle nothing.
        """
        page = self._receiver.receive_messages(count, max_wait_time=wait)
        if (link := amqp.link_of(self._receiver)) is not self._link:
            # Connected anew: what the old link delivered is held by its locks alone, until they expire.
            self._link, self._in_hand, self._runs = link, {}, array("q")
        if page:
            self.lock_seconds = max(self.lock_seconds, _lock_seconds(page[-1]))
        for received in page:
            self._in_hand[amqp.delivery(received)[0]] = _InHand(self._clock() + self.lock_seconds, received)
        return [Taken(amqp.read(received, self._place), received) for received in page]

    def hold(self, taken: Iterable[Taken]) -> None:
        """Keep messages locked until the end, so that those behind them can be reached."""
        for each in taken:
            number, tag = amqp.delivery(each.received)
            until = self._in_hand.pop(number).until
            if not self._aside or len(self._aside[-1].tokens) >= 16 * _RENEWED_AT_ONCE:
                self._aside.append(_Aside(until))
            # Together they hold as long as the first of them.
            self._aside[-1].until = min(until, self._aside[-1].until)
            self._aside[-1].tokens += tag
            amqp.forget(self._link, tag)
            if self._runs and self._runs[-1] == number - 1 and number - self._runs[-2] < _RELEASED_AT_ONCE:
                self._runs[-1] = number
            else:
                self._runs.extend((number, number))

    def keep(self) -> None:
        """Renew the locks that are half used up; to be called every few seconds."""
        due = self._clock() + self.lock_seconds / 2
        for aside in [aside for aside in self._aside if aside.until <= due]:
            began = self._clock()
            try:
                amqp.renew(self._receiver, aside, self._timeout)
                aside.until = began + self.lock_seconds
            except MessageLockLostError:
                # They went back to the queue, and come again.
                self._aside.remove(aside)
        for number, in_hand in list(self._in_hand.items()):
            if in_hand.until <= due:
                self._renew(number, in_hand)

    def _renew(self, number: int, in_hand: "_InHand") -> None:
        began = self._clock()
        try:
            self._receiver.renew_message_lock(in_hand.received, timeout=self._timeout)
            in_hand.until = began + self.lock_seconds
        except MessageLockLostError:
            del self._in_hand[number]

    def complete(self, taken: Taken) -> bool:
        """Remove a message from its place; return whether it is gone: not if its lock was lost."""
        self._in_hand.pop(amqp.delivery(taken.received)[0], None)
        try:
            self._receiver.complete_message(taken.received)
        except MessageLockLostError:
            return False
        return True

    def give_back(self) -> None:
        """Give back what is held aside or in hand, without counting a delivery.

        Where the connection is gone there is nothing to give: the locks expire by themselves.
        """
        for number in self._in_hand:
            self._runs.extend((number, number))
        if self._runs and amqp.link_of(self._receiver) is self._link is not None:
            amqp.stop(self._link)
            for at in range(0, len(self._runs), 2):
                amqp.release(self._link, self._runs[at], self._runs[at + 1])
            # The answer comes behind what was still on its way, which the SDK gives back as it comes.
            with suppress(ServiceBusError):
                self._receiver.peek_messages(1, timeout=self._timeout)
        self._in_hand, self._aside, self._runs = {}, [], array("q")
