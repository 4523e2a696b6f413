"""One deadline for a delivery, made when it starts and passed down to every wait."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic
from typing import Self


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant on the monotonic clock, in seconds."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """Return the deadline that many seconds from now."""
        return cls(monotonic() + seconds)

    def left(self, limit: float = float("inf")) -> float:
        """Return the seconds that a wait may take: never more than ``limit``, never less than none."""
        return max(0.0, min(limit, self.at - monotonic()))

    @contextmanager
    def bounding(self) -> Iterator[None]:
        """Bound the waits of this thread that no argument reaches, while the block runs: see ``bounded``."""
        before = _BOUNDING.set(self)
        try:
            yield
        finally:
            _BOUNDING.reset(before)


_BOUNDING: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def bounded(limit: float) -> float:
    """Return the seconds that a wait may take under the deadline that bounds this thread, if there is one."""
    deadline = _BOUNDING.get()
    return limit if deadline is None else deadline.left(limit)
