"""What a client says became of a delivery, done to the queue."""

from collections.abc import Mapping, Sequence

from local.service_bus.decoding import Described, optional
from local.service_bus.errors import Condition, Refusal
from local.service_bus.frames import outcome
from local.service_bus.performatives import Code
from local.service_bus.queues import DESCRIPTION, REASON, Queue


def settle(queue: Queue, token: bytes, state: Described) -> bytes:
    """Settle one locked message; return the encoded outcome to echo: the one asked for, without details.

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
            if optional(fields, 2, dict):
                raise _properties_refused()
            # Undeliverable here means: only by its sequence number from now on.
            (queue.defer if optional(fields, 1, bool) else queue.abandon)(token)
        case Code.REJECTED:
            queue.dead_letter(token, *_reason(fields))
        case _:
            raise Refusal(Condition.NOT_IMPLEMENTED, f"delivery state {code} is not supported")
    return outcome(code)


def _reason(rejected: Sequence[object]) -> tuple[str | None, str | None]:
    error = optional(rejected, 0, Described)
    parts = error.value if error is not None and isinstance(error.value, list) else []
    info: Mapping[object, object] = optional(parts, 2, dict) or {}
    if info.keys() - {REASON, DESCRIPTION}:
        raise _properties_refused()
    told = [info.get(REASON), info.get(DESCRIPTION)]
    return optional(told, 0, str), optional(told, 1, str)


def _properties_refused() -> Refusal:
    return Refusal(Condition.NOT_IMPLEMENTED, "changing properties while settling is not supported")
