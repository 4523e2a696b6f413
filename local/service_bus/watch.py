"""How long clients may keep silent, and who notices."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """After how many seconds the broker ends what is not used (Azure, service-bus-amqp-troubleshoot).

    Attributes:
        link: A link over which nothing was sent, received or asked for is detached.
        first_link: A connection without any link is closed.
        next_link: A connection whose last link is gone is closed.
        peer: A client that says nothing at all, not even by heartbeats, is dead.
    """

    link: float = 600
    first_link: float = 60
    next_link: float = 300
    peer: float = 240


class Watch:
    """Calls back once nothing has happened for some time; to tell it that something did is cheap."""

    def __init__(self, seconds: float, expired: Callable[[], object]) -> None:
        self._seconds = seconds
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._timer = self._loop.call_later(seconds, self._check)

    def touch(self) -> None:
        """Note that something happened."""
        self._last = self._loop.time()

    def stop(self) -> None:
        """Watch no more."""
        self._timer.cancel()

    def _check(self) -> None:
        left = self._last + self._seconds - self._loop.time()
        if left <= 0:
            self._expired()
        else:
            self._timer = self._loop.call_later(left, self._check)
