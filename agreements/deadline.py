"""One deadline for a delivery, made when it starts and passed down to every wait."""

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
