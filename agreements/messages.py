"""A message at rest, with all that a faithful copy of it needs. No I/O."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from typing import Self

from agreements import identity
from agreements.deliveries import Property
from agreements.errors import Reason
from agreements.values import Value

_DEAD_LETTER_QUEUE = "/$DeadLetterQueue"
# What the broker itself gives as a reason (Azure, service-bus-dead-letter-queues).
_BROKERS_ADVICE = {
    "MaxDeliveryCountExceeded": "Find in the log why the app failed on it each time, mend that, then replay.",
    "TTLExpiredException": "It expired unhandled: see why nothing consumed the queue, then replay.",
    "HeaderSizeExceeded": "Its properties are too large: ask the publisher to send fewer, then discard.",
}
_ADVICE = {str(reason): reason.advice for reason in Reason} | _BROKERS_ADVICE
_NO_ADVICE = "Another program dead-lettered it: see its description."


@unique
class BodyKind(StrEnum):
    """Which section of AMQP carries the body; only DATA is read by every consumer."""

    DATA = "data"
    VALUE = "value"
    SEQUENCE = "sequence"


@unique
class State(StrEnum):
    """Where a message is in its life, as peeking tells."""

    ACTIVE = "active"
    DEFERRED = "deferred"
    SCHEDULED = "scheduled"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A queue, or its dead-letter queue."""

    queue: str
    dead: bool = False

    def __str__(self) -> str:
        return f"{self.queue}{_DEAD_LETTER_QUEUE}" if self.dead else self.queue

    @classmethod
    def parse(cls, path: str) -> Self:
        """Return the place of a path, as Service Bus writes it."""
        return cls(path.removesuffix(_DEAD_LETTER_QUEUE), path.endswith(_DEAD_LETTER_QUEUE))


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedMessage:
    """A message that waits in a place; times are aware, in UTC.

    Attributes:
        body: as bytes, whatever section carried it; a VALUE that is no text and no bytes as JSON.
        properties: the application properties, with their types.
        delivery_count: how many deliveries ended without a settlement.
    """

    place: Place
    sequence_number: int
    enqueued_time: datetime
    body: bytes = field(repr=False)
    body_kind: BodyKind = BodyKind.DATA
    state: State = State.ACTIVE
    delivery_count: int = 0
    scheduled_for: datetime | None = None
    message_id: str | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    correlation_id: str | None = None
    subject: str | None = None
    to: str | None = None
    reply_to: str | None = None
    session_id: str | None = None
    reply_to_session_id: str | None = None
    partition_key: str | None = None
    properties: Mapping[str, Value] = field(default_factory=dict, repr=False)

    @property
    def position(self) -> str:
        """What names this message; a dead-lettered one keeps the name that it had in its queue."""
        return identity.position(self.place.queue, self.sequence_number, self.enqueued_time)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that tell whether this is still the message that a plan was made for."""
        digest = hashlib.sha256(f"{self.place} {self.position} {self.message_id}\n".encode())
        digest.update(self.body)
        return digest.hexdigest()[:16]

    def text(self, name: str) -> str | None:
        """Return a property as text, ``None`` if there is none."""
        value = self.properties.get(name)
        return None if value is None else value.text

    @property
    def reason(self) -> str:
        """Why it waits: the broker's word in a dead-letter queue, ours elsewhere; empty if nobody said."""
        ours, brokers = self.text(Property.REASON), self.text(Property.DEAD_LETTER_REASON)
        return (brokers or ours if self.place.dead else ours or brokers) or ""

    @property
    def advice(self) -> str:
        """What to do about the reason."""
        return advice(self.reason)

    @property
    def error_code(self) -> str | None:
        """The code that Partner Center gave."""
        return self.text(Property.ERROR_CODE)

    @property
    def replay(self) -> int:
        """How often it was replayed."""
        value = self.properties.get(Property.REPLAY)
        return value.value if value and isinstance(value.value, int) and value.value > 0 else 0

    @property
    def plain_properties(self) -> dict[str, object]:
        """The application properties without their types, as the function app gets them."""
        return {name: value.value for name, value in self.properties.items()}

    @property
    def event_id(self) -> str:
        """The publisher's id of the event; it may be personal data."""
        return self.text(Property.EVENT_ID) or self.message_id or self.position


def advice(reason: str) -> str:
    """Return what to do about a reason, ours or the broker's."""
    return _ADVICE.get(reason, _NO_ADVICE)
