"""A waiting message as a line of a file, without loss, so that a person can mend it. No I/O."""

import base64
import json
from datetime import datetime

from agreements.messages import BodyKind, ParkedMessage, Place, State
from agreements.values import Value

_PLAIN = (
    "message_id",
    "content_type",
    "content_encoding",
    "correlation_id",
    "subject",
    "to",
    "reply_to",
    "session_id",
    "reply_to_session_id",
    "partition_key",
)


def to_record(message: ParkedMessage) -> dict[str, object]:
    """Return what an export holds: everything, without loss, as JSON can carry it."""
    scheduled = message.scheduled_for
    return {
        "place": str(message.place),
        "sequenceNumber": message.sequence_number,
        "enqueuedTime": message.enqueued_time.isoformat(),
        "fingerprint": message.fingerprint,
        "state": str(message.state),
        "deliveryCount": message.delivery_count,
        "scheduledFor": scheduled.isoformat() if scheduled else None,
        **{name: getattr(message, name) for name in _PLAIN},
        "bodyKind": str(message.body_kind),
        **_body(message.body),
        "properties": {name: value.record() for name, value in message.properties.items()},
    }


def _body(body: bytes) -> dict[str, str]:
    # As text where that is lossless, so that a person can mend it in an editor.
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"bodyBase64": base64.b64encode(body).decode()}


def _told(value: object) -> str | None:
    if not isinstance(value, (str, type(None))):
        raise TypeError
    return value


def from_record(line: str) -> tuple[ParkedMessage, str]:
    """Return the message that a line of an export holds, and the fingerprint of what was exported.

    Raises:
        ValueError: the line is not one of an export; the message shows nothing of it.
    """
    try:
        given = json.loads(line)
        text = given.get("body")
        scheduled = given.get("scheduledFor")
        message = ParkedMessage(
            place=Place.parse(given["place"]),
            sequence_number=int(given["sequenceNumber"]),
            enqueued_time=datetime.fromisoformat(given["enqueuedTime"]),
            state=State(given["state"]),
            delivery_count=int(given["deliveryCount"]),
            scheduled_for=datetime.fromisoformat(scheduled) if scheduled else None,
            body_kind=BodyKind(given["bodyKind"]),
            body=text.encode() if text is not None else base64.b64decode(given["bodyBase64"]),
            properties={name: Value.from_record(value) for name, value in given["properties"].items()},
            **{name: _told(given.get(name)) for name in _PLAIN},
        )
        return message, str(given["fingerprint"])
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
        raise ValueError("not a line of an export") from None
