"""From a file of JSON, JSON Lines or CSV to records: each an event to publish, or its faults. No network.

Nothing is guessed and nothing altered: what the contract does not take as it is written is a fault, with its
line and field.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum, unique
from pathlib import Path
from uuid import UUID

from agreements import envelopes, events, identity, tables, texts
from agreements.errors import EventError, Reason
from agreements.events import AcceptanceEvent
from agreements.json_values import values
from agreements.tables import Fault, Layout, Told
from agreements.texts import NOT_TEXT

# Of a contact, in characters: with all that goes with it such an event still fits into any message.
_LONGEST_CONTACT = 2**14
_AMBIGUOUS = re.compile(r"\s*\d{1,2}[/.\- ]\d{1,2}[/.\- ]\d{2,4}\b.*", re.DOTALL)
_SERIAL = re.compile(r"\s*\d{5}([.,]\d+)?\s*")
# As the function app has it: of a later date it would refuse the event.
_CLOCK_SKEW = timedelta(minutes=5)
_DAY_AHEAD = timedelta(hours=14)


@unique
class Format(StrEnum):
    """How a file holds its records."""

    JSON = "json"
    JSON_LINES = "jsonl"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a file: an event as it goes out, or the faults for which it does not.

    Attributes:
        line: where it begins, from 1, as editors count.
        data: the fields of the contract with their values as written; empty if there are faults.
    """

    line: int
    event: AcceptanceEvent | None
    data: dict[str, object] = field(repr=False, default_factory=dict)
    faults: tuple[Fault, ...] = ()

    @property
    def id(self) -> UUID:
        """The event's id: of customer, instant, contact as written, type and template."""
        event = self.event
        assert event is not None
        contact = event.primary_contact
        return identity.acceptance_event_id(
            str(event.customer_tenant_id),
            event.date_agreed.instant.isoformat(),
            contact.first_name,
            contact.last_name,
            contact.email,
            contact.phone_number,
            event.type,
            str(event.template_id) if event.template_id else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a file is to be read.

    Attributes:
        by_hand: the columns of a table that a person named, with their fields.
        delimiter: what stands between the cells of a table; ``None`` to be found out.
        now: of a later date nobody can have agreed.
    """

    path: Path
    format: Format
    by_hand: Mapping[str, str] = field(default_factory=dict)
    delimiter: str | None = None
    now: datetime


def format_of(path: Path, name: str) -> Format:
    """Return the format of a file: by the extension of its name, else by what it begins with.

    Raises:
        OSError: it cannot be read.
    """
    known = {".json": Format.JSON, ".jsonl": Format.JSON_LINES, ".ndjson": Format.JSON_LINES}
    tables = dict.fromkeys((".csv", ".tsv", ".txt"), Format.CSV)
    if (found := (known | tables).get(Path(name).suffix.lower())) is not None:
        return found
    with texts.opened(path, "\n") as text:
        first = next((line for _, line in texts.lines(text) if line.strip()), "")
    if not first.lstrip().startswith(("{", "[")):
        return Format.CSV
    try:
        json.loads(first)
    except ValueError:
        return Format.JSON
    return Format.JSON if first.lstrip().startswith("[") else Format.JSON_LINES


def read(reading: Reading, told: Told) -> Iterator[Record]:
    """Yield the records of a file in their order; what else is found out goes to ``told``.

    Raises:
        UnreadableError: nobody can tell what records follow from a line on.
        ColumnsError: it is a table, and its columns cannot be told.
        OSError: it cannot be read.
    """
    if reading.format is Format.CSV:
        with texts.opened(reading.path, "") as text:
            for line, row in tables.read(text, reading.by_hand, reading.delimiter, told):
                yield _faulty(line, *row) if isinstance(row, list) else _record(line, row, reading.now)
        return
    with texts.opened(reading.path, "\n") as text:
        found = values(text) if reading.format is Format.JSON else texts.lines(text)
        for line, value in found:
            if value.strip():
                yield _value(line, value, reading.now)
            else:
                told.blank += 1


def _value(line: int, text: str, now: datetime) -> Record:
    if NOT_TEXT in text:
        return _faulty(line, tables.not_text(None))
    try:
        given = envelopes.unwrap(text.encode()).data
    except EventError as error:
        return _faulty(line, _fault(error))
    return _record(line, given, now)


def _record(line: int, given: envelopes.Object, now: datetime) -> Record:
    found = events.check(given)
    written = next((value for name, value in given.items() if name.lower() == "dateagreed"), None)
    if not isinstance(found, AcceptanceEvent):
        return _faulty(line, *(_fault(error, written) for error in found))
    if found.date_agreed.instant > now + (_CLOCK_SKEW if found.date_agreed.exact else _DAY_AHEAD):
        return _faulty(line, _fault(EventError(Reason.DATE_IN_FUTURE, "dateAgreed")))
    data = found.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"date_agreed"})
    if sum(map(len, data["primaryContact"].values())) > _LONGEST_CONTACT:
        detail = "longer than any contact is: look for a value that holds more than its own"
        return _faulty(line, Fault(Layout.LARGE, "primaryContact", detail))
    return Record(line, found, data | {"dateAgreed": written})


def _faulty(line: int, *faults: Fault) -> Record:
    return Record(line, None, faults=faults)


def _fault(error: EventError, written: object = None) -> Fault:
    detail = str(error).removeprefix(error.reason).removeprefix(f" {error.field}").strip()
    if error.field == "dateAgreed" and isinstance(written, str):
        detail += _about_date(written)
    return Fault(error.reason, error.field, detail or error.reason.advice)


def _about_date(written: str) -> str:
    if _SERIAL.fullmatch(written):
        return "; this is a spreadsheet's serial number: format the column as yyyy-mm-dd and save anew"
    if _AMBIGUOUS.fullmatch(written):
        return "; of 03/04/2026 and the like nobody can tell day and month: write 2026-04-03"
    return ""
