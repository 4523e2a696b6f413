"""Python values to AMQP 1.0 bytes (OASIS AMQP 1.0, part 1).

Every function returns bytes, so that a composite is built of encoded parts, and a part that came over the
wire can be spliced in as it was.
"""

import struct
from collections.abc import Sequence
from uuid import UUID

NULL, TRUE, FALSE, EMPTY_LIST = b"\x40", b"\x41", b"\x42", b"\x45"


def boolean(value: bool) -> bytes:
    """Encode a boolean."""
    return TRUE if value else FALSE


def ubyte(value: int) -> bytes:
    """Encode an unsigned byte."""
    return struct.pack(">BB", 0x50, value)


def ushort(value: int) -> bytes:
    """Encode an unsigned 16-bit number."""
    return struct.pack(">BH", 0x60, value)


def uint(value: int) -> bytes:
    """Encode an unsigned 32-bit number."""
    return struct.pack(">BB", 0x52, value) if value < 256 else struct.pack(">BI", 0x70, value)


def ulong(value: int) -> bytes:
    """Encode an unsigned 64-bit number."""
    return struct.pack(">BQ", 0x80, value)


def integer(value: int) -> bytes:
    """Encode a signed 32-bit number."""
    return struct.pack(">Bi", 0x71, value)


def long(value: int) -> bytes:
    """Encode a signed 64-bit number."""
    return struct.pack(">Bq", 0x81, value)


def timestamp(seconds: float) -> bytes:
    """Encode an instant, given in seconds since 1970 UTC; the wire has milliseconds."""
    return struct.pack(">Bq", 0x83, round(seconds * 1000))


def binary(value: bytes) -> bytes:
    """Encode bytes."""
    return _variable(0xA0, value)


def string(value: str) -> bytes:
    """Encode text."""
    return _variable(0xA1, value.encode())


def symbol(value: str) -> bytes:
    """Encode a symbol."""
    return _variable(0xA3, value.encode("ascii"))


def lock_token(value: bytes) -> bytes:
    """Encode a lock token, given as a delivery tag has it: the same GUID, the other way round."""
    return b"\x98" + UUID(bytes_le=value).bytes


def _variable(small: int, value: bytes) -> bytes:
    size = len(value)
    return (
        struct.pack(">BB", small, size) + value
        if size < 256
        else struct.pack(">BI", small + 16, size) + value
    )


def sequence(items: Sequence[bytes]) -> bytes:
    """Encode a list of encoded values."""
    return _compound(0xC0, len(items), b"".join(items)) if items else EMPTY_LIST


def mapping(items: Sequence[bytes]) -> bytes:
    """Encode a map of encoded keys and values, each key followed by its value."""
    return _compound(0xC1, len(items), b"".join(items))


def array(items: Sequence[bytes]) -> bytes:
    """Encode an array of encoded values, all of one type and width; there must be at least one."""
    return _compound(0xE0, len(items), items[0][:1] + b"".join(item[1:] for item in items))


def _compound(small: int, count: int, body: bytes) -> bytes:
    size = len(body)
    if size < 255 and count < 256:
        return struct.pack(">BBB", small, size + 1, count) + body
    return struct.pack(">BII", small + 16, size + 4, count) + body


def described(code: int, value: bytes) -> bytes:
    """Give an encoded value a numeric descriptor, always in the short form that the Python SDK insists on."""
    return b"\x00\x53%c%b" % (code, value)
