"""Send events again whose message is gone, from what a file has of them: each once."""

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import batched
from pathlib import Path

from agreements import audit
from agreements.copies import Stamp, replayed
from agreements.journal import Journal, Step
from agreements.messages import ParkedMessage, Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """How many were to be sent again, this time, and how many of them are too large for it."""

    chosen: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """Sends events again, each once, however often the same are given.

    Attributes:
        send: sends copies and returns the indexes of those that are too large.
        entry: what the audit records say besides how many.
        audit_file: gets a record before the first and after the last is sent.
    """

    send: Callable[[Sequence[ParkedMessage]], list[int]]
    stamp: Stamp
    entry: Mapping[str, object]
    audit_file: Path

    def journal(self, file: Path, digest: str, messages: Iterable[ParkedMessage]) -> Journal:
        """Return the journal from which the same command goes on after a crash.

        Args:
            file: where it lies.
            digest: of what the events come from; the journal is for that alone.
            messages: all that it may tell of; no two of a place with the same sequence number.

        Raises:
            JournalError: another process restores the same.
        """
        return Journal(file, digest, _numbers(messages))

    def __call__(self, gone: Sequence[ParkedMessage], journal: Journal) -> Restored:
        """Send those that the journal does not know to be sent.

        Raises:
            ServiceBusError: Service Bus failed; the same can be given again.
        """
        fresh = [one for one in gone if journal.step_of(one.place, one.sequence_number) < Step.SENT]
        entry = {**self.entry, "chosen": len(fresh)}
        audit.record(self.audit_file, {"state": "begun", **entry}, log=False)
        refused = 0
        try:
            for portion in batched(fresh, 100, strict=False):
                refused += self._send(portion, journal)
        finally:
            sent = sum(journal.step_of(one.place, one.sequence_number) is Step.SENT for one in fresh)
            audit.record(self.audit_file, {"state": "ended", **entry, "done": sent, "left": refused})
        return Restored(chosen=len(fresh), refused=refused)

    def _send(self, portion: Sequence[ParkedMessage], journal: Journal) -> int:
        refused = set(self.send([replayed(message, self.stamp) for message in portion]))
        sent = [message for at, message in enumerate(portion) if at not in refused]
        for place, numbers in _numbers(sent).items():
            journal.write(Step.SENT, place, numbers)
        for place, numbers in _numbers(portion[at] for at in refused).items():
            journal.write(Step.LEFT, place, numbers, "too large for a copy")
        return len(refused)


def _numbers(messages: Iterable[ParkedMessage]) -> dict[Place, "array[int]"]:
    numbers: dict[Place, array[int]] = {}
    for message in sorted(messages, key=lambda message: message.sequence_number):
        numbers.setdefault(message.place, array("q")).append(message.sequence_number)
    return numbers
