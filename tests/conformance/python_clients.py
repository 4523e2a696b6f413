"""The Python SDK as a client of the promises, blocking and asynchronous: the same calls, awaited or not."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import azure.servicebus
import azure.servicebus.aio
from azure.core.exceptions import AzureError
from azure.servicebus import (
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceiveMode,
    ServiceBusSubQueue,
)

from tests.conformance.clients import (
    DEAD_LETTERS,
    SECONDS,
    SUBSCRIPTIONS,
    Outgoing,
    Property,
    Received,
    Refused,
    Settlement,
)

type Resolve = Callable[[Any], Any]
type CloseAll = Callable[[Sequence[Any]], None]

_OTHER_NAMES = {
    "": "GeneralError",
    "Authentication": "UnauthorizedAccess",
    "Authorization": "UnauthorizedAccess",
    "ServerBusy": "ServiceBusy",
}


class PythonClient:
    """The SDK; `resolve` makes a result of what its methods return, and `close_all` closes many at once."""

    def __init__(self, client: Any, resolve: Resolve, close_all: CloseAll) -> None:
        self._client = client
        self._resolve = resolve
        self._close_all = close_all
        self._senders: dict[str, Any] = {}
        self._receivers: dict[tuple[str, bool], Any] = {}
        self._held: dict[str, ServiceBusReceivedMessage] = {}

    def send(self, address: str, messages: Sequence[Outgoing]) -> None:
        built = [_message(each) for each in messages]
        self._do(self._sender(address).send_messages, built if len(built) > 1 else built[0], timeout=SECONDS)

    def schedule(self, address: str, messages: Sequence[Outgoing], at: datetime) -> list[int]:
        built = [_message(each) for each in messages]
        return list(self._do(self._sender(address).schedule_messages, built, at, timeout=SECONDS))

    def cancel(self, address: str, numbers: Sequence[int]) -> None:
        self._do(self._sender(address).cancel_scheduled_messages, list(numbers), timeout=SECONDS)

    def receive(
        self, address: str, count: int = 1, *, deletes: bool = False, wait: float = SECONDS
    ) -> list[Received]:
        receiver = self._receiver(address, deletes=deletes)
        return self._seen(self._do(receiver.receive_messages, count, max_wait_time=wait))

    def receive_deferred(self, address: str, numbers: Sequence[int]) -> list[Received]:
        receiver = self._receiver(address)
        return self._seen(self._do(receiver.receive_deferred_messages, list(numbers), timeout=SECONDS))

    def peek(self, address: str, count: int = 10, first: int = 1) -> list[Received]:
        receiver = self._receiver(address)
        found = self._do(receiver.peek_messages, count, sequence_number=first, timeout=SECONDS)
        return [_received(message) for message in found]

    def settle(
        self,
        address: str,
        message: Received,
        how: Settlement,
        *,
        reason: str | None = None,
        description: str | None = None,
    ) -> None:
        told = {"reason": reason, "error_description": description} if how is Settlement.DEAD_LETTER else {}
        method = getattr(self._receiver(address), f"{how}_message")
        self._do(method, self._held[message.handle], **told)

    def renew(self, address: str, message: Received) -> datetime:
        held = self._held[message.handle]
        renewed = self._do(self._receiver(address).renew_message_lock, held, timeout=SECONDS)
        assert isinstance(renewed, datetime)
        return renewed

    def accept_session(self, address: str) -> None:
        receiver = self._client.get_queue_receiver(address, session_id="one")
        try:
            self._do(receiver.receive_messages, 1, max_wait_time=1)
        finally:
            self._resolve(receiver.close())

    def close(self) -> None:
        self._close_all([*self._senders.values(), *self._receivers.values()])
        self._resolve(self._client.close())

    def _do(self, method: Callable[..., Any], *arguments: object, **options: object) -> Any:
        try:
            return self._resolve(method(*arguments, **options))
        except AzureError as error:
            raise Refused(_code(error), str(error)) from error

    def _seen(self, messages: Sequence[ServiceBusReceivedMessage]) -> list[Received]:
        seen = [_received(message) for message in messages]
        self._held.update(zip((each.handle for each in seen), messages, strict=True))
        return seen

    def _sender(self, address: str) -> Any:
        if address not in self._senders:
            # On the wire a topic is a target like any queue.
            self._senders[address] = self._client.get_queue_sender(address)
        return self._senders[address]

    def _receiver(self, address: str, *, deletes: bool = False) -> Any:
        if (address, deletes) not in self._receivers:
            self._receivers[address, deletes] = self._open(address, deletes=deletes)
        return self._receivers[address, deletes]

    def _open(self, address: str, *, deletes: bool) -> Any:
        mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE if deletes else ServiceBusReceiveMode.PEEK_LOCK
        sub_queue = ServiceBusSubQueue.DEAD_LETTER if address.endswith(DEAD_LETTERS) else None
        entity, _, subscription = address.removesuffix(DEAD_LETTERS).partition(SUBSCRIPTIONS)
        if subscription:
            return self._client.get_subscription_receiver(
                entity, subscription, sub_queue=sub_queue, receive_mode=mode
            )
        return self._client.get_queue_receiver(entity, sub_queue=sub_queue, receive_mode=mode)


@contextmanager
def blocking(connection_string: str) -> Iterator[PythonClient]:
    """Yield a client over the blocking SDK."""

    def close_all(handlers: Sequence[Any]) -> None:
        # Each takes a second, for it joins a thread that sleeps as long.
        with ThreadPoolExecutor(max(len(handlers), 1)) as threads:
            list(threads.map(lambda handler: handler.close(), handlers))

    client = azure.servicebus.ServiceBusClient.from_connection_string(connection_string, retry_total=0)
    made = PythonClient(client, lambda result: result, close_all)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def asynchronous(connection_string: str) -> Iterator[PythonClient]:
    """Yield a client over the SDK for asyncio."""
    with asyncio.Runner() as runner:

        async def close(handlers: Sequence[Any]) -> None:
            await asyncio.gather(*(handler.close() for handler in handlers))

        client = azure.servicebus.aio.ServiceBusClient.from_connection_string(
            connection_string, retry_total=0
        )
        made = PythonClient(client, runner.run, lambda handlers: runner.run(close(handlers)))
        try:
            yield made
        finally:
            made.close()


def _code(error: AzureError) -> str:
    name = type(error).__name__.removeprefix("ServiceBus").removesuffix("Error")
    return _OTHER_NAMES.get(name, name)


def _message(message: Outgoing) -> ServiceBusMessage:
    life = message.time_to_live
    return ServiceBusMessage(
        message.body,
        message_id=message.message_id,
        correlation_id=message.correlation_id,
        subject=message.subject,
        content_type=message.content_type,
        reply_to=message.reply_to,
        to=message.to,
        time_to_live=None if life is None else timedelta(seconds=life),
        application_properties=dict(message.properties) or None,  # type: ignore[arg-type] # None is sent well
    )


def _received(message: ServiceBusReceivedMessage) -> Received:
    number, count, enqueued = message.sequence_number, message.delivery_count, message.enqueued_time_utc
    assert number is not None
    assert count is not None
    assert enqueued is not None
    return Received(
        body=b"".join(message.body),
        message_id=message.message_id,
        correlation_id=message.correlation_id,
        subject=message.subject,
        content_type=message.content_type,
        reply_to=message.reply_to,
        to=message.to,
        properties=_properties(message),
        sequence_number=number,
        delivery_count=count,
        state=message.state.name.lower(),
        enqueued_at=enqueued,
        locked_until=message.locked_until_utc,
        dead_letter_reason=message.dead_letter_reason,
        dead_letter_description=message.dead_letter_error_description,
        handle=str(message.lock_token or ""),
    )


def _properties(message: ServiceBusReceivedMessage) -> dict[str, Property]:
    raw = message.application_properties or {}
    return {_text(key): _property(value) for key, value in raw.items()}


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _property(value: object) -> Property:
    # Text and bytes look the same here: the SDK shows both as bytes.
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    assert value is None or isinstance(value, str | int | float | bool)
    return value
