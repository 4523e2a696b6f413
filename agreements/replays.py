"""Apply a plan: exactly its messages, each copied before it is removed, resumable after any crash.

Without transactions a copy may arrive twice, after a crash between two steps; the function app makes that
harmless: a replayed event is looked up on record before it is confirmed. It is never lost, for nothing is
removed before its copy has arrived.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import takewhile
from time import monotonic
from typing import Protocol

from agreements.copies import Stamp, released, replayed
from agreements.dead_letters import Action, Plan
from agreements.journal import Journal, Step
from agreements.messages import ParkedMessage, Place, State
from agreements.pacing import Pacer

_BATCH = 100
# How long to wait for a next message before asking whether there is one.
_WAIT_SECONDS = 2.0
# Beyond the lock of whoever may hold a message: an earlier run that was killed, or another program.
_PATIENCE_SECONDS = 5.0
# Of a place where nothing could be taken the lock is not known; this is what ours have.
_USUAL_LOCK_SECONDS = 60.0


class Taken(Protocol):
    """A message that is locked for us."""

    @property
    def message(self) -> ParkedMessage:
        """The message."""


class Taking[T: Taken](Protocol):
    """Takes the messages of one place from its head on."""

    @property
    def lock_seconds(self) -> float:
        """How long a lock of this place holds; 0 while nothing was taken."""

    def page(self, count: int, wait: float) -> list[T]:
        """Lock up to so many of the next messages; none after ``wait`` seconds in which nothing came."""

    def hold(self, taken: Iterable[T]) -> None:
        """Keep messages locked until the end."""

    def keep(self) -> None:
        """Renew what is due."""

    def complete(self, taken: T) -> bool:
        """Remove a message; return whether it is gone for certain."""


class Store[T: Taken](Protocol):
    """Where messages wait, and where copies are sent."""

    def taking(self, place: Place) -> AbstractContextManager[Taking[T]]:
        """Take messages from a place while a block runs."""

    def peek(self, place: Place, first: int = 1) -> Iterator[ParkedMessage]:
        """Yield what is in a place, from a sequence number on."""

    def find(self, place: Place, number: int) -> ParkedMessage | None:
        """Return the message with a sequence number, ``None`` if it is gone."""

    def send(self, queue: str, messages: Sequence[ParkedMessage]) -> list[int]:
        """Send copies; return the indexes of those that are too large."""

    def cancel(self, queue: str, number: int) -> bool:
        """Cancel a scheduled message; return whether it was still scheduled."""


@dataclass(slots=True, kw_only=True)
class Run[T: Taken]:
    """One application of a plan.

    Attributes:
        pacer: sets the pace, and ends the run early.
        mend: changes what is sent; a fingerprint is that of the message as it lies.
        clock: seconds that only rise.
        left: why messages were left where they are, with how many.
    """

    plan: Plan
    journal: Journal
    store: Store[T]
    stamp: Stamp
    pacer: Pacer
    mend: Callable[[ParkedMessage], ParkedMessage]
    clock: Callable[[], float] = monotonic
    left: Counter[str] = field(default_factory=Counter)

    def __call__(self) -> None:
        """Apply what is left of the plan.

        Raises:
            StoppedError: it was asked to stop, or too many copies were parked again.
            ServiceBusError: Service Bus failed; the same plan can be applied again.
        """
        self.pacer.begin()
        for place in self.plan.numbers:
            if self.plan.order.action is Action.RELEASE:
                self._release(place)
            elif self.journal.remaining(place):
                with self.store.taking(place) as taking:
                    self._sweep(place, taking)

    def _sweep(self, place: Place, taking: Taking[T]) -> None:
        progressed, highest = self.clock(), max(self.plan.numbers[place])
        while self.journal.remaining(place):
            self.pacer.check_stopping()
            page = taking.page(_BATCH, _WAIT_SECONDS)
            chosen = [taken for taken in page if self._is_open(taken.message)]
            hands = {id(taken) for taken in chosen}
            taking.hold(taken for taken in page if id(taken) not in hands)
            self._portions(chosen, taking)
            if any(taken.message.sequence_number <= highest for taken in page):
                progressed = self.clock()
                continue
            self._leave_what_is_gone(place)
            if self.clock() > progressed + (taking.lock_seconds or _USUAL_LOCK_SECONDS) + _PATIENCE_SECONDS:
                # Not for good: the next application of the plan tries them again.
                self.left["locked by another receiver"] += self.journal.remaining(place)
                return

    def _portions(self, chosen: list[T], taking: Taking[T]) -> None:
        taking.keep()
        while chosen:
            size = self.pacer.portion(_BATCH)
            self._batch(chosen[:size], taking)
            chosen = chosen[size:]

    def _batch(self, batch: list[T], taking: Taking[T]) -> None:
        self.pacer.wait_turn(len(batch), taking.keep)
        place = batch[0].message.place
        sound = [taken for taken in batch if self._is_sound(taken.message)]
        self._copy(place, [taken.message for taken in sound])
        removable = [taken for taken in sound if self._may_go(taken.message)]
        done = [taken.message.sequence_number for taken in removable if taking.complete(taken)]
        self.journal.write(Step.DONE, place, done)
        self.pacer.after(len(batch), taking.keep)

    def _release(self, place: Place) -> None:
        numbers = self.journal.open_numbers(place)
        while numbers:
            size = self.pacer.portion(_BATCH)
            portion, numbers = numbers[:size], numbers[size:]
            self.pacer.wait_turn(len(portion), _nothing)
            found = [self.store.find(place, number) for number in portion]
            scheduled = [message for message in found if message and message.state is State.SCHEDULED]
            there = {message.sequence_number for message in scheduled}
            self._account_for(place, [one for one in portion if one not in there], "no longer scheduled")
            sound = [message for message in scheduled if self._is_sound(message)]
            self._copy(place, sound)
            going = [message.sequence_number for message in sound if self._may_go(message)]
            for number in going:
                # One that came due meanwhile is handled twice, which is harmless: a retry is looked up on
                # record, before it is confirmed and after a 600061, and finds the other as its own.
                self.store.cancel(place.queue, number)
            self.journal.write(Step.DONE, place, going)
            self.pacer.after(len(portion), _nothing)

    def _copy(self, place: Place, messages: list[ParkedMessage]) -> None:
        """Send the copies of those that are not sent yet; what is discarded needs none."""
        fresh = [one for one in messages if self._step(place, one.sequence_number) < Step.SENT]
        numbers = [message.sequence_number for message in fresh]
        self.journal.write(Step.SENDING, place, numbers)
        refused = self._send(fresh) if fresh else []
        sent = [number for at, number in enumerate(numbers) if at not in refused]
        self.journal.write(Step.SENT, place, sent)
        self.pacer.sent += len(sent)
        self._leave(place, [numbers[at] for at in refused], "too large for a copy")

    def _send(self, messages: list[ParkedMessage]) -> list[int]:
        order = self.plan.order
        if order.target is None:
            return []
        copy = released if order.action is Action.RELEASE else replayed
        return self.store.send(order.target, [copy(self.mend(message), self.stamp) for message in messages])

    def _may_go(self, message: ParkedMessage) -> bool:
        return self._step(message.place, message.sequence_number) is Step.SENT

    def _step(self, place: Place, number: int) -> Step:
        index = self.plan.index(place, number)
        return Step.LEFT if index is None else self.journal.step(place, index)

    def _is_open(self, message: ParkedMessage) -> bool:
        return self._step(message.place, message.sequence_number) < Step.DONE

    def _is_sound(self, message: ParkedMessage) -> bool:
        index = self.plan.index(message.place, message.sequence_number)
        if index is not None and self.plan.fits(message, index):
            return True
        self._leave(message.place, [message.sequence_number], "changed since the plan was made")
        return False

    def _leave(self, place: Place, numbers: Sequence[int], why: str) -> None:
        if numbers:
            self.journal.write(Step.LEFT, place, numbers, why)
            self.left[why] += len(numbers)

    def _leave_what_is_gone(self, place: Place) -> None:
        numbers = self.journal.open_numbers(place)
        there = {message.sequence_number for message in self._between(place, numbers[0], numbers[-1])}
        self._account_for(place, [number for number in numbers if number not in there], "gone")

    def _account_for(self, place: Place, absent: Sequence[int], why: str) -> None:
        """Note what is not where it was: done if its copy was sent before a crash, else left."""
        sent = {number for number in absent if self._step(place, number) is Step.SENT}
        self.journal.write(Step.DONE, place, sorted(sent))
        self._leave(place, [number for number in absent if number not in sent], why)

    def _between(self, place: Place, first: int, last: int) -> Iterator[ParkedMessage]:
        return takewhile(lambda message: message.sequence_number <= last, self.store.peek(place, first))


def _nothing() -> None:
    """Hold nothing."""
