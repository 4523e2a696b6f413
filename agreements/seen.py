"""What was met before, kept on disk: a few megabytes of memory, however many events there are."""

import sqlite3
import weakref
from typing import NamedTuple
from uuid import UUID


class Where(NamedTuple):
    """A record: the number of its file, and its line."""

    file: int
    line: int


class OnDisk:
    """Tables of this process in a file that nobody else sees, and that is gone with whoever holds it."""

    def __init__(self, schema: str) -> None:
        # It outlives no crash, so nothing has to be safe from one.
        quick = "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-8000"
        # Closed by whichever thread collects it; only one ever has it.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        # In one transaction, which never ends: one for each statement costs twice as much time.
        self._database.executescript(f"{quick}; {schema}; BEGIN")
        weakref.finalize(self, self._database.close)


class Seen(OnDisk):
    """Where each event was met first."""

    def __init__(self) -> None:
        super().__init__("CREATE TABLE seen (id BLOB PRIMARY KEY, file INTEGER, line INTEGER) WITHOUT ROWID")

    def first(self, event: UUID, here: Where) -> Where:
        """Return where an event was met first, which is here if it was not met before."""
        added = self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", (event.bytes, *here))
        if added.rowcount:
            return here
        found = self._database.execute("SELECT file, line FROM seen WHERE id = ?", (event.bytes,))
        return Where(*found.fetchone())
