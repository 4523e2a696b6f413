"""Service Bus: take what was chosen of a place, and settle it.

A message cannot be locked by its number: receiving goes from the head. What was not chosen is held aside on
the way, locked, its locks renewed by the thousand, and given back at the end without counting a delivery. So
a chosen message is reached however deep it lies, and a run raises the delivery count of the others by one at
most: when it is killed, and their locks expire. (Deferring instead would leave messages that other receivers
cannot see behind, and two round trips more for each.)
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from uuid import UUID

from azure.servicebus import ServiceBusReceivedMessage, ServiceBusReceiver
from azure.servicebus.exceptions import MessageLockLostError, ServiceBusError

from agreements import amqp, links
from agreements.messages import ParkedMessage, Place

# How many locks one request renews.
_RENEWED_AT_ONCE = 1000
# How many deliveries one frame gives back.
_RELEASED_AT_ONCE = 1000
# What our queues are made with; where locks hold longer, renewing early does no harm.
_LOCK_SECONDS = 60.0


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
        if (link := links.link_of(self._receiver)) is not self._link:
            # Connected anew: what the old link delivered is held by its locks alone, until they expire.
            self._link, self._in_hand, self._runs = link, {}, array("q")
        if page:
            self.lock_seconds = max(self.lock_seconds, _lock_seconds(page[-1]))
        for received in page:
            self._in_hand[links.delivery(received)[0]] = _InHand(self._clock() + self.lock_seconds, received)
        return [Taken(amqp.read(received, self._place), received) for received in page]

    def hold(self, taken: Iterable[Taken]) -> None:
        """Keep messages locked until the end, so that those behind them can be reached."""
        for each in taken:
            number, tag = links.delivery(each.received)
            until = self._in_hand.pop(number).until
            if not self._aside or len(self._aside[-1].tokens) >= 16 * _RENEWED_AT_ONCE:
                self._aside.append(_Aside(until))
            # Together they hold as long as the first of them.
            self._aside[-1].until = min(until, self._aside[-1].until)
            self._aside[-1].tokens += tag
            links.forget(self._link, tag)
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
                links.renew(self._receiver, aside, self._timeout)
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
        self._in_hand.pop(links.delivery(taken.received)[0], None)
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
        if self._runs and links.link_of(self._receiver) is self._link is not None:
            links.stop(self._link)
            for at in range(0, len(self._runs), 2):
                links.release(self._link, self._runs[at], self._runs[at + 1])
            # The answer comes behind what was still on its way, which the SDK gives back as it comes.
            with suppress(ServiceBusError):
                self._receiver.peek_messages(1, timeout=self._timeout)
        self._in_hand, self._aside, self._runs = {}, [], array("q")
