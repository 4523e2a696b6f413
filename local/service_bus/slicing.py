"""Parts of AMQP 1.0 bytes as they came, found without decoding the rest (OASIS AMQP 1.0, part 1)."""

import struct

from local.service_bus.decoding import decode
from local.service_bus.errors import Malformed

_U32 = struct.Struct(">I")
_HEAD_SIZES = {0x45: 1, 0xC0: 3, 0xC1: 3, 0xD0: 9, 0xD1: 9}
_FIXED_SIZES = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}


def skip(data: bytes, at: int) -> int:
    """Return the offset behind the value that begins at an offset, without decoding it.

    The high half of a constructor tells the size of what follows (part 1, section 1.2).
    """
    try:
        while data[at] == 0:
            at = skip(data, at + 1)
        kind = data[at] >> 4
        if kind >= 0xA:
            end = at + 2 + data[at + 1] if kind & 1 == 0 else at + 5 + _U32.unpack_from(data, at + 1)[0]
        else:
            end = at + 1 + _FIXED_SIZES[kind]
    except (IndexError, KeyError, struct.error, RecursionError) as error:
        raise Malformed("an AMQP value ends early or has an unknown type") from error
    if end > len(data):
        raise Malformed("an AMQP value ends early")
    return int(end)


def elements(data: bytes, at: int = 0) -> list[bytes]:
    """Return the encoded elements of the list or map that begins at an offset.

    Raises:
        Malformed: No list or map begins there, or it is broken.
    """
    end, at = skip(data, at), _inside(data, at)
    found = []
    while at < end:
        behind = skip(data, at)
        found.append(data[at:behind])
        at = behind
    if found and at != end:
        raise Malformed("the last element of a list or map is longer than the whole")
    return found


def contents(data: bytes) -> bytes:
    """Return the encoded value of a described one, without its descriptor.

    Raises:
        Malformed: It has no descriptor, or a broken one.
    """
    if data[:1] != b"\x00":
        raise Malformed("expected a described value")
    return data[skip(data, 1) :]


def first(data: bytes) -> object:
    """Decode the first element of an encoded list; None when there is none.

    Raises:
        Malformed: It is no list, or the element is broken.
    """
    at = _inside(data, 0)
    return decode(data, at)[0] if at < len(data) else None


def _inside(data: bytes, at: int) -> int:
    code = data[at]
    if code not in _HEAD_SIZES:
        raise Malformed("expected a list or a map")
    return at + _HEAD_SIZES[code]


def pairs(data: bytes, at: int = 0) -> list[tuple[bytes, bytes]]:
    """Return the encoded keys and values of the map that begins at an offset.

    Raises:
        Malformed: No map begins there, or it is broken.
    """
    items = elements(data, at)
    if len(items) % 2:
        raise Malformed("a map has a key without a value")
    return list(zip(items[::2], items[1::2], strict=True))
