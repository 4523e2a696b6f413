"""What the broker refuses, under the conditions that the Service Bus SDKs know."""

from enum import StrEnum, unique


@unique
class Condition(StrEnum):
    """The AMQP and Service Bus error conditions that this broker answers with."""

    ARGUMENT_ERROR = "com.microsoft:argument-error"
    CONNECTION_FORCED = "amqp:connection:forced"
    DECODE_ERROR = "amqp:decode-error"
    ENTITY_DISABLED = "com.microsoft:entity-disabled"
    FRAMING_ERROR = "amqp:connection:framing-error"
    INTERNAL_ERROR = "amqp:internal-error"
    LINK_DETACHED = "amqp:link:detach-forced"
    LOCK_LOST = "com.microsoft:message-lock-lost"
    MESSAGE_NOT_FOUND = "com.microsoft:message-not-found"
    MESSAGE_TOO_LARGE = "amqp:link:message-size-exceeded"
    NOT_ALLOWED = "amqp:not-allowed"
    NOT_FOUND = "amqp:not-found"
    NOT_IMPLEMENTED = "amqp:not-implemented"
    QUOTA_EXCEEDED = "amqp:resource-limit-exceeded"
    SERVER_BUSY = "com.microsoft:server-busy"
    UNATTACHED_HANDLE = "amqp:session:unattached-handle"
    UNAUTHORIZED = "amqp:unauthorized-access"


class Refusal(Exception):  # noqa: N818 - a refusal of one request, not a fault of the broker
    """A request that the broker refuses; the client is told the condition and the description."""

    def __init__(self, condition: Condition, description: str) -> None:
        super().__init__(description)
        self.condition = condition
        self.description = description


class Malformed(Refusal):
    """Bytes that are not the AMQP they should be."""

    def __init__(self, description: str, condition: Condition = Condition.DECODE_ERROR) -> None:
        super().__init__(condition, description)
