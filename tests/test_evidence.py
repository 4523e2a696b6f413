import csv
import io
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from agreements import evidence
from agreements.evidence import COLUMNS, Table, entries_of, is_receipt, rows
from agreements.judging import File
from agreements.outcome_book import Book
from agreements.outcome_events import Ending
from agreements.receipts import Entry, Known, Status
from agreements.records import Format, Reading
from agreements.seen import Seen
from tests.fakes import CUSTOMER, NOW, PLANTED, body, told_body

EVENT = UUID(int=1)


def entry(**changes: Any) -> Entry:
    fields = {
        "file": "a.csv", "line": 2, "status": Status.SENT, "at": NOW, "event_id": EVENT,
        "customer_tenant_id": CUSTOMER, "date_agreed": NOW, "to": "here/q",
    }  # fmt: skip
    return Entry(**(fields | changes))


def book(*bodies: bytes) -> Book:
    found = Book()
    evidence.expect(found, [entry(), entry(event_id=None, status=Status.REFUSED)])
    for one in bodies:
        found.hear(one)
    return found


def table(to: Table, told: list[Entry], known: Book) -> str:
    text = io.StringIO()
    evidence.write(to, rows(told, known), text)
    return text.getvalue()


def test_a_row_tells_event_and_outcome() -> None:
    """Everything that a partner is asked for later, in columns that do not change."""
    known = book(told_body(EVENT, Ending.CONFIRMED, request_id="r"))
    [found] = csv.DictReader(io.StringIO(table(Table.CSV, [entry()], known)))
    assert found == dict.fromkeys(COLUMNS, "") | {
        "file": "a.csv",
        "line": "2",
        "eventId": str(EVENT),
        "customerTenantId": str(CUSTOMER),
        "dateAgreed": "2026-03-02T09:30:00Z",
        "status": "sent",
        "outcome": "confirmed",
        "advice": "Nothing",
        "when": "2026-03-02T09:30:00Z",
        "templateId": "t",
        "requestId": "r",
        "correlationId": "ab993325-1605-4cf4-bac4-fb584142a31b",
    }


def test_what_nobody_told_is_unknown() -> None:
    """No outcome is made up; what was refused has why, and no outcome at all; JSON leaves out what is not."""
    refused = entry(
        status=Status.REFUSED, event_id=None, customer_tenant_id=None, date_agreed=None, to=None,
        reason="FieldInvalid", field="dateAgreed",
    )  # fmt: skip
    repeated = entry(line=3, status=Status.REPEATED, first_line=2)
    lines = [
        json.loads(line)
        for line in table(Table.JSON_LINES, [entry(), repeated, refused], book()).splitlines()
    ]
    assert [line.get("outcome") for line in lines] == ["unknown", "unknown", None]
    assert lines[2] == {
        "file": "a.csv", "line": 2, "status": "refused", "reason": "FieldInvalid", "detail": "dateAgreed",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_spreadsheet_finds_no_formula(text: str) -> None:
    """Whatever a stranger wrote stands in its cell as text."""
    known = book(told_body(EVENT, Ending.REJECTED, detail=text))
    [found] = csv.DictReader(io.StringIO(table(Table.CSV, [entry()], known), newline=""))
    assert found["detail"] == f"'{text}"


def test_a_receipt_is_told_from_a_file(tmp_path: Path) -> None:
    """By its first line."""
    (tmp_path / "receipt").write_bytes(entry().written())
    (tmp_path / "file").write_bytes(body())
    (tmp_path / "empty").touch()
    assert [is_receipt(tmp_path / name) for name in ("receipt", "file", "empty")] == [True, False, False]


def test_a_file_tells_its_events_without_a_receipt(tmp_path: Path) -> None:
    """Their ids are made of what they say, so outcomes can be found; whether they were sent is not."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join([body(), body(), b"{}"]))
    reading = Reading(path=path, format=Format.JSON_LINES, now=NOW)
    found = list(entries_of(File(name="a.jsonl", reading=reading, known=Known(tmp_path / "r", None)), Seen()))
    assert [one.status for one in found] == [Status.READ, Status.REPEATED, Status.REFUSED]
    assert found[0].event_id == found[1].event_id
    assert (found[0].customer_tenant_id, found[2].field) == (CUSTOMER, "customerTenantId")
    assert not [planted for planted in PLANTED if planted in table(Table.CSV, found, book())]
