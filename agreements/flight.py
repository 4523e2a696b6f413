"""A value that many threads need at once, and that one of them fetches for all."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from agreements.deadline import Deadline
from agreements.errors import AgreementsError


@dataclass(frozen=True, slots=True)
class Fetched[T]:
    """A value with the seconds for which it is good, and those for which it will do after them."""

    value: T = field(repr=False)
    good: float
    spare: float = 0.0


@dataclass(frozen=True, slots=True)
class _Kept[T]:
    value: T = field(repr=False)
    good_until: float
    ends: float


class Flight[T]:
    """Keeps a value while it is good; in its spare seconds one thread renews it and nobody waits for that.

    A failure goes to everyone who waited for it, and to everyone who asks within ``failure_seconds``: else
    each would repeat it, one after the other, until no time is left for anything else.
    """

    def __init__(self, fetch: Callable[[Deadline], Fetched[T]], *, failure_seconds: float = 0.0) -> None:
        self._fetch = fetch
        self._failure_seconds = failure_seconds
        self._lock = threading.Lock()
        self._kept: _Kept[T] | None = None
        self._failed: tuple[AgreementsError, float] | None = None

    def get(self, deadline: Deadline, *, refused: T | None = None) -> T:
        """Return the value, unless it is the one that was refused: then a new one.

        Raises:
            AgreementsError: it could not be fetched.
            TimeoutError: no time was left to wait for the thread that fetches it.
        """
        asked = monotonic()
        spare = self._usable(refused, asked)
        if spare is not None and spare.good_until > asked:
            return spare.value
        if not self._lock.acquire(timeout=0 if spare else deadline.left()):
            if spare is None:
                raise TimeoutError
            return spare.value
        try:
            return self._renewed(deadline, asked, refused)
        except AgreementsError:
            if spare is None:
                raise
            return spare.value
        finally:
            self._lock.release()

    def _usable(self, refused: T | None, now: float) -> _Kept[T] | None:
        # Read once, since another thread may replace it meanwhile.
        kept = self._kept
        return kept if kept is not None and kept.ends > now and kept.value != refused else None

    def _renewed(self, deadline: Deadline, asked: float, refused: T | None) -> T:
        # Another thread may have been here before us.
        kept = self._usable(refused, monotonic())
        if kept is not None and kept.good_until > monotonic():
            return kept.value
        if self._failed is not None and asked <= self._failed[1] + self._failure_seconds:
            raise self._failed[0].with_traceback(None)
        return self._renew(deadline, kept)

    def _renew(self, deadline: Deadline, spare: _Kept[T] | None) -> T:
        # What was refused is dropped even if there is no other; what will still do is not.
        self._kept, self._failed = spare, None
        try:
            fetched = self._fetch(deadline)
        except AgreementsError as error:
            # Whoever has more time is not to fail because this thread had none left.
            if deadline.left():
                self._failed = error, monotonic()
            raise
        good_until = monotonic() + fetched.good
        self._kept = _Kept(fetched.value, good_until, good_until + fetched.spare)
        return fetched.value
