"""The ids that make a repeat harmless: each is derived, so that doing a thing again names it the same."""

import json
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID, uuid5

_NAMESPACE = UUID("6f0a4f0e-6a44-4e0c-9d55-2f9a1f7a5c11")


def position(queue: str, sequence_number: int, enqueued_time: datetime) -> str:
    """Return what names one broker message: queue, sequence number and enqueued time (UTC, milliseconds).

    The time tells apart messages of a queue that was deleted and made anew, whose numbers start again.
    """
    at = enqueued_time.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    return f"{queue}/{sequence_number}/{at}Z"


@lru_cache(maxsize=256)  # asked for by the call, the log line and the copy
def request_id(origin: str, attempt: int) -> UUID:
    """Return the MS-RequestId of an attempt (1, 2, …): the API's idempotency key."""
    return uuid5(_NAMESPACE, f"request/{origin}/{attempt}")


def correlation_id(origin: str, given: str | None) -> UUID:
    """Return the MS-CorrelationId: the message's own if it is a GUID, else one derived from its origin."""
    try:
        return UUID(given)
    except (TypeError, ValueError):
        return uuid5(_NAMESPACE, f"correlation/{origin}")


def parked_message_id(origin: str, queue: str) -> str:
    """Return the MessageId of the copy that is parked in a queue: an event is parked there once."""
    return str(uuid5(_NAMESPACE, f"parked/{origin}/{queue}"))


def retry_message_id(message: str) -> str:
    """Return the MessageId of the retry that follows one broker message, named by its position.

    Not derived from the attempt: a delivery that met a closed gate comes back without counting one, and a
    second copy under the id of the first would be dropped as a duplicate, and the event with it.
    """
    return str(uuid5(_NAMESPACE, f"retry/{message}"))


def replay_message_id(message: str) -> str:
    """Return the MessageId of the copy that replays one message, named by its position."""
    return str(uuid5(_NAMESPACE, f"replay/{message}"))


def acceptance_event_id(*canonical: str | None) -> UUID:
    """Return the id of an event that is published from a file: in any file the same for the same."""
    return uuid5(_NAMESPACE, f"acceptance/{json.dumps(canonical)}")


def outcome_event_id(origin: str, what: str) -> UUID:
    """Return the id of the outcome event that tells ``what`` became of an event: it is told once."""
    return uuid5(_NAMESPACE, f"outcome/{origin}/{what}")
