"""From a table (CSV) to the JSON objects that its rows stand for, each with the line where it begins."""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from itertools import chain
from typing import TextIO

from agreements import columns, texts
from agreements.columns import PATHS, Columns
from agreements.texts import NOT_TEXT, UnreadableError

# A quote that nobody closes would swallow the rest of a file.
_MOST_LINES = 100
_SEPARATOR = re.compile(r"sep=(.)\s*", re.IGNORECASE)
_SCIENTIFIC = re.compile(r"[+-]?\d([.,]\d+)?E\+?\d{1,3}", re.IGNORECASE)
_ERRORS = re.compile(r"#(N/A|NAME\?|REF!|VALUE!|DIV/0!|NUM!|NULL!|SPILL!|CALC!|#+)", re.IGNORECASE)

type Row = tuple[int, dict[str, object] | None, list[Fault]]


@unique
class Layout(StrEnum):
    """What can be wrong with a record before it is one: reasons beside those of the contract."""

    NOT_TEXT = "NotText"
    NUL = "NulByte"
    QUOTES = "QuotesDoNotMatch"
    CELLS = "CellsDoNotMatch"
    HEADER = "HeaderAgain"
    SPREADSHEET = "SpreadsheetDamage"
    LARGE = "TooLarge"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a record: why, at which field if at one, and what to do; never a value."""

    reason: str
    field: str | None
    detail: str


@dataclass(slots=True)
class Told:
    """What is found out of a file beside its records."""

    blank: int = 0
    delimiter: str | None = None
    columns: Columns | None = None


def read(text: TextIO, by_hand: Mapping[str, str], delimiter: str | None, told: Told) -> Iterator[Row]:
    """Yield each row: its line, the JSON object that it stands for if one can be told, and its faults.

    Raises:
        UnreadableError: nobody can tell what rows follow from a line on.
        ColumnsError: the columns cannot be told.
    """
    # Of the process: how long a cell may be is bounded by the feed.
    csv.field_size_limit(2 * texts.LONGEST)
    feed = _Feed(text)
    head = _head(feed, told)
    if (separator := _SEPARATOR.fullmatch(head)) is not None:
        # What Excel reads and writes to say so.
        delimiter, head = delimiter or separator[1], _head(feed, told)
    if not head:
        return
    delimiter = told.delimiter = delimiter or columns.delimiter_of(head, by_hand)
    header = _header(head, delimiter, feed)
    found = told.columns = columns.match(header, by_hand)
    for row in _rows(feed, delimiter):
        if isinstance(row, Fault):
            yield feed.first, None, [row]
        elif row == header:
            detail = "the header stands here again: remove the line"
            yield feed.first, None, [Fault(Layout.HEADER, None, detail)]
        elif any(cell.strip() for cell in row):
            yield feed.first, found.read(row) if found.fits(row) else None, _faults(row, found)
        else:
            told.blank += 1


class _Feed:
    """The lines of a table as its parser takes them; knows which are a record's."""

    def __init__(self, text: TextIO) -> None:
        self._lines = texts.lines(text)
        self.first = self.last = 0
        self._length = 0

    def begin(self) -> None:
        """Begin a record."""
        self.first, self._length = self.last + 1, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.last, line = next(self._lines)
        self._length += len(line)
        if self.last - self.first >= _MOST_LINES or self._length > texts.LONGEST:
            raise UnreadableError(self.first, "a quote opens here, and nothing near closes it")
        return line


def _head(feed: _Feed, told: Told) -> str:
    """Return the first line that is not blank, empty if there is none."""
    feed.begin()
    for line in feed:
        if line.strip():
            return line
        told.blank += 1
        feed.begin()
    return ""


def _header(head: str, delimiter: str, feed: _Feed) -> list[str]:
    try:
        return next(csv.reader(chain([head], feed), delimiter=delimiter, strict=True))
    except csv.Error:
        raise UnreadableError(feed.first, "the quotes of the header do not match") from None


def _rows(feed: _Feed, delimiter: str) -> Iterator[list[str] | Fault]:
    parser = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        feed.begin()
        try:
            yield next(parser)
        except StopIteration:
            return
        except csv.Error:
            at = f"lines {feed.first} to {feed.last}" if feed.last > feed.first else "this line"
            yield Fault(Layout.QUOTES, None, f"quotes do not match in {at}: a quote within quotes is doubled")


def _faults(row: list[str], found: Columns) -> list[Fault]:
    if found.fits(row):
        return [fault for at, cell in enumerate(row) if (fault := _cell(found.fields[at], cell))]
    wanted = len(found.fields)
    detail = f"{len(row)} cells, where the header has {wanted}: a delimiter within a cell needs quotes"
    return [Fault(Layout.CELLS, None, detail)]


def _cell(name: str | None, cell: str) -> Fault | None:
    """Return what is wrong with a cell before it is read; of one that is not read, only its bytes count."""
    at = PATHS[name] if name else None
    if NOT_TEXT in cell:
        return not_text(at)
    if "\0" in cell:
        return Fault(Layout.NUL, at, "a zero byte: the file is damaged, or not text")
    if at and _ERRORS.fullmatch(cell.strip()):
        return Fault(Layout.SPREADSHEET, at, "a spreadsheet's error in place of a value: mend its formula")
    if name == "phoneNumber" and _SCIENTIFIC.fullmatch(cell.strip()):
        detail = "a spreadsheet made it a power of ten, and digits are lost: format the column as text"
        return Fault(Layout.SPREADSHEET, at, detail)
    return None


def not_text(at: str | None) -> Fault:
    """Return the fault of bytes that are no text."""
    return Fault(Layout.NOT_TEXT, at, "bytes that are no text: save the file as UTF-8, or as UTF-16 with BOM")
