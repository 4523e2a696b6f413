"""What the commands say beside their data: on standard error, where a pipe does not take it."""

import logging
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console


def plain(value: object) -> str:
    """Return text that a terminal only shows, whatever a stranger wrote into a reason or an id."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(value))


def say(text: str = "") -> None:
    """Say a line or more, never folded, so that a command or an address can be copied whole."""
    # Not by a console of its own: beside a progress bar it would write into its line.
    sys.stderr.write(f"{_lines(text)}\n")


def _lines(text: str) -> str:
    return "\n".join(map(plain, text.split("\n")))


def tell(text: str) -> None:
    """Say prose, folded between words on a terminal and nowhere else."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    console.print(_lines(text), soft_wrap=not console.is_terminal)


def item(head: str, text: str) -> None:
    """Say something after a head; on a terminal its lines are folded and stand below one another."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    say(hanging(head, text, console.width if console.is_terminal else None))


def hanging(head: str, text: str, width: int | None) -> str:
    """Return text after a head, folded between words to a width, if there is one, and indented."""
    if width is None:
        return f"{head}{text}"
    return textwrap.fill(
        text, width, initial_indent=head, subsequent_indent=" " * len(head), break_long_words=False
    )


def silence() -> None:
    """Keep the libraries from talking, and in a terminal our log: the command itself tells a person."""
    quiet = ["azure", "msal", "urllib3"]
    if sys.stderr.isatty():
        quiet.append("agreements")
    for logger in quiet:
        logging.getLogger(logger).setLevel(logging.CRITICAL)


@contextmanager
def working() -> Iterator[Callable[[str | None], None]]:
    """Lend what shows on a terminal what is being done, until it is called with ``None``."""
    status = Console(stderr=True, highlight=False).status("")

    def show(text: str | None) -> None:
        if text is None:
            status.stop()
        else:
            status.update(text)
            status.start()

    try:
        yield show
    finally:
        status.stop()
