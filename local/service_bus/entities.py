"""What queues and topics have in common: numbering, duplicates, schedules.

Pure: no I/O, no asyncio, the clock is given. Nothing happens by itself: `Entity.advance` does what has become
due, and `Entity.next_due` tells when to call it.
"""

import heapq
from abc import ABC, abstractmethod
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, unique
from math import inf

from local.service_bus.errors import Condition, Refusal
from local.service_bus.message import Message
from local.service_bus.rules import Settings

type Clock = Callable[[], float]


@unique
class State(Enum):
    """Where a message is in its life."""

    ACTIVE = "active"
    LOCKED = "locked"
    SCHEDULED = "scheduled"
    DEFERRED = "deferred"


@dataclass(slots=True, eq=False)
class Entry:
    """A message at rest in an entity; the sequence number is its place.

    A message that was deferred once stays so, also while it is locked: it is never delivered by itself again.
    """

    message: Message
    sequence_number: int
    enqueued_at: float
    state: State
    expires_at: float = inf
    delivery_count: int = 0
    lock_token: bytes = b""
    locked_until: float = 0
    deferred: bool = False


class Entries(dict[int, Entry]):
    """Messages at rest, by sequence number; ``size`` is the sum of their bytes."""

    size = 0

    def __setitem__(self, number: int, entry: Entry) -> None:
        super().__setitem__(number, entry)
        self.size += entry.message.size

    def __delitem__(self, number: int) -> None:
        self.size -= self[number].message.size
        super().__delitem__(number)

    def reword(self, entry: Entry, message: Message) -> None:
        """Let an entry that is here hold another message."""
        self.size += message.size - entry.message.size
        entry.message = message


@dataclass(slots=True)
class DuplicateHistory:
    """The message ids seen within a window of seconds."""

    window: float
    _ids: set[object] = field(default_factory=set)
    _seen: deque[tuple[float, object]] = field(default_factory=deque)

    def is_new(self, message_id: object, now: float) -> bool:
        """Note a message id; return whether the window did not know it."""
        while self._seen and self._seen[0][0] <= now - self.window:
            self._ids.remove(self._seen.popleft()[1])
        if message_id in self._ids:
            return False
        self._ids.add(message_id)
        self._seen.append((now, message_id))
        return True


def nobody() -> None:
    """Listen to changes for nobody."""


class Entity(ABC):
    """Something that takes messages, under numbers that only rise.

    `changed` is called after messages became active or something is due sooner; whoever delivers sets it.
    `status` may be changed at any time, as in the portal; receivers that wait notice with the next change.
    """

    def __init__(self, name: str, settings: Settings, clock: Clock) -> None:
        self.name = name
        self.settings = settings
        self.changed: Callable[[], None] = nobody
        self.clock = clock
        self.status = settings.status
        self._entries = Entries()
        self._numbers: list[int] = []
        self._agenda: list[tuple[float, int]] = []
        self._last_number = 0
        window = settings.duplicate_window
        self._history = None if window is None else DuplicateHistory(window)

    def send(self, messages: Iterable[Message]) -> list[int]:
        """Take messages, each for now or for the time it asks for; return their sequence numbers.

        A duplicate is dropped, yet gets a number. Scheduled messages count from the moment they are sent.
        (Azure, duplicate-detection.)

        Raises:
            Refusal: Sending is disabled, or there is no room for them; then none is taken.
        """
        self.advance()
        messages = list(messages)
        self._check(sum(message.size for message in messages))
        now = self.clock()
        numbers = [self._take_in(message, now) for message in messages]
        self.changed()
        return numbers

    def cancel(self, numbers: Sequence[int]) -> None:
        """Forget scheduled messages.

        Raises:
            Refusal: One of them is not scheduled (any more); then none is cancelled.
        """
        self.advance()
        for number in numbers:
            entry = self._entries.get(number)
            if entry is None or entry.state is not State.SCHEDULED:
                raise Refusal(Condition.MESSAGE_NOT_FOUND, f"no scheduled message has the number {number}")
        for number in set(numbers):
            del self._entries[number]

    def peek(self, first: int, count: int) -> Iterator[Entry]:
        """Yield up to so many messages in sequence, whatever their state, from a sequence number on."""
        self.advance()
        at = bisect_left(self._numbers, first)
        while count > 0 and at < len(self._numbers):
            entry = self._entries.get(self._numbers[at])
            at += 1
            if entry is not None:
                count -= 1
                yield entry

    @property
    def size(self) -> int:
        """How many bytes of messages are in it."""
        return self._entries.size

    def count(self, *states: State) -> int:
        """Return how many messages are in one of the states, or in any when none is named."""
        self.advance()
        if not states:
            return len(self._entries)
        return sum(entry.state in states for entry in self._entries.values())

    def next_due(self) -> float:
        """Return when `advance` may have work, at the earliest: seconds since 1970 UTC, or infinity."""
        return self._agenda[0][0] if self._agenda else inf

    def advance(self) -> None:
        """Do what has become due."""
        now = self.clock()
        if self.next_due() <= now:
            self._do_due(now)
            self.changed()

    def _check(self, size: int) -> None:
        if not self.status.takes:
            raise Refusal(Condition.ENTITY_DISABLED, f"{self.name} is disabled for sending")
        if self.size + size > self.settings.max_size:
            raise Refusal(Condition.QUOTA_EXCEEDED, f"{self.name} has reached its maximum size")

    def _do_due(self, now: float) -> None:
        while self._agenda and self._agenda[0][0] <= now:
            _, number = heapq.heappop(self._agenda)
            entry = self._entries.get(number)
            if entry is None:
                continue
            if entry.state is State.SCHEDULED:
                # It gets a new number, as if it were sent just now (Azure, message-sequencing).
                del self._entries[number]
                self._enqueue(entry.message, now)
            elif entry.state is State.ACTIVE and entry.expires_at <= now:
                self._expire(entry)

    def _take_in(self, message: Message, now: float) -> int:
        if self._history is not None and not self._history.is_new(message.message_id, now):
            return self._next_number()
        if message.scheduled_for is None or message.scheduled_for <= now:
            return self._enqueue(message, now)
        entry = Entry(message, self._next_number(), now, State.SCHEDULED)
        self._store(entry)
        self._remind(message.scheduled_for, entry)
        return entry.sequence_number

    def _enqueue(self, message: Message, now: float) -> int:
        entry = Entry(message, self._next_number(), now, State.ACTIVE)
        limit = self.settings.time_to_live
        entry.expires_at = now + (limit if message.time_to_live is None else min(limit, message.time_to_live))
        self._activate(entry)
        return entry.sequence_number

    def _next_number(self) -> int:
        self._last_number += 1
        return self._last_number

    def _store(self, entry: Entry) -> None:
        self._entries[entry.sequence_number] = entry
        if len(self._numbers) > 2 * len(self._entries) + 64:
            self._numbers = sorted(number for number in self._entries if number != entry.sequence_number)
        insort(self._numbers, entry.sequence_number)

    def _remind(self, due: float, entry: Entry) -> None:
        if due == inf:
            return
        if len(self._agenda) > 2 * len(self._entries) + 64:
            self._agenda = [reminder for reminder in self._agenda if reminder[1] in self._entries]
            heapq.heapify(self._agenda)
        heapq.heappush(self._agenda, (due, entry.sequence_number))

    @abstractmethod
    def _activate(self, entry: Entry) -> None:
        """Make a message available."""

    @abstractmethod
    def _expire(self, entry: Entry) -> None:
        """End a message whose time is over."""
