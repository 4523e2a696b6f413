"""The gate to Partner Center: closed for the whole process while there is no use in asking.

Failing at once at a closed gate would turn a backlog into a storm of scheduled copies. So would opening it to
all who wait: after the first refusal they pass one by one, at a pace.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from agreements.deadline import Deadline
from agreements.errors import GateClosedError, Reason
from agreements.pace import Pace

_LONGEST_WAIT = 60.0
# A service that asks for more is asked again after an hour all the same.
_LONGEST_CLOSING = 3600.0
# How long an app that is refused waits before it is tried again: twice as long each time, up to a minute.
_FIRST_BREAK = 10.0
_LONGEST_BREAK = 60.0


@dataclass(slots=True)
class _Break:
    """The app is refused; ``tried_by`` is the thread that was let through to try again."""

    reason: Reason
    seconds: float
    until: float
    tried_by: int | None = None


class Gate:
    """Open until closed, then closed for a time; ``clock`` and ``wait`` are in seconds.

    It is closed for all who come; when the app itself is refused, it then opens for one delivery at a time,
    until one of those has found that the app is refused no more.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Condition, float], object] = threading.Condition.wait,
    ) -> None:
        self._clock = clock
        self._wait = wait
        self._changed = threading.Condition()
        self._opens = 0.0
        self._pace = Pace()
        self._break: _Break | None = None

    def close(self, seconds: float) -> None:
        """Close the gate for that long from now, if it is not closed for longer already."""
        with self._changed:
            now = self._clock()
            # Those who were on their way when it closed know nothing new about the pace.
            self._pace.refused(at_this_pace=self._opens <= now)
            self._opens = max(self._opens, now + min(seconds, _LONGEST_CLOSING))

    def answered(self) -> None:
        """Let those who wait pass a little quicker: the service gave an answer."""
        with self._changed:
            self._pace.answered()

    def refused(self, reason: Reason) -> None:
        """Close the gate because the app is refused; for longer each time that one tried in vain."""
        with self._changed:
            last = self._break
            # Those who were on their way when it closed know nothing new.
            if last is None or last.tried_by == threading.get_ident():
                seconds = min(2 * last.seconds, _LONGEST_BREAK) if last else _FIRST_BREAK
                self._break = _Break(reason, seconds, self._clock() + seconds)
                # They wait for the one that tried, which may be for longer than until the next one may.
                self._changed.notify_all()

    def accepted(self) -> None:
        """Open the gate for all, if it was this thread that was let through to try."""
        # Without the lock, since this is asked after every call and no other thread can make it true.
        if (broken := self._break) is None or broken.tried_by != threading.get_ident():
            return
        with self._changed:
            self._break = None
            self._changed.notify_all()

    def pass_through(self, deadline: Deadline) -> None:
        """Wait until the gate is open and it is one's turn, as long as a delivery may.

        Raises:
            GateClosedError: it is still closed after that.
        """
        with self._changed:
            gives_up = self._clock() + deadline.left(_LONGEST_WAIT)
            while (closed := self._closed()) > 0:
                left = gives_up - self._clock()
                if left <= 0:
                    raise GateClosedError(closed, self._break.reason if self._break else Reason.THROTTLED)
                self._wait(self._changed, min(closed, left))

    def _closed(self) -> float:
        """Return for how long; whoever finds it open takes the turn, and tries where the app is refused."""
        now, broken = self._clock(), self._break
        closed = max(self._opens, self._pace.due) - now
        if broken is not None and broken.tried_by != threading.get_ident():
            closed = max(closed, broken.until - now)
            if closed <= 0:
                # Should it never tell what came of it, another one tries.
                broken.tried_by, broken.until = threading.get_ident(), now + _LONGEST_BREAK
        if closed <= 0:
            self._pace.take(now)
        return closed
