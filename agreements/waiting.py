"""What else waits for the same customers: an index of everything that lies in a queue, on disk while in use.

A hundred thousand messages do not fit into a command's memory, and what is to be known of them is little.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime

from agreements.deliveries import write_time
from agreements.errors import Actor, EventError, Reason
from agreements.events import AcceptanceEvent
from agreements.messages import ParkedMessage, State
from agreements.selection import customer_of, event_of

_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -2048;
CREATE TABLE newest (customer TEXT, type TEXT, agreed TEXT, place TEXT, PRIMARY KEY (customer, type))
    WITHOUT ROWID;
CREATE TABLE returned (customer TEXT, reason TEXT, at TEXT, PRIMARY KEY (customer, reason)) WITHOUT ROWID;
"""
_ADD_NEWEST = """
INSERT INTO newest VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE
    SET agreed = excluded.agreed, place = excluded.place WHERE excluded.agreed > agreed
"""
_ADD_RETURNED = """
INSERT INTO returned VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET at = excluded.at WHERE excluded.at > at
"""
_NEWER = "SELECT place FROM newest WHERE customer = ? AND type = ? AND agreed > ?"
_RETURNED_SINCE = "SELECT 1 FROM returned WHERE customer = ? AND reason = ? AND at > ?"

_REFUSALS = {str(reason): reason for reason in Reason if reason.actor is Actor.APP_OWNER}


class Waiting:
    """Knows of each customer the newest event that waits, and what came back from a replay.

    Attributes:
        refusals: for how many scheduled events the app itself was refused, by reason.
    """

    def __init__(self, database: sqlite3.Connection, now: datetime) -> None:
        self._database = database
        self._now = now
        self.refusals: Counter[Reason] = Counter()

    def add(self, message: ParkedMessage) -> None:
        """Take note of a message, wherever it lies."""
        if message.replay and (customer := customer_of(message)):
            told = customer, message.reason, write_time(message.enqueued_time)
            self._database.execute(_ADD_RETURNED, told)
        if message.state is State.SCHEDULED and (refusal := _refusal(message)):
            self.refusals[refusal] += 1
        try:
            event = event_of(message)
        except EventError:
            return
        # A date that nobody can have agreed on yet is to be mended, and makes no other event old.
        if message.reason != Reason.DATE_IN_FUTURE or event.date_agreed.instant <= self._now:
            self._database.execute(_ADD_NEWEST, (*_key(event), str(message.place)))

    def newer(self, event: AcceptanceEvent) -> str | None:
        """Return where a newer event of the same customer and type waits, ``None`` if there is none."""
        found = self._database.execute(_NEWER, _key(event)).fetchone()
        return None if found is None else str(found[0])

    def came_back_since(self, message: ParkedMessage) -> bool:
        """Tell whether another event of this customer was replayed, and parked for the same reason later."""
        told = customer_of(message), message.reason, write_time(message.enqueued_time)
        return self._database.execute(_RETURNED_SINCE, told).fetchone() is not None


@contextmanager
def waiting(now: datetime) -> Iterator[Waiting]:
    """Give an empty index; nothing is left of it at the end.

    Raises:
        OSError: there is no room for it.
    """
    try:
        # Without a name SQLite makes a file that nobody else can open, and that is gone when it is closed.
        with closing(sqlite3.connect("", isolation_level=None)) as database:
            database.executescript(_TABLES)
            database.execute("BEGIN")
            yield Waiting(database, now)
    except sqlite3.OperationalError as error:
        raise OSError(f"the index of what waits cannot be kept: {error}") from None


def _key(event: AcceptanceEvent) -> tuple[str, str, str]:
    return str(event.customer_tenant_id), event.type, write_time(event.date_agreed.instant)


def _refusal(message: ParkedMessage) -> Reason | None:
    return _REFUSALS.get(message.reason)
