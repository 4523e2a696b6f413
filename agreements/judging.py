"""Judge the records of files before any is sent: what is to be sent, was sent before, repeats, is refused."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum, unique

from agreements import records
from agreements.columns import ColumnsError
from agreements.receipts import Known
from agreements.records import Reading, Record
from agreements.seen import Seen, Where
from agreements.tables import Told
from agreements.texts import UnreadableError


class ChangedError(Exception):
    """A file was changed while it was read."""


@unique
class Fate(StrEnum):
    """What becomes of a record."""

    SEND = "to send"
    BEFORE = "sent before"
    REPEATED = "repeated"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Judged:
    """A record and what becomes of it.

    Attributes:
        first: where the one stands that it repeats.
        before: the file and the line from which it was sent in an earlier run.
    """

    record: Record
    fate: Fate
    first: Where | None = None
    before: tuple[str, int] | None = None


@dataclass(slots=True, kw_only=True)
class File:
    """A file to publish.

    Attributes:
        name: what people and receipts call it.
        known: what its receipt tells of earlier runs.
        told: what was found out when it was read last.
    """

    name: str
    reading: Reading
    known: Known
    told: Told = field(default_factory=Told)
    _stamp: tuple[int, int] | None = None

    def records(self) -> Iterator[Record]:
        """Yield its records; an error names the file.

        Raises:
            UnreadableError: nobody can tell what records it holds from a line on.
            ColumnsError: the columns of a table cannot be told.
            ChangedError: it is not the file that was read before.
        """
        self._check()
        self.told = Told()
        try:
            yield from records.read(self.reading, self.told)
        except UnreadableError as error:
            raise UnreadableError(error.line, error.why, self.name) from None
        except ColumnsError as error:
            raise ColumnsError(f"{self.name}: {error}") from None
        self._check()

    def _check(self) -> None:
        found = self.reading.path.stat()
        stamp = found.st_size, found.st_mtime_ns
        if stamp != (self._stamp or stamp):
            raise ChangedError(f"{self.name} was changed while it was read: give the same command again")
        self._stamp = stamp


def judged(number: int, file: File, seen: Seen) -> Generator[Judged]:
    """Yield the records of a file with what becomes of each: one that was met before is not sent again.

    Raises:
        UnreadableError: nobody can tell what records the file holds from a line on.
        ColumnsError: the columns of a table cannot be told.
        ChangedError: it is not the file that was read before.
    """
    for record in file.records():
        acceptance, here = record.acceptance, Where(number, record.line)
        if acceptance is None:
            yield Judged(record, Fate.REFUSED)
        elif (first := seen.first(acceptance.id, here)) != here:
            yield Judged(record, Fate.REPEATED, first)
        elif before := file.known.sent_from(acceptance.id):
            yield Judged(record, Fate.BEFORE, before=before)
        else:
            yield Judged(record, Fate.SEND)


def count(
    files: Sequence[File], seen: Seen, refused: Callable[[File, Record], object]
) -> Iterator[Counter[Fate]]:
    """Judge all records and send nothing; yield how many there are of each fate so far.

    ``refused`` is called with each record that cannot be sent.

    Raises:
        UnreadableError: nobody can tell what records a file holds from a line on.
        ColumnsError: the columns of a table cannot be told.
    """
    counted: Counter[Fate] = Counter()
    yield counted
    for number, file in enumerate(files):
        for one in judged(number, file, seen):
            counted[one.fate] += 1
            if one.fate is Fate.REFUSED:
                refused(file, one.record)
            yield counted
