"""A received message in the form in which the host hands it to a worker.

What is here and what is not is the Service Bus extension's choice
(``ServiceBusTriggerBindingStrategy`` in azure-sdk-for-net): no time to live, no lock expiry, no scheduled
time, no state, and a dead-letter reason only as an application property. Its six host objects are left out.
"""

import base64
import json
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.amqp import AmqpMessageBodyType

from local.functions_host.protocol import TypedData

_NEVER = "9999-12-31T23:59:59.9999999"  # .NET's DateTimeOffset.MaxValue


class BindingError(Exception):
    """The message cannot become the value that the function's parameter asks for."""


def body(message: ServiceBusReceivedMessage) -> TypedData:
    """Give the body's exact bytes.

    Raises:
        BindingError: The body is an AMQP value or sequence; the real host cannot bind these as bytes either.
    """
    if message.body_type is not AmqpMessageBodyType.DATA:
        raise BindingError(f"an AMQP {message.body_type.name.lower()} body cannot be bound as binary data")
    return TypedData("bytes", b"".join(message.body))


def trigger_metadata(message: ServiceBusReceivedMessage) -> dict[str, TypedData]:
    """Give everything else that travels with a message, null values left out.

    The SDK does not tell AMQP binaries from strings, nor timestamps from numbers, in application properties:
    bytes that are not UTF-8 come out as base64, as the real host writes byte arrays, and a timestamp stays a
    number of milliseconds.
    """
    return _texts(message) | _others(message)


def application_properties(message: ServiceBusReceivedMessage) -> dict[str, object]:
    """Give the application properties under their names as text, with values that JSON has."""
    return {
        str(_plain(name)): _plain(value) for name, value in (message.application_properties or {}).items()
    }


def _texts(message: ServiceBusReceivedMessage) -> dict[str, TypedData]:
    annotations = message.raw_amqp_message.annotations or {}
    texts = {
        "ContentType": message.content_type,
        "CorrelationId": message.correlation_id,
        "DeadLetterSource": message.dead_letter_source,
        "Label": message.subject,
        "LockToken": message.lock_token,
        "MessageId": message.message_id,
        "PartitionKey": message.partition_key,
        "ReplyTo": message.reply_to,
        "ReplyToSessionId": message.reply_to_session_id,
        "SessionId": message.session_id,
        "Subject": message.subject,
        "To": message.to,
        "TransactionPartitionKey": annotations.get(b"x-opt-via-partition-key"),
    }
    return {
        name: TypedData("string", str(_plain(value))) for name, value in texts.items() if value is not None
    }


def _others(message: ServiceBusReceivedMessage) -> dict[str, TypedData]:
    properties = application_properties(message)
    enqueued = _clock(message.enqueued_time_utc)
    expires = _clock(message.expires_at_utc) or _NEVER
    others = {
        "ApplicationProperties": properties,
        # The wire counts the deliveries before this one; .NET counts this one too.
        "DeliveryCount": (message.delivery_count or 0) + 1,
        "EnqueuedTime": enqueued and f"{enqueued}+00:00",
        "EnqueuedTimeUtc": enqueued and f"{enqueued}Z",
        "ExpiresAt": f"{expires}+00:00",
        "ExpiresAtUtc": f"{expires}Z",
        "SequenceNumber": message.sequence_number,
        "UserProperties": properties,
    }
    return {name: TypedData("json", json.dumps(value)) for name, value in others.items() if value is not None}


def _plain(value: object) -> object:
    """Make an AMQP value one that JSON has."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    return str(value) if isinstance(value, UUID | Decimal) else value


def _clock(time: datetime | None) -> str | None:
    """Write a UTC time with the seven digits of .NET's ticks and no zone."""
    return f"{time:%Y-%m-%dT%H:%M:%S.%f}0" if time else None
