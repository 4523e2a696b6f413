"""The frames that the broker sends (OASIS AMQP 1.0, parts 2 and 5)."""

import struct

from local.service_bus import encoding
from local.service_bus.errors import Refusal
from local.service_bus.performatives import Attach, Code

SASL_HEADER = b"AMQP\x03\x01\x00\x00"
AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
HEARTBEAT = bytes.fromhex("0000000802000000")
MAX_FRAME_SIZE = 65536
WINDOW = 0x7FFFFFFF
HIGHEST_CHANNEL = 4999
HIGHEST_HANDLE = 255


def frame(channel: int, body: bytes, *, sasl: bool = False) -> bytes:
    """Put a body into a frame."""
    return struct.pack(">IBBH", len(body) + 8, 2, sasl, channel) + body


def error(refusal: Refusal) -> bytes:
    """Encode an error, always with all three fields: the Python SDK reads the third without looking."""
    # The SDK shows the description; 1,000 characters keep any error inside one frame.
    fields = [encoding.symbol(refusal.condition), encoding.string(refusal.description[:1000]), encoding.NULL]
    return encoding.described(0x1D, encoding.sequence(fields))


def sasl_mechanisms() -> bytes:
    """Offer the mechanisms that Service Bus offers."""
    names = [encoding.symbol(name) for name in ("MSSBCBS", "ANONYMOUS", "PLAIN", "EXTERNAL")]
    return encoding.described(Code.SASL_MECHANISMS, encoding.sequence([encoding.array(names)]))


def sasl_outcome(*, welcome: bool) -> bytes:
    """Let the client in, or not."""
    return encoding.described(Code.SASL_OUTCOME, encoding.sequence([encoding.ubyte(not welcome)]))


def open_(container: str, idle_timeout: float) -> bytes:
    """Open the connection from the broker's side, and ask for heartbeats within so many seconds."""
    fields = [
        encoding.string(container),
        encoding.NULL,
        encoding.uint(MAX_FRAME_SIZE),
        encoding.ushort(HIGHEST_CHANNEL),
        encoding.uint(round(idle_timeout * 1000)),
    ]
    return encoding.described(Code.OPEN, encoding.sequence(fields))


def begin(remote_channel: int) -> bytes:
    """Answer a begin."""
    fields = [
        encoding.ushort(remote_channel),
        encoding.uint(0),
        encoding.uint(WINDOW),
        encoding.uint(WINDOW),
        encoding.uint(HIGHEST_HANDLE),
    ]
    return encoding.described(Code.BEGIN, encoding.sequence(fields))


def attached(attach: Attach, *, max_message_size: int) -> bytes:
    """Accept a link as the client described it."""
    termini = [attach.raw_source, attach.raw_target]
    return _attach(attach, termini, encoding.ulong(max_message_size), attach.raw_properties)


def unattached(attach: Attach) -> bytes:
    """Begin to refuse a link; a detach with the reason must follow at once."""
    return _attach(attach, [encoding.NULL, encoding.NULL], encoding.NULL, encoding.NULL)


def _attach(attach: Attach, termini: list[bytes], max_message_size: bytes, properties: bytes) -> bytes:
    role = encoding.boolean(not attach.client_receives)
    initial_delivery_count = encoding.uint(0) if attach.client_receives else encoding.NULL
    head = [encoding.string(attach.name), encoding.uint(attach.handle), role, *attach.settle_modes, *termini]
    rest = [
        encoding.NULL,
        encoding.NULL,
        initial_delivery_count,
        max_message_size,
        encoding.NULL,
        encoding.NULL,
        properties,
    ]
    return encoding.described(Code.ATTACH, encoding.sequence(head + rest))


def flow(session: tuple[int, int], link: tuple[int, int, int] | None = None, *, drain: bool = False) -> bytes:
    """Tell the session's next incoming and outgoing ids; of a link handle, delivery count and credit."""
    fields = [
        encoding.uint(session[0]),
        encoding.uint(WINDOW),
        encoding.uint(session[1]),
        encoding.uint(WINDOW),
    ]
    if link is not None:
        fields += [*map(encoding.uint, link), encoding.NULL, encoding.boolean(drain)]
    return encoding.described(Code.FLOW, encoding.sequence(fields))


def transfer(handle: int, delivery_id: int, tag: bytes, *, settled: bool, more: bool) -> bytes:
    """Begin a transfer frame; the payload follows."""
    fields = [encoding.uint(handle), encoding.uint(delivery_id), encoding.binary(tag), encoding.uint(0)]
    return encoding.described(
        Code.TRANSFER, encoding.sequence([*fields, encoding.boolean(settled), encoding.boolean(more)])
    )


def disposition(delivery_id: int, state: bytes, *, by_receiver: bool) -> bytes:
    """Settle one delivery."""
    number = encoding.uint(delivery_id)
    return encoding.described(
        Code.DISPOSITION,
        encoding.sequence([encoding.boolean(by_receiver), number, number, encoding.TRUE, state]),
    )


def rejected(refusal: Refusal) -> bytes:
    """Encode the outcome of a delivery that is refused."""
    return encoding.described(Code.REJECTED, encoding.sequence([error(refusal)]))


def outcome(code: int) -> bytes:
    """Encode an outcome without details, as the echo of a settlement must be."""
    return encoding.described(code, encoding.EMPTY_LIST)


def detach(handle: int, refusal: Refusal | None = None) -> bytes:
    """Close a link, with the reason if the broker is the one who ends it."""
    reason = [error(refusal)] if refusal else []
    return encoding.described(Code.DETACH, encoding.sequence([encoding.uint(handle), encoding.TRUE, *reason]))


def end() -> bytes:
    """Answer an end."""
    return encoding.described(Code.END, encoding.EMPTY_LIST)


def close(refusal: Refusal | None = None) -> bytes:
    """Close the connection, with the reason if the broker is the one who ends it."""
    return encoding.described(Code.CLOSE, encoding.sequence([error(refusal)] if refusal else []))
