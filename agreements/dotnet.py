"""The wrapper that .NET's DataContractSerializer puts around a string or bytes: a document of binary XML.

``BrokeredMessage(string)`` of the old Service Bus SDK sends it, and so do tools that were built on that. Only
what such a document consists of is read ([MC-NBFX], sections 2.2 and 2.3): one element, its namespace, text.
"""

_NAMESPACE = b"http://schemas.microsoft.com/2003/10/Serialization/"
_STARTS = tuple(
    b"@" + bytes([len(name)]) + name + b"\x08" + bytes([len(_NAMESPACE)]) + _NAMESPACE
    for name in (b"string", b"base64Binary")
)
# Text records by type: the bytes of their length. One more than each is the same with the end of the element.
_CHARS = {0x98: 1, 0x9A: 2, 0x9C: 4}
_BYTES = {0x9E: 1, 0xA0: 2, 0xA2: 4}
_SIZES = _CHARS | _BYTES
_END = 0x01


def unwrapped(body: bytes) -> bytes:
    """Return what the wrapper holds; a body without one, or with a broken one, as it is."""
    start = next((start for start in _STARTS if body.startswith(start)), None)
    if start is None:
        return body
    text = _texts(body[len(start) :])
    return body if text is None else text


def _texts(records: bytes) -> bytes | None:
    found = bytearray()
    at = 0
    while at < len(records):
        kind = records[at]
        if kind == _END:
            return bytes(found)
        size = _SIZES.get(kind & ~1)
        if size is None:
            return None
        begins = at + 1 + size
        at = begins + int.from_bytes(records[at + 1 : begins], "little")
        found += records[begins:at]
        if at > len(records):
            return None
        if kind & 1:
            return bytes(found)
    return None
