"""Queues (locks, settlement, expiry, dead letters) and topics. Pure, like everything in `entities`."""

import heapq
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from types import MappingProxyType

from local.service_bus import encoding
from local.service_bus.entities import Clock, Entity, Entry, State
from local.service_bus.errors import Condition, Refusal
from local.service_bus.message import Message
from local.service_bus.rules import Settings, check_size

DEAD_LETTER_SUFFIX = "/$DeadLetterQueue"
REASON, DESCRIPTION = "DeadLetterReason", "DeadLetterErrorDescription"

# Application properties to change while settling; the values are encoded.
type Changes = Mapping[str, bytes]
NO_CHANGES: Changes = MappingProxyType({})


def queue(name: str, settings: Settings, clock: Clock) -> "Queue":
    """Build a queue with its dead-letter queue, where nothing expires and nothing is given up on."""
    endless = Settings(lock_duration=settings.lock_duration, max_delivery_count=inf, max_size=inf)
    return Queue(name, settings, clock, dead_letters=Queue(name + DEAD_LETTER_SUFFIX, endless, clock))


class Queue(Entity):
    """Delivers messages in sequence, each to one receiver at a time.

    A subscription is a queue too, filled by its topic. `dead_letters` is None for a dead-letter queue itself.
    """

    def __init__(
        self, name: str, settings: Settings, clock: Clock, *, dead_letters: "Queue | None" = None
    ) -> None:
        super().__init__(name, settings, clock)
        self.dead_letters = dead_letters
        self._active: list[int] = []
        self._locked: OrderedDict[bytes, Entry] = OrderedDict()

    @property
    def has_active(self) -> bool:
        """Whether a message may be waiting for a receiver."""
        return bool(self._active)

    def check_delivers(self) -> None:
        """Refuse who wants to receive or look, if the status says so.

        Raises:
            Refusal: Receiving is disabled.
        """
        if not self.status.delivers:
            raise Refusal(Condition.ENTITY_DISABLED, f"{self.name} is disabled for receiving")

    def lock(self) -> Entry | None:
        """Lock the first active message for the lock duration and return it; None when there is none."""
        entry = self._next_active()
        if entry is not None:
            self._lock(entry)
        return entry

    def take(self) -> Entry | None:
        """Remove the first active message and return it; None when there is none."""
        entry = self._next_active()
        if entry is not None:
            del self._entries[entry.sequence_number]
        return entry

    def claim(self, numbers: Sequence[int], *, locked: bool) -> list[Entry]:
        """Lock deferred messages and return them, or remove them at once.

        An expired one ends here: until somebody asks for it, it is kept (Azure, message-expiration).

        Raises:
            Refusal: One of them is not deferred, or locked; then none is touched.
        """
        self.advance()
        entries = [self._deferred(number) for number in dict.fromkeys(numbers)]
        for entry in entries:
            if locked:
                self._lock(entry)
            else:
                del self._entries[entry.sequence_number]
        return entries

    def copy(self, message: Message) -> None:
        """Take a copy from the topic, whatever the status: it must not refuse what others have got."""
        self.advance()
        self._enqueue(message, self.clock())
        self.changed()

    def admit(self, entry: Entry) -> None:
        """Take in a dead-lettered message; it keeps its number, its enqueued time and its delivery count.

        (Only activating a scheduled message changes a number: MicrosoftDocs/azure-docs, issue 97032.)
        """
        entry.expires_at = inf
        entry.state = State.ACTIVE
        entry.deferred = False
        self._activate(entry)
        self.changed()

    def complete(self, token: bytes) -> None:
        """Remove a locked message.

        Raises:
            Refusal: The lock is lost; so for every method that takes a token.
        """
        entry = self._unlock(token)
        del self._entries[entry.sequence_number]

    def abandon(self, token: bytes, changes: Changes = NO_CHANGES) -> None:
        """Count a failed delivery and give the message back, or dead-letter it when there were too many."""
        self._fail(self._unlock(token, changes))
        self.changed()

    def release(self, token: bytes) -> None:
        """Give a message back as if it had never been delivered."""
        self._give_back(self._unlock(token))
        self.changed()

    def defer(self, token: bytes, changes: Changes = NO_CHANGES) -> None:
        """Keep a locked message aside: from now on it is received by its sequence number alone."""
        entry = self._unlock(token, changes)
        entry.deferred = True
        entry.state = State.DEFERRED

    def dead_letter(
        self, token: bytes, reason: str | None, description: str | None, changes: Changes = NO_CHANGES
    ) -> None:
        """Move a locked message to the dead-letter queue.

        Raises:
            Refusal: The lock is lost, or this is a dead-letter queue: nothing leads out of it but completing.
        """
        if self.dead_letters is None:
            raise Refusal(Condition.NOT_ALLOWED, "a dead-letter queue has no dead-letter queue")
        self._bury(self._unlock(token, changes), reason, description)

    def renew(self, token: bytes) -> float:
        """Hold a lock for another lock duration; return until when, in seconds since 1970 UTC."""
        entry = self._unlock(token)
        self._hold(entry)
        return entry.locked_until

    def next_due(self) -> float:
        """Return when `advance` may have work, at the earliest: seconds since 1970 UTC, or infinity."""
        first_lock = next(iter(self._locked.values())).locked_until if self._locked else inf
        return min(first_lock, super().next_due())

    def _do_due(self, now: float) -> None:
        # All locks hold equally long and a renewed one goes to the end: the first expires first.
        while self._locked and next(iter(self._locked.values())).locked_until <= now:
            _, entry = self._locked.popitem(last=False)
            self._fail(entry)
        super()._do_due(now)

    def _next_active(self) -> Entry | None:
        self.advance()
        while self._active and self.status.delivers:
            entry = self._entries.get(heapq.heappop(self._active))
            if entry is not None:
                return entry
        return None

    def _deferred(self, number: int) -> Entry:
        entry = self._entries.get(number)
        if entry is not None and entry.state is State.DEFERRED:
            if entry.expires_at > self.clock():
                return entry
            self._expire(entry)
        raise Refusal(Condition.MESSAGE_NOT_FOUND, f"no deferred message has the number {number}")

    def _lock(self, entry: Entry) -> None:
        entry.state = State.LOCKED
        entry.lock_token = secrets.token_bytes(16)
        self._hold(entry)

    def _hold(self, entry: Entry) -> None:
        entry.locked_until = self.clock() + self.settings.lock_duration
        self._locked[entry.lock_token] = entry

    def _unlock(self, token: bytes, changes: Changes = NO_CHANGES) -> Entry:
        self.advance()
        entry = self._locked.get(token)
        if entry is None:
            raise Refusal(
                Condition.LOCK_LOST, "the lock has expired, or the message has been settled already"
            )
        if changes:
            changed = entry.message.with_properties(changes)
            check_size(changed.size)
            self._entries.reword(entry, changed)
        del self._locked[token]
        return entry

    def _fail(self, entry: Entry) -> None:
        entry.delivery_count += 1
        if entry.delivery_count < self.settings.max_delivery_count:
            self._give_back(entry)
        else:
            limit = f"the message was delivered {entry.delivery_count} times without being completed"
            self._bury(entry, "MaxDeliveryCountExceeded", limit)

    def _give_back(self, entry: Entry) -> None:
        if entry.deferred:
            entry.state = State.DEFERRED
        elif entry.expires_at <= self.clock():
            self._expire(entry)
        else:
            entry.state = State.ACTIVE
            heapq.heappush(self._active, entry.sequence_number)

    def _activate(self, entry: Entry) -> None:
        self._store(entry)
        self._remind(entry.expires_at, entry)
        heapq.heappush(self._active, entry.sequence_number)

    def _expire(self, entry: Entry) -> None:
        if self.settings.dead_letter_on_expiration:
            self._bury(entry, "TTLExpiredException", "the message expired before it was completed")
        else:
            del self._entries[entry.sequence_number]

    def _bury(self, entry: Entry, reason: str | None, description: str | None) -> None:
        assert self.dead_letters is not None
        del self._entries[entry.sequence_number]
        told = {REASON: reason, DESCRIPTION: description}
        entry.message = entry.message.with_properties(
            {key: encoding.string(text) for key, text in told.items() if text is not None}
        )
        self.dead_letters.admit(entry)


class Topic(Entity):
    """Hands each message to every subscription."""

    def __init__(self, name: str, settings: Settings, clock: Clock, subscriptions: Sequence[Queue]) -> None:
        super().__init__(name, settings, clock)
        self.subscriptions = subscriptions

    @property
    def size(self) -> int:
        """How many bytes of messages wait in it for their time, and in its subscriptions."""
        return super().size + sum(subscription.size for subscription in self.subscriptions)

    def _activate(self, entry: Entry) -> None:
        life = entry.expires_at - entry.enqueued_at
        message = replace(entry.message, time_to_live=None if life == inf else life)
        for subscription in self.subscriptions:
            subscription.copy(message)

    def _expire(self, entry: Entry) -> None:
        raise AssertionError(f"message {entry.sequence_number} rests in a topic")
