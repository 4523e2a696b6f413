"""What became of each record of a file that was published: a file beside it, one line of JSON for each.

It is the journal too: a line that says ``sent`` is on disk once the broker has accepted the event. After a
crash at most one batch is sent again, under the same ids; the function app finds such an event on record and
confirms nothing twice. A receipt holds no name and no address.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from enum import StrEnum, unique
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from agreements import journal
from agreements.journal import JournalError
from agreements.outcome_events import Advice, Ending
from agreements.seen import OnDisk

# Of every line; and longer than any, in bytes: a file that is no receipt may be one line.
_BEGINNING = b'{"file":'
_LONGEST = 2**18


@unique
class Status(StrEnum):
    """What publishing made of a record; ``READ`` is in no receipt: nobody knows whether it was sent."""

    SENT = "sent"
    REPEATED = "repeated"
    REFUSED = "refused"
    READ = "read"


class _Line(BaseModel):
    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, validate_by_name=True, hide_input_in_errors=True
    )


class Told(_Line):
    """What an outcome event told of an event: as much of it as a receipt keeps."""

    outcome: Ending
    reason: str | None = None
    detail: str | None = None
    advice: Advice
    when: datetime
    template_id: str | None = None
    http_status: int | None = None
    error_code: str | None = None
    request_id: str | None = None
    correlation_id: str


class Entry(_Line):
    """A line of a receipt: what became of a record.

    Attributes:
        to: the queue that took it, with its namespace.
        also_at: further fields at fault, beside ``field``.
        first_file, first_line: of a repeated record, where the one is that was sent.
        told: how it ended, once that is known.
    """

    file: str
    line: int
    status: Status
    at: datetime
    event_id: UUID | None = None
    customer_tenant_id: UUID | None = None
    date_agreed: datetime | None = None
    to: str | None = None
    reason: str | None = None
    field: str | None = None
    also_at: tuple[str, ...] | None = None
    first_file: str | None = None
    first_line: int | None = None
    told: Told | None = None

    def written(self) -> bytes:
        """Return the line."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode() + b"\n"

    @property
    def key(self) -> str:
        """What must be equal for a record to be told already; when and to where does not matter."""
        return f"{self.status} {self.event_id} {self.reason} {self.field} {self.also_at} {self.first_line}"


def entries(path: Path) -> Iterator[Entry]:
    """Yield what a receipt tells, but for a last line that a crash cut in two.

    Raises:
        JournalError: it is no receipt.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST), b""), 1):
            if _is_torn(line):
                return
            try:
                yield Entry.model_validate_json(line)
            except ValidationError:
                raise JournalError(f"{path}, line {number}: not a line of a receipt") from None


def _is_torn(line: bytes) -> bool:
    """Tell whether a line of ours was cut in two; what else has no end is somebody's, and is not dropped."""
    # What a file system did not come to write may be zeros.
    ours = line.startswith(_BEGINNING) or _BEGINNING.startswith(line.rstrip(b"\0"))
    return ours and len(line) < _LONGEST and not line.endswith(b"\n")


class Known(OnDisk):
    """What a receipt tells, to look up; kept on disk."""

    def __init__(self, path: Path, place: str | None) -> None:
        """Read a receipt; one that is not there yet tells nothing.

        Raises:
            JournalError: it is no receipt, or one of another place than that.
        """
        super().__init__(
            "CREATE TABLE sent (id BLOB PRIMARY KEY, file TEXT, line INTEGER) WITHOUT ROWID;"
            "CREATE TABLE lines (file TEXT, line INTEGER, key TEXT, now INTEGER, PRIMARY KEY (file, line))"
            " WITHOUT ROWID"
        )
        self.sent = self.open = 0
        self._changed: set[str] = set()
        for entry in entries(path) if path.exists() else ():
            self._note(path, place, entry)

    def _note(self, path: Path, place: str | None, entry: Entry) -> None:
        if entry.status is Status.SENT and entry.event_id:
            if place and entry.to != place:
                raise JournalError(
                    f"{path} tells of events that {entry.to} took, and this is {place}: name another receipt"
                )
            sent = entry.event_id.bytes, entry.file, entry.line
            self._database.execute("INSERT OR IGNORE INTO sent VALUES (?, ?, ?)", sent)
            self.sent += 1
            self.open += not (entry.told and entry.told.outcome.final)
        else:
            self._keep(entry, now=False)

    def sent_from(self, event: UUID) -> tuple[str, int] | None:
        """Return the file from which an event was sent, and its line there; none if it was not."""
        found = self._database.execute("SELECT file, line FROM sent WHERE id = ?", (event.bytes,)).fetchone()
        return found and (found[0], found[1])

    def is_new(self, entry: Entry) -> bool:
        """Tell whether a record that is not sent was not told as such yet; from now on it is."""
        key = entry.file, entry.line
        found = self._database.execute("SELECT key FROM lines WHERE file = ? AND line = ?", key).fetchone()
        self._keep(entry, now=True)
        if found is not None and found[0] != entry.key:
            self._changed.add(entry.file)
        return found is None or found[0] != entry.key

    def is_stale(self, entry: Entry) -> bool:
        """Tell whether what a receipt told of a record is no longer so: the file was mended since."""
        key = entry.file, entry.line, entry.key
        found = self._database.execute(
            "SELECT now FROM lines WHERE file = ? AND line = ? AND key = ?", key
        ).fetchone()
        return entry.status is not Status.SENT and found != (1,)

    def stale(self, file: str) -> bool:
        """Tell whether anything is told of a file that was not found in it this time."""
        found = self._database.execute("SELECT 1 FROM lines WHERE file = ? AND now = 0 LIMIT 1", (file,))
        return file in self._changed or found.fetchone() is not None

    def _keep(self, entry: Entry, *, now: bool) -> None:
        line = entry.file, entry.line, entry.key, now
        self._database.execute("INSERT OR REPLACE INTO lines VALUES (?, ?, ?, ?)", line)


class Receipt:
    """A receipt that is written, locked while it is open.

    Args:
        path: the file; created if there is none, for its owner alone.
        place: where events are sent.

    Raises:
        JournalError: another process has it open, or it is of another place, or no receipt.
    """

    def __init__(self, path: Path, place: str) -> None:
        self.path = path
        self._file = journal.locked(path, "another process is publishing with this receipt")
        try:
            self.known = Known(path, place)
            _mend(self._file)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _drop(self._file)

    def write(self, told: Iterable[Entry]) -> None:
        """Add what became of some records, unless that is told already; it is on disk when this returns."""
        fresh = [one for one in told if one.status is Status.SENT or self.known.is_new(one)]
        if fresh:
            with _named(self.path):
                self._file.write(b"".join(entry.written() for entry in fresh))
                _sync(self._file)

    def finish(self, file: str) -> None:
        """Drop what an earlier run told of records that were not sent, where the file was mended since."""
        if self.known.stale(file):
            self.renew(lambda entry: None if entry.file == file and self.known.is_stale(entry) else entry)

    def renew(self, renewed: Callable[[Entry], Entry | None]) -> None:
        """Write every line anew, in place of the file as it is, which stays whole if that fails."""
        half = self.path.with_name(f"{self.path.name}.half")
        half.unlink(missing_ok=True)
        file = journal.locked(half, "another process is writing it")
        try:
            with _named(half):
                for entry in entries(self.path):
                    if (kept := renewed(entry)) is not None:
                        file.write(kept.written())
                _sync(file)
            # Locked before it takes the place, so that nobody gets in between.
            half.replace(self.path)
        except BaseException:
            _drop(file)
            half.unlink()
            raise
        self._file.close()
        self._file = file


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Have a failure to write say which file it was: a disk that is full does not."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _drop(file: IO[bytes]) -> None:
    """Close a file; what it still holds for a disk that is full has no other place to go."""
    with suppress(OSError):
        file.close()


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _mend(file: IO[bytes]) -> None:
    """Drop a last line that a crash cut in two: what it tells of is done once more."""
    begin = max(0, file.seek(0, os.SEEK_END) - _LONGEST)
    file.seek(begin)
    file.seek(begin + file.read().rfind(b"\n") + 1)
    file.truncate()
