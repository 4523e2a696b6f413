"""What a client says became of a delivery, done to the queue."""

from collections.abc import Mapping, Sequence

from local.service_bus import decoding, slicing
from local.service_bus.decoding import Described, optional
from local.service_bus.errors import Condition, Malformed, Refusal
from local.service_bus.frames import outcome
from local.service_bus.performatives import Code
from local.service_bus.queues import DESCRIPTION, NO_CHANGES, REASON, Changes, Queue

# Constructors of lists, maps and arrays; a described value begins with 0.
_COMPOSITE = frozenset({0x00, 0x45, 0xC0, 0xC1, 0xD0, 0xD1, 0xE0, 0xF0})


def settle(queue: Queue, token: bytes, state: Described, raw: bytes) -> bytes:
    """Settle one locked message; return the encoded outcome to echo: the one asked for, without details.

    Args:
        queue: Where the message is.
        token: Of its lock.
        state: What is to become of it.
        raw: The same, encoded, for the properties to change; empty when it has no details.

    Raises:
        Refusal: The lock is lost, or the broker does not offer this way of settling.
    """
    fields = state.value if isinstance(state.value, list) else []
    code = optional([state.descriptor], 0, int)
    match code:
        case Code.ACCEPTED:
            queue.complete(token)
        case Code.RELEASED:
            queue.release(token)
        case Code.MODIFIED:
            # Undeliverable here means: only by its sequence number from now on.
            way = queue.defer if optional(fields, 1, bool) else queue.abandon
            way(token, _modified(fields, raw))
        case Code.REJECTED:
            info, changes = _rejected(fields, raw)
            told = [info.get(REASON), info.get(DESCRIPTION)]
            queue.dead_letter(token, optional(told, 0, str), optional(told, 1, str), changes)
        case _:
            raise Refusal(Condition.NOT_IMPLEMENTED, f"delivery state {code} is not supported")
    return outcome(code)


def changes(encoded: bytes) -> Changes:
    """Return the properties to change that an encoded map tells; null is none.

    Raises:
        Refusal: A name is no text, or a value is none that an application property may have.
    """
    if encoded[:1] == b"\x40":
        return NO_CHANGES
    return {_name(key): _simple(value) for key, value in slicing.pairs(encoded)}


def _modified(fields: Sequence[object], raw: bytes) -> Changes:
    if not optional(fields, 2, dict):
        return NO_CHANGES
    return changes(slicing.elements(slicing.contents(raw))[2])


def _rejected(fields: Sequence[object], raw: bytes) -> tuple[Mapping[object, object], Changes]:
    error = optional(fields, 0, Described)
    parts = error.value if error is not None and isinstance(error.value, list) else []
    info = optional(parts, 2, dict)
    if not info:
        return {}, NO_CHANGES
    told = slicing.contents(slicing.elements(slicing.contents(raw))[0])
    found = changes(slicing.elements(told)[2])
    return info, {name: value for name, value in found.items() if name not in (REASON, DESCRIPTION)}


def _name(encoded: bytes) -> str:
    name, _ = decoding.decode(encoded)
    if not isinstance(name, str):
        raise Malformed("the name of a property is not text")
    return name


def _simple(encoded: bytes) -> bytes:
    if encoded[0] in _COMPOSITE:
        raise Refusal(Condition.ARGUMENT_ERROR, "a property to change is a list or a map")
    return encoded
