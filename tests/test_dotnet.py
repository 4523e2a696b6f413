import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agreements import dotnet

NAMESPACE = b"http://schemas.microsoft.com/2003/10/Serialization/"
EVENT = json.dumps({"name": "Zoë"}, ensure_ascii=False).encode()


def wrapped(records: bytes, name: bytes = b"string") -> bytes:
    """Wrap text records as the serializer does: an element, its default namespace, the text."""
    return b"@" + bytes([len(name)]) + name + b"\x08" + bytes([len(NAMESPACE)]) + NAMESPACE + records


def record(kind: int, size: int, text: bytes) -> bytes:
    return bytes([kind]) + len(text).to_bytes(size, "little") + text


@pytest.mark.parametrize(
    "body",
    [
        wrapped(record(0x99, 1, EVENT)),
        wrapped(record(0x9B, 2, EVENT)),
        wrapped(record(0x9D, 4, EVENT)),
        wrapped(record(0x98, 1, EVENT) + b"\x01"),
        wrapped(record(0x98, 1, EVENT[:5]) + record(0x9A, 2, EVENT[5:]) + b"\x01"),
        wrapped(record(0x98, 1, EVENT[:5]) + record(0x99, 1, EVENT[5:])),
        wrapped(record(0x9F, 1, EVENT), b"base64Binary"),
        wrapped(record(0xA1, 2, EVENT), b"base64Binary"),
    ],
    ids=["chars-8", "chars-16", "chars-32", "end", "in-parts", "last-part", "bytes-8", "bytes-16"],
)
def test_what_a_wrapper_holds_comes_out_byte_for_byte(body: bytes) -> None:
    """Text and bytes come out as they went in, whatever the size of their lengths and in how many pieces."""
    assert dotnet.unwrapped(body) == EVENT


@pytest.mark.parametrize(
    "body",
    [
        b"",
        EVENT,
        wrapped(b""),
        wrapped(record(0x98, 1, EVENT)),
        wrapped(b"\x99\xff" + EVENT),
        wrapped(b"\x9b\xff"),
        wrapped(b"\x41" + EVENT),
        wrapped(record(0x99, 1, EVENT), b"int"),
    ],
    ids=["empty", "plain", "no-text", "no-end", "too-short", "no-length", "unknown-record", "other-element"],
)
def test_what_is_no_whole_wrapper_is_left_alone(body: bytes) -> None:
    """A body without a wrapper, or with a broken one, goes on as it came: nothing is cut off it."""
    assert dotnet.unwrapped(body) == body


@given(st.binary(max_size=300))
def test_any_bytes_in_a_wrapper_are_survived(records: bytes) -> None:
    """Whatever follows the beginning of a wrapper, bytes come out and nothing goes up."""
    assert isinstance(dotnet.unwrapped(wrapped(records)), bytes)
