"""Between the SDK's messages and ours.

The SDK reads strings and binaries alike as bytes, and whole numbers of every width and timestamps alike as
int: a copy would change a publisher's properties. ``keep_types`` has its decoder mark what it reads.

What touches the inside of the SDK is here and in ``links``; the tests prove it over the wire, so that an
update which moves it does not go unnoticed.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import Any, cast
from uuid import UUID

from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage
from azure.servicebus.amqp import AmqpMessageBodyType, AmqpMessageProperties

from agreements.errors import DeploymentError
from agreements.messages import BodyKind, ParkedMessage, Place, State
from agreements.values import AmqpType, Value

type _Decoded = tuple[memoryview, Any]

_STATES = {0: State.ACTIVE, 1: State.DEFERRED, 2: State.SCHEDULED}
_KINDS = {AmqpMessageBodyType.VALUE: BodyKind.VALUE, AmqpMessageBodyType.SEQUENCE: BodyKind.SEQUENCE}
# Constructors of the types that Python's own do not tell apart (OASIS AMQP 1.0, part 1, section 1.6).
_CONSTRUCTORS = {
    AmqpType.UBYTE: (0x50,),
    AmqpType.USHORT: (0x60,),
    AmqpType.UINT: (0x43, 0x52, 0x70),
    AmqpType.ULONG: (0x44, 0x53, 0x80),
    AmqpType.BYTE: (0x51,),
    AmqpType.SHORT: (0x61,),
    AmqpType.LONG: (0x55, 0x81),
    AmqpType.FLOAT: (0x72,),
    AmqpType.TIMESTAMP: (0x83,),
    AmqpType.BINARY: (0xA0, 0xB0),
    AmqpType.SYMBOL: (0xA3, 0xB3),
}
_BASES: dict[AmqpType, type] = {AmqpType.FLOAT: float, AmqpType.BINARY: bytes, AmqpType.SYMBOL: bytes}
# A mark is a class of its own for each type, so that what reads the value as before finds it as before.
_MARKS: dict[AmqpType, type] = {name: type(name, (_BASES.get(name, int),), {}) for name in _CONSTRUCTORS}
_MARKED = {mark: name for name, mark in _MARKS.items()}
_NATURAL: dict[type, AmqpType] = {
    bool: AmqpType.BOOLEAN,
    int: AmqpType.INT,
    float: AmqpType.DOUBLE,
    bytes: AmqpType.STRING,
    UUID: AmqpType.UUID,
    Decimal: AmqpType.DECIMAL128,
    type(None): AmqpType.NULL,
}
_NO_PROPERTIES = AmqpMessageProperties()
# As they are, the SDK writes these as what they are.
_AS_THEY_ARE = frozenset(_NATURAL.values())


# Two application properties, a uint and a binary, as they come over the wire.
_SAMPLE = bytes.fromhex("00 53 74 c1 0b 04 a1 01 75 43 a1 01 62 a0 01 00")


@cache
def keep_types() -> None:
    """Let the SDK of this process mark the type of what it reads; once, however often it is called.

    Raises:
        DeploymentError: this SDK is another inside, so that copies would lose what they should keep.
    """
    try:
        _mark_types()
    except (ImportError, AttributeError, LookupError, TypeError):
        known = False
    else:
        known = _marks_types() and hasattr(_amqp_client(), "_keep_alive_interval")
    if not known:
        raise DeploymentError(
            f"azure-servicebus {version('azure-servicebus')} is another inside than these commands know",
            "Install the version that requirements.txt names.",
        )


def _mark_types() -> None:
    from azure.servicebus._pyamqp import _decode

    for name, codes in _CONSTRUCTORS.items():
        for code in codes:
            _decode._DECODE_BY_CONSTRUCTOR[code] = _marking(
                _decode._DECODE_BY_CONSTRUCTOR[code], _MARKS[name]
            )


def _marks_types() -> bool:
    from azure.servicebus._pyamqp._decode import decode_payload

    read = decode_payload(memoryview(_SAMPLE)).application_properties or {}
    return [_MARKED.get(type(value)) for value in read.values()] == [AmqpType.UINT, AmqpType.BINARY]


def _amqp_client() -> object:
    from azure.servicebus._pyamqp.client import AMQPClient

    return cast("Any", AMQPClient)("localhost")


def _marking(decode: Callable[..., _Decoded], mark: Callable[[Any], Any]) -> Callable[..., _Decoded]:
    def decode_marked(buffer: memoryview, depth: int = 0) -> _Decoded:
        rest, value = decode(buffer, depth)
        return rest, mark(value)

    return decode_marked


def read(received: ServiceBusReceivedMessage, place: Place) -> ParkedMessage:
    """Return our picture of a message that was peeked or received."""
    # Read from there at once: the SDK's own attributes look through all fields each time.
    raw = received.raw_amqp_message
    given = _NO_PROPERTIES if raw.properties is None else raw.properties
    return ParkedMessage(
        place=place,
        sequence_number=int(received.sequence_number or 0),
        enqueued_time=cast("datetime", received.enqueued_time_utc).astimezone(UTC),
        body=_body(received),
        body_kind=_KINDS.get(received.body_type, BodyKind.DATA),
        state=_STATES[int((raw.annotations or {}).get(b"x-opt-message-state", 0))],
        delivery_count=received.delivery_count or 0,
        scheduled_for=received.scheduled_enqueue_time_utc,
        message_id=_text(given.message_id),
        content_type=_text(given.content_type),
        content_encoding=_text(given.content_encoding),
        correlation_id=_text(given.correlation_id),
        subject=_text(given.subject),
        to=_text(given.to),
        reply_to=_text(given.reply_to),
        session_id=_text(given.group_id),
        reply_to_session_id=_text(given.reply_to_group_id),
        partition_key=received.partition_key,
        properties=_properties(received.application_properties or {}),
    )


def _text(value: object) -> str | None:
    # An id may be of several types on the wire (OASIS AMQP 1.0, part 3, section 3.2.11).
    if value is None:
        return None
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _body(received: ServiceBusReceivedMessage) -> bytes:
    if received.body_type is AmqpMessageBodyType.DATA:
        return b"".join(cast("Iterable[bytes]", received.body))
    value = list(received.body) if received.body_type is AmqpMessageBodyType.SEQUENCE else received.body
    return value if isinstance(value, bytes) else json.dumps(_plain(value), ensure_ascii=False).encode()


def _plain(value: object) -> object:
    """Return a VALUE as JSON has it."""
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, (bool, int, float, type(None))) else str(value)


def _properties(given: Mapping[Any, Any]) -> dict[str, Value]:
    return {str(_text(name)): _value(value) for name, value in given.items()}


def _value(value: Any) -> Value:
    name = _MARKED.get(type(value)) or _NATURAL.get(type(value))
    if name is None:
        # No simple type, which is all that a property may have: shown, so that one message hides no other.
        return Value.string(json.dumps(_plain(value), ensure_ascii=False))
    if name in (AmqpType.STRING, AmqpType.SYMBOL):
        return Value(name, _text(value))
    base = type(value).__base__ if type(value) in _MARKED else None
    return Value(name, base(value) if base else value)


def outgoing(message: ParkedMessage) -> ServiceBusMessage:
    """Return a message to send: body as DATA, every property with its type, without a time to live."""
    copy = ServiceBusMessage(
        message.body,
        application_properties={name: _typed(value) for name, value in message.properties.items()},
        message_id=message.message_id,
        content_type=message.content_type,
        correlation_id=message.correlation_id,
        subject=message.subject,
        to=message.to,
        reply_to=message.reply_to,
        session_id=message.session_id,
        reply_to_session_id=message.reply_to_session_id,
        partition_key=message.partition_key,
    )
    if message.content_encoding:
        cast("Any", copy.raw_amqp_message.properties).content_encoding = message.content_encoding
    return copy


def _typed(value: Value) -> Any:
    if value.type is AmqpType.BINARY:
        # The SDK would write bytes as a string.
        return bytearray(cast("bytes", value.value))
    return value.value if value.type in _AS_THEY_ARE else {"TYPE": value.type.upper(), "VALUE": value.value}
