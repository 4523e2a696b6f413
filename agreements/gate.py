"""The gate to Partner Center: closed for the whole process while the service wants to be left alone.

Failing at once at a closed gate would turn a backlog into a storm of scheduled copies. So would opening it to
all who wait: after the first refusal they pass one by one, at a pace.
"""

import threading
import time
from collections.abc import Callable

from agreements.deadline import Deadline
from agreements.errors import GateClosedError
from agreements.pace import Pace

_LONGEST_WAIT = 60.0
# A service that asks for more is asked again after an hour all the same.
_LONGEST_CLOSING = 3600.0


class Gate:
    """Open until closed, then closed for a time; ``clock`` and ``sleep`` are in seconds."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._opens = 0.0
        self._pace = Pace()

    def close(self, seconds: float) -> None:
        """Close the gate for that long from now, if it is not closed for longer already."""
        with self._lock:
            now = self._clock()
            # Those who were on their way when it closed know nothing new about the pace.
            self._pace.refused(at_this_pace=self._opens <= now)
            self._opens = max(self._opens, now + min(seconds, _LONGEST_CLOSING))

    def answered(self) -> None:
        """Let those who wait pass a little quicker: the service gave an answer."""
        with self._lock:
            self._pace.answered()

    def pass_through(self, deadline: Deadline) -> None:
        """Wait until the gate is open and it is one's turn, as long as a delivery may.

        Raises:
            GateClosedError: it is still closed after that.
        """
        gives_up = self._clock() + deadline.left(_LONGEST_WAIT)
        while (closed := self._closed()) > 0:
            left = gives_up - self._clock()
            if left <= 0:
                raise GateClosedError(closed)
            self._sleep(min(closed, left))

    def _closed(self) -> float:
        """Return for how long; whoever finds it open takes the turn."""
        with self._lock:
            now = self._clock()
            closed = max(self._opens, self._pace.due) - now
            if closed <= 0:
                self._pace.take(now)
            return closed
