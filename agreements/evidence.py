"""The table that a partner keeps: each record of a published file, and what became of it. No names in it."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum, unique
from pathlib import Path
from typing import TextIO

from agreements.journal import JournalError
from agreements.judging import Fate, File, judged
from agreements.outcome_book import Book
from agreements.receipts import Entry, Status, entries
from agreements.seen import Seen

COLUMNS = (
    "file", "line", "eventId", "customerTenantId", "dateAgreed", "status", "outcome", "reason", "detail",
    "advice", "when", "templateId", "httpStatus", "errorCode", "requestId", "correlationId",
)  # fmt: skip
# What a spreadsheet takes for a formula, or skips to find one.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

type Row = Mapping[str, object]


@unique
class Table(StrEnum):
    """How the table is written."""

    CSV = "csv"
    JSON_LINES = "jsonl"


def is_receipt(path: Path) -> bool:
    """Tell whether a file begins as a receipt does.

    Raises:
        OSError: it cannot be read.
    """
    try:
        return next(entries(path), None) is not None
    except JournalError:
        return False


def entries_of(file: File, seen: Seen) -> Iterator[Entry]:
    """Yield what can be told of a published file without its receipt: which events its records are."""
    for one in judged(0, file, seen):
        record, at = one.record, file.reading.now
        if (acceptance := record.acceptance) is None:
            fault = record.faults[0]
            yield Entry(
                file=file.name, line=record.line, status=Status.REFUSED, at=at, reason=fault.reason,
                field=fault.field,
            )  # fmt: skip
        else:
            yield Entry(
                file=file.name, line=record.line, at=at,
                status=Status.REPEATED if one.fate is Fate.REPEATED else Status.READ,
                event_id=acceptance.id, customer_tenant_id=acceptance.customer,
                date_agreed=acceptance.agreed,
            )  # fmt: skip


def expect(book: Book, told: Iterable[Entry]) -> None:
    """Ask a book about the events of a receipt."""
    for entry in told:
        if entry.event_id is not None:
            book.expect(entry.event_id, entry.told)


def rows(told: Iterable[Entry], book: Book) -> Iterator[Row]:
    """Yield a row for each record; ``unknown`` is the outcome where nobody told one."""
    for entry in told:
        row = entry.model_dump(
            mode="json", by_alias=True, include={"file", "line", "status", "event_id", "date_agreed"}
        )
        row["customerTenantId"] = str(entry.customer_tenant_id) if entry.customer_tenant_id else None
        if entry.event_id is None:
            row |= {"outcome": None, "reason": entry.reason, "detail": entry.field}
        elif (ended := book.of(entry.event_id)) is None:
            row["outcome"] = "unknown"
        else:
            row |= ended.model_dump(mode="json", by_alias=True)
        yield {name: row.get(name) for name in COLUMNS}


def write(table: Table, found: Iterable[Row], to: TextIO) -> None:
    """Write the table; a spreadsheet finds no formula in it."""
    if table is Table.JSON_LINES:
        for row in found:
            known = {name: value for name, value in row.items() if value is not None}
            to.write(json.dumps(known, ensure_ascii=False) + "\n")
        return
    writer = csv.DictWriter(to, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in found:
        writer.writerow({name: _harmless(value) for name, value in row.items()})


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
