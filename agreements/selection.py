"""Which waiting messages a command is about: the filters that all commands share. Pure."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from agreements import envelopes, events
from agreements.deliveries import Property
from agreements.errors import EventError
from agreements.messages import ParkedMessage

_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a message must be like; what is not given matches all.

    Attributes:
        reasons: any of them, as ``ParkedMessage.reason`` gives it, in any case.
        customer: the customer's tenant id.
        since, until: between which instants it was enqueued.
        where: application properties and the text that each must be.
    """

    reasons: frozenset[str] = frozenset()
    error_codes: frozenset[str] = frozenset()
    customer: str | None = None
    event_ids: frozenset[str] = frozenset()
    sequence_numbers: frozenset[int] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    where: Mapping[str, str] = field(default_factory=dict)

    def mismatch(self, message: ParkedMessage) -> str | None:
        """Return why a message is not chosen, ``None`` if it is; the text shows nothing of the message."""
        if self.reasons and message.reason.casefold() not in self.reasons:
            return "another reason"
        if self.error_codes and message.error_code not in self.error_codes:
            return "another error code"
        if self.event_ids and not self.event_ids & event_ids(message):
            return "another event id"
        if self.sequence_numbers and message.sequence_number not in self.sequence_numbers:
            return "another sequence number"
        if (self.since and message.enqueued_time < self.since) or (
            self.until and message.enqueued_time >= self.until
        ):
            return "another time"
        if any(message.text(name) != text for name, text in self.where.items()):
            return "another property"
        if self.customer and customer_of(message) != self.customer:
            return "another customer"
        return None


def customer_of(message: ParkedMessage) -> str | None:
    """Return the customer's tenant id, from our property or else from the event; ``None`` if unreadable."""
    told = message.text(Property.CUSTOMER_TENANT_ID)
    # Without an origin it is no copy of ours, and what it says under our names a publisher's.
    if told and message.text(Property.ORIGIN):
        return told.lower()
    try:
        return str(event_of(message).customer_tenant_id)
    except EventError:
        return None


def event_of(message: ParkedMessage) -> events.AcceptanceEvent:
    """Return the event that a message carries, as the function app would read it.

    Raises:
        EventError: it carries none.
    """
    return events.parse(message.body, message.content_type, message.plain_properties)


def event_ids(message: ParkedMessage) -> set[str]:
    """Return every id by which a person may know the event."""
    named = {message.event_id, message.message_id, message.text(Property.ORIGIN), message.position}
    with suppress(EventError):
        envelope = envelopes.unwrap(message.body, message.content_type, message.plain_properties)
        named |= {envelope.event_id, envelope.cloud_event_id}
    return {name for name in named if name}


def parse_time(text: str, now: datetime) -> datetime:
    """Return an instant from ISO 8601 (no zone means UTC) or from how long ago it is: 90s, 15m, 2h, 7d.

    Raises:
        ValueError: it is neither.
    """
    if ago := _AGO.fullmatch(text.strip()):
        return now - _span(ago)
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)


def parse_seconds(text: str) -> float:
    """Return how many seconds a span of time has: 90s, 15m, 2h, 7d.

    Raises:
        ValueError: it is none.
    """
    if span := _AGO.fullmatch(text.strip()):
        return _span(span).total_seconds()
    raise ValueError


def _span(text: re.Match[str]) -> timedelta:
    return timedelta(**{_UNITS[text[2]]: float(text[1])})
