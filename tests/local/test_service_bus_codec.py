from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.service_bus import decoding, encoding, slicing
from local.service_bus.errors import Malformed
from local.service_bus.message import BATCH_FORMAT, Message, Section, messages, sections

SIZES = [0, 1, 254, 255, 256, 70000]


@pytest.mark.parametrize("size", SIZES)
def test_blobs_survive(size: int) -> None:
    """Bytes and text of any length come back as they went, whatever width their size needs."""
    assert decoding.decode(encoding.binary(b"x" * size))[0] == b"x" * size
    assert decoding.decode(encoding.string("ü" * size))[0] == "ü" * size


@pytest.mark.parametrize("count", SIZES[:-1])
def test_lists_and_maps_survive(count: int) -> None:
    """Lists and maps of any length come back in order."""
    numbers = [encoding.uint(number) for number in range(count)]
    assert decoding.decode(encoding.sequence(numbers))[0] == list(range(count))
    items = [part for number in numbers for part in (number, encoding.TRUE)]
    assert decoding.decode(encoding.mapping(items))[0] == dict.fromkeys(range(count), True)


def test_scalars_survive() -> None:
    """Every scalar type that the broker writes can be read back."""
    when = datetime(2026, 11, 21, tzinfo=UTC).timestamp()
    values = [
        (encoding.NULL, None),
        (encoding.boolean(False), False),
        (encoding.ubyte(7), 7),
        (encoding.ushort(65535), 65535),
        (encoding.uint(255), 255),
        (encoding.uint(2**32 - 1), 2**32 - 1),
        (encoding.ulong(2**64 - 1), 2**64 - 1),
        (encoding.integer(-1), -1),
        (encoding.long(-(2**63)), -(2**63)),
        (encoding.timestamp(when), when * 1000),
        (encoding.symbol("amqp:x"), "amqp:x"),
        (encoding.array([encoding.long(1), encoding.long(-2)]), [1, -2]),
        (encoding.described(0x24, encoding.EMPTY_LIST), decoding.Described(0x24, [])),
        (b"\x98" + bytes(range(16)), UUID(bytes=bytes(range(16)))),
    ]
    for encoded, value in values:
        assert decoding.decode(encoded) == (value, len(encoded))
        assert slicing.skip(encoded, 0) == len(encoded)


@given(st.binary(max_size=200))
def test_broken_bytes_raise_one_error(data: bytes) -> None:
    """Whatever the bytes, decoding gives a value or `Malformed`, and skipping agrees with decoding."""
    try:
        _, end = decoding.decode(data)
    except Malformed:
        return
    assert slicing.skip(data, 0) == end


@given(
    st.lists(st.sampled_from([0x00, 0x53, 0x70, 0x73, 0x75, 0xC0, 0xD1, 0x45, 0xA0, 0x05, 0x40]), max_size=40)
)
def test_broken_messages_raise_one_error(data: list[int]) -> None:
    """Whatever the payload, parsing gives a message or `Malformed`."""
    try:
        message = Message.parse(bytes(data))
    except Malformed:
        return
    assert list(sections(message.render(0, [])))


def test_an_annotation_without_a_proper_name_is_refused() -> None:
    """A name that is a list is refused as such, rather than ending the connection as a bug."""
    annotations = encoding.mapping([encoding.EMPTY_LIST, encoding.TRUE])
    with pytest.raises(Malformed, match="annotation"):
        Message.parse(encoding.described(Section.ANNOTATIONS, annotations))


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 5000,
        b"\xc0\x01\xff",
        b"\xd0\x00\x00\x00\x04\xff\xff\xff\xff",
        b"\xf0\x00\x00\x00\x05\xff\xff\xff\xff\x40",
        b"\xc1\x03\x01\x40",
        b"\x3f",
    ],
    ids=["too deep", "list too long", "count of four billion", "array of nothing", "odd map", "unknown type"],
)
def test_hostile_bytes_are_refused(data: bytes) -> None:
    """Sizes and counts that lie cost neither memory nor the process."""
    with pytest.raises(Malformed):
        decoding.decode(data)


def _section(code: Section, value: bytes) -> bytes:
    return encoding.described(code, value)


def test_a_message_keeps_its_sections_as_they_came() -> None:
    """Properties, application properties, body and footer stay the same bytes, odd encodings included."""
    properties = _section(Section.PROPERTIES, b"\xd0\x00\x00\x00\x08\x00\x00\x00\x01\xa1\x02id")
    rest = (
        _section(Section.APPLICATION_PROPERTIES, encoding.mapping([encoding.string("a"), b"\x80" + bytes(8)]))
        + _section(Section.DATA, encoding.binary(b"body"))
        + _section(Section.FOOTER, encoding.mapping([]))
    )
    message = Message.parse(_section(Section.DELIVERY_ANNOTATIONS, encoding.mapping([])) + properties + rest)
    assert message.message_id == "id"
    assert message.bare.endswith(rest)
    assert message.render(3, []).endswith(message.bare)


def test_a_message_without_an_id_gets_one() -> None:
    """A missing message id is assigned, and the other properties stay."""
    fields = encoding.sequence([encoding.NULL, encoding.NULL, encoding.string("to")])
    message = Message.parse(
        _section(Section.PROPERTIES, fields) + _section(Section.DATA, encoding.binary(b""))
    )
    assert isinstance(message.message_id, str)
    assert len(message.message_id) == 32
    properties = {code: value for code, value, _ in sections(message.bare)}[Section.PROPERTIES]
    assert decoding.decode(properties)[0] == [message.message_id, None, "to"]


def test_the_brokers_annotations_are_the_brokers() -> None:
    """A sender cannot forge the annotations of the broker; its own are kept."""
    annotations = [encoding.symbol("x-opt-sequence-number"), encoding.long(99)]
    annotations += [encoding.symbol("x-opt-partition-key"), encoding.string("p")]
    payload = _section(Section.ANNOTATIONS, encoding.mapping(annotations))
    message = Message.parse(payload + _section(Section.DATA, encoding.binary(b"")))
    assert message.annotations == annotations[2:]


def test_properties_are_added_beside_the_others() -> None:
    """Added application properties replace those of the same name; foreign ones keep their encoding."""
    long_zero = b"\x81" + bytes(8)
    kept = [encoding.string("n"), long_zero, encoding.string("DeadLetterReason"), encoding.string("old")]
    payload = _section(Section.APPLICATION_PROPERTIES, encoding.mapping(kept))
    message = Message.parse(payload + _section(Section.DATA, encoding.binary(b"body")))
    changed = message.with_properties({"DeadLetterReason": encoding.string("new")})
    raw = {code: value for code, value, _ in sections(changed.bare)}
    assert decoding.decode(raw[Section.APPLICATION_PROPERTIES])[0] == {"n": 0, "DeadLetterReason": "new"}
    assert long_zero in changed.bare
    assert raw[Section.DATA] == encoding.binary(b"body")


def test_a_batch_is_many_messages() -> None:
    """Each data section of a batch is one message; a lone message that looks like one is not taken apart."""
    inner = _section(Section.DATA, encoding.binary(b"one"))
    payload = _section(Section.DATA, encoding.binary(inner)) * 2
    assert len(messages(payload, BATCH_FORMAT)) == 2
    assert len(messages(payload, 0)) == 1


def test_broken_properties_are_refused_at_once() -> None:
    """Application properties that are no map are refused on arrival, not when the broker must add to them."""
    with pytest.raises(Malformed):
        Message.parse(_section(Section.APPLICATION_PROPERTIES, encoding.mapping([encoding.string("key")])))
    with pytest.raises(Malformed):
        Message.parse(_section(Section.APPLICATION_PROPERTIES, encoding.EMPTY_LIST))
