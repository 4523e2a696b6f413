"""Everything about a connection that happens by the clock: heartbeats, and the ends of what is not used."""

import asyncio
from typing import Protocol

from local.service_bus.broker import Broker
from local.service_bus.errors import Condition, Refusal
from local.service_bus.tokens import Claims
from local.service_bus.watch import Watch

# Timers much further ahead would overflow the event loop's clock; ringing early does no harm.
_LONGEST_SLEEP = 86400.0
# The wall clock and the loop's clock drift apart: a timer a hair early must not spin.
_SHORTEST_SLEEP = 0.001


class Connection(Protocol):
    """What its clocks do to a connection."""

    def beat(self) -> None:
        """Send a heartbeat."""
        ...

    def close(self, refusal: Refusal) -> None:
        """End, with the reason."""
        ...

    def give_up(self, refusal: Refusal) -> None:
        """End, though the client may not hear the reason."""
        ...

    def renew_claims(self) -> None:
        """End every link that the client's tokens do not cover any more."""
        ...


class Lifetime:
    """The clocks of one connection."""

    def __init__(self, connection: Connection, broker: Broker) -> None:
        self._connection = connection
        self._broker = broker
        self._loop = asyncio.get_running_loop()
        self._heartbeat: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None
        silent = _inactive(broker.patience.peer)
        self._peer = Watch(broker.patience.peer, lambda: connection.give_up(silent))
        self._unused: Watch | None = None
        self._watch_use(broker.patience.first_link)

    def heard(self) -> None:
        """Note that the client said something."""
        self._peer.touch()

    def keep_alive(self, interval: float) -> None:
        """Send a heartbeat every so many seconds."""
        self._heartbeat = self._loop.call_later(interval, self._beat, interval)

    def used(self, *, used: bool) -> None:
        """Note whether the connection has any link that counts; watch how long it has none."""
        if used and self._unused is not None:
            self._unused.stop()
            self._unused = None
        elif not used and self._unused is None:
            self._watch_use(self._broker.patience.next_link)

    def expect_expiry(self, claims: Claims) -> None:
        """Have the links looked at when the next token expires."""
        if self._expiry is not None:
            self._expiry.cancel()
        now = self._broker.authority.clock()
        left = min(max(claims.next_expiry(now) - now, _SHORTEST_SLEEP), _LONGEST_SLEEP)
        self._expiry = self._loop.call_later(left, self._expire, claims)

    def end(self) -> None:
        """Stop all clocks."""
        for running in (self._heartbeat, self._expiry):
            if running is not None:
                running.cancel()
        for watch in (self._peer, self._unused):
            if watch is not None:
                watch.stop()

    def _beat(self, interval: float) -> None:
        self._connection.beat()
        self.keep_alive(interval)

    def _expire(self, claims: Claims) -> None:
        self._connection.renew_claims()
        self.expect_expiry(claims)

    def _watch_use(self, seconds: float) -> None:
        self._unused = Watch(seconds, lambda: self._connection.close(_inactive(seconds)))


def _inactive(seconds: float) -> Refusal:
    text = f"The connection was inactive for more than the allowed {seconds * 1000:.0f} milliseconds"
    return Refusal(Condition.CONNECTION_FORCED, f"{text} and is closed by container 'LinkTracker'.")
