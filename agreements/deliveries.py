"""A message as it was delivered to us, and our own properties on it: read leniently, written exactly."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum, unique
from typing import Protocol
from uuid import UUID

from agreements import identity

type Scalar = str | int | float | bool


@unique
class Property(StrEnum):
    """The application properties that our copies carry."""

    ORIGIN = "mcaOrigin"
    ATTEMPT = "mcaAttempt"
    REPLAY = "mcaReplay"
    MAYBE_RECORDED = "mcaMaybeRecorded"
    RETRY_KIND = "mcaRetryKind"
    RETRYING_SINCE = "mcaRetryingSince"
    FIRST_ENQUEUED_TIME = "mcaFirstEnqueuedTime"
    OUTCOME = "mcaOutcome"
    REASON = "mcaReason"
    ERROR_CODE = "mcaErrorCode"
    HTTP_STATUS = "mcaHttpStatus"
    CORRELATION_ID = "mcaCorrelationId"
    REQUEST_ID = "mcaRequestId"
    EVENT_ID = "mcaEventId"
    CUSTOMER_TENANT_ID = "mcaCustomerTenantId"
    # What a replay writes: which run, by whom, why, of which message, and for which reason that lay there; it
    # stays on all copies to come.
    REPLAY_RUN = "mcaReplayRun"
    REPLAYED_BY = "mcaReplayedBy"
    REPLAY_WHY = "mcaReplayWhy"
    REPLAYED_FROM = "mcaReplayedFrom"
    REPLAYED_REASON = "mcaReplayedReason"
    # The broker's own names, so that every Service Bus tool shows them.
    DEAD_LETTER_REASON = "DeadLetterReason"
    DEAD_LETTER_DESCRIPTION = "DeadLetterErrorDescription"


# A copy is traced anew, and what an earlier stay in a dead-letter queue left is no longer true.
_STALE = {"Diagnostic-Id", "traceparent", "tracestate", "DeadLetterReason", "DeadLetterErrorDescription"}
_REPLAYS = {
    Property.REPLAY_RUN,
    Property.REPLAYED_BY,
    Property.REPLAY_WHY,
    Property.REPLAYED_FROM,
    Property.REPLAYED_REASON,
}
_NOT_THE_PUBLISHERS = _STALE | set(Property)
_NOT_CARRIED = _NOT_THE_PUBLISHERS - _REPLAYS


@unique
class RetryKind(StrEnum):
    """What keeps an event waiting; each kind has a back-off and a clock of its own."""

    TRANSIENT = "transient"
    THROTTLED = "throttled"
    SERVICE = "service"
    UNTOLD = "untold"


class _Message(Protocol):
    """What we read of ``azure.functions.ServiceBusMessage``; its other attributes the host never fills."""

    @property
    def application_properties(self) -> Mapping[str, object] | None: ...
    @property
    def content_type(self) -> str | None: ...
    @property
    def correlation_id(self) -> str | None: ...
    @property
    def delivery_count(self) -> int | None: ...
    @property
    def enqueued_time_utc(self) -> datetime | None: ...
    @property
    def message_id(self) -> str: ...
    @property
    def sequence_number(self) -> int | None: ...
    def get_body(self) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One delivery of one message; times are aware, in UTC.

    Attributes:
        position: names the broker message in hand.
        origin: names the message with which the event first arrived.
        delivery_count: counts from 1.
        properties: the publisher's own and what a replay wrote, without the rest of ours and stale ones.
        attempt: counts from 1; neither a redelivery counts nor a delivery that met a closed gate.
        unanswered: the MS-RequestId of an earlier attempt that got no definite answer.
    """

    body: bytes = field(repr=False)
    content_type: str | None
    position: str
    origin: str
    correlation_id: UUID
    event_id: str
    delivery_count: int
    properties: Mapping[str, Scalar] = field(repr=False)
    first_enqueued_time: datetime
    attempt: int = 1
    replay: int = 0
    maybe_recorded: bool = False
    unanswered: UUID | None = None
    retry_kind: RetryKind | None = None
    retrying_since: datetime | None = None

    @property
    def may_be_recorded(self) -> bool:
        """Whether an earlier delivery, attempt or replay may have had this event recorded already.

        A retry may always: when its copy was sent but the original not completed, that was delivered again.
        """
        again = self.delivery_count > 1 or self.position != self.origin
        return again or self.maybe_recorded or self.replay > 0

    @property
    def request_id(self) -> UUID:
        """The MS-RequestId of this attempt: the unanswered one again, so that the API can know a repeat."""
        return self.unanswered or identity.request_id(self.origin, self.attempt)

    def copy_properties(self, ours: Mapping[Property, Scalar | None]) -> dict[str, Scalar]:
        """Return the application properties of a copy: the publisher's and ours, without unknown ones."""
        return {**self.properties, **{str(name): value for name, value in ours.items() if value is not None}}


def receive(message: _Message, *, queue: str, ours: bool) -> Delivery:
    """Return the delivery of a message from ``queue``.

    ``ours`` says that only we write to that queue: anywhere else, properties with our names are a publisher's
    mistake or worse, and only the replay count is believed, which cannot do more than cause a reading.

    Raises:
        ValueError: the host gave no sequence number or no enqueued time; the message cannot be named.
    """
    number, enqueued = message.sequence_number, message.enqueued_time_utc
    if number is None or enqueued is None:
        raise ValueError("the host gave no sequence number or no enqueued time")
    # The library leaves a time without a zone naive; the broker's times are UTC.
    enqueued = enqueued if enqueued.tzinfo else enqueued.replace(tzinfo=UTC)
    given = message.application_properties or {}
    position = identity.position(queue, number, enqueued)
    trusted = _Written(given if ours else {})
    replay = _Written(given).count(Property.REPLAY)
    # A replayed copy has a MessageId of ours; people go on searching by the publisher's id.
    named = _Written(given if ours or replay else {}).text(Property.EVENT_ID)
    origin = trusted.text(Property.ORIGIN) or position
    return Delivery(
        body=message.get_body(),
        content_type=message.content_type,
        position=position,
        origin=origin,
        correlation_id=identity.correlation_id(origin, message.correlation_id),
        event_id=named or (None if ours else message.message_id) or origin,
        delivery_count=message.delivery_count or 1,
        properties=_publishers(given, replayed=ours or replay > 0),
        first_enqueued_time=trusted.time(Property.FIRST_ENQUEUED_TIME) or enqueued,
        attempt=trusted.count(Property.ATTEMPT) or 1,
        replay=replay,
        maybe_recorded=trusted.flag(Property.MAYBE_RECORDED),
        unanswered=trusted.guid(Property.REQUEST_ID),
        retry_kind=trusted.kind(Property.RETRY_KIND),
        retrying_since=trusted.time(Property.RETRYING_SINCE),
    )


def write_time(instant: datetime) -> str:
    """Return an instant as our properties carry it: ISO 8601 in UTC, to the microsecond."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _publishers(given: Mapping[str, object], *, replayed: bool) -> dict[str, Scalar]:
    dropped = _NOT_CARRIED if replayed else _NOT_THE_PUBLISHERS
    return {
        name: _portable(value)
        for name, value in given.items()
        if name not in dropped and isinstance(value, (str, int, float, bool))
    }


def _portable(value: Scalar) -> Scalar:
    # The SDK writes a number in 32 bits with a sign, or refuses the whole message.
    return str(value) if isinstance(value, int) and not -(2**31) <= value < 2**31 else value


@dataclass(frozen=True, slots=True)
class _Written:
    """Our properties, read leniently: what is missing or unreadable reads as never written."""

    given: Mapping[str, object]

    def text(self, name: Property) -> str | None:
        value = self.given.get(name)
        return value if isinstance(value, str) and value else None

    def count(self, name: Property) -> int:
        value = self.given.get(name)
        return min(max(0, value), 2**31 - 1) if isinstance(value, int) else 0

    def flag(self, name: Property) -> bool:
        return self.given.get(name) is True

    def guid(self, name: Property) -> UUID | None:
        try:
            return UUID(self.text(name))
        except (TypeError, ValueError):
            return None

    def time(self, name: Property) -> datetime | None:
        try:
            at = datetime.fromisoformat(self.text(name) or "")
        except ValueError:
            return None
        return at if at.tzinfo else at.replace(tzinfo=UTC)

    def kind(self, name: Property) -> RetryKind | None:
        value = self.text(name)
        return RetryKind(value) if value in set(RetryKind) else None
