"""A stored message as clients see it: with the broker's annotations around it."""

from local.service_bus import encoding
from local.service_bus.entities import Entry, State

_ENQUEUED_TIME = encoding.symbol("x-opt-enqueued-time")
_SEQUENCE_NUMBER = encoding.symbol("x-opt-sequence-number")
_LOCKED_UNTIL = encoding.symbol("x-opt-locked-until")
_STATE = encoding.symbol("x-opt-message-state")
_DEFERRED = encoding.integer(1)
_SCHEDULED = encoding.integer(2)


def render(entry: Entry, *, locked: bool) -> bytes:
    """Return the payload of a delivery, or of a peeked message."""
    annotations = [
        _ENQUEUED_TIME,
        encoding.timestamp(entry.enqueued_at),
        _SEQUENCE_NUMBER,
        encoding.long(entry.sequence_number),
    ]
    if locked:
        annotations += (_LOCKED_UNTIL, encoding.timestamp(entry.locked_until))
    if entry.state is State.SCHEDULED:
        annotations += (_STATE, _SCHEDULED)
    elif entry.deferred:
        annotations += (_STATE, _DEFERRED)
    return entry.message.render(entry.delivery_count, annotations)
