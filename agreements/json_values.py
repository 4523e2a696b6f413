"""The values of a JSON file one by one: the elements of an array, or the one value that it holds."""

import json
from collections.abc import Iterator
from typing import TextIO

from agreements.texts import LONGEST, UnreadableError

_CHUNK = 2**16
_BLANK = " \t\r\n"
_DECODER = json.JSONDecoder()


def values(text: TextIO) -> Iterator[tuple[int, str]]:
    """Yield the text of each value, with the number of the line where it begins.

    Raises:
        UnreadableError: the file is not JSON from there on, or a value is longer than any record.
    """
    scanner = _Scanner(text)
    if scanner.next() != "[":
        if scanner.next():
            yield scanner.value()
        scanner.expect("", "more follows after the object: is it JSON Lines? say --format jsonl")
        return
    scanner.skip()
    while scanner.next() != "]":
        yield scanner.value()
        if scanner.next() != "]":
            scanner.expect(",", "not JSON: a comma, or the end of the array, should follow")
            scanner.skip()
            if scanner.next() == "]":
                raise UnreadableError(scanner.line, "not JSON: nothing follows after a comma")
    scanner.skip()
    scanner.expect("", "not JSON: more follows after the array")


class _Scanner:
    """Reads a file in pieces; keeps no more of it than the value in hand."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._buffer = ""
        self._at = 0
        self._ended = False
        self.line = 1

    def next(self) -> str:
        """Return the next character that is not blank without taking it; empty at the end."""
        while True:
            begin = self._at
            while self._at < len(self._buffer) and self._buffer[self._at] in _BLANK:
                self._at += 1
            self.line += self._buffer.count("\n", begin, self._at)
            if self._at < len(self._buffer) or not self._more():
                return self._buffer[self._at : self._at + 1]

    def skip(self) -> None:
        """Take a character."""
        self._at += 1

    def expect(self, char: str, why: str) -> None:
        """Refuse the file unless this comes next."""
        if self.next() != char:
            raise UnreadableError(self.line, why)

    def value(self) -> tuple[int, str]:
        """Take a value."""
        end = self._end_of_value()
        line, found = self.line, self._buffer[self._at : end]
        self.line += found.count("\n")
        self._at = end
        return line, found

    def _end_of_value(self) -> int:
        while True:
            try:
                end = _DECODER.raw_decode(self._buffer, self._at)[1]
            except (ValueError, RecursionError) as error:
                self._go_on(error)
            else:
                # What ends with the buffer may go on in the file.
                if end < len(self._buffer) or not self._more():
                    return end

    def _go_on(self, wrong: Exception) -> None:
        """Read on: what is wrong may only be cut off."""
        position = wrong.pos if isinstance(wrong, json.JSONDecodeError) else self._at
        line = self.line + self._buffer.count("\n", self._at, position)
        if len(self._buffer) - self._at > LONGEST or not self._more():
            raise UnreadableError(line, "not JSON from here on") from None

    def _more(self) -> bool:
        """Read on; return whether there was more."""
        if self._ended:
            return False
        piece = self._text.read(_CHUNK)
        self._buffer, self._at = self._buffer[self._at :] + piece, 0
        self._ended = not piece
        return not self._ended
