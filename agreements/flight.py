"""A value that many threads need at once, and that one of them fetches for all."""

import threading
from collections.abc import Callable
from time import monotonic

from agreements.deadline import Deadline
from agreements.errors import AgreementsError


class Flight[T]:
    """Keeps a value while it is good; ``fetch`` returns it with the seconds for which it is.

    A failure goes to everyone who waited for it, and to everyone who asks within ``failure_seconds``: else
    each would repeat it, one after the other, until no time is left for anything else.
    """

    def __init__(self, fetch: Callable[[Deadline], tuple[T, float]], *, failure_seconds: float = 0.0) -> None:
        self._fetch = fetch
        self._failure_seconds = failure_seconds
        self._lock = threading.Lock()
        self._kept: tuple[T, float] | None = None
        self._failed: tuple[AgreementsError, float] | None = None

    def get(self, deadline: Deadline, *, refused: T | None = None) -> T:
        """Return the value, unless it is the one that was refused: then a new one.

        Raises:
            AgreementsError: it could not be fetched.
            TimeoutError: no time was left to wait for the thread that fetches it.
        """
        asked = monotonic()
        if not self._lock.acquire(timeout=deadline.left()):
            raise TimeoutError
        try:
            if self._kept is not None and self._kept[1] > monotonic() and self._kept[0] != refused:
                return self._kept[0]
            if self._failed is not None and asked <= self._failed[1] + self._failure_seconds:
                raise self._failed[0].with_traceback(None)
            return self._renew(deadline)
        finally:
            self._lock.release()

    def _renew(self, deadline: Deadline) -> T:
        self._kept = self._failed = None
        try:
            value, seconds = self._fetch(deadline)
        except AgreementsError as error:
            # Whoever has more time is not to fail because this thread had none left.
            if deadline.left():
                self._failed = error, monotonic()
            raise
        self._kept = value, monotonic() + seconds
        return value
