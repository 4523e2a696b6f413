"""AMQP 1.0 bytes to Python values (OASIS AMQP 1.0, part 1).

Decoding forgets the width of a number; who must echo a value keeps its bytes (`slicing`).
"""

import struct
from collections.abc import Callable, Sequence
from itertools import batched
from typing import NamedTuple
from uuid import UUID

from local.service_bus.errors import Malformed


class Symbol(str):
    """An AMQP symbol: text from a defined set, apart from free text."""

    __slots__ = ()


class Described(NamedTuple):
    """A value with a descriptor that says what it is."""

    descriptor: object
    value: object


def decode(data: bytes, at: int = 0) -> tuple[object, int]:
    """Decode the value that begins at an offset; also return the offset behind it.

    Raises:
        Malformed: The bytes end early, contradict themselves or nest too deep.
    """
    try:
        return _decode(data, at)
    except (IndexError, struct.error, ValueError) as error:
        raise Malformed(f"not a valid AMQP value: {error}") from error
    except (RecursionError, TypeError) as error:
        raise Malformed("an AMQP value nests too deep or has a map key that is itself composite") from error


def fields(body: bytes) -> tuple[list[object], int]:
    """Decode the fields of a performative with its short descriptor; also return the offset behind them.

    Raises:
        Malformed: The bytes are broken, or no list.
    """
    found, at = decode(body, 3)
    if not isinstance(found, list):
        raise Malformed("a performative is not a list")
    return found, at


def optional[T](fields: Sequence[object], index: int, kind: type[T]) -> T | None:
    """Return a field of the expected type, or None when it is null or left out.

    Raises:
        Malformed: The field has another type.
    """
    value = fields[index] if index < len(fields) else None
    if value is not None and not isinstance(value, kind):
        raise Malformed(f"field {index} should be a {kind.__name__}")
    return value


def required[T](fields: Sequence[object], index: int, kind: type[T]) -> T:
    """Return a field of the expected type.

    Raises:
        Malformed: The field has another type or is missing.
    """
    value = optional(fields, index, kind)
    if value is None:
        raise Malformed(f"field {index} is missing")
    return value


type _Decoder = Callable[[bytes, int], tuple[object, int]]

_U32 = struct.Struct(">I")


def _decode(data: bytes, at: int) -> tuple[object, int]:
    return _DECODERS[data[at]](data, at + 1)


def _constant(value: object) -> _Decoder:
    return lambda _data, at: (value, at)


def _number(layout: str) -> _Decoder:
    unpack, size = struct.Struct(layout).unpack_from, struct.calcsize(layout)
    return lambda data, at: (unpack(data, at)[0], at + size)


def _bytes(data: bytes, at: int, size: int) -> bytes:
    value = data[at : at + size]
    if len(value) != size:
        raise IndexError("ends early")
    return value


def _blob(convert: Callable[[bytes], object], *, wide: bool) -> _Decoder:
    def decode_blob(data: bytes, at: int) -> tuple[object, int]:
        size, start = (_U32.unpack_from(data, at)[0], at + 4) if wide else (data[at], at + 1)
        return convert(_bytes(data, start, size)), start + size

    return decode_blob


def _symbol(raw: bytes) -> Symbol:
    return Symbol(raw, "ascii")


def _list_items(data: bytes, at: int, count: int) -> tuple[list[object], int]:
    items = []
    for _ in range(count):
        value, at = _DECODERS[data[at]](data, at + 1)
        items.append(value)
    return items, at


def _array_items(data: bytes, at: int, count: int) -> tuple[list[object], int]:
    decoder = _DECODERS[data[at]]
    items, at = [], at + 1
    for _ in range(count):
        value, at = decoder(data, at)
        items.append(value)
    return items, at


def _map_items(data: bytes, at: int, count: int) -> tuple[dict[object, object], int]:
    items, at = _list_items(data, at, count)
    return dict(batched(items, 2, strict=True)), at


def _composite(items: Callable[[bytes, int, int], tuple[object, int]], *, wide: bool) -> _Decoder:
    def decode_composite(data: bytes, at: int) -> tuple[object, int]:
        if wide:
            size, count = struct.unpack_from(">II", data, at)
            start, end = at + 8, at + 4 + size
        else:
            size, count = data[at], data[at + 1]
            start, end = at + 2, at + 1 + size
        # Values without content take no space in an array, so only the size bounds the count.
        if count > size:
            raise IndexError("more elements than bytes")
        value, behind = items(data, start, count)
        if behind != end:
            raise IndexError("size and content differ")
        return value, end

    return decode_composite


def _described(data: bytes, at: int) -> tuple[object, int]:
    descriptor, at = _decode(data, at)
    value, at = _decode(data, at)
    return Described(descriptor, value), at


def _unknown(_data: bytes, _at: int) -> tuple[object, int]:
    raise IndexError("unknown type")


_KNOWN: dict[int, _Decoder] = {
    0x00: _described,
    0x40: _constant(None),
    0x41: _constant(True),
    0x42: _constant(False),
    0x43: _constant(0),
    0x44: _constant(0),
    0x45: lambda _data, at: ([], at),
    0x50: _number(">B"),
    0x51: _number(">b"),
    0x52: _number(">B"),
    0x53: _number(">B"),
    0x54: _number(">b"),
    0x55: _number(">b"),
    0x56: _number(">?"),
    0x60: _number(">H"),
    0x61: _number(">h"),
    0x70: _number(">I"),
    0x71: _number(">i"),
    0x72: _number(">f"),
    0x80: _number(">Q"),
    0x81: _number(">q"),
    0x82: _number(">d"),
    0x83: _number(">q"),
    0x98: lambda data, at: (UUID(bytes=_bytes(data, at, 16)), at + 16),
    0xA0: _blob(bytes, wide=False),
    0xA1: _blob(bytes.decode, wide=False),
    0xA3: _blob(_symbol, wide=False),
    0xB0: _blob(bytes, wide=True),
    0xB1: _blob(bytes.decode, wide=True),
    0xB3: _blob(_symbol, wide=True),
    0xC0: _composite(_list_items, wide=False),
    0xC1: _composite(_map_items, wide=False),
    0xD0: _composite(_list_items, wide=True),
    0xD1: _composite(_map_items, wide=True),
    0xE0: _composite(_array_items, wide=False),
    0xF0: _composite(_array_items, wide=True),
}
_DECODERS = [_KNOWN.get(code, _unknown) for code in range(256)]
