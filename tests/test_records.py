"""From files to records: what is read, what is refused, where, and that nothing is altered."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from agreements import columns, events, texts
from agreements.columns import ColumnsError
from agreements.records import Format, Reading, Record, format_of, read
from agreements.tables import Layout, Told
from agreements.texts import UnreadableError
from tests.fakes import CONTACT, CUSTOMER, PLANTED

NOW = datetime(2026, 11, 21, tzinfo=UTC)
NAMES = "customerTenantId,dateAgreed,firstName,lastName,email,phoneNumber"
ROW = f"{CUSTOMER},2026-10-01,Zoraida,Quintanilla,zq@planted.example,+34 600 700 800"
EVENT: dict[str, Any] = {
    "customerTenantId": str(CUSTOMER),
    "dateAgreed": "2026-10-01",
    "primaryContact": dict(CONTACT),
}


class Desk:
    """Reads texts as files."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "file"
        self.told = Told()

    def __call__(self, text: str | bytes, given: Format = Format.CSV, **more: Any) -> list[Record]:
        self.file.write_bytes(text if isinstance(text, bytes) else text.encode())
        self.told = Told()
        return list(read(Reading(path=self.file, format=given, now=NOW, **more), self.told))

    def faults(
        self, text: str | bytes, given: Format = Format.CSV, **more: Any
    ) -> list[tuple[int, str, str]]:
        """Return line, reason and field of every fault."""
        found = self(text, given, **more)
        return [(one.line, str(fault.reason), fault.field or "") for one in found for fault in one.faults]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def data(record: Record) -> dict[str, object]:
    assert record.acceptance is not None, record.faults
    return record.acceptance.data


def id_of(record: Record) -> UUID:
    assert record.acceptance is not None, record.faults
    return record.acceptance.id


WHOLE = {**EVENT, "type": "MicrosoftCustomerAgreement"}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (Format.CSV, f"{NAMES}\n{ROW}\n"),
        (Format.JSON, json.dumps([EVENT | {"more": "Zoraida"}])),
        (Format.JSON, json.dumps(EVENT)),
        (Format.JSON_LINES, json.dumps({key.upper(): value for key, value in EVENT.items()})),
        (Format.JSON_LINES, json.dumps({"specversion": "1.0", "id": "1", "source": "s", "data": EVENT})),
    ],
)
def test_a_record_is_the_same_in_every_format(desk: Desk, given: Format, text: str) -> None:
    """What goes out are the fields of the contract with their values as written, under one id."""
    [record] = desk(text, given)
    assert data(record) == WHOLE
    assert events.read(data(record)) == events.read(EVENT)
    assert str(id_of(record)) == "d1431dda-b6c3-5113-bdb2-c877c28602be"


@pytest.mark.parametrize(
    ("row", "same"),
    [
        (ROW.replace("2026-10-01", "2026-10-01T02:00:00+02:00"), True),
        (ROW.replace(str(CUSTOMER), str(CUSTOMER).upper()), True),
        (ROW.replace("2026-10-01", "2026-10-02"), False),
        (ROW.replace("Zoraida", "zoraida"), False),
        (ROW.replace("+34 600 700 800", ""), False),
        (ROW.replace("Zoraida,Quintanilla", "Quintanilla,Zoraida"), False),
    ],
)
def test_an_id_is_of_what_is_said(desk: Desk, row: str, same: bool) -> None:
    """The same customer, instant and contact as written have the same id, and no others do."""
    first, second = desk(f"{NAMES}\n{ROW}\n{row}\n")
    assert (id_of(first) == id_of(second)) is same


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("Customer Tenant ID,date_agreed,FIRST-NAME,Last Name,E-Mail,Phone Number", ROW),
        ("customertenantid,DateAgreed,primaryContact.firstName,primary contact last name,email,phone", ROW),
        ("﻿customerTenantId,dateAgreed,firstName,lastName,email,phoneNumber", ROW),
        ("TenantId,Domain,Date,First Name,Last Name,Phone,Email",
         f"{CUSTOMER},contoso.example,2026-10-01,Zoraida,Quintanilla,+34 600 700 800,zq@planted.example"),
        ("TenantId,Domain,Date,First Name,Last Name,Phone,Email",
         f"{CUSTOMER},contoso.example,2026-10-01,Zoraida,Quintanilla,+34 600 700 800,zq@planted.example,"
         "MicrosoftCustomerAgreement"),
    ],
)  # fmt: skip
def test_columns_are_known_by_their_names(desk: Desk, header: str, row: str) -> None:
    """Case, spaces, hyphens and underscores aside; also those of Microsoft's own export."""
    [record] = desk(f"{header}\r\n{row}\r\n")
    assert data(record) == WHOLE


def test_the_export_of_another_agreement_is_refused(desk: Desk) -> None:
    """Its last column, which has no name, is not let go."""
    header = "TenantId,Domain,Date,First Name,Last Name,Phone,Email"
    row = f"{CUSTOMER},contoso.example,2026-10-01,Z,Q,,z@planted.example,MicrosoftCloudAgreement"
    assert desk.faults(f"{header}\n{row}\n") == [(2, "FieldInvalid", "type")]


@pytest.mark.parametrize(("delimiter", "name"), [(",", "comma"), (";", "semicolon"), ("\t", "tab")])
def test_the_delimiter_is_found_out(desk: Desk, delimiter: str, name: str) -> None:
    """By which of them the header makes sense; and told."""
    text = "\n".join([NAMES, ROW]).replace(",", delimiter)
    assert [data(one) for one in desk(text)] == [WHOLE]
    assert columns.DELIMITERS[str(desk.told.delimiter)] == name


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [("sep=;\n{}", None), ("\nSEP=;\r\n\n{}", None), ("{}", ";"), ("sep=|\n{}", ";")],
)
def test_the_delimiter_can_be_said(desk: Desk, text: str, delimiter: str | None) -> None:
    """In the line that spreadsheets know, or by the person, who is right."""
    table = f"{NAMES}\n{ROW}".replace(",", ";")
    assert [data(one) for one in desk(text.format(table), delimiter=delimiter)] == [WHOLE]


def test_lines_are_counted_as_editors_do(desk: Desk) -> None:
    """Also where a cell goes over several; blank rows are skipped and counted."""
    text = (
        f'\n"{NAMES.replace(",", chr(34) + "," + chr(34))}","No\ntes"\n{ROW},"a\nb\r\nc"\n\n,,,,,,\n{ROW},x\n'
        f" \n{ROW},"
    )
    assert [one.line for one in desk(text)] == [4, 9, 11]
    assert desk.told.blank == 4
    assert desk.told.columns is not None
    assert desk.told.columns.ignored == ("No\ntes",)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (ROW.replace("2026-10-01", "03/04/2026"), [("FieldInvalid", "dateAgreed")]),
        (ROW.replace("2026-10-01", "46115"), [("FieldInvalid", "dateAgreed")]),
        (ROW.replace("2026-10-01", "2026-10-01 "), [("FieldInvalid", "dateAgreed")]),
        (ROW.replace("2026-10-01", "2026-12-31"), [("DateInFuture", "dateAgreed")]),
        (ROW.replace("2026-10-01", "").replace("Zoraida", "  "),
         [("FieldMissing", "dateAgreed"), ("FieldInvalid", "primaryContact.firstName")]),
        (ROW.replace("Zoraida", "#REF!").replace("zq@planted.example", "zq"),
         [("FieldInvalid", "primaryContact.email"), ("SpreadsheetDamage", "primaryContact.firstName")]),
        (ROW.replace("+34 600 700 800", "3,4E+10"), [("CellsDoNotMatch", "")]),
        (ROW.replace("+34 600 700 800", '"3,4E+10"'), [("SpreadsheetDamage", "primaryContact.phoneNumber")]),
        (ROW.replace("+34 600 700 800", "#######"), [("SpreadsheetDamage", "primaryContact.phoneNumber")]),
        (ROW.replace("Zoraida", "Zo\0"), [("NulByte", "primaryContact.firstName")]),
        (ROW.replace("Zoraida", "Zo\udcff"), [("NotText", "primaryContact.firstName")]),
        (ROW.replace("Zoraida", "Z" * 20_000), [("TooLarge", "primaryContact")]),
        (ROW.rpartition(",")[0], [("CellsDoNotMatch", "")]),
        (f"{ROW},more", [("CellsDoNotMatch", "")]),
        (NAMES, [("HeaderAgain", "")]),
        (f'{ROW},"a" b', [("QuotesDoNotMatch", "")]),
        (ROW.replace("Zoraida", '"Zoraida'), [("QuotesDoNotMatch", "")]),
    ],
)  # fmt: skip
def test_a_bad_row_is_told(desk: Desk, row: str, expected: list[tuple[str, str]]) -> None:
    """Every fault of it by reason and field; the row before is as good as ever, and no value is shown."""
    text = f"{NAMES}\n{ROW}\n{row}\n".encode(errors="surrogateescape")
    found = desk(text)
    assert [(str(fault.reason), fault.field or "") for fault in found[1].faults] == expected
    assert (found[0].faults, found[1].line) == ((), 3)
    assert not [planted for planted in PLANTED if planted in repr(found)]


@pytest.mark.parametrize(
    ("written", "advice"),
    [("03/04/2026", "nobody can tell day and month"), ("1-2-26 10:00", "nobody can tell"),
     ("45999", "serial number"), ("45999.5", "serial number"), ("2026/04/03", "must be an ISO 8601 date"),
     (7, "must be an ISO 8601 date")],
)  # fmt: skip
def test_a_date_that_is_refused_comes_with_advice(desk: Desk, written: object, advice: str) -> None:
    """Where people write dates in ways of their own, they learn how to write them."""
    [record] = desk(json.dumps(EVENT | {"dateAgreed": written}), Format.JSON)
    [fault] = record.faults
    assert advice in fault.detail


def test_today_may_be_tomorrow_somewhere(desk: Desk) -> None:
    """As the function app has it: a date alone may be a day ahead, an instant only a clock's error."""
    wrong = NAMES + "\n" + "\n".join(
        ROW.replace("2026-10-01", date)
        for date in ("2026-11-21T00:04:00Z", "2026-11-21T00:06:00Z", "2026-11-21T13:00", "2026-11-22")
    )  # fmt: skip
    assert desk.faults(wrong) == [(3, "DateInFuture", "dateAgreed"), (5, "DateInFuture", "dateAgreed")]


def test_a_row_that_is_told_as_damaged_is_read_no_further(desk: Desk) -> None:
    """A value that a spreadsheet destroyed is refused even where the contract would take it."""
    assert desk.faults(f"{NAMES}\n{ROW.replace('Quintanilla', '#N/A')}\n") == [
        (2, "SpreadsheetDamage", "primaryContact.lastName")
    ]


def test_quotes_tell_how_far_they_go(desk: Desk) -> None:
    """A person looks at all the lines that were taken together; what follows is read as ever."""
    row = ROW.replace("Zoraida", '"Zoraida')
    found = desk(f"{NAMES}\n{row}\n{ROW}\n{ROW.replace('Zoraida', chr(34) + 'Z' + chr(34))}\n{ROW}\n")
    assert "lines 2 to 4" in found[0].faults[0].detail
    assert [(one.line, bool(one.faults)) for one in found] == [(2, True), (5, False)]


def test_a_quote_that_nobody_closes_ends_the_file(desk: Desk) -> None:
    """What follows might be rows or one cell; nobody can tell."""
    with pytest.raises(UnreadableError, match="line 3: a quote opens here"):
        desk(f'{NAMES}\n{ROW}\n{ROW},"\n' + f"{ROW}\n" * 200)


def test_the_quotes_of_a_header_match(desk: Desk) -> None:
    """Without columns there are no rows."""
    with pytest.raises(UnreadableError, match="line 1: the quotes of the header"):
        desk('customerTenantId,"date"Agreed\n')


@pytest.mark.parametrize(
    ("header", "by_hand", "told"),
    [
        (
            "customerTenantId,dateAgreed,firstName",
            {},
            "no column for lastName, email: say --map column=lastName; there are 'c",
        ),
        (NAMES + ",Phone", {}, r"several columns for phoneNumber \('phoneNumber', 'Phone'\): say which with"),
        (NAMES + ",email", {}, "several columns for email"),
        ("Zoraida,Quintanilla", {}, "--map column=customerTenantId; is the first line a header"),
        (NAMES, {"Zoraida": "email"}, "there is no column Zoraida; there are 'customerTenantId'"),
        ("a,b", {"Zoraida": "email"}, "there is no column Zoraida; is the first line a header"),
        ("Mail,Mail," + NAMES, {"Mail": "email"}, "several columns are called Mail: rename all but one"),
    ],
)
def test_columns_that_cannot_be_told_are_refused(
    desk: Desk, header: str, by_hand: dict[str, str], told: str
) -> None:
    """With the choices; but for a first line that may be somebody's data."""
    with pytest.raises(ColumnsError, match=told) as caught:
        desk(f"{header}\n", by_hand=by_hand)
    assert "'Zoraida'" not in str(caught.value)
    assert "Quintanilla" not in str(caught.value)


def test_columns_can_be_named_by_hand(desk: Desk) -> None:
    """A person's word wins over a name, and finds a column however it is spelt."""
    header = "Kunde,Signed on,firstName,lastName,email,Mobile,phoneNumber"
    hands = columns.chosen(
        ["Kunde=customerTenantId", "signed_ON=date agreed", "Mobile=primaryContact.phoneNumber"]
    )
    [record] = desk(f"{header}\n{ROW},1\n", by_hand=hands)
    assert data(record) == WHOLE


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        (["Kunde"], "should be column=field"),
        (["=email"], "should be column=field"),
        (["Kunde=customer"], "the fields are customerTenantId, dateAgreed, type"),
        (["a=email", "b=email"], "can be named once"),
        (["a=email", "a=type"], "can be named once"),
    ],
)
def test_a_pair_that_is_none_is_refused(pairs: list[str], told: str) -> None:
    """A field that does not exist is told with those that do."""
    with pytest.raises(ColumnsError, match=told):
        columns.chosen(pairs)


def test_an_empty_table_has_no_records(desk: Desk) -> None:
    """No header, no rows, or neither: nothing to publish and nothing wrong."""
    assert [desk(text) for text in ("", "\n\n", f"{NAMES}\n", "sep=,\n")] == [[], [], [], []]


def test_each_line_of_json_lines_stands_for_itself(desk: Desk) -> None:
    """A bad one is told by its line, and the others are read."""
    text = "\n".join([json.dumps(EVENT), "", "{", json.dumps({"dateAgreed": 1}), "[]", json.dumps([EVENT])])
    found = desk.faults(text.encode() + b'\n{"\xff": 1}', Format.JSON_LINES)
    assert found == [
        (3, "NotJson", ""),
        (4, "FieldMissing", "customerTenantId"),
        (4, "FieldInvalid", "dateAgreed"),
        (4, "FieldMissing", "primaryContact"),
        (5, "Empty", ""),
        (7, "NotText", ""),
    ]
    assert desk.told.blank == 1


def test_a_field_given_twice_is_refused(desk: Desk) -> None:
    """No value is chosen by chance."""
    twice = json.dumps(EVENT)[:-1] + ', "DATEAGREED": "2026-10-02"}'
    assert desk.faults(twice, Format.JSON) == [(1, "FieldTwice", "dateAgreed")]
    contact = dict(CONTACT) | {"FirstName": "Z"}
    assert desk.faults(json.dumps(EVENT | {"primaryContact": contact}), Format.JSON) == [
        (1, "FieldTwice", "primaryContact.firstName")
    ]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.csv", "{", Format.CSV),
        ("a.TSV", "{", Format.CSV),
        ("a.json", "x", Format.JSON),
        ("a.ndjson", "[", Format.JSON_LINES),
        ("a.jsonl", "[", Format.JSON_LINES),
        ("-", '\n {"a": 1}\n{}', Format.JSON_LINES),
        ("-", '{\n"a": 1}', Format.JSON),
        ("-", "[{}]", Format.JSON),
        ("-", "[\n{}]", Format.JSON),
        ("a.dat", "a,b", Format.CSV),
        ("-", "", Format.CSV),
        ("-", '{"a":' * 100_000, Format.JSON),
    ],
)
def test_the_format_is_told(tmp_path: Path, name: str, text: str, expected: Format) -> None:
    """By the extension, else by how the file begins."""
    (tmp_path / "f").write_text(text)
    assert format_of(tmp_path / "f", name) is expected


def test_the_format_of_one_long_line_is_told(tmp_path: Path) -> None:
    """A program writes an array of many events without a line break."""
    path, blank = tmp_path / "file", " " * texts.LONGEST
    found = []
    for text in (f"[{blank}]", f'\n{{"a": "{blank}"}}', "a," * texts.LONGEST):
        path.write_text(text)
        found.append(format_of(path, "-"))
    assert found == [Format.JSON, Format.JSON, Format.CSV]


def test_every_reason_of_the_layout_is_met(desk: Desk) -> None:
    """No reason is listed in vain: each stands in one of the cases above."""
    source = Path(__file__).read_text()
    assert all(f'"{reason}"' in source for reason in Layout)
