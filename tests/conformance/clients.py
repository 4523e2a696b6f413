"""What every client of the promises can do, in whatever language it is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

type Property = str | int | float | bool | bytes | datetime | None

DEAD_LETTERS = "/$DeadLetterQueue"
SUBSCRIPTIONS = "/Subscriptions/"
SECONDS = 10.0


class Settlement(StrEnum):
    """What a receiver can do with a locked message."""

    COMPLETE = "complete"
    ABANDON = "abandon"
    DEFER = "defer"
    DEAD_LETTER = "dead_letter"


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """A message to send; `time_to_live` in whole seconds."""

    body: bytes = b""
    message_id: str | None = None
    correlation_id: str | None = None
    subject: str | None = None
    content_type: str | None = None
    reply_to: str | None = None
    to: str | None = None
    time_to_live: int | None = None
    properties: Mapping[str, Property] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Received:
    """A message as a client shows it; `handle` is what the client settles it by."""

    body: bytes
    message_id: str | None
    correlation_id: str | None
    subject: str | None
    content_type: str | None
    reply_to: str | None
    to: str | None
    properties: Mapping[str, Property]
    sequence_number: int
    delivery_count: int
    state: str
    enqueued_at: datetime
    locked_until: datetime | None
    dead_letter_reason: str | None
    dead_letter_description: str | None
    handle: str


class Refused(Exception):  # noqa: N818 - the broker's refusal, under one name for all clients
    """The client raised an error; `code` is what the JavaScript SDK calls it."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class Client(Protocol):
    """One SDK at work: queues, ``<queue>/$DeadLetterQueue`` and ``<topic>/Subscriptions/<name>`` by address.

    Every method raises `Refused` for an error of the SDK's.
    """

    def send(self, address: str, messages: Sequence[Outgoing]) -> None:
        """Send one message, or several as a batch."""
        ...

    def schedule(self, address: str, messages: Sequence[Outgoing], at: datetime) -> list[int]:
        """Schedule messages; return their sequence numbers."""
        ...

    def cancel(self, address: str, numbers: Sequence[int]) -> None:
        """Cancel scheduled messages."""
        ...

    def receive(
        self, address: str, count: int = 1, *, deletes: bool = False, wait: float = SECONDS
    ) -> list[Received]:
        """Receive up to so many messages: locked, or deleted at once."""
        ...

    def receive_deferred(self, address: str, numbers: Sequence[int]) -> list[Received]:
        """Receive deferred messages, locked."""
        ...

    def peek(self, address: str, count: int = 10, first: int = 1) -> list[Received]:
        """Look at messages without receiving them, from a sequence number on."""
        ...

    def settle(
        self,
        address: str,
        message: Received,
        how: Settlement,
        *,
        reason: str | None = None,
        description: str | None = None,
    ) -> None:
        """Settle a locked message."""
        ...

    def renew(self, address: str, message: Received) -> datetime:
        """Renew a lock; return until when it holds."""
        ...

    def accept_session(self, address: str) -> None:
        """Ask for a session of an entity."""
        ...

    def close(self) -> None:
        """Let go of all connections."""
        ...
