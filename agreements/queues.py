"""Sending to Service Bus: which copy goes to which queue, what is told to the topic, and under which id."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, cast

from azure.core.exceptions import AzureError
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusSender
from azure.servicebus.exceptions import MessageSizeExceededError, OperationTimeoutError, ServiceBusError

from agreements import identity, outcome_events
from agreements.deadline import Deadline
from agreements.deliveries import Delivery, Property, Scalar, write_time
from agreements.errors import OversizeError, TopicError
from agreements.outcome_events import OutcomeEvent
from agreements.outcomes import Attempt, Confirmed, Duplicate, Outcome, Rejected, Retry

if TYPE_CHECKING:
    from azure.servicebus._common.message import PrimitiveTypes


# A property holds 32 KB, and a publisher's id may be of any length; this much is enough to find it by.
_LONGEST_EVENT_ID = 512
# What is left on a copy that fits into no message otherwise: which event it is, and why it lies there.
_LEAST = {
    Property.ORIGIN,
    Property.REPLAY,
    Property.OUTCOME,
    Property.REASON,
    Property.DEAD_LETTER_REASON,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueNames:
    """Where each outcome goes."""

    retries: str
    duplicates: str
    rejections: str


class Queues:
    """The queues that outcomes are sent to: one sender each, opened once and guarded by a lock.

    The SDK's senders are not thread-safe, and opening one takes half a second or more; ``timeout`` is in
    seconds, for one send.
    """

    def __init__(self, client: ServiceBusClient, names: QueueNames, timeout: float) -> None:
        self._names = names
        self._timeout = timeout
        queues = {names.retries, names.duplicates, names.rejections}
        self._senders = {queue: _Sender(queue, partial(client.get_queue_sender, queue)) for queue in queues}

    def send(self, delivery: Delivery, attempt: Attempt, outcome: Outcome, deadline: Deadline) -> None:
        """Send the copy that an outcome asks for; a confirmed event needs none.

        A copy to be parked that does not fit into a message goes without the publisher's properties.

        Raises:
            OversizeError: the copy of a retry does not fit; without its properties it could not come back.
            ServiceBusError: nobody knows whether it arrived.
        """
        addressed = address(delivery, attempt, outcome, self._names)
        if addressed is None:
            return
        queue, message = addressed
        until = Deadline.after(deadline.left(self._timeout))
        try:
            self._senders[queue].send(message, until)
        except MessageSizeExceededError:
            if isinstance(outcome, Retry):
                raise OversizeError(outcome.reason) from None
            properties = message.application_properties or {}
            message.application_properties = {n: value for n, value in properties.items() if n in _LEAST}
            self._senders[queue].send(message, until)


class Topic:
    """The topic that publishers are told by, over one sender as for the queues.

    A try that failed is followed by a rest as long as it took: a topic that hangs does not hold up the
    confirming of others for longer than that.
    """

    def __init__(
        self, client: ServiceBusClient, name: str, source: str, timeout: float, now: Callable[[], datetime]
    ) -> None:
        self._source = source
        self._timeout = timeout
        self._now = now
        self._sender = _Sender(name, partial(client.get_topic_sender, name))
        self._rests_until = 0.0

    def tell(self, delivery: Delivery, attempt: Attempt, outcome: Outcome, deadline: Deadline) -> bool:
        """Tell what became of a delivery; return whether there was anything to tell.

        Raises:
            TopicError: nobody knows whether it arrived.
        """
        told = outcome_events.tell(delivery, attempt, outcome, source=self._source, now=self._now())
        if told:
            self._send([_telling(event) for event in told], deadline)
        return bool(told)

    def _send(self, messages: list[ServiceBusMessage], deadline: Deadline) -> None:
        started = monotonic()
        if started < self._rests_until:
            raise TopicError("it failed just before")
        try:
            only = messages[0] if len(messages) == 1 else messages
            self._sender.send(only, Deadline.after(deadline.left(self._timeout)))
        except AzureError as error:
            ended = monotonic()
            self._rests_until = ended + (ended - started)
            # Of its words nobody knows what they quote.
            raise TopicError(type(error).__name__) from None


def _telling(event: OutcomeEvent) -> ServiceBusMessage:
    told = event.data
    shown: dict[Property, Scalar | None] = {
        Property.OUTCOME: told.outcome,
        Property.REASON: told.reason,
        Property.CUSTOMER_TENANT_ID: str(told.customer_tenant_id) if told.customer_tenant_id else None,
        Property.EVENT_ID: told.event_id[:_LONGEST_EVENT_ID],
    }
    return ServiceBusMessage(
        event.body(),
        application_properties={str(name): value for name, value in shown.items() if value is not None},
        content_type=outcome_events.CONTENT_TYPE,
        correlation_id=event.correlation_id,
        message_id=str(event.id),
        subject=event.type,
    )


class _Sender:
    def __init__(self, name: str, open_: Callable[[], ServiceBusSender]) -> None:
        self._name = name
        self._open = open_
        self._lock = threading.Lock()
        self._sender: ServiceBusSender | None = None

    def send(self, message: ServiceBusMessage | list[ServiceBusMessage], deadline: Deadline) -> None:
        if not self._lock.acquire(timeout=deadline.left()):
            raise self._too_late()
        try:
            if not (timeout := deadline.left()):
                raise self._too_late()
            self._send(message, timeout)
        finally:
            self._lock.release()

    def _send(self, message: ServiceBusMessage | list[ServiceBusMessage], timeout: float) -> None:
        try:
            self._sender = self._sender or self._open()
            # Always with a timeout: without one the SDK may wait for ever.
            self._sender.send_messages(message, timeout=timeout)
        except MessageSizeExceededError:
            raise  # the link is as good as before
        except ServiceBusError:
            self._forget()
            raise

    def _too_late(self) -> ServiceBusError:
        return OperationTimeoutError(message=f"no time was left to send to {self._name}")

    def _forget(self) -> None:
        # A sender that failed may never recover; the failure itself is already on its way to the caller.
        sender, self._sender = self._sender, None
        with suppress(ServiceBusError):
            if sender is not None:
                sender.close()


def address(
    delivery: Delivery, attempt: Attempt, outcome: Outcome, names: QueueNames
) -> tuple[str, ServiceBusMessage] | None:
    """Return the queue and the copy for an outcome, ``None`` for a confirmed event."""
    match outcome:
        case Confirmed():
            return None
        case Retry():
            message_id = identity.retry_message_id(delivery.position)
            copy = _copy(delivery, message_id, _common(delivery, attempt) | _for_retry(outcome))
            copy.scheduled_enqueue_time_utc = outcome.at
            return names.retries, copy
        case Duplicate():
            return names.duplicates, _parked(delivery, attempt, outcome, names.duplicates, {})
    shown: dict[Property, Scalar | None] = {
        Property.DEAD_LETTER_REASON: outcome.reason,
        Property.DEAD_LETTER_DESCRIPTION: f"{outcome.detail}. {outcome.reason.advice}",
    }
    return names.rejections, _parked(delivery, attempt, outcome, names.rejections, shown)


def _parked(
    delivery: Delivery,
    attempt: Attempt,
    outcome: Duplicate | Rejected,
    queue: str,
    shown: Mapping[Property, Scalar | None],
) -> ServiceBusMessage:
    ours: dict[Property, Scalar | None] = {
        Property.ATTEMPT: delivery.attempt,
        Property.OUTCOME: type(outcome).__name__,
        Property.REASON: outcome.reason,
        Property.REQUEST_ID: str(delivery.request_id) if attempt.posted else None,
    }
    message_id = identity.parked_message_id(delivery.origin, queue)
    return _copy(delivery, message_id, {**_common(delivery, attempt), **ours, **shown})


def _for_retry(retry: Retry) -> dict[Property, Scalar | None]:
    return {
        Property.ATTEMPT: retry.attempt,
        Property.MAYBE_RECORDED: retry.maybe_recorded,
        Property.OUTCOME: type(retry).__name__,
        Property.REASON: retry.reason,
        Property.REQUEST_ID: str(retry.unanswered) if retry.unanswered else None,
        Property.RETRY_KIND: retry.kind,
        Property.RETRYING_SINCE: write_time(retry.since),
    }


def _common(delivery: Delivery, attempt: Attempt) -> dict[Property, Scalar | None]:
    refusal = attempt.refusal
    return {
        Property.ORIGIN: delivery.origin,
        Property.REPLAY: delivery.replay,
        Property.FIRST_ENQUEUED_TIME: write_time(delivery.first_enqueued_time),
        Property.CORRELATION_ID: str(delivery.correlation_id),
        Property.EVENT_ID: (attempt.event_id or delivery.event_id)[:_LONGEST_EVENT_ID],
        Property.CUSTOMER_TENANT_ID: str(attempt.event.customer_tenant_id) if attempt.event else None,
        Property.ERROR_CODE: attempt.error_code,
        Property.HTTP_STATUS: refusal.status if refusal else None,
    }


def _copy(delivery: Delivery, message_id: str, ours: Mapping[Property, Scalar | None]) -> ServiceBusMessage:
    return ServiceBusMessage(
        delivery.body,
        application_properties=cast("dict[str | bytes, PrimitiveTypes]", delivery.copy_properties(ours)),
        content_type=delivery.content_type,
        correlation_id=str(delivery.correlation_id),
        message_id=message_id,
    )
