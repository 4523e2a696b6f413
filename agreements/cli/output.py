"""What commands print: data to standard output, talk to standard error."""

import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import FrameType

import typer
from azure.servicebus.exceptions import ServiceBusError
from rich.console import Console
from rich.table import Table

from agreements.cli import talk
from agreements.dead_letters import PlanError
from agreements.errors import AgreementsError, DeploymentError, SettingsError
from agreements.journal import JournalError

FAILED, USAGE, NOTHING, PARTLY, REFUSED = 1, 2, 3, 4, 5

type Row = Mapping[str, object]


def end(code: int, text: str) -> typer.Exit:
    """Return the end of a command, having said why."""
    talk.say(text)
    return typer.Exit(code)


@contextmanager
def failures() -> Iterator[None]:
    """Turn what may fail into a sentence and an exit code."""
    talk.silence()
    try:
        yield
    except SettingsError as error:
        raise end(USAGE, str(error)) from None
    except (PlanError, JournalError) as error:
        raise end(REFUSED, str(error)) from None
    except ServiceBusError as error:
        raise end(FAILED, f"Service Bus failed: {_first_line(error)}") from None
    except BrokenPipeError:
        # Who reads has read enough; typer ends that quietly.
        raise
    except DeploymentError as error:
        raise end(FAILED, f"{error}. {error.advice}") from None
    except AgreementsError as error:
        raise end(FAILED, str(error)) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise end(FAILED, f"{where}{error.strerror or error}") from None


def _first_line(error: ServiceBusError) -> str:
    return f"{type(error).__name__}: {str(error.message).partition('\n')[0]}"


def print_json(row: Row) -> None:
    """Print an object on a line of its own."""
    typer.echo(dumps({name: value for name, value in row.items() if value is not None}))


def dumps(value: object, *, indent: int | None = None) -> str:
    """Return JSON in every script; what a terminal would obey, and half characters, as JSON escapes them."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows: laid out for a terminal; in a pipe one line each, with tabs between."""
    if not sys.stdout.isatty():
        for row in rows:
            typer.echo("\t".join(map(talk.plain, row)))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column, justify="right" if column in {"COUNT", "NUMBER"} else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*map(talk.plain, row))
    Console(highlight=False, markup=False).print(table)


def print_item(head: str, text: str) -> None:
    """Print something after a head; on a terminal its lines are folded and stand below one another."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    typer.echo(talk.hanging(talk.plain(head), talk.plain(text), width))


_WIDTHS = (16, 7, 4, 19, 9)


def print_line(row: Sequence[object]) -> None:
    """Print one line of a long table as it comes: with tabs in a pipe, cut to columns in a terminal."""
    if not sys.stdout.isatty():
        typer.echo("\t".join(map(talk.plain, row)))
        return
    *cells, last = map(talk.plain, row)
    line = " ".join(_cell(text, width) for text, width in zip(cells, _WIDTHS, strict=True))
    typer.echo(f"{line} {last}"[: shutil.get_terminal_size().columns])


def _cell(text: str, width: int) -> str:
    short = text.replace("agreement-", "").replace("$DeadLetterQueue", "dead")
    return (short if len(short) <= width else f"{short[: width - 1]}…").ljust(width)


def age(since: datetime, now: datetime) -> str:
    """Return how long ago that is, in its largest unit: 40s, 12m, 5h, 3d; ahead of now with a plus."""
    seconds = (now - since).total_seconds()
    sign, seconds = ("+", -seconds) if seconds < 0 else ("", seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{sign}{int(seconds // size)}{unit}"
    return f"{sign}{int(seconds)}s"


@contextmanager
def stopping(told: str = "stopping after the batch in hand …") -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C ask politely while the block runs; a second one is not polite."""
    asked = False

    def ask(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        talk.say(told)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
