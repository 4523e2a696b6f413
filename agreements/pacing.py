"""How carefully a plan is applied: at which pace, with a canary, until how many failures. No I/O."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

from agreements.endings import Endings

_KEEP_SECONDS = 1.0
_LOOK_SECONDS = 2.0


class Watch(Protocol):
    """Looks at what became of the copies of a run."""

    def __call__(self) -> Endings:
        """Look now."""


class StoppedError(Exception):
    """The run ended early, on purpose; the same plan can be applied again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How carefully a plan is applied.

    Attributes:
        rate: messages a second; ``None`` is as fast as it goes.
        canary: how many are sent first and followed to their ending before the others; 0 for none.
        stop_after_failures: stop once so many copies were parked again; ``None`` never.
    """

    rate: float | None = None
    canary: int = 0
    stop_after_failures: int | None = None


@dataclass(slots=True, kw_only=True)
class Pacer:
    """Sets the pace of one run.

    Attributes:
        told: called after each batch, with how many messages were in it.
        stopping: whether the person who runs it wants it to end after the batch in hand.
        clock: seconds that only rise.
        pause: waits for some seconds.
        sent: how many copies were sent this time.
    """

    pace: Pace
    watch: Watch
    pause: Callable[[float], object]
    told: Callable[[int], object]
    stopping: Callable[[], bool]
    clock: Callable[[], float] = monotonic
    sent: int = 0
    _ready_at: float = float("-inf")
    _looked_at: float = float("-inf")
    _canary_lives: bool = False
    _before: Counter[str] = field(default_factory=Counter)

    def begin(self) -> None:
        """Take note of what came back from an earlier run of the plan: it says nothing about this one."""
        if self.pace.canary or self.pace.stop_after_failures:
            self._before = self.watch().parked

    def portion(self, most: int) -> int:
        """Return how many may go together, ``most`` at the most."""
        size = min(most, int(self.pace.rate or most) or 1)
        birds = self.pace.canary - self.sent
        return min(size, birds) if birds > 0 else size

    def wait_turn(self, count: int, keep: Callable[[], object]) -> None:
        """Wait until so many more may be sent; meanwhile ``keep`` is called every second."""
        while (seconds := self._ready_at - self.clock()) > 0:
            self.check_stopping()
            self.pause(min(seconds, _KEEP_SECONDS))
            keep()
        self.check_stopping()
        if self.pace.rate:
            self._ready_at = self.clock() + count / self.pace.rate

    def after(self, count: int, keep: Callable[[], object]) -> None:
        """Tell of so many that are dealt with, and see what became of those before.

        Raises:
            StoppedError: too many of them were parked again.
        """
        self.told(count)
        if self.pace.canary and self.sent >= self.pace.canary and not self._canary_lives:
            self._follow_canary(keep)
        limit = self.pace.stop_after_failures
        if limit is not None and self.clock() >= self._looked_at + _LOOK_SECONDS:
            self._looked_at = self.clock()
            failed = self.watch().parked - self._before
            if failed.total() >= limit:
                raise StoppedError(f"{failed.total()} were parked again: {_list(failed)}")

    def _follow_canary(self, keep: Callable[[], object]) -> None:
        while True:
            endings = self.watch()
            if failed := endings.parked - self._before:
                raise StoppedError(f"the canary was parked again: {_list(failed)}")
            if not endings.under_way:
                self._canary_lives = True
                return
            self.check_stopping()
            self.pause(_KEEP_SECONDS)
            keep()

    def check_stopping(self) -> None:
        """Raise StoppedError if the run is to end after what was in hand."""
        if self.stopping():
            raise StoppedError("asked to")


def _list(counted: Counter[str]) -> str:
    return ", ".join(f"{count} {reason or '(no reason)'}" for reason, count in counted.most_common())
