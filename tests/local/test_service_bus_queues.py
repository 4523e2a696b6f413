from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from local.service_bus import decoding, encoding
from local.service_bus.entities import Entry, State
from local.service_bus.errors import Condition, Refusal
from local.service_bus.message import Message, Section, sections
from local.service_bus.queues import Queue, Topic, queue
from local.service_bus.rules import Settings, Status

MINUTE = 60.0


@dataclass
class Clock:
    """A clock that moves when told."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def message(message_id: str = "", *, at: float | None = None, life: float | None = None) -> Message:
    """Build a message whose id and body are the same."""
    properties = encoding.sequence([encoding.string(message_id)]) if message_id else encoding.EMPTY_LIST
    body = encoding.described(Section.DATA, encoding.binary(message_id.encode()))
    parsed = Message.parse(encoding.described(Section.PROPERTIES, properties) + body)
    return replace(parsed, scheduled_for=at, time_to_live=life)


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


type Make = Callable[..., Queue]


@pytest.fixture
def make(clock: Clock) -> Make:
    """Return a way to build a queue with some settings."""
    return lambda **settings: queue("q", Settings(**settings), clock)


def lock(queue: Queue) -> Entry:
    """Lock the next message, which must be there."""
    entry = queue.lock()
    assert entry is not None
    return entry


def reasons(entry: Entry) -> object:
    """Return the application properties of a message."""
    raw = {code: value for code, value, _ in sections(entry.message.bare)}
    return decoding.decode(raw[Section.APPLICATION_PROPERTIES])[0]


def test_messages_come_in_order_and_once(make: Make) -> None:
    """Messages are delivered in sequence, and a locked one to nobody else."""
    subject = make()
    assert subject.send([message("a"), message("b")]) == [1, 2]
    assert [lock(subject).message.message_id, lock(subject).message.message_id] == ["a", "b"]
    assert subject.lock() is None


def test_an_abandoned_message_comes_back_in_its_place(make: Make) -> None:
    """Abandoning counts a delivery, and the message comes before younger ones, under a new token."""
    subject = make()
    subject.send([message("a"), message("b")])
    token = lock(subject).lock_token
    subject.abandon(token)
    again = lock(subject)
    assert (again.message.message_id, again.delivery_count) == ("a", 1)
    assert again.lock_token != token


def test_a_released_message_does_not_count(make: Make) -> None:
    """Releasing gives a message back as if nobody had seen it."""
    subject = make()
    subject.send([message("a")])
    subject.release(lock(subject).lock_token)
    assert lock(subject).delivery_count == 0


def test_settled_messages_are_gone(make: Make) -> None:
    """Completed and taken messages leave the queue."""
    subject = make()
    subject.send([message("a"), message("b")])
    subject.complete(lock(subject).lock_token)
    taken = subject.take()
    assert taken is not None
    assert taken.message.message_id == "b"
    assert subject.count() == 0
    assert subject.take() is None


@pytest.mark.parametrize("settle", [Queue.complete, Queue.abandon, Queue.release, Queue.renew])
def test_a_lost_lock_settles_nothing(
    make: Make, clock: Clock, settle: Callable[[Queue, bytes], object]
) -> None:
    """After the lock duration a token is worth nothing, and the delivery counts."""
    subject = make(lock_duration=MINUTE)
    subject.send([message("a")])
    token = lock(subject).lock_token
    clock.now += MINUTE
    with pytest.raises(Refusal) as refusal:
        settle(subject, token)
    assert refusal.value.condition is Condition.LOCK_LOST
    assert lock(subject).delivery_count == 1


def test_a_renewed_lock_holds(make: Make, clock: Clock) -> None:
    """Renewing holds for another lock duration from now, and does not keep other locks alive."""
    subject = make(lock_duration=MINUTE)
    subject.send([message("a"), message("b")])
    first = lock(subject)
    lock(subject)
    clock.now += MINUTE / 2
    assert subject.renew(first.lock_token) == clock.now + MINUTE
    clock.now += MINUTE / 2
    assert lock(subject).message.message_id == "b"
    subject.complete(first.lock_token)


def test_too_many_deliveries_end_in_the_dead_letter_queue(make: Make, clock: Clock) -> None:
    """Abandoned or expired too often, a message is dead-lettered with the broker's reason."""
    subject = make(max_delivery_count=2, lock_duration=MINUTE)
    subject.send([message("a")])
    subject.abandon(lock(subject).lock_token)
    lock(subject)
    clock.now += MINUTE
    assert subject.lock() is None
    assert subject.dead_letters is not None
    (dead,) = subject.dead_letters.peek(0, 10)
    assert dead.delivery_count == 2
    told = reasons(dead)
    assert isinstance(told, dict)
    assert told["DeadLetterReason"] == "MaxDeliveryCountExceeded"


def test_dead_letters_keep_where_they_came_from(make: Make, clock: Clock) -> None:
    """A dead-lettered message keeps number and enqueued time, gains the reasons, and stays in sequence."""
    subject = make()
    subject.send([message("a"), message("b")])
    enqueued_at = clock.now
    first, second = lock(subject), lock(subject)
    clock.now += 1
    subject.dead_letter(second.lock_token, "why", None)
    subject.dead_letter(first.lock_token, None, "how")
    assert subject.dead_letters is not None
    dead = list(subject.dead_letters.peek(0, 10))
    assert [(entry.sequence_number, entry.enqueued_at) for entry in dead] == [
        (1, enqueued_at),
        (2, enqueued_at),
    ]
    assert [reasons(entry) for entry in dead] == [
        {"DeadLetterErrorDescription": "how"},
        {"DeadLetterReason": "why"},
    ]


def test_nothing_leaves_a_dead_letter_queue_by_itself(make: Make, clock: Clock) -> None:
    """Inside a dead-letter queue there is no life time, no maximum of deliveries, no dead-lettering."""
    subject = make(max_delivery_count=1, time_to_live=MINUTE)
    subject.send([message("a")])
    subject.abandon(lock(subject).lock_token)
    dead = subject.dead_letters
    assert dead is not None
    clock.now += 1000 * MINUTE
    for _ in range(20):
        dead.abandon(lock(dead).lock_token)
    token = lock(dead).lock_token
    with pytest.raises(Refusal, match="no dead-letter queue"):
        dead.dead_letter(token, None, None)
    dead.complete(token)


@pytest.mark.parametrize(("buried", "left"), [(True, 1), (False, 0)])
def test_expired_messages(make: Make, clock: Clock, *, buried: bool, left: int) -> None:
    """The shorter of sender's and queue's life time counts; the queue says whether to keep the message."""
    subject = make(time_to_live=2 * MINUTE, dead_letter_on_expiration=buried)
    subject.send([message("a", life=MINUTE), message("b"), message("c", life=3 * MINUTE)])
    clock.now += MINUTE
    assert [entry.message.message_id for entry in subject.peek(0, 10)] == ["b", "c"]
    clock.now += MINUTE
    assert subject.count() == 0
    assert subject.dead_letters is not None
    assert subject.dead_letters.count() == 3 * left


def test_a_locked_message_expires_when_it_comes_back(make: Make, clock: Clock) -> None:
    """A message does not expire under its receiver, who may still complete it."""
    subject = make(time_to_live=MINUTE, lock_duration=5 * MINUTE)
    subject.send([message("a"), message("b")])
    first, second = lock(subject), lock(subject)
    clock.now += 2 * MINUTE
    subject.complete(first.lock_token)
    subject.abandon(second.lock_token)
    assert subject.count() == 0


def test_a_scheduled_message_waits(make: Make, clock: Clock) -> None:
    """A scheduled message can be peeked but not received before its time; then it gets the next number."""
    subject = make()
    subject.send([message("later", at=clock.now + MINUTE), message("now")])
    assert [entry.state for entry in subject.peek(0, 10)] == [State.SCHEDULED, State.ACTIVE]
    assert subject.next_due() == clock.now + MINUTE
    subject.complete(lock(subject).lock_token)
    assert subject.lock() is None
    clock.now += MINUTE
    due = lock(subject)
    assert (due.message.message_id, due.sequence_number, due.enqueued_at) == ("later", 3, clock.now)


def test_cancelling_is_all_or_nothing(make: Make, clock: Clock) -> None:
    """Only scheduled messages can be cancelled, and one wrong number cancels none."""
    subject = make()
    later = clock.now + MINUTE
    numbers = subject.send([message("a", at=later), message("b", at=later), message("c")])
    with pytest.raises(Refusal) as refusal:
        subject.cancel(numbers)
    assert refusal.value.condition is Condition.MESSAGE_NOT_FOUND
    subject.cancel(numbers[:2])
    assert [entry.message.message_id for entry in subject.peek(0, 10)] == ["c"]


def test_what_has_no_room_is_refused_whole(make: Make, clock: Clock) -> None:
    """Messages that do not fit are refused together; room is made by whatever leaves, however it leaves."""
    size = message("a").size
    subject = make(max_size=2 * size)
    assert subject.dead_letters is not None
    [number] = subject.send([message("a", at=clock.now + MINUTE)])
    with pytest.raises(Refusal) as refusal:
        subject.send([message("b"), message("c")])
    assert refusal.value.condition is Condition.QUOTA_EXCEEDED
    assert subject.count() == 1
    subject.cancel([number, number])
    for leave in (subject.complete, lambda token: subject.dead_letter(token, "why", None)):
        subject.send([message("b"), message("c")])
        leave(lock(subject).lock_token)
        leave(lock(subject).lock_token)
    subject.send([message("d", life=MINUTE), message("e", at=clock.now + MINUTE)])
    clock.now += MINUTE
    assert subject.take() is not None
    subject.send([message("f"), message("g")])
    assert (subject.count(), subject.dead_letters.count()) == (2, 2)


def test_a_queue_disabled_for_sending_takes_nothing(make: Make) -> None:
    """While sending is disabled everything sent is refused; what lies there can be received all the same."""
    subject = make(status=Status.SEND_DISABLED)
    with pytest.raises(Refusal) as refusal:
        subject.send([message("a")])
    assert refusal.value.condition is Condition.ENTITY_DISABLED
    subject.status = Status.ACTIVE
    subject.send([message("a")])
    subject.status = Status.SEND_DISABLED
    subject.complete(lock(subject).lock_token)
    assert subject.count() == 0


def test_a_queue_disabled_for_receiving_gives_nothing(make: Make) -> None:
    """While receiving is disabled the queue takes messages and keeps them, and locks can be settled."""
    subject = make()
    subject.send([message("a"), message("b")])
    held = lock(subject)
    subject.status = Status.RECEIVE_DISABLED
    subject.send([message("c")])
    with pytest.raises(Refusal) as refusal:
        subject.check_delivers()
    assert refusal.value.condition is Condition.ENTITY_DISABLED
    assert (subject.lock(), subject.take()) == (None, None)
    subject.complete(held.lock_token)
    subject.status = Status.ACTIVE
    subject.check_delivers()
    assert [lock(subject).message.message_id for _ in range(2)] == ["b", "c"]


def test_a_disabled_queue_does_nothing(make: Make) -> None:
    """A disabled queue neither takes nor gives."""
    subject = make(status=Status.DISABLED)
    for attempt in (lambda: subject.send([message("a")]), subject.check_delivers):
        with pytest.raises(Refusal) as refusal:
            attempt()
        assert refusal.value.condition is Condition.ENTITY_DISABLED


def test_duplicates_are_dropped_within_the_window(make: Make, clock: Clock) -> None:
    """A known message id is dropped, completed or not, until the window has passed."""
    subject = make(duplicate_window=MINUTE)
    subject.send([message("a"), message("a")])
    subject.complete(lock(subject).lock_token)
    clock.now += MINUTE - 1
    subject.send([message("a")])
    assert subject.count() == 0
    clock.now += 1
    subject.send([message("a")])
    assert subject.count() == 1


def test_scheduled_messages_count_as_duplicates_at_once(make: Make, clock: Clock) -> None:
    """Of a scheduled message and a later one with the same id, the second is dropped, due sooner or not."""
    subject = make(duplicate_window=10 * MINUTE)
    subject.send([message("a", at=clock.now + MINUTE), message("a")])
    assert subject.count(State.ACTIVE) == 0
    clock.now += MINUTE
    assert subject.count(State.ACTIVE) == 1


def test_messages_without_an_id_are_no_duplicates(make: Make) -> None:
    """An assigned id is different each time."""
    subject = make(duplicate_window=MINUTE)
    subject.send([message(), message()])
    assert subject.count() == 2


def test_peeking_goes_on_where_it_ended(make: Make) -> None:
    """Pages follow each other by sequence number over gaps, whatever the state of the messages."""
    subject = make()
    subject.send([message(str(number)) for number in range(1, 301)])
    for _ in range(200):
        subject.complete(lock(subject).lock_token)
    lock(subject)
    seen: list[int] = []
    while page := [entry.sequence_number for entry in subject.peek(seen[-1] + 1 if seen else 0, 7)]:
        seen += page
    assert seen == list(range(201, 301))


def test_a_topic_gives_each_subscription_its_own(clock: Clock) -> None:
    """Each subscription has its own copy; duplicates and schedules are the topic's affair."""
    subscriptions = [queue(f"t/Subscriptions/{name}", Settings(), clock) for name in "ab"]
    topic = Topic("t", Settings(duplicate_window=MINUTE, time_to_live=MINUTE), clock, subscriptions)
    topic.send([message("x"), message("x"), message("later", at=clock.now + 1)])
    for subscription in subscriptions:
        assert lock(subscription).message.message_id == "x"
        assert subscription.lock() is None
    clock.now += 1
    topic.advance()
    assert [lock(each).message.message_id for each in subscriptions] == ["later", "later"]
    clock.now += MINUTE + MINUTE
    assert [each.count() for each in subscriptions] == [0, 0]


def test_a_topic_asks_no_subscription(clock: Clock) -> None:
    """A disabled subscription gets its copy too: a message goes to all of them or, refused, to none."""
    names = {"a": Status.ACTIVE, "b": Status.DISABLED, "c": Status.RECEIVE_DISABLED}
    subscriptions = [queue(name, Settings(status=status), clock) for name, status in names.items()]
    topic = Topic("t", Settings(), clock, subscriptions)
    topic.send([message("now"), message("later", at=clock.now + 1)])
    clock.now += 1
    topic.advance()
    assert [each.count() for each in subscriptions] == [2, 2, 2]


def test_a_full_topic_takes_no_more_and_loses_nothing(clock: Clock) -> None:
    """What lies in the subscriptions counts; what was taken comes at its time, however full it is then."""
    size = message("a").size
    subscriptions = [queue(name, Settings(max_size=size), clock) for name in "ab"]
    topic = Topic("t", Settings(max_size=4 * size), clock, subscriptions)
    topic.send([message("a"), message("b", at=clock.now + 1)])
    topic.send([message("c")])
    with pytest.raises(Refusal) as refusal:
        topic.send([message("d")])
    assert refusal.value.condition is Condition.QUOTA_EXCEEDED
    clock.now += 1
    topic.advance()
    for subscription in subscriptions:
        assert [lock(subscription).message.message_id for _ in range(3)] == ["a", "c", "b"]
        assert subscription.lock() is None


def test_a_deferred_message_waits_to_be_asked_for(make: Make, clock: Clock) -> None:
    """A deferred message is locked by its number alone, and is deferred again when its lock ends."""
    subject = make()
    [number] = subject.send([message("a")])
    subject.defer(lock(subject).lock_token)
    assert subject.lock() is None
    [claimed] = subject.claim([number, number], locked=True)
    with pytest.raises(Refusal, match="no deferred message has the number 1"):
        subject.claim([number], locked=True)
    clock.now += MINUTE
    assert subject.lock() is None
    assert subject.count(State.DEFERRED) == 1
    assert claimed.delivery_count == 1
    assert subject.claim([number], locked=False) == [claimed]
    assert subject.count() == 0


def test_deferred_messages_are_claimed_all_or_none(make: Make) -> None:
    """Where one of the numbers is wrong, the others stay deferred."""
    subject = make()
    [number] = subject.send([message("a")])
    subject.defer(lock(subject).lock_token)
    with pytest.raises(Refusal, match="no deferred message has the number 7"):
        subject.claim([number, 7], locked=False)
    assert subject.count(State.DEFERRED) == 1


def test_a_deferred_message_expires_when_it_is_asked_for(make: Make, clock: Clock) -> None:
    """Time ends a deferred message only once somebody asks for it; then it is a dead letter like others."""
    subject = make(dead_letter_on_expiration=True)
    [number] = subject.send([message("a", life=1)])
    subject.defer(lock(subject).lock_token)
    clock.now += MINUTE
    assert subject.count(State.DEFERRED) == 1
    with pytest.raises(Refusal, match="no deferred message"):
        subject.claim([number], locked=True)
    assert subject.count() == 0
    assert subject.dead_letters is not None
    assert lock(subject.dead_letters).deferred is False


def test_nothing_is_due_in_an_idle_queue(make: Make) -> None:
    """A queue that only holds active messages never needs waking."""
    subject = make()
    subject.send([message("a")])
    assert subject.next_due() == inf


CHANGES = {"colour": encoding.string("blue")}
SETTLEMENTS: list[Callable[[Queue, bytes], object]] = [
    Queue.complete,
    Queue.abandon,
    Queue.release,
    Queue.renew,
    Queue.defer,
    lambda queue, token: queue.abandon(token, CHANGES),
    lambda queue, token: queue.dead_letter(token, "reason", None, CHANGES),
]


class QueueMachine(RuleBasedStateMachine):
    """Any order of operations: no message is lost, doubled or delivered to two at once."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        rules = Settings(
            lock_duration=MINUTE,
            max_delivery_count=3,
            duplicate_window=MINUTE,
            dead_letter_on_expiration=True,
        )
        self.subject = queue("q", rules, self.clock)
        assert self.subject.dead_letters is not None
        self.dead = self.subject.dead_letters
        self.held: dict[bytes, tuple[Entry, float]] = {}
        self.settled: set[bytes] = set()
        self.deferred: set[int] = set()
        self.seen: dict[str, float] = {}
        self.sent = self.done = 0

    def numbers(self, state: State) -> list[int]:
        """Return the numbers of the messages in a state."""
        return [entry.sequence_number for entry in self.subject.peek(0, 10000) if entry.state is state]

    def hold(self, entry: Entry) -> None:
        """Note a lock and when it should end."""
        assert entry.lock_token not in self.settled
        self.held[entry.lock_token] = entry, self.clock.now + MINUTE

    @rule(
        message_id=st.sampled_from(["", "a", "b"]),
        delay=st.sampled_from([None, 0.0, 30.0, 90.0]),
        life=st.sampled_from([None, 20.0, 45.0]),
    )
    def send(self, message_id: str, delay: float | None, life: float | None) -> None:
        """Send for now or for later, perhaps a duplicate, perhaps with little time to live."""
        at = None if delay is None else self.clock.now + delay
        self.subject.send([message(message_id, at=at, life=life)])
        seen = self.seen.get(message_id)
        if message_id and seen is not None and self.clock.now < seen + MINUTE:
            return
        self.seen[message_id] = self.clock.now
        self.sent += 1

    @rule()
    def receive(self) -> None:
        """Lock the first of all active messages; its client may die and never settle it."""
        active = self.numbers(State.ACTIVE)
        entry = self.subject.lock()
        assert (entry and entry.sequence_number) == (min(active) if active else None)
        if entry is not None:
            self.hold(entry)

    @rule(from_dead_letters=st.booleans())
    def receive_and_delete(self, *, from_dead_letters: bool) -> None:
        """Take the next message out of the queue or of its dead-letter queue."""
        self.subject.advance()
        entry = (self.dead if from_dead_letters else self.subject).take()
        self.done += entry is not None

    @precondition(lambda self: self.held)
    @rule(data=st.data(), settle=st.sampled_from(SETTLEMENTS))
    def settle(self, data: st.DataObject, settle: Callable[[Queue, bytes], object]) -> None:
        """Settle any message ever held; a lost lock must be refused, and no other."""
        live = [token for token in self.held if token not in self.settled]
        token = data.draw(st.sampled_from(live or list(self.held)) | st.sampled_from(list(self.held)))
        entry, until = self.held[token]
        lost = until <= self.clock.now or token in self.settled
        try:
            settle(self.subject, token)
        except Refusal:
            assert lost
            return
        assert not lost
        self.done += settle is Queue.complete
        if settle is Queue.renew:
            self.hold(entry)
        else:
            self.settled.add(token)
        if settle is Queue.defer:
            self.deferred.add(entry.sequence_number)

    @precondition(lambda self: self.numbers(State.DEFERRED))
    @rule(data=st.data(), locked=st.booleans())
    def claim(self, data: st.DataObject, *, locked: bool) -> None:
        """Receive a deferred message by its number; only an expired one is refused."""
        number = data.draw(st.sampled_from(self.numbers(State.DEFERRED)))
        [deferred] = self.subject.peek(number, 1)
        expired = deferred.expires_at <= self.clock.now
        try:
            [entry] = self.subject.claim([number], locked=locked)
        except Refusal:
            assert expired
            return
        assert not expired
        if locked:
            self.hold(entry)
        self.done += not locked

    @precondition(lambda self: self.numbers(State.SCHEDULED))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """Cancel a scheduled message."""
        self.subject.cancel([data.draw(st.sampled_from(self.numbers(State.SCHEDULED)))])
        self.done += 1

    @rule(seconds=st.sampled_from([1.0, 30.0, 60.0]))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.now += seconds

    @invariant()
    def nothing_is_lost(self) -> None:
        """Whatever was not removed on purpose is in the queue or in its dead-letter queue, once."""
        here = [entry.sequence_number for entry in self.subject.peek(0, 10000)]
        dead = [entry.sequence_number for entry in self.dead.peek(0, 10000)]
        assert here == sorted(set(here))
        assert dead == sorted(set(dead))
        assert not set(here) & set(dead)
        assert not self.deferred & set(self.numbers(State.ACTIVE))
        assert len(here) + len(dead) + self.done == self.sent

    @invariant()
    def counts_are_right(self) -> None:
        """Each message is counted in one state, and what waits for its time is due some time."""
        states = {state: self.subject.count(state) for state in State}
        assert states == {state: len(self.numbers(state)) for state in State}
        assert sum(states.values()) == self.subject.count()
        for entity in (self.subject, self.dead):
            assert entity.size == sum(entry.message.size for entry in entity.peek(0, 10000))
        if states[State.LOCKED] or states[State.SCHEDULED]:
            assert self.subject.next_due() < inf


def test_any_order_of_operations_keeps_every_message() -> None:
    """Sent, locked, settled, expired in any order: each message is in one place, once."""
    effort = hypothesis.settings(max_examples=50, deadline=None)
    run_state_machine_as_test(QueueMachine, settings=effort)
