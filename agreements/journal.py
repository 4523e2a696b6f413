"""What has been done of a plan: a file beside it, one line for each step of a batch.

A step is written before (``sending``) or after (``sent``, ``done``) what it tells of, and ``sent`` is on disk
before anything is removed: after a crash the same messages are at most sent again under the same ids, and
never removed unsent.
"""

import json
import os
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from enum import IntEnum, unique
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from agreements.messages import Place

if sys.platform == "win32":  # pragma: no cover - the suites run elsewhere
    import msvcrt
else:
    import fcntl


class JournalError(Exception):
    """A journal cannot be used: it is in use, or not of this plan."""


@unique
class Step(IntEnum):
    """How far a message has come; the last two end it."""

    OPEN = 0
    SENDING = 1
    SENT = 2
    DONE = 3
    LEFT = 4


class Journal:
    """The journal of one plan, locked while it is open; a message takes one byte of memory.

    Args:
        path: the file; created if there is none, for its owner alone.
        plan_hash: of the plan that it belongs to.
        numbers: the sequence numbers of the plan, sorted.

    Raises:
        JournalError: another process has it open, or the plan was changed since.
    """

    def __init__(self, path: Path, plan_hash: str, numbers: dict[Place, "array[int]"]) -> None:
        self._numbers = numbers
        self._steps = {place: bytearray(len(found)) for place, found in numbers.items()}
        self._file = locked(path, "another process is applying this plan")
        try:
            self._read(plan_hash)
        except (ValueError, LookupError, TypeError):
            self._file.close()
            raise JournalError(f"{path}: not the journal of this plan") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def step(self, place: Place, index: int) -> Step:
        """Return how far a message has come."""
        return Step(self._steps[place][index])

    def step_of(self, place: Place, number: int) -> Step:
        """Return how far the message with a sequence number has come; it must be one of the plan."""
        return self.step(place, bisect_left(self._numbers[place], number))

    def remaining(self, place: Place) -> int:
        """Return for how many messages something is left to do."""
        steps = self._steps[place]
        return len(steps) - steps.count(Step.DONE) - steps.count(Step.LEFT)

    def open_numbers(self, place: Place) -> "array[int]":
        """Return the sequence numbers for which something is left to do."""
        pairs = zip(self._numbers[place], self._steps[place], strict=True)
        return array("q", (number for number, step in pairs if step < Step.DONE))

    def count(self, step: Step) -> int:
        """Return how many messages have come as far as that, and no further."""
        return sum(steps.count(step) for steps in self._steps.values())

    def write(self, step: Step, place: Place, numbers: Iterable[int], why: str | None = None) -> None:
        """Note a step of some messages; no kill of this process can undo it."""
        noted = list(numbers)
        if noted:
            told = {"why": why} if why else {}
            line = {"step": step.name.lower(), "place": str(place), "numbers": noted, **told}
            # The others can do without: what was about to be sent is sent again as if it never was, and what
            # is sent and then found gone is known to be done.
            self._append(line, durable=step in (Step.SENT, Step.LEFT))
            self._apply(step, place, noted)

    def _append(self, line: Mapping[str, object], *, durable: bool = True) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        if durable:
            os.fsync(self._file.fileno())

    def _read(self, plan_hash: str) -> None:
        whole = 0
        for number, line in enumerate(self._file):
            if not line.endswith(b"\n"):
                break  # torn by a crash: the step that it tells of was not taken
            given = json.loads(line)
            if number == 0 and given["planHash"] != plan_hash:
                raise ValueError
            if number:
                self._apply(Step[given["step"].upper()], Place.parse(given["place"]), given["numbers"])
            whole += len(line)
        self._file.seek(whole)
        self._file.truncate()
        if not whole:
            self._append({"planHash": plan_hash})

    def _apply(self, step: Step, place: Place, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._steps[place][bisect_left(self._numbers[place], number)] = step


if sys.platform == "win32":  # pragma: no cover - the suites run elsewhere

    def _lock(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def locked(path: Path, taken: str) -> IO[bytes]:
    """Return a file, made for its owner alone, that nobody else has locked; closing it lets it go.

    Raises:
        JournalError: another process has it; ``taken`` says what for.
    """
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    try:
        _lock(file)
    except OSError:
        file.close()
        raise JournalError(f"{path}: {taken}") from None
    return file
