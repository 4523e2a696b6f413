"""A message at rest, with all that a faithful copy of it needs. No I/O."""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum, unique
from typing import Self, cast
from uuid import UUID

from agreements import identity
from agreements.deliveries import Property
from agreements.errors import Reason

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
class AmqpType(StrEnum):
    """The simple types of AMQP 1.0 that a property may have (OASIS AMQP 1.0, part 3, section 2.8)."""

    NULL = "null"
    BOOLEAN = "boolean"
    UBYTE = "ubyte"
    USHORT = "ushort"
    UINT = "uint"
    ULONG = "ulong"
    BYTE = "byte"
    SHORT = "short"
    INT = "int"
    LONG = "long"
    FLOAT = "float"
    DOUBLE = "double"
    DECIMAL128 = "decimal128"
    TIMESTAMP = "timestamp"
    UUID = "uuid"
    BINARY = "binary"
    STRING = "string"
    SYMBOL = "symbol"


type Simple = str | int | float | bool | bytes | UUID | Decimal | None

_FROM_TEXT: dict[AmqpType, Callable[[str], Simple]] = {
    AmqpType.FLOAT: float,
    AmqpType.DOUBLE: float,
    AmqpType.DECIMAL128: Decimal,
    AmqpType.UUID: UUID,
    AmqpType.BINARY: base64.b64decode,
}
_BITS = {AmqpType.BYTE: 8, AmqpType.SHORT: 16, AmqpType.INT: 32, AmqpType.LONG: 64, AmqpType.TIMESTAMP: 64}
_UNSIGNED_BITS = {AmqpType.UBYTE: 8, AmqpType.USHORT: 16, AmqpType.UINT: 32, AmqpType.ULONG: 64}
_RANGES = {kind: (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for kind, bits in _BITS.items()}
_RANGES |= {kind: (0, 2**bits - 1) for kind, bits in _UNSIGNED_BITS.items()}
_TYPES: dict[AmqpType, type] = {
    AmqpType.NULL: type(None),
    AmqpType.BOOLEAN: bool,
    AmqpType.FLOAT: float,
    AmqpType.DOUBLE: float,
    AmqpType.DECIMAL128: Decimal,
    AmqpType.UUID: UUID,
    AmqpType.BINARY: bytes,
    AmqpType.STRING: str,
    AmqpType.SYMBOL: str,
}


@dataclass(frozen=True, slots=True)
class Value:
    """A property's value with its type; a timestamp is in milliseconds since 1970 UTC."""

    type: AmqpType
    value: Simple

    @property
    def text(self) -> str:
        """The value as a person reads it, and as a filter is compared with it."""
        if self.type is AmqpType.TIMESTAMP:
            return _instant(int(cast("int", self.value)))
        if isinstance(self.value, bytes):
            return base64.b64encode(self.value).decode()
        return str(self.value).lower() if isinstance(self.value, bool) else str(self.value)

    @classmethod
    def string(cls, text: str) -> Self:
        """Return a string."""
        return cls(AmqpType.STRING, text)

    @classmethod
    def number(cls, number: int) -> Self:
        """Return a whole number of 32 bits."""
        return cls(AmqpType.INT, number)

    def record(self) -> dict[str, object]:
        """Return what JSON can hold of it without loss: numbers with a fraction are text, bytes base64."""
        lossless = isinstance(self.value, (int, type(None)))
        return {"type": str(self.type), "value": self.value if lossless else self.text}

    @classmethod
    def from_record(cls, record: Mapping[str, object]) -> Self:
        """Return what ``record`` held; ValueError, TypeError or KeyError if that is not a value."""
        kind, value = AmqpType(str(record["type"])), record["value"]
        convert = _FROM_TEXT.get(kind)
        simple = cast("Simple", convert(str(value)) if convert else value)
        if not _fits(kind, simple):
            raise ValueError
        return cls(kind, simple)


def _instant(milliseconds: int) -> str:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()
    except (ValueError, OverflowError, OSError):  # before the year 1, or after 9999
        return str(milliseconds)


def _fits(kind: AmqpType, value: Simple) -> bool:
    if kind in _RANGES:
        low, high = _RANGES[kind]
        return type(value) is int and low <= value <= high
    return isinstance(value, _TYPES[kind])


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


_PLAIN = (
    "message_id",
    "content_type",
    "content_encoding",
    "correlation_id",
    "subject",
    "to",
    "reply_to",
    "session_id",
    "reply_to_session_id",
    "partition_key",
)


def to_record(message: ParkedMessage) -> dict[str, object]:
    """Return what an export holds: everything, without loss, as JSON can carry it."""
    scheduled = message.scheduled_for
    return {
        "place": str(message.place),
        "sequenceNumber": message.sequence_number,
        "enqueuedTime": message.enqueued_time.isoformat(),
        "fingerprint": message.fingerprint,
        "state": str(message.state),
        "deliveryCount": message.delivery_count,
        "scheduledFor": scheduled.isoformat() if scheduled else None,
        **{name: getattr(message, name) for name in _PLAIN},
        "bodyKind": str(message.body_kind),
        **_body(message.body),
        "properties": {name: value.record() for name, value in message.properties.items()},
    }


def _body(body: bytes) -> dict[str, str]:
    # As text where that is lossless, so that a person can mend it in an editor.
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"bodyBase64": base64.b64encode(body).decode()}


def _told(value: object) -> str | None:
    if not isinstance(value, (str, type(None))):
        raise TypeError
    return value


def from_record(line: str) -> tuple[ParkedMessage, str]:
    """Return the message that a line of an export holds, and the fingerprint of what was exported.

    Raises:
        ValueError: the line is not one of an export; the message shows nothing of it.
    """
    try:
        given = json.loads(line)
        text = given.get("body")
        scheduled = given.get("scheduledFor")
        message = ParkedMessage(
            place=Place.parse(given["place"]),
            sequence_number=int(given["sequenceNumber"]),
            enqueued_time=datetime.fromisoformat(given["enqueuedTime"]),
            state=State(given["state"]),
            delivery_count=int(given["deliveryCount"]),
            scheduled_for=datetime.fromisoformat(scheduled) if scheduled else None,
            body_kind=BodyKind(given["bodyKind"]),
            body=text.encode() if text is not None else base64.b64decode(given["bodyBase64"]),
            properties={name: Value.from_record(value) for name, value in given["properties"].items()},
            **{name: _told(given.get(name)) for name in _PLAIN},
        )
        return message, str(given["fingerprint"])
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
        raise ValueError("not a line of an export") from None
