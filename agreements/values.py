"""The values of application properties with the types that AMQP gives them. No I/O."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum, unique
from typing import Self, cast
from uuid import UUID


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
