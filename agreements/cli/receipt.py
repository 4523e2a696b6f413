"""The command that says what became of each record of a published file. Right: Data Receiver."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer

from agreements import evidence, settings, texts
from agreements.cli import following, output, sources, talk
from agreements.cli.following import Subscription
from agreements.cli.sources import Delimiter, Map
from agreements.evidence import Table
from agreements.judging import File
from agreements.outcome_book import Book
from agreements.outcome_events import Ending
from agreements.receipts import Entry, Known, entries
from agreements.records import Format
from agreements.seen import Seen
from agreements.settings import BusSettings

type Read = Callable[[], Iterator[Entry]]


def receipt(
    file: Annotated[
        Path, typer.Argument(help="A receipt, or a file that was published; - is standard input.")
    ],
    *,
    outcomes: Annotated[
        list[Path] | None,
        typer.Option(
            help="Outcome events that a subscriber kept, one a line; - is standard input. Repeatable."
        ),
    ] = None,
    peek: Annotated[
        bool | None,
        typer.Option("--peek/--no-peek", help="Look into the subscription; by default without --outcomes."),
    ] = None,
    subscription: Subscription = "receipts",
    table: Annotated[Table, typer.Option("--format", help="How the table is written.")] = Table.CSV,
    to: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="A file that is not there yet.")
    ] = None,
    given_as: Annotated[
        Format | None, typer.Option("--as", help="What a published file is, where its name does not tell.")
    ] = None,
    by_hand: Map = None,
    delimiter: Delimiter = None,
) -> None:
    """Write a table of what became of each record of a published file: a partner's evidence.

    A row for each record: file, line, event, customer, date agreed, whether it was sent, outcome, reason and
    the field at fault, advice, when, template, and Microsoft's ids. No names, no addresses. Where nobody told
    an outcome it is unknown. What is on record counts, whatever else was told; an ending before a delay.

    Outcomes come from the subscription of OUTCOMES_TOPIC, which keeps them for seven days; from files of
    outcome events, whoever kept them; and from the receipt itself, where publish --wait has noted them. Looks
    only. Needs the role Azure Service Bus Data Receiver; with --no-peek, or --outcomes, none. Exit codes: 0
    every event has ended, 1 failed, 2 wrong call, 3 no records, 4 some have not ended, or nobody told.

    Example: agreements receipt acceptances.csv.receipt.jsonl -o evidence.csv
    """
    kept = outcomes or []
    if [str(path) for path in (file, *kept)].count("-") > 1:
        raise typer.BadParameter("standard input can be read once")
    with sources.failures(), ExitStack() as opened:
        read = _read(file, opened, given_as, by_hand or (), delimiter)
        book = Book()
        evidence.expect(book, read())
        for path in kept:
            _hear(book, path)
        if peek if peek is not None else not kept:
            _peek(book, subscription)
        if book.unreadable:
            talk.say(f"{book.unreadable} of the outcome events could not be read")
        tally = book.tally()
        with _written(to) as text:
            counted = _counting(read(), total := Counter[str]())
            evidence.write(table, evidence.rows(counted, book), text)
    raise typer.Exit(_tell(tally, total))


def _read(
    file: Path, opened: ExitStack, given_as: Format | None, by_hand: Sequence[str], delimiter: str | None
) -> Read:
    """Return what reads the records: from the receipt, where there is one."""
    beside = sources.receipt_of(file)
    at = opened.enter_context(sources.local(file))
    try:
        if evidence.is_receipt(at):
            return lambda: entries(at)
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from None
    if beside.exists():
        talk.say(f"reading {beside}")
        return lambda: entries(beside)
    talk.say(f"{file} is no receipt: which of its events were sent is not known")
    reading = sources.reading(file, at, given_as, by_hand, delimiter)
    name, seen = sources.name_of(file), Seen()
    published = File(name=name, reading=reading, known=Known(beside, None))
    return lambda: evidence.entries_of(published, seen)


def _hear(book: Book, path: Path) -> None:
    with sources.local(path) as at:
        try:
            with texts.opened(at, "\n") as text:
                for _, line in texts.lines(text):
                    if line.strip():
                        book.hear(line.encode(errors="replace"))
        except OSError as error:
            raise typer.BadParameter(f"{path}: {error.strerror}", param_hint="--outcomes") from None


def _peek(book: Book, subscription: str) -> None:
    given = settings.read(BusSettings)
    with following.subscribed(given, subscription, book, from_now=False) as look:
        look()


@contextmanager
def _written(path: Path | None) -> Iterator[TextIO]:
    """Lend what the table is written to: a new file for its owner alone, or standard output."""
    if path is None:
        yield sys.stdout
        return
    made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(made, "w", encoding="utf-8", newline="") as file:
            yield file
    except BaseException:
        # Half of it looks like all of it.
        path.unlink()
        raise


def _counting(told: Iterator[Entry], total: Counter[str]) -> Iterator[Entry]:
    for entry in told:
        total[entry.status] += 1
        yield entry


def _tell(tally: Counter[Ending | None], total: Counter[str]) -> int:
    told = {str(ending or "unknown"): count for ending, count in tally.items()}
    for counted in (dict(total), told):
        talk.say(", ".join(f"{name}: {count}" for name, count in counted.items()))
    if not total:
        return output.NOTHING
    return output.PARTLY if following.under_way(tally) else 0
