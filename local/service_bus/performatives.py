"""What clients say: the performatives of AMQP 1.0, as far as the broker uses them (part 2, section 2.7)."""

from collections.abc import Sequence
from enum import IntEnum, unique
from typing import NamedTuple

from local.service_bus import decoding, encoding, slicing
from local.service_bus.decoding import optional, required
from local.service_bus.errors import Malformed


@unique
class Code(IntEnum):
    """The numeric descriptors of performatives and outcomes."""

    OPEN = 0x10
    BEGIN = 0x11
    ATTACH = 0x12
    FLOW = 0x13
    TRANSFER = 0x14
    DISPOSITION = 0x15
    DETACH = 0x16
    END = 0x17
    CLOSE = 0x18
    ACCEPTED = 0x24
    REJECTED = 0x25
    RELEASED = 0x26
    MODIFIED = 0x27
    SASL_MECHANISMS = 0x40
    SASL_INIT = 0x41
    SASL_OUTCOME = 0x44


class Attach(NamedTuple):
    """A client's wish for a link; `source`, `target` and `properties` also as they came, to be echoed."""

    name: str
    handle: int
    client_receives: bool
    settles_at_once: bool
    settle_modes: tuple[bytes, bytes]
    source: Sequence[object]
    target: Sequence[object]
    target_code: object
    raw_source: bytes
    raw_target: bytes
    raw_properties: bytes

    @classmethod
    def read(cls, body: bytes) -> "Attach":
        """Read the performative, descriptor included."""
        raw = slicing.elements(body, 3)
        raw += [encoding.NULL] * (14 - len(raw))
        fields = [decoding.decode(value)[0] for value in raw]
        target_code, target = _terminus(fields, 6)
        return cls(
            name=required(fields, 0, str),
            handle=required(fields, 1, int),
            client_receives=required(fields, 2, bool),
            settles_at_once=fields[3] == 1,
            settle_modes=(raw[3], raw[4]),
            source=_terminus(fields, 5)[1],
            target=target,
            target_code=target_code,
            raw_source=raw[5],
            raw_target=raw[6],
            raw_properties=raw[13],
        )


def _terminus(fields: Sequence[object], index: int) -> tuple[object, Sequence[object]]:
    terminus = optional(fields, index, decoding.Described)
    if terminus is None:
        return None, []
    if not isinstance(terminus.value, list):
        raise Malformed("a source or target is not a list")
    return terminus.descriptor, terminus.value


class Flow(NamedTuple):
    """What a client can take: transfers on the session and, with a handle, deliveries on a link."""

    next_incoming_id: int
    incoming_window: int
    handle: int | None
    delivery_count: int
    link_credit: int
    drain: bool
    echo: bool

    @classmethod
    def read(cls, fields: Sequence[object]) -> "Flow":
        """Read the decoded fields."""
        return cls(
            next_incoming_id=optional(fields, 0, int) or 0,
            incoming_window=required(fields, 1, int),
            handle=optional(fields, 4, int),
            delivery_count=optional(fields, 5, int) or 0,
            link_credit=optional(fields, 6, int) or 0,
            drain=optional(fields, 8, bool) or False,
            echo=optional(fields, 9, bool) or False,
        )


class Transfer(NamedTuple):
    """One frame of a delivery."""

    handle: int
    delivery_id: int | None
    message_format: int
    settled: bool
    more: bool
    aborted: bool
    payload: bytes

    @classmethod
    def read(cls, fields: Sequence[object], payload: bytes) -> "Transfer":
        """Read the decoded fields; what follows them in the frame is the payload."""
        return cls(
            handle=required(fields, 0, int),
            delivery_id=optional(fields, 1, int),
            message_format=optional(fields, 3, int) or 0,
            settled=optional(fields, 4, bool) or False,
            more=optional(fields, 5, bool) or False,
            aborted=optional(fields, 9, bool) or False,
            payload=payload,
        )


class Disposition(NamedTuple):
    """What became of a range of deliveries, both ends included; a state with details also as it came."""

    by_receiver: bool
    first: int
    last: int
    settled: bool
    state: decoding.Described | None
    raw_state: bytes

    @classmethod
    def read(cls, fields: Sequence[object], body: bytes) -> "Disposition":
        """Read the decoded fields of a frame's body."""
        first = required(fields, 1, int)
        last = optional(fields, 2, int)
        state = optional(fields, 4, decoding.Described)
        return cls(
            by_receiver=required(fields, 0, bool),
            first=first,
            last=first if last is None else last,
            settled=optional(fields, 3, bool) or False,
            state=state,
            raw_state=slicing.elements(body, 3)[4] if state is not None and state.value else b"",
        )
