"""The gate to Partner Center: closed for the whole process while the service wants to be left alone.

Failing at once at a closed gate would turn a backlog into a storm of scheduled copies.
"""

import threading
from collections.abc import Callable
from time import monotonic

from agreements.deadline import Deadline
from agreements.errors import GateClosedError

_LONGEST_WAIT = 60.0


class Gate:
    """Keeps all threads from calling while the service wants to be left alone."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._opens = 0.0
        self._change = threading.Condition()

    def close(self, seconds: float) -> None:
        """Close the gate for that long from now, if it is not closed for longer already."""
        with self._change:
            self._opens = max(self._opens, self._clock() + seconds)

    def pass_through(self, deadline: Deadline) -> None:
        """Wait until the gate is open.

        Raises:
            GateClosedError: it stays closed for longer than a delivery may wait.
        """
        with self._change:
            while (left := self._opens - self._clock()) > 0:
                if left > deadline.left(_LONGEST_WAIT):
                    raise GateClosedError(left)
                self._change.wait(left)
