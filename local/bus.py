"""The stack's own view of the broker, by the real SDK: put events in, see what waits where."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage, ServiceBusSubQueue
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender

# The topic's subscription that nobody takes from.
_RECEIPTS = "receipts"
_PAGE = 250
_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A message that waits in a queue, as peeking shows it."""

    place: str
    sequence_number: int
    message_id: str
    correlation_id: str
    outcome: str
    reason: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What publishers were told of an event, as peeking shows it; ``event`` is the CloudEvent."""

    sequence_number: int
    correlation_id: str
    event: Mapping[str, Any]


def message(body: bytes, *, message_id: str, correlation_id: str) -> ServiceBusMessage:
    """Return an event as a publisher sends it."""
    return ServiceBusMessage(
        body, message_id=message_id, correlation_id=correlation_id, content_type="application/json"
    )


class Bus:
    """Peeks and publishes; what was opened once is kept, since opening takes half a second."""

    def __init__(self, connection_string: str) -> None:
        self._client = ServiceBusClient.from_connection_string(connection_string, retry_backoff_factor=0.1)
        self._receivers: dict[str, ServiceBusReceiver] = {}
        self._senders: dict[str, ServiceBusSender] = {}

    async def __aenter__(self) -> Self:
        """Open nothing yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close whatever was opened, at once: the SDK takes a second for each."""
        if kind is None:
            await asyncio.gather(
                *(opened.close() for opened in [*self._senders.values(), *self._receivers.values()])
            )
            await self._client.close()

    async def publish(self, queue: str, messages: Iterable[ServiceBusMessage]) -> None:
        """Send messages in their order, in as few batches as their sizes allow."""
        sender = self._sender(queue)
        batch = await sender.create_message_batch()
        for event in messages:
            try:
                batch.add_message(event)
            except ValueError:  # the batch is full
                await sender.send_messages(batch, timeout=_SECONDS)
                batch = await sender.create_message_batch()
                batch.add_message(event)
        if len(batch):
            await sender.send_messages(batch, timeout=_SECONDS)

    async def is_empty(self, queue: str) -> bool:
        """Tell whether nothing is in a queue: active, locked or scheduled."""
        return not await self._receiver(queue, dead=False).peek_messages(
            1, sequence_number=1, timeout=_SECONDS
        )

    async def waiting(self, queue: str, *, dead: bool = False) -> list[Waiting]:
        """Return everything in a queue, or in its dead-letter queue, by sequence number."""
        receiver = self._receiver(queue, dead=dead)
        place = f"{queue}/$DeadLetterQueue" if dead else queue
        found: list[Waiting] = []
        following = 1
        while page := await receiver.peek_messages(_PAGE, sequence_number=following, timeout=_SECONDS):
            found += [_waiting(message, place) for message in page]
            following = found[-1].sequence_number + 1
        return found

    async def told(self, topic: str, after: int = 0) -> list[Told]:
        """Return what was told through a topic, from the sequence number after that one."""
        if topic not in self._receivers:
            self._receivers[topic] = self._client.get_subscription_receiver(topic, _RECEIPTS)
        found: list[Told] = []
        while page := await self._receivers[topic].peek_messages(
            _PAGE, sequence_number=after + 1, timeout=_SECONDS
        ):
            found += map(_told, page)
            after = found[-1].sequence_number
        return found

    def _sender(self, queue: str) -> ServiceBusSender:
        if queue not in self._senders:
            sender = self._client.get_queue_sender(queue)
            self._senders[queue] = sender
        return self._senders[queue]

    def _receiver(self, queue: str, *, dead: bool) -> ServiceBusReceiver:
        sub_queue = ServiceBusSubQueue.DEAD_LETTER if dead else None
        key = f"{queue}/{sub_queue}"
        if key not in self._receivers:
            receiver = self._client.get_queue_receiver(queue, sub_queue=sub_queue)
            self._receivers[key] = receiver
        return self._receivers[key]


def _waiting(message: ServiceBusReceivedMessage, place: str) -> Waiting:
    given = {_text(name): _text(value) for name, value in (message.application_properties or {}).items()}
    return Waiting(
        place=place,
        sequence_number=message.sequence_number or 0,
        message_id=given.get("mcaEventId") or message.message_id or "",
        correlation_id=message.correlation_id or "",
        outcome=given.get("mcaOutcome") or "",
        reason=given.get("mcaReason") or given.get("DeadLetterReason") or "",
        advice=given.get("DeadLetterErrorDescription") or "",
    )


def _told(message: ServiceBusReceivedMessage) -> Told:
    return Told(
        sequence_number=message.sequence_number or 0,
        correlation_id=message.correlation_id or "",
        event=json.loads(b"".join(message.body)),
    )


def _text(value: object) -> str:
    # Received application properties come as bytes.
    return value.decode() if isinstance(value, bytes) else str(value)
