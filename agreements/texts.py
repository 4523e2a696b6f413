"""The text of a file: UTF-8, UTF-16 or UTF-32, with or without a byte order mark; bounded in memory."""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

# Stands for bytes that are no text: half a character, which no decoding of a whole one can give.
NOT_TEXT = "\udcff"
# Of a line or a record, in characters: no event is as long, and a file that is none may be one line.
LONGEST = 2**22


class UnreadableError(Exception):
    """A file cannot be read from a line on; nobody can tell what records would follow."""

    def __init__(self, line: int, why: str, name: str = "") -> None:
        super().__init__(f"{name}, line {line}: {why}" if name else f"line {line}: {why}")
        self.line = line
        self.why = why


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return NOT_TEXT, error.end


codecs.register_error("agreements.mark", _mark)


def encoding_of(path: Path) -> str:
    """Return how a file is encoded: told by its byte order mark, else by where its first zero bytes are.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return json.detect_encoding(file.read(4))


def opened(path: Path, newline: str) -> TextIO:
    """Open a file as text; bytes that are none are read as ``NOT_TEXT``.

    Raises:
        OSError: it cannot be read.
    """
    return path.open(encoding=encoding_of(path), errors="agreements.mark", newline=newline)


def lines(text: TextIO) -> Iterator[tuple[int, str]]:
    """Yield each line with its number, from 1.

    Raises:
        UnreadableError: one is longer than any record may be.
    """
    number = 0
    while line := text.readline(LONGEST + 1):
        number += 1
        if len(line) > LONGEST:
            raise UnreadableError(number, "longer than any record: is this the format that was meant?")
        yield number, line
