"""Threads under a clock that runs only when all of them sleep: hours of waiting in seconds, and repeatable.

Exactly one thread runs at a time. One that sleeps hands over to whoever is to wake next, and the clock jumps
there; so the order of everything is that of the instants, and of arrival where those are equal.
"""

import heapq
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count


class _OverError(BaseException):
    """Ends a thread at its rest."""


class VirtualThread(threading.Thread):
    """A thread that runs when it is woken, and then alone; ``ended`` is called when its life is over."""

    def __init__(self, life: Callable[[], None], ended: Callable[[], None]) -> None:
        super().__init__(target=life)
        self.awake = threading.Semaphore(0)
        self.over = False
        self._ended = ended

    def run(self) -> None:
        """Wait to be woken for the first time, and live."""
        self.awake.acquire()
        try:
            with suppress(_OverError):
                super().run()
        finally:
            if not self.over:
                self._ended()


class VirtualTime:
    """The clock, in seconds, and the threads that live by it."""

    def __init__(self) -> None:
        self.now = 0.0
        self._coming: list[tuple[float, int, VirtualThread | Callable[[], None]]] = []
        self._order = count()
        self._nothing_to_come = threading.Semaphore(0)

    def clock(self) -> float:
        """Return the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let the calling thread sleep that long, and others run meanwhile."""
        self.at(self.now + max(seconds, 0.0), self.me)
        self.rest()

    def at(self, instant: float, what: VirtualThread | Callable[[], None]) -> None:
        """Have a thread woken, or something done that does not wait, at an instant."""
        heapq.heappush(self._coming, (instant, next(self._order), what))

    @property
    def me(self) -> VirtualThread:
        """The calling thread."""
        thread = threading.current_thread()
        assert isinstance(thread, VirtualThread)
        return thread

    def rest(self) -> None:
        """Let the calling thread rest until it is woken; hand over to who is next."""
        self._hand_over()
        self.me.awake.acquire()
        if self.me.over:
            raise _OverError

    def run(self, lives: list[Callable[[], None]]) -> None:
        """Run threads until they have ended, or all rest and nothing is to come: that ends them."""
        threads = [VirtualThread(life, self._hand_over) for life in lives]
        for thread in threads:
            thread.start()
            self.at(self.now, thread)
        self._hand_over()
        self._nothing_to_come.acquire()
        for thread in threads:
            thread.over = True
            thread.awake.release()
            thread.join()

    def _hand_over(self) -> None:
        while self._coming:
            self.now, _, what = heapq.heappop(self._coming)
            if isinstance(what, VirtualThread):
                what.awake.release()
                return
            what()
        self._nothing_to_come.release()
