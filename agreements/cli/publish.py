"""The command that publishes events from files. Right: Data Sender; to wait, also Data Receiver."""

import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from azure.servicebus.exceptions import ServiceBusError

from agreements import settings, toolbox
from agreements.cli import following, output, sources, talk
from agreements.cli.applying import Rate, Yes, confirm, progress, rate
from agreements.cli.following import Subscription, Timeout
from agreements.cli.sources import As, Delimiter, Map
from agreements.errors import AgreementsError, BusyError
from agreements.judging import ChangedError, Fate, File, count
from agreements.outcome_book import Book, Following
from agreements.publishing import Sending, StoppedError
from agreements.receipts import Entry, Known, Receipt, Status, entries
from agreements.records import Reading, Record
from agreements.seen import Seen
from agreements.settings import BusSettings

_RESUME = "to resume, give the same command again"
_URI = re.compile(r"[!-~]+")
_SOURCE = "urn:agreements:publish"
# To show each of a million would take longer than to read it.
_SHOWN_EACH = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How a person wants files published."""

    source: str
    rate: float | None
    yes: bool
    wait: bool
    subscription: str
    at_most: float


def publish(
    files: Annotated[list[Path], typer.Argument(help="JSON, JSON Lines or CSV; - is standard input.")],
    *,
    given_as: As = None,
    by_hand: Map = None,
    delimiter: Delimiter = None,
    source: Annotated[str, typer.Option(help="Who publishes: the CloudEvents source, a URI.")] = _SOURCE,
    receipt: Annotated[
        Path | None, typer.Option(help="What became of each record; by default FILE.receipt.jsonl.")
    ] = None,
    at_rate: Rate = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, send nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow each event to its ending.")] = False,
    subscription: Subscription = "receipts",
    at_most: Timeout = None,
    yes: Yes = False,
) -> None:
    """Publish acceptance events from files: check all of them first, then send what is sound, each once.

    Every fault is told with its line and field, never its value. Dates are read as the contract has them;
    nothing is guessed or altered. Columns are matched to the fields by their names, case, spaces, hyphens and
    underscores aside; only the fields of the contract are sent.

    Each event has an id made of what it says, so a record that comes twice is sent once. The receipt has a
    line for each record. What it tells as sent is not sent again: not after a crash, and not when the file
    was mended and is given again. At most one batch is sent twice, after a crash, which the app finds on
    record: nothing is confirmed twice. Ctrl-C ends the run after the batch in hand; the same command goes on.

    Events are sent in the order of the records, and confirmed side by side: two acceptances of one customer
    may be recorded in either order, so publish the later one when the first has ended.

    Standard input or a pipe is kept in a temporary file meanwhile, for its owner alone. To send a file once
    more, for example to another namespace, name another receipt.

    --wait learns what became of each event from the outcome events on the topic OUTCOMES_TOPIC: it looks into
    a subscription, takes nothing from it, and writes what it finds into the receipt.

    Needs the role Azure Service Bus Data Sender; --wait also Data Receiver; --dry-run none. Exit codes: 0 all
    are sent, 1 some are refused, or Service Bus failed, 2 wrong call, 3 no records, 4 stopped, or with --wait
    not all on record, 5 refused.

    Example: agreements publish acceptances.csv --map "Signed on=dateAgreed" --wait
    """
    wish = Wish(
        source=_uri(source),
        rate=rate(at_rate),
        yes=yes,
        wait=wait,
        subscription=subscription,
        at_most=following.seconds(at_most),
    )
    paths = _receipts(files, receipt, needed=not dry_run)
    with sources.failures(), ExitStack() as opened:
        readings = [
            sources.reading(
                file, opened.enter_context(sources.local(file)), given_as, by_hand or (), delimiter
            )
            for file in files
        ]
        if dry_run:
            found = [
                File(name=sources.name_of(file), reading=reading, known=Known(path, None))
                for file, reading, path in zip(files, readings, paths, strict=True)
            ]
            counted = _check(found, Seen())
            _tell(counted, sent=0)
            code = _code(counted)
        else:
            code = _publish(files, readings, paths, wish, opened)
    raise typer.Exit(code)


def _uri(text: str) -> str:
    if not _URI.fullmatch(text):
        raise typer.BadParameter("a URI, such as https://crm.contoso.example", param_hint="--source")
    return text


def _receipts(files: Sequence[Path], given: Path | None, *, needed: bool) -> list[Path]:
    """Return the receipt of each file."""
    if len({str(file) for file in files}) < len(files):
        raise typer.BadParameter("a file is given twice")
    if given is not None:
        if len({sources.name_of(file) for file in files}) < len(files):
            raise typer.BadParameter("two files of one name need a receipt each", param_hint="--receipt")
        return [given] * len(files)
    if needed and any(str(file) == "-" for file in files):
        raise typer.BadParameter("standard input has no name to put a receipt beside: say --receipt FILE")
    return [sources.receipt_of(file) for file in files]


def _check(files: Sequence[File], seen: Seen) -> Counter[Fate]:
    """Judge every record, and tell each fault."""
    counted: Counter[Fate] = Counter()
    with talk.working() as working:

        def refused(file: File, record: Record) -> None:
            working(None)  # or it would stand in the same line
            _tell_faults(file, record)

        for counted in count(files, seen, refused):
            if counted.total() % _SHOWN_EACH == 0:
                working(f"checking: {counted.total()} records")
    for file in files:
        sources.tell(file)
    return counted


def _tell_faults(file: File, record: Record) -> None:
    for fault in record.faults:
        at = f" {fault.field}" if fault.field else ""
        typer.echo(f"{file.name}, line {record.line}: {fault.reason}{at}: {fault.detail}", err=True)


def _publish(
    names: Sequence[Path], readings: Sequence[Reading], paths: Sequence[Path], wish: Wish, opened: ExitStack
) -> int:
    given = settings.read(BusSettings)
    publisher, reachable = toolbox.publishing(given)
    opened.callback(publisher.close)
    place = publisher.place
    receipts = {path: opened.enter_context(Receipt(path, place)) for path in dict.fromkeys(paths)}
    watch = _watch(given, wish, receipts.values(), opened)
    files = [
        File(name=sources.name_of(name), reading=reading, known=receipts[path].known)
        for name, reading, path in zip(names, readings, paths, strict=True)
    ]
    seen = Seen()
    counted = _check(files, seen)
    if counted[Fate.SEND]:
        reachable()
        _ask(counted, place, wish)
    with output.stopping() as stopping, progress(counted[Fate.SEND]) as told:
        sending = Sending(
            files=files,
            seen=seen,
            publisher=publisher,
            place=place,
            source=wish.source,
            rate=wish.rate,
            told=told,
            waiting=_tell_waiting,
            stopping=stopping,
            pause=time.sleep,
        )
        whole = _send(sending, [receipts[path] for path in paths])
    _tell(counted, sending.sent)
    talk.say(f"receipt: {', '.join(map(str, receipts))}")
    code = _code(counted) if whole else output.PARTLY
    if watch is None or not whole:
        return code
    return _follow(watch, receipts.values(), wish) or code


def _watch(
    given: BusSettings, wish: Wish, receipts: Iterable[Receipt], opened: ExitStack
) -> Following | None:
    if not wish.wait:
        return None
    # What an earlier run sent may have ended long ago.
    from_now = not any(receipt.known.open for receipt in receipts)
    return opened.enter_context(following.subscribed(given, wish.subscription, Book(), from_now=from_now))


def _ask(counted: Counter[Fate], place: str, wish: Wish) -> None:
    how = f" at {wish.rate:g}/s" if wish.rate else ""
    others = ", ".join(f"{counted[fate]} {fate}" for fate in Fate if fate is not Fate.SEND and counted[fate])
    talk.say(f"send {counted[Fate.SEND]} of {counted.total()} to {place}{how}")
    if others:
        talk.say(f"  not sent: {others}")
    confirm("go on", yes=wish.yes)


def _send(sending: Sending, receipts: Sequence[Receipt]) -> bool:
    """Send; return whether all was dealt with."""
    try:
        sending(receipts)
    except StoppedError:
        talk.say(f"{sending.sent} sent; {_RESUME}")
        return False
    except (AgreementsError, ServiceBusError, OSError, ChangedError, KeyboardInterrupt):
        talk.say(f"{sending.sent} sent; {_RESUME}")
        raise
    return True


def _tell_waiting(busy: BusyError, wait: float) -> None:
    talk.say(f"{busy}: trying again in {wait:.0f} s")


def _tell(counted: Counter[Fate], sent: int) -> None:
    output.print_json(
        {
            "read": counted.total(),
            "sent": sent,
            "sentBefore": counted[Fate.BEFORE],
            "repeated": counted[Fate.REPEATED],
            "refused": counted[Fate.REFUSED],
            "notSent": counted[Fate.SEND] - sent,
        }
    )


def _code(counted: Counter[Fate]) -> int:
    if not counted:
        talk.say("no records")
        return output.NOTHING
    return output.FAILED if counted[Fate.REFUSED] else 0


def _follow(watch: Following, receipts: Iterable[Receipt], wish: Wish) -> int:
    """Follow what was sent to its ending, write that into the receipts, and return the exit code."""
    for receipt in receipts:
        for entry in entries(receipt.path):
            if entry.status is Status.SENT and entry.event_id:
                watch.book.expect(entry.event_id, entry.told)
    try:
        tally = following.follow(watch, wish.at_most)
    finally:
        for receipt in receipts:
            receipt.renew(lambda entry: _with_outcome(entry, watch.book))
    output.print_json(following.shown(tally))
    return 0 if following.good(tally) else output.PARTLY


def _with_outcome(entry: Entry, book: Book) -> Entry:
    if entry.status is not Status.SENT or entry.event_id is None:
        return entry
    return entry.model_copy(update={"told": book.of(entry.event_id)})
