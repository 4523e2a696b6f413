"""The gate to Partner Center: closed for the whole process while the service wants to be left alone.

Failing at once at a closed gate would turn a backlog into a storm of scheduled copies.
"""

import threading
import time
from collections.abc import Callable

from agreements.deadline import Deadline
from agreements.errors import GateClosedError

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

    def close(self, seconds: float) -> None:
        """Close the gate for that long from now, if it is not closed for longer already."""
        with self._lock:
            self._opens = max(self._opens, self._clock() + min(seconds, _LONGEST_CLOSING))

    def pass_through(self, deadline: Deadline) -> None:
        """Wait until the gate is open, as long as a delivery may.

        Raises:
            GateClosedError: it is still closed after that.
        """
        closed = self._opens - self._clock()
        if closed <= 0:
            return
        self._sleep(min(closed, deadline.left(_LONGEST_WAIT)))
        closed = self._opens - self._clock()
        if closed > 0:
            raise GateClosedError(closed)
