"""Publish what was judged: send what is sound, each event once, and note it. No terminal here, no SDK.

Killed at any moment and started again, it goes on where its receipt ends: what was accepted is noted after
each batch, so at most one is sent again, under the ids that it had.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Protocol
from uuid import UUID

from agreements.errors import BusyError
from agreements.judging import Fate, File, Judged, judged
from agreements.outcome_events import CONTENT_TYPE
from agreements.receipts import Entry, Receipt, Status
from agreements.records import Acceptance, Record
from agreements.seen import Seen

TYPE = "agreements.acceptance.v1"
_BATCH = 100
# Half of what the smallest tier of Service Bus takes at once, so that a batch of ours is one of the SDK's.
_BATCH_BYTES = 2**17
# How many records go by before those that are not sent are noted.
_NOTED = 1000
_LONGEST_WAIT = 30.0
_LOOK_SECONDS = 0.5
_PATIENCE_SECONDS = 600.0


class StoppedError(Exception):
    """The run ended early, on purpose; the same command goes on."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish; its id is its correlation id too, by which the log has it."""

    id: UUID
    content_type: str
    body: bytes = field(repr=False)


class Publisher(Protocol):
    """Sends messages to the queue of acceptances."""

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Send messages; the broker has accepted all when this returns.

        Raises:
            BusyError: it may go through later; nobody knows which arrived.
        """


@dataclass(slots=True, kw_only=True)
class Sending:
    """Sends what is to be sent of some files, and notes in each one's receipt what became of its records.

    Attributes:
        place: the queue, with its namespace.
        source: who publishes, as CloudEvents has it.
        rate: events a second; ``None`` is as fast as it goes.
        told: called after each batch with how many events it had.
        waiting: called before each wait for Service Bus.
        stopping: whether the person who runs it wants it to end after the batch in hand.
        pause: waits for some seconds.
        clock: seconds that only rise.
        sent: how many events were sent.
    """

    files: Sequence[File]
    seen: Seen
    publisher: Publisher
    place: str
    source: str
    rate: float | None
    told: Callable[[int], object]
    waiting: Callable[[BusyError, float], object]
    stopping: Callable[[], bool]
    pause: Callable[[float], object]
    clock: Callable[[], float] = monotonic
    sent: int = 0
    _ready_at: float = float("-inf")

    def __call__(self, receipts: Iterable[Receipt]) -> None:
        """Send what is left; the receipts are those of the files.

        Raises:
            BusyError: Service Bus took nothing for ten minutes.
            StoppedError: it was asked to stop.
            ChangedError: a file was changed since it was judged.
        """
        size = min(_BATCH, int(self.rate or _BATCH) or 1)
        for number, (file, receipt) in enumerate(zip(self.files, receipts, strict=True)):
            batch = _Batch(size)
            # Closed here and now, however it ends: it holds the file open.
            with closing(judged(number, file, self.seen)) as found:
                for one in found:
                    batch.add(one, self.source)
                    if batch.full:
                        self._flush(batch, file, receipt)
                        batch = _Batch(size)
            self._flush(batch, file, receipt)
            receipt.finish(file.name)

    def _flush(self, batch: "_Batch", file: File, receipt: Receipt) -> None:
        if batch.messages:
            self._wait_turn(len(batch.messages))
            self._deliver(batch.messages)
        at = datetime.now(UTC)
        receipt.write(filter(None, (self._entry(one, file, at) for one in batch.judged)))
        if batch.messages:
            self.sent += len(batch.messages)
            self.told(len(batch.messages))

    def _deliver(self, messages: Sequence[Outgoing]) -> None:
        until, tries = self.clock() + _PATIENCE_SECONDS, 0
        while True:
            try:
                return self.publisher.send(messages)
            except BusyError as busy:
                if self.clock() >= until:
                    raise BusyError(
                        f"{busy}, for {_PATIENCE_SECONDS / 60:.0f} minutes", busy.seconds
                    ) from busy
                seconds = min(busy.seconds * 2**tries, _LONGEST_WAIT)
                self.waiting(busy, seconds)
                self._rest(self.clock() + seconds)
                tries += 1

    def _wait_turn(self, count: int) -> None:
        self._rest(self._ready_at)
        if self.rate:
            self._ready_at = self.clock() + count / self.rate

    def _rest(self, until: float) -> None:
        """Wait for an instant."""
        self._check_stopping()
        while (seconds := until - self.clock()) > 0:
            self.pause(min(seconds, _LOOK_SECONDS))
            self._check_stopping()

    def _check_stopping(self) -> None:
        if self.stopping():
            raise StoppedError

    def _entry(self, one: Judged, file: File, at: datetime) -> Entry | None:
        """Return what the receipt is to tell of a record; none if it has it as sent from this file."""
        about: dict[str, Any] = {"file": file.name, "line": one.record.line, "at": at}
        if (acceptance := one.record.acceptance) is None:
            return Entry(status=Status.REFUSED, **about, **_why(one.record))
        about |= {"event_id": acceptance.id, "customer_tenant_id": acceptance.customer}
        about |= {"date_agreed": acceptance.agreed}
        first = (self.files[one.first.file].name, one.first.line) if one.first else one.before
        if first is None:
            return Entry(status=Status.SENT, to=self.place, **about)
        name, line = first
        if one.fate is Fate.BEFORE and name == file.name:
            return None
        there = {"first_line": line, "first_file": None if name == file.name else name}
        return Entry(status=Status.REPEATED, **about, **there)


def _why(record: Record) -> dict[str, Any]:
    first, *others = record.faults
    also_at = tuple(fault.field for fault in others if fault.field)
    return {"reason": first.reason, "field": first.field, "also_at": also_at or None}


@dataclass(slots=True)
class _Batch:
    """Records that are dealt with at once: bounded in how many are sent, in bytes, and in all."""

    size: int
    judged: list[Judged] = field(default_factory=list)
    messages: list[Outgoing] = field(default_factory=list)
    _bytes: int = 0

    @property
    def full(self) -> bool:
        return len(self.messages) >= self.size or self._bytes >= _BATCH_BYTES or len(self.judged) >= _NOTED

    def add(self, one: Judged, source: str) -> None:
        self.judged.append(one)
        if one.fate is Fate.SEND and one.record.acceptance is not None:
            self.messages.append(_outgoing(one.record.acceptance, source))
            self._bytes += len(self.messages[-1].body)


def _outgoing(acceptance: Acceptance, source: str) -> Outgoing:
    attributes = {
        "specversion": "1.0",
        "id": str(acceptance.id),
        "source": source,
        "type": TYPE,
        "subject": str(acceptance.customer),
        "datacontenttype": "application/json",
        "data": acceptance.data,
    }
    return Outgoing(acceptance.id, CONTENT_TYPE, json.dumps(attributes, ensure_ascii=False).encode())
