"""What the copy of a waiting message carries: when it is replayed, and when it is released. No I/O."""

from dataclasses import dataclass, replace
from functools import cached_property

from agreements import identity
from agreements.deliveries import Property
from agreements.messages import ParkedMessage
from agreements.values import Value

# A copy is traced anew, and what an earlier stay in a dead-letter queue left is no longer true.
_STALE = {
    "Diagnostic-Id",
    "traceparent",
    "tracestate",
    Property.DEAD_LETTER_REASON,
    Property.DEAD_LETTER_DESCRIPTION,
}
_NOT_KEPT = frozenset(_STALE | set(Property))
# Service Bus refuses more in one property than 32 KB; nobody reads that much.
_LONGEST = 256


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """What a copy tells about its replay."""

    run: str
    by: str
    why: str

    def properties(self, position: str) -> dict[str, Value]:
        """Return our properties on the copy of the message that is named by its position."""
        return {**self._written, Property.REPLAYED_FROM: Value.string(position)}

    @cached_property
    def _written(self) -> dict[str, Value]:
        return {
            Property.REPLAY_RUN: Value.string(self.run),
            Property.REPLAYED_BY: Value.string(self.by),
            Property.REPLAY_WHY: Value.string(self.why[:_LONGEST]),
        }


def replayed(message: ParkedMessage, stamp: Stamp) -> ParkedMessage:
    """Return the copy that replays a message.

    It starts anew: attempt 1, an origin and clocks of its own. Of our properties only the event's id and the
    count of replays go on; without a correlation id of the publisher's it gets the one that the log has.
    """
    position = message.position
    kept = {name: value for name, value in message.properties.items() if name not in _NOT_KEPT}
    ours: dict[str, Value] = {
        Property.REPLAY: Value.number(min(message.replay + 1, 2**31 - 1)),
        Property.EVENT_ID: Value.string(message.event_id),
        Property.REPLAYED_REASON: Value.string(message.reason[:_LONGEST]),
    }
    return replace(
        message,
        message_id=identity.replay_message_id(position),
        correlation_id=message.correlation_id or str(identity.correlation_id(position, None)),
        properties={**kept, **stamp.properties(position), **ours},
    )


def released(message: ParkedMessage, stamp: Stamp) -> ParkedMessage:
    """Return the copy of a scheduled retry that is to be tried now; everything else about it stays."""
    position = message.position
    kept = {name: value for name, value in message.properties.items() if name not in _STALE}
    return replace(
        message,
        message_id=identity.replay_message_id(position),
        properties=kept | stamp.properties(position),
    )
