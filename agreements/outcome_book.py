"""What outcome events tell of the events that somebody asks about; kept on disk.

Of several the best known counts: what is on record is the truth, whatever else was told; else the newest of
rejected and replayed; a delay only where nothing else is known.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from pydantic import ValidationError

from agreements.outcome_events import Ending, OutcomeEvent
from agreements.receipts import Told
from agreements.seen import OnDisk

# Confirmed, then found on record by a second copy, is confirmed.
_RANKS = {
    Ending.CONFIRMED: 5,
    Ending.RECOVERED: 4,
    Ending.DUPLICATE: 3,
    Ending.REJECTED: 2,
    Ending.REPLAYED: 2,
    Ending.DELAYED: 1,
}


class Book(OnDisk):
    """Knows of each event that is expected what was told last."""

    def __init__(self) -> None:
        super().__init__(
            "CREATE TABLE book (id BLOB PRIMARY KEY, rank INTEGER, at REAL, outcome TEXT, told TEXT)"
            " WITHOUT ROWID"
        )
        self.unreadable = 0

    def expect(self, event: UUID, told: Told | None = None) -> None:
        """Ask about an event, of which something may be known."""
        self._database.execute("INSERT OR IGNORE INTO book VALUES (?, 0, 0, NULL, NULL)", (event.bytes,))
        if told is not None:
            self._note(event, told)

    def hear(self, body: bytes) -> None:
        """Take an outcome event; one that nobody asked about is let go, one that is none is counted."""
        try:
            heard = OutcomeEvent.model_validate_json(body)
        except ValidationError:
            self.unreadable += 1
            return
        try:
            event = UUID(heard.causation_id)
        except ValueError:
            return  # another publisher's
        told = Told(when=heard.time, **heard.data.model_dump(include=set(Told.model_fields) - {"when"}))
        self._note(event, told)

    def of(self, event: UUID) -> Told | None:
        """Return what is known of an event."""
        found = self._database.execute("SELECT told FROM book WHERE id = ?", (event.bytes,)).fetchone()
        return Told.model_validate_json(found[0]) if found and found[0] else None

    def tally(self) -> Counter[Ending | None]:
        """Return how many events stand how; ``None`` is for those of which nothing is known."""
        rows = self._database.execute("SELECT outcome, count(*) FROM book GROUP BY outcome")
        return Counter({Ending(outcome) if outcome else None: count for outcome, count in rows})

    def _note(self, event: UUID, told: Told) -> None:
        better = _RANKS[told.outcome], told.when.timestamp()
        self._database.execute(
            "UPDATE book SET rank = ?, at = ?, outcome = ?, told = ? WHERE id = ? AND (rank, at) < (?, ?)",
            (*better, told.outcome, told.model_dump_json(by_alias=True), event.bytes, *better),
        )


class Message(Protocol):
    """A message of a subscription."""

    @property
    def sequence_number(self) -> int:
        """Its number there."""

    @property
    def body(self) -> bytes:
        """An outcome event."""


@dataclass(slots=True, kw_only=True)
class Following:
    """Looks into a subscription again and again, from a sequence number on; takes nothing from it."""

    book: Book
    peek: Callable[[int], Iterable[Message]]
    first: int

    def __call__(self) -> Counter[Ending | None]:
        """Look at what came since, and return how the events stand."""
        for message in self.peek(self.first):
            self.book.hear(message.body)
            self.first = message.sequence_number + 1
        return self.book.tally()
