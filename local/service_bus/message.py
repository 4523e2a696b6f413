"""A message in transit: its sections stay the bytes that came, and the broker's own are put around them.

OASIS AMQP 1.0, part 3, section 2 has the sections.
"""

import secrets
import struct
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum, unique
from functools import lru_cache
from uuid import UUID

from local.service_bus import decoding, encoding, slicing
from local.service_bus.decoding import optional
from local.service_bus.errors import Malformed

BATCH_FORMAT = 0x80013700

# The broker alone says these; what a sender writes under them is dropped.
_BROKERS_OWN = frozenset(
    {
        "x-opt-deadletter-source",
        "x-opt-enqueue-sequence-number",
        "x-opt-enqueued-time",
        "x-opt-lock-token",
        "x-opt-locked-until",
        "x-opt-message-state",
        "x-opt-sequence-number",
    }
)
_SCHEDULED = "x-opt-scheduled-enqueue-time"


@unique
class Section(IntEnum):
    """The numeric descriptors of a message's sections."""

    HEADER = 0x70
    DELIVERY_ANNOTATIONS = 0x71
    ANNOTATIONS = 0x72
    PROPERTIES = 0x73
    APPLICATION_PROPERTIES = 0x74
    DATA = 0x75
    SEQUENCE = 0x76
    VALUE = 0x77
    FOOTER = 0x78


@dataclass(frozen=True, slots=True)
class Message:
    """One message as the broker stores it.

    Attributes:
        header: Durable, priority and time-to-live, encoded.
        annotations: Keys and values of the sender's annotations, encoded.
        bare: Properties, application properties, body and footer: the sections as they came.
        message_id: The sender's, else 32 hex digits; of whatever type the sender chose.
        time_to_live: Seconds, or None for no limit of the sender's own.
        scheduled_for: When to enqueue it, in seconds since 1970 UTC, or None for at once.
    """

    header: bytes
    annotations: Sequence[bytes]
    bare: bytes
    message_id: object
    time_to_live: float | None
    scheduled_for: float | None

    @classmethod
    def parse(cls, payload: bytes) -> "Message":
        """Take the payload of a transfer apart.

        Raises:
            Malformed: The payload is not a sequence of message sections.
        """
        header = properties = encoding.EMPTY_LIST
        annotations: list[bytes] = []
        scheduled_for = None
        bare = []
        for code, value, section in sections(payload):
            if code == Section.HEADER:
                header = value
            elif code == Section.ANNOTATIONS:
                annotations, scheduled_for = _senders_annotations(value)
            elif code == Section.PROPERTIES:
                properties = value
            elif code != Section.DELIVERY_ANNOTATIONS:
                _check_properties(code, value)
                bare.append(section)
        properties, message_id = _with_message_id(properties)
        header, time_to_live = _senders_header(header)
        return cls(
            header=header,
            annotations=annotations,
            bare=properties + b"".join(bare),
            message_id=message_id,
            time_to_live=time_to_live,
            scheduled_for=scheduled_for,
        )

    @property
    def size(self) -> int:
        """Bytes that count against the size limit."""
        return len(self.bare) + sum(map(len, self.annotations))

    def with_properties(self, added: Mapping[str, bytes]) -> "Message":
        """Return a copy with encoded application properties added or replaced, the others as they came."""
        pieces = list(sections(self.bare))
        kept = _application_properties(pieces, without=added.keys())
        items = kept + [part for key, value in added.items() for part in (encoding.string(key), value)]
        mapping = encoding.described(Section.APPLICATION_PROPERTIES, encoding.mapping(items))
        head = [section for code, _, section in pieces if code == Section.PROPERTIES]
        body = [section for code, _, section in pieces if code > Section.APPLICATION_PROPERTIES]
        return replace(self, bare=b"".join([*head, mapping, *body]))

    def render(self, delivery_count: int, annotations: Sequence[bytes]) -> bytes:
        """Return the payload of a delivery.

        Args:
            delivery_count: How many deliveries failed before this one.
            annotations: The broker's own, encoded, each key followed by its value.
        """
        fields = self.header + encoding.FALSE + encoding.uint(delivery_count)
        head = struct.pack(">3sBBB", b"\x00\x53\x70", 0xC0, len(fields) + 1, 5)
        noted = encoding.mapping([*annotations, *self.annotations])
        return b"".join((head, fields, b"\x00\x53\x72", noted, self.bare))


def sections(payload: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield each section of a payload: its code, its encoded value, and the section whole.

    Raises:
        Malformed: The payload is not a sequence of message sections.
    """
    at, size = 0, len(payload)
    while at < size:
        if payload[at : at + 2] != b"\x00\x53" or size < at + 3:
            raise Malformed("a message section has no numeric descriptor")
        if not Section.HEADER <= payload[at + 2] <= Section.FOOTER:
            raise Malformed("a message has a section of an unknown kind")
        end = slicing.skip(payload, at + 3)
        yield payload[at + 2], payload[at + 3 : end], payload[at:end]
        at = end


def messages(payload: bytes, message_format: int) -> list[Message]:
    """Return the messages of a transfer: many for a batch, which has one encoded message per data section."""
    if message_format != BATCH_FORMAT:
        return [Message.parse(payload)]
    return [Message.parse(_binary(value)) for code, value, _ in sections(payload) if code == Section.DATA]


def _binary(encoded: bytes) -> bytes:
    value, _ = decoding.decode(encoded)
    if not isinstance(value, bytes):
        raise Malformed("a data section does not hold bytes")
    return value


@lru_cache(maxsize=64)  # a client sends the same few headers again and again
def _senders_header(value: bytes) -> tuple[bytes, float | None]:
    fields = slicing.elements(value)[:3]
    fields += [encoding.NULL] * (3 - len(fields))
    milliseconds = optional([decoding.decode(fields[2])[0]], 0, int)
    return b"".join(fields), None if milliseconds is None else milliseconds / 1000


def _senders_annotations(value: bytes) -> tuple[list[bytes], float | None]:
    kept: list[bytes] = []
    scheduled_for = None
    for key, item in slicing.pairs(value):
        name, _ = decoding.decode(key)
        if not isinstance(name, str | int):
            raise Malformed("the name of an annotation is neither text nor a number")
        if name in _BROKERS_OWN:
            continue
        kept += (key, item)
        if name == _SCHEDULED:
            milliseconds = optional([decoding.decode(item)[0]], 0, int)
            scheduled_for = None if milliseconds is None else milliseconds / 1000
    return kept, scheduled_for


def _check_properties(code: int, value: bytes) -> None:
    # Now rather than when the broker must add its own while dead-lettering.
    if code == Section.APPLICATION_PROPERTIES and not isinstance(decoding.decode(value)[0], dict):
        raise Malformed("application properties are not a map")


def _with_message_id(properties: bytes) -> tuple[bytes, object]:
    message_id = slicing.first(properties)
    if message_id is None:
        message_id = secrets.token_hex(16)
        others = slicing.elements(properties)[1:]
        properties = encoding.sequence([encoding.string(message_id), *others])
    elif not isinstance(message_id, str | bytes | int | UUID):
        raise Malformed("a message id is text, bytes, a number or a UUID")
    return encoding.described(Section.PROPERTIES, properties), message_id


def _application_properties(
    pieces: Sequence[tuple[int, bytes, bytes]], *, without: Container[str]
) -> list[bytes]:
    for code, value, _ in pieces:
        if code == Section.APPLICATION_PROPERTIES:
            kept = (pair for pair in slicing.pairs(value) if decoding.decode(pair[0])[0] not in without)
            return [part for pair in kept for part in pair]
    return []
