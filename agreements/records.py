"""From a file of JSON, JSON Lines or CSV to records: each an event to publish, or its faults. No network.

Nothing is guessed and nothing altered: what the contract does not take as it is written is a fault, with its
line and field.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
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


@unique
class Format(StrEnum):
    """How a file holds its records."""

    JSON = "json"
    JSON_LINES = "jsonl"
    CSV = "csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """An event as it goes out.

    Attributes:
        id: of customer, instant, contact as written, type and template: the same in whatever file.
        data: the fields of the contract, their values as written.
    """

    id: UUID
    customer: UUID
    agreed: datetime
    data: dict[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a file: an event, or the faults for which it is none.

    Attributes:
        line: where it begins, from 1, as editors count.
    """

    line: int
    acceptance: Acceptance | None
    faults: tuple[Fault, ...] = ()


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
        # Of a file that is one long line the beginning tells enough.
        pieces = iter(lambda: text.readline(texts.LONGEST), "")
        first = next((piece for piece in pieces if piece.strip()), "")
    if not first.lstrip().startswith(("{", "[")):
        return Format.CSV
    try:
        json.loads(first)
    except (ValueError, RecursionError):
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
            for line, given, faults in tables.read(text, reading.by_hand, reading.delimiter, told):
                yield _record(line, given, reading.now, faults)
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


def _record(line: int, given: envelopes.Object | None, now: datetime, faults: Iterable[Fault] = ()) -> Record:
    """Return the record; what is known to be at fault is not told twice."""
    known = {fault.field: fault for fault in faults}
    if given is None:
        return Record(line, None, tuple(known.values()))
    found = events.check(given)
    written = next((value for name, value in given.items() if name.lower() == "dateagreed"), None)
    if not isinstance(found, AcceptanceEvent):
        return _faulty(line, *({error.field: _fault(error, written) for error in found} | known).values())
    if known or (fault := _doubt(found, now)):
        return _faulty(line, *(known.values() or [fault]))
    return Record(line, _acceptance(found, written))


def _doubt(event: AcceptanceEvent, now: datetime) -> Fault | None:
    """Return why an event that keeps the contract would still come to nothing."""
    if event.date_agreed.in_future(now):
        return _fault(EventError(Reason.DATE_IN_FUTURE, "dateAgreed"))
    contact = event.primary_contact
    values = contact.first_name, contact.last_name, contact.email, contact.phone_number or ""
    if sum(map(len, values)) > _LONGEST_CONTACT:
        detail = "longer than any contact is: look for a value that holds more than its own"
        return Fault(Layout.LARGE, "primaryContact", detail)
    return None


def _acceptance(event: AcceptanceEvent, written: object) -> Acceptance:
    contact = event.primary_contact
    instant = event.date_agreed.instant
    return Acceptance(
        id=identity.acceptance_event_id(
            str(event.customer_tenant_id),
            instant.isoformat(),
            contact.first_name,
            contact.last_name,
            contact.email,
            contact.phone_number,
            event.type,
            str(event.template_id) if event.template_id else None,
        ),
        customer=event.customer_tenant_id,
        agreed=instant,
        data={
            # Not as it was read: whoever audits the message finds the date as the file has it.
            "dateAgreed": written,
            **event.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"date_agreed"}),
        },
    )


def _faulty(line: int, *faults: Fault) -> Record:
    return Record(line, None, faults)


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
