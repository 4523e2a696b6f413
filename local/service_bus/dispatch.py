"""Brings the pure entities to life: hands out what is active, and wakes up when something is due."""

import asyncio
from collections import deque
from math import inf
from typing import Protocol

from local.service_bus.entities import Entity, Entry
from local.service_bus.queues import Queue

# Timers much further ahead would overflow the event loop's clock; ringing early does no harm.
_LONGEST_SLEEP = 86400.0
# The wall clock and the loop's clock drift apart: an alarm a hair early must not spin.
_SHORTEST_SLEEP = 0.001


class Receiver(Protocol):
    """Whoever takes deliveries from a queue."""

    settles_at_once: bool

    @property
    def ready(self) -> bool:
        """Whether a delivery would be taken now."""
        ...

    def deliver(self, entry: Entry) -> None:
        """Take a delivery: locked, or removed if the receiver settles at once."""
        ...

    def flush(self) -> None:
        """Send what has been delivered on its way."""
        ...


class Alarm:
    """Advances an entity whenever something in it is due, without polling."""

    def __init__(self, entity: Entity, loop: asyncio.AbstractEventLoop) -> None:
        self._entity = entity
        self._loop = loop
        self._due = inf
        self._timer: asyncio.TimerHandle | None = None
        entity.changed = self.set

    def set(self) -> None:
        """Make sure to ring no later than the entity needs."""
        due = self._entity.next_due()
        if due < self._due:
            self._sleep(due)

    def cancel(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._due = inf

    def _sleep(self, due: float) -> None:
        self.cancel()
        self._due = due
        delay = min(max(due - self._entity.clock(), _SHORTEST_SLEEP), _LONGEST_SLEEP)
        self._timer = self._loop.call_later(delay, self._ring)

    def _ring(self) -> None:
        self._due = inf
        self._entity.advance()
        self.set()


class Dispatcher:
    """Delivers the messages of one queue to its receivers, turn by turn."""

    def __init__(self, queue: Queue, alarm: Alarm, loop: asyncio.AbstractEventLoop) -> None:
        self.queue = queue
        self._alarm = alarm
        self._loop = loop
        self._receivers: deque[Receiver] = deque()
        self._scheduled = False
        queue.changed = self._on_change

    def add(self, receiver: Receiver) -> None:
        """Let a receiver take part."""
        self._receivers.append(receiver)

    def remove(self, receiver: Receiver) -> None:
        """Deliver to a receiver no more."""
        self._receivers.remove(receiver)

    def dispatch(self) -> None:
        """Deliver until nothing is active or nobody takes more."""
        receivers, served, refusals = self._receivers, set[Receiver](), 0
        self.queue.advance()
        while self.queue.has_active and refusals < len(receivers):
            receiver = receivers[0]
            receivers.rotate(-1)
            if not receiver.ready:
                refusals += 1
                continue
            entry = self.queue.take() if receiver.settles_at_once else self.queue.lock()
            if entry is None:
                break
            refusals = 0
            receiver.deliver(entry)
            served.add(receiver)
        for receiver in served:
            receiver.flush()
        self._alarm.set()

    def _on_change(self) -> None:
        # Once per turn of the loop: a batch of messages makes one round of deliveries.
        if not self._scheduled and any(receiver.ready for receiver in self._receivers):
            self._scheduled = True
            self._loop.call_soon(self._dispatch_scheduled)
        self._alarm.set()

    def _dispatch_scheduled(self) -> None:
        self._scheduled = False
        self.dispatch()
