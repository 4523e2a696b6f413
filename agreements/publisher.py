"""Service Bus: publish messages to a queue, in batches; what passes by itself is told from what does not."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol
from uuid import UUID

from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusSender
from azure.servicebus.exceptions import (
    OperationTimeoutError,
    ServiceBusCommunicationError,
    ServiceBusConnectionError,
    ServiceBusError,
    ServiceBusQuotaExceededError,
    ServiceBusServerBusyError,
)

from agreements.errors import BusyError

# Why it did not go through, and after how many seconds it may: where it is busy, Microsoft asks for ten.
_PASSING: dict[type[ServiceBusError], tuple[str, float]] = {
    ServiceBusServerBusyError: ("Service Bus asked for fewer messages", 10.0),
    ServiceBusQuotaExceededError: ("the queue is full", 10.0),
    OperationTimeoutError: ("Service Bus did not answer in time", 1.0),
    ServiceBusCommunicationError: ("the connection to Service Bus failed", 1.0),
    ServiceBusConnectionError: ("the connection to Service Bus failed", 1.0),
}


class Outgoing(Protocol):
    """A message to publish; its id is its correlation id too, by which the log has it."""

    @property
    def id(self) -> UUID:
        """The message's id."""

    @property
    def content_type(self) -> str:
        """What the body is."""

    @property
    def body(self) -> bytes:
        """What is sent."""


class Publisher:
    """Sends to one queue. Not safe to share among threads.

    Args:
        client: one that tries nothing again by itself.
        timeout: seconds for one batch.
    """

    def __init__(self, client: ServiceBusClient, queue: str, timeout: float) -> None:
        self._client = client
        self._queue = queue
        self._timeout = timeout
        self._sender: ServiceBusSender | None = None

    @property
    def place(self) -> str:
        """The queue, with its namespace."""
        return f"{self._client.fully_qualified_namespace.lower()}/{self._queue}"

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Send messages in as few batches as their sizes allow; all are accepted when this returns.

        Raises:
            BusyError: it may go through later; nobody knows which arrived.
            ServiceBusError: it will not go through; nobody knows which arrived.
        """
        try:
            self._send(messages)
        except ServiceBusError as error:
            self._forget()
            why, seconds = _PASSING.get(type(error), (None, 0.0))
            if why is None:
                raise
            raise BusyError(why, seconds) from error

    def close(self) -> None:
        """Close what was opened."""
        self._forget()
        self._client.close()

    def _send(self, messages: Sequence[Outgoing]) -> None:
        self._sender = self._sender or self._client.get_queue_sender(self._queue)
        batch = self._sender.create_message_batch()
        for one in messages:
            message = ServiceBusMessage(
                one.body, content_type=one.content_type, message_id=str(one.id), correlation_id=str(one.id)
            )
            try:
                batch.add_message(message)
            except ValueError:  # the batch is full
                self._sender.send_messages(batch, timeout=self._timeout)
                batch = self._sender.create_message_batch()
                batch.add_message(message)
        self._sender.send_messages(batch, timeout=self._timeout)

    def _forget(self) -> None:
        # A sender that failed may never recover.
        sender, self._sender = self._sender, None
        with suppress(ServiceBusError):
            if sender is not None:
                sender.close()
