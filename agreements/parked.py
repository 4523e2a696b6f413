"""Service Bus: peek at what waits, send copies, cancel what is scheduled."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusReceiver,
    ServiceBusSender,
    ServiceBusSubQueue,
)
from azure.servicebus.exceptions import (
    MessageNotFoundError,
    MessageSizeExceededError,
)

from agreements import amqp, links
from agreements.messages import ParkedMessage, Place
from agreements.taking import Taking

_PAGE = 250
_HIGHEST = 2**63 - 1


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
        """Close what was opened, at the same time: the SDK takes a second for each sender."""
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
    def taking(self, place: Place) -> Iterator[Taking]:
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
        return links.alone(self._client.get_queue_receiver(place.queue, sub_queue=sub_queue))

    def _sender(self, queue: str) -> ServiceBusSender:
        if queue not in self._senders:
            self._senders[queue] = self._client.get_queue_sender(queue)
        return self._senders[queue]
