"""What the SDK can do with a receiver's link but does not offer, or does but should not.

* Service Bus renews many locks by one request; the SDK offers one at a time. Whoever holds tens of thousands
  of messages aside needs the former.
* It gives messages back without counting a delivery, when a receiver is closed, but only those that nobody
  took yet. ``release`` does so for those that were taken.
* Beside whoever receives, a thread of its own reads the same connection every five seconds, and nothing
  guards what the two share: a message may come out with the lock token of another, so that completing the
  one removes the other. ``alone`` keeps that thread from being started.
"""

from collections.abc import Iterable
from typing import Any, cast
from uuid import UUID

from azure.servicebus import ServiceBusReceivedMessage, ServiceBusReceiver


def alone(receiver: ServiceBusReceiver) -> ServiceBusReceiver:
    """Return a receiver, not opened yet, whose connection nobody reads but whoever calls it."""
    inside = cast("Any", receiver)
    create = inside._create_handler

    def create_alone(auth: object) -> None:
        create(auth)
        inside._handler._keep_alive_interval = 0

    inside._create_handler = create_alone
    return receiver


def renew(receiver: ServiceBusReceiver, tokens: Iterable[UUID], timeout: float) -> None:
    """Renew many locks by one request.

    Raises:
        MessageLockLostError: one of them is lost; which of the others were renewed is not known.
    """
    receiver._renew_locks(*cast("Iterable[str]", tokens), timeout=timeout)


def delivery(received: ServiceBusReceivedMessage) -> tuple[int, bytes]:
    """Return what names a delivery on its link: its id, and its tag, which is the lock token."""
    inside = cast("Any", received)
    return int(inside._delivery_id), bytes(inside._delivery_tag)


def link_of(receiver: ServiceBusReceiver) -> Any:
    """Return the link that a receiver has just now, ``None`` if none: after a failure it opens another."""
    link = getattr(cast("Any", receiver)._handler, "_link", None)
    return None if link is None or link._is_closed else link


def stop(link: Any) -> None:
    """Have a link take no more: else it would be sent again what it gives back, while it is closed."""
    link.flow(link_credit=0, drain=True)


def forget(link: Any, tag: bytes) -> None:
    """Let a link forget a delivery that is held aside: it would keep the tag of each in memory."""
    link._received_delivery_tags.discard(tag)


def release(link: Any, first: int, last: int) -> None:
    """Give a range of deliveries of a link back to the queue, as if they had never been delivered."""
    from azure.servicebus._pyamqp.outcomes import Released

    tag = first.to_bytes(8)
    link._received_delivery_tags.add(tag)
    link.send_disposition(
        first_delivery_id=first,
        last_delivery_id=last,
        delivery_tag=tag,
        settled=True,
        delivery_state=Released(),
    )
