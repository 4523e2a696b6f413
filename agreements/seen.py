"""What was met before, kept on disk: a few megabytes of memory, however many events there are."""

import sqlite3
from typing import NamedTuple
from uuid import UUID


class Where(NamedTuple):
    """A record: the number of its file, and its line."""

    file: int
    line: int


def database(schema: str) -> sqlite3.Connection:
    """Return a database of this process in a file that nobody else sees, and that is gone with it."""
    found = sqlite3.connect("", isolation_level=None)
    # It outlives no crash, so nothing has to be safe from one.
    found.executescript(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-8000; {schema}")
    return found


class Seen:
    """Where each event was met first."""

    def __init__(self) -> None:
        self._database = database(
            "CREATE TABLE seen (id BLOB PRIMARY KEY, file INTEGER, line INTEGER) WITHOUT ROWID"
        )

    def first(self, event: UUID, here: Where) -> Where:
        """Return where an event was met first, which is here if it was not met before."""
        added = self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", (event.bytes, *here))
        if added.rowcount:
            return here
        found = self._database.execute("SELECT file, line FROM seen WHERE id = ?", (event.bytes,))
        return Where(*found.fetchone())

    def close(self) -> None:
        """Forget everything."""
        self._database.close()
