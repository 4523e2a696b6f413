"""The Service Bus side of one function: receive, call, settle."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver
from azure.servicebus.exceptions import MessageLockLostError, ServiceBusError

from local.functions_host import messages, traces
from local.functions_host.invoking import call
from local.functions_host.protocol import Invocation
from local.functions_host.triggers import QueueTrigger
from local.functions_host.worker_process import Worker

_RECONNECT_PAUSE = 0.5
# Everything is said within hundredths of a second; the SDK then waits for a timer of its own, for up to 1 s.
_CLOSE_SECONDS = 0.2

type Settlement = Callable[[ServiceBusReceivedMessage], Awaitable[None]]

_log = logging.getLogger(__name__)


class Listener:
    """Feeds one function from its queue, with at most so many messages in hand.

    One receiver serves all calls: settling goes on while it waits for the next message, as renewing does in
    the SDK's own lock renewer. A receiver for each call would be a connection for each call.
    """

    def __init__(
        self,
        trigger: QueueTrigger,
        receiver: ServiceBusReceiver,
        worker: Worker,
        *,
        calls: int,
        timeout: float,
    ) -> None:
        """Take the trigger, a receiver of its queue, the bound on calls at once and on each in seconds."""
        self._trigger, self._worker = trigger, worker
        self._receiver = receiver
        self._free = asyncio.Semaphore(calls)
        self._timeout = timeout
        self._opening = asyncio.Lock()
        self._in_hand: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Open the link to the queue if it is not, trying again and again until the broker answers."""
        told = ""
        async with self._opening:
            while (reason := await self._attempt_to_open()) is not None:
                if reason != told:
                    told = reason
                    _log.warning("%s: no link to its queue yet: %s", self._name, told)
                await asyncio.sleep(_RECONNECT_PAUSE)
        if told:
            _log.warning("%s: on its queue again", self._name)

    async def receive(self) -> None:
        """Take messages, each when a call is free for it, until cancelled."""
        while True:
            await self._free.acquire()
            delivery = asyncio.create_task(self._deliver(await self._next()))
            self._in_hand.add(delivery)
            delivery.add_done_callback(self._finished)

    async def close(self, grace: float) -> bool:
        """Wait so many seconds for what runs, give back the rest; tell whether everything ended in time."""
        if self._in_hand:
            await asyncio.wait(self._in_hand, timeout=grace)
        in_time = not self._in_hand
        closing = asyncio.create_task(self._receiver.close())
        await asyncio.wait({closing}, timeout=_CLOSE_SECONDS)
        return in_time

    @property
    def _name(self) -> str:
        return self._trigger.function.name

    async def _next(self) -> ServiceBusReceivedMessage:
        while True:
            try:
                for message in await self._receiver.receive_messages(max_message_count=1):
                    return message
            except ServiceBusError as error:
                _log.warning("%s: lost its queue: %s", self._name, error)
                await asyncio.sleep(_RECONNECT_PAUSE)
                await self.open()

    async def _attempt_to_open(self) -> str | None:
        """Open the link; the reason if that did not work."""
        try:
            await self._receiver.__aenter__()
        except ServiceBusError as error:
            return str(error)
        return None

    def _finished(self, delivery: asyncio.Task[None]) -> None:
        self._in_hand.discard(delivery)
        self._free.release()

    async def _deliver(self, message: ServiceBusReceivedMessage) -> None:
        which = f"message {message.sequence_number}, delivery {(message.delivery_count or 0) + 1}"
        failure = await self._call(message, which)
        if failure is None:
            await self._settle(self._receiver.complete_message, message, which)
        else:
            _log.error("%s: failed on %s, abandoning it\n%s", self._name, which, failure)
            await self._settle(self._receiver.abandon_message, message, which)

    async def _call(self, message: ServiceBusReceivedMessage, which: str) -> str | None:
        """Run the function; the text of what went wrong, if anything did."""
        try:
            data = messages.body(message)
        except messages.BindingError as error:
            return str(error)
        invocation = Invocation(
            function=self._name,
            parameter=self._trigger.parameter,
            data=data,
            metadata=messages.trigger_metadata(message),
            trace_parent=traces.trace_parent(messages.application_properties(message)),
        )
        return await call(self._worker, invocation, timeout=self._timeout, which=which)

    async def _settle(self, settle: Settlement, message: ServiceBusReceivedMessage, which: str) -> None:
        error = await _attempt_to_settle(settle, message)
        if error and not isinstance(error, MessageLockLostError):
            # The lock may well be alive when only the link is lost.
            await self.open()
            error = await _attempt_to_settle(settle, message)
        if error:
            _log.warning("%s: could not settle %s, so it will come again: %s", self._name, which, error)


async def _attempt_to_settle(settle: Settlement, message: ServiceBusReceivedMessage) -> Exception | None:
    try:
        await settle(message)
    except (ServiceBusError, ValueError) as error:
        return error
    return None
