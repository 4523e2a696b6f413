"""Which column of a table holds which field of the contract. Pure."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from agreements.events import AcceptanceEvent, Contact

_CONTACT = "primaryContact"
# By name alone, as a person writes it: no other field of an event is called so.
PATHS = {
    str(field.alias): path
    for model, prefix in ((AcceptanceEvent, ""), (Contact, f"{_CONTACT}."))
    for field in model.model_fields.values()
    if (path := f"{prefix}{field.alias}") != _CONTACT
}
FIELDS = tuple(PATHS)
_REQUIRED = tuple(
    str(field.alias)
    for model in (AcceptanceEvent, Contact)
    for field in model.model_fields.values()
    if field.is_required() and field.alias != _CONTACT
)
_NOT_TELLING = re.compile(r"[\s_.\-]")
# What Microsoft's own sample of an export calls them; its rows end with a type that its header lacks.
_MICROSOFT = {"tenantid": "customerTenantId", "date": "dateAgreed", "phone": "phoneNumber"}
_EXPORT = ["tenantid", "domain", "date", "firstname", "lastname", "phone", "email"]
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}


class ColumnsError(ValueError):
    """The columns of a table cannot be told; the message says what to do."""


def plain(name: str) -> str:
    """Return a name without what people write differently: case, spaces, underscores, hyphens, dots."""
    return _NOT_TELLING.sub("", name).casefold()


_KNOWN = {
    **_MICROSOFT,
    **{plain(field): field for field in FIELDS},
    **{plain(path): field for field, path in PATHS.items()},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What the header of a table says.

    Attributes:
        fields: the field of each column, ``None`` for one that is not read.
        ignored: the names of those.
        may_lack: how many of the last columns a row may do without.
    """

    fields: tuple[str | None, ...]
    ignored: tuple[str, ...] = ()
    may_lack: int = 0

    def fits(self, row: Sequence[str]) -> bool:
        """Tell whether a row has as many cells as there are columns."""
        return len(self.fields) - self.may_lack <= len(row) <= len(self.fields)

    def read(self, row: Sequence[str]) -> dict[str, object]:
        """Return the JSON object that a row stands for, its cells as written; an empty one is no value."""
        contact: dict[str, object] = {}
        given: dict[str, object] = {_CONTACT: contact}
        for field, cell in zip(self.fields, row, strict=False):
            if field and cell:
                (given if PATHS[field] == field else contact)[field] = cell
        return given


def chosen(pairs: Iterable[str]) -> dict[str, str]:
    """Return the columns that a person named, each with its field, from ``column=field``.

    Raises:
        ColumnsError: it is no such pair, there is no such field, or one is named twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        column, _, name = pair.rpartition("=")
        field = next((known for known in FIELDS if plain(name) in (plain(known), plain(PATHS[known]))), None)
        if not column.strip() or field is None:
            raise ColumnsError(f"{pair} should be column=field, and the fields are {', '.join(FIELDS)}")
        if column in found or field in found.values():
            raise ColumnsError(f"{pair}: each column and each field can be named once")
        found[column] = field
    return found


def match(header: Sequence[str], by_hand: Mapping[str, str]) -> Columns:
    """Return which column holds which field: as named by hand, else by its own name.

    Raises:
        ColumnsError: a column is missing, or two are for one field. Of a first line in which nothing is known
            no cell is shown: it may be no header, and its cells somebody's name.
    """
    names = [name.strip() for name in header]
    hands = _by_hand(names, by_hand)
    fields = [
        hands.get(at) or (known if (known := _KNOWN.get(plain(name))) not in by_hand.values() else None)
        for at, name in enumerate(names)
    ]
    for field in filter(None, fields):
        if fields.count(field) > 1:
            twice = ", ".join(f"{names[at]!r}" for at, one in enumerate(fields) if one == field)
            raise ColumnsError(f"several columns for {field} ({twice}): say which with --map column={field}")
    missing = [field for field in _REQUIRED if field not in fields]
    if missing:
        raise ColumnsError(
            f"no column for {', '.join(missing)}: say --map column={missing[0]}{_there_are(names, fields)}"
        )
    ignored = tuple(name for name, field in zip(names, fields, strict=True) if field is None)
    if [plain(name) for name in names] == _EXPORT and not by_hand:
        return Columns(fields=(*fields, "type"), ignored=ignored, may_lack=1)
    return Columns(fields=tuple(fields), ignored=ignored)


def _by_hand(names: Sequence[str], by_hand: Mapping[str, str]) -> dict[int, str]:
    found: dict[int, str] = {}
    for column, field in by_hand.items():
        at = [at for at, name in enumerate(names) if name == column.strip()]
        at = at or [at for at, name in enumerate(names) if plain(name) == plain(column)]
        if not at:
            known = [_KNOWN.get(plain(name)) for name in names]
            raise ColumnsError(f"there is no column {column}{_there_are(names, [*known, *found.values()])}")
        if len(at) > 1:
            raise ColumnsError(f"several columns are called {column}: rename all but one")
        found[at[0]] = field
    return found


def _there_are(names: Sequence[str], known: Sequence[str | None]) -> str:
    if not any(known):
        return "; is the first line a header?"
    return f"; there are {', '.join(repr(name) for name in names)}"


def delimiter_of(line: str, by_hand: Mapping[str, str]) -> str:
    """Return what stands between the cells of a header: what yields most fields, or else most cells."""

    def worth(delimiter: str) -> tuple[int, int]:
        names = next(csv.reader([line], delimiter=delimiter), [])
        known = {plain(column) for column in by_hand} | _KNOWN.keys()
        return sum(plain(name) in known for name in names), len(names)

    return max(DELIMITERS, key=worth)
