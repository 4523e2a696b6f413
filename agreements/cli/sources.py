"""The files that commands read records from, and how to read them."""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from agreements import columns, records, texts
from agreements.cli import output, talk
from agreements.columns import DELIMITERS, ColumnsError
from agreements.judging import ChangedError, File
from agreements.records import Format, Reading
from agreements.texts import UnreadableError

As = Annotated[
    Format | None,
    typer.Option("--format", help="What the files are; else told by their names, or by how they begin."),
]
Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map", metavar="COLUMN=FIELD", help=f"Which column holds a field: {', '.join(columns.FIELDS)}."
    ),
]
Delimiter = Annotated[
    str | None,
    typer.Option(help="Between the cells of a table: comma, semicolon, tab, or any one character."),
]
_STANDARD_INPUT = "-"


def name_of(path: Path) -> str:
    """Return what people and receipts call a file: its name, also where that is no text."""
    return talk.plain(path.name)


def receipt_of(path: Path) -> Path:
    """Return where the receipt of a file is, unless a person says otherwise."""
    return Path(f"{path}.receipt.jsonl")


@contextmanager
def local(path: Path) -> Iterator[Path]:
    """Lend a file that can be read twice: standard input or a pipe is kept in one that is gone at the end."""
    standard = str(path) == _STANDARD_INPUT
    if not standard and not path.is_fifo():
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="agreements-") as kept:
        with nullcontext(sys.stdin.buffer) if standard else path.open("rb") as given:
            shutil.copyfileobj(given, kept)
        kept.flush()
        yield Path(kept.name)


def reading(
    path: Path, at: Path, given: Format | None, by_hand: Sequence[str], delimiter: str | None
) -> Reading:
    """Return how to read a file, which lies at ``at``."""
    try:
        texts.encoding_of(at)  # now is the time to find out that it cannot be read
        found = given or records.format_of(at, path.name)
        hands = columns.chosen(by_hand)
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from None
    except ColumnsError as error:
        raise typer.BadParameter(str(error), param_hint="--map") from None
    if hands and found is not Format.CSV:
        raise typer.BadParameter(f"{path} is {found}: only a table has columns", param_hint="--map")
    return Reading(
        path=at, format=found, by_hand=hands, delimiter=_delimiter(delimiter), now=datetime.now(UTC)
    )


def _delimiter(text: str | None) -> str | None:
    named = {name: char for char, name in DELIMITERS.items()}
    found = named.get(text or "", text)
    if found is not None and (len(found) != 1 or found in '"\r\n'):
        raise typer.BadParameter("comma, semicolon, tab, or any one character", param_hint="--delimiter")
    return found


@contextmanager
def failures() -> Iterator[None]:
    """Turn what can be wrong with a file into a sentence and an exit code."""
    with output.failures():
        try:
            yield
        except ColumnsError as error:
            raise output.end(output.USAGE, talk.plain(error)) from None
        except (UnreadableError, ChangedError) as error:
            raise output.end(output.FAILED, str(error)) from None


def tell(file: File) -> None:
    """Tell how a file was read."""
    told = file.told
    if told.delimiter is not None:
        name = DELIMITERS.get(told.delimiter, repr(told.delimiter))
        talk.say(f"{file.name}: a table, {name} between its cells")
    if told.columns is not None and told.columns.ignored:
        ignored = ", ".join(name or "(no name)" for name in told.columns.ignored)
        talk.say(talk.plain(f"{file.name}: columns that are not read: {ignored}"))
    if told.blank:
        talk.say(f"{file.name}: {told.blank} blank lines skipped")
