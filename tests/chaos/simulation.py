"""A backlog against an API that throttles, in simulated time: hours in seconds.

What runs is the product: handler, policy, client, gate and the copies it makes. Simulated are the clock, the
threads' sleep, the queues (in memory, with scheduled copies and duplicate detection) and the far end.
"""

import json
import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID

import pytest

from agreements import deliveries, queues
from agreements.deadline import Deadline
from agreements.deliveries import Delivery
from agreements.gate import Gate
from agreements.handler import Handler, Nobody
from agreements.outcomes import Attempt, Outcome
from agreements.partner_center import PartnerCenter
from agreements.queues import QueueNames
from agreements.transport import Timeouts
from tests.chaos.throttling import Limit, Service
from tests.chaos.virtual_time import VirtualThread, VirtualTime
from tests.fakes import POLICY, Message, returned

START = datetime(2026, 10, 1, tzinfo=UTC)
ACCEPTANCES = "agreement-acceptances"
NAMES = QueueNames(
    retries="agreement-retries", duplicates="agreement-duplicates", rejections="agreement-rejections"
)
# What host.json gives each trigger.
CONCURRENT_CALLS = 16
CLOCKS = (
    "agreements.deadline.monotonic",
    "agreements.handler.monotonic",
    "agreements.transport.monotonic",
)


class _Tokens:
    def token(self, deadline: Deadline, *, refused: str | None = None) -> str:
        return "a-token"


@dataclass(slots=True)
class Queue:
    """A queue in memory: what is ready, and who rests until something is."""

    time: VirtualTime
    ready: deque[Message] = field(default_factory=deque)
    resting: list[VirtualThread] = field(default_factory=list)
    known: set[str] = field(default_factory=set)

    def put(self, message: Message) -> None:
        """Make a message ready, and wake one who rests."""
        self.ready.append(message)
        if self.resting:
            self.time.at(self.time.now, self.resting.pop())

    def schedule(self, message: Message, at: float) -> None:
        """Make a message ready at an instant, unless one with its id was sent before."""
        if message.message_id not in self.known:
            self.known.add(message.message_id)
            self.time.at(max(at, self.time.now), lambda: self.put(message))

    def take(self) -> Message:
        """Return the next message; rest until there is one."""
        while not self.ready:
            self.resting.append(self.time.me)
            self.time.rest()
        return self.ready.popleft()


@dataclass(slots=True)
class Backlog:
    """What came of a backlog."""

    service: Service
    time: VirtualTime
    events: int
    told: Callable[[], object]
    outcomes: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)
    last_confirmed: float = 0.0
    retries: Queue = field(init=False)
    acceptances: Queue = field(init=False)

    def __post_init__(self) -> None:
        self.acceptances, self.retries = Queue(self.time), Queue(self.time)
        for number in range(self.events):
            self.acceptances.put(_published(number))

    def now(self) -> datetime:
        """Return the wall clock."""
        return START + timedelta(seconds=self.time.now)

    def send(self, delivery: Delivery, attempt: Attempt, outcome: Outcome, deadline: Deadline) -> None:
        """Count an outcome, and put the copy that it asks for where it belongs."""
        self.outcomes[f"{type(outcome).__name__} {getattr(outcome, 'reason', '')}".strip()] += 1
        addressed = queues.address(delivery, attempt, outcome, NAMES)
        if addressed is None:
            self.last_confirmed = self.time.now
            self.told()
            return
        queue, copy = addressed
        self.copies[queue] += 1
        if queue == NAMES.retries:
            at = cast("datetime", copy.scheduled_enqueue_time_utc)
            message = returned(copy, enqueued_time_utc=at, sequence_number=self.copies.total())
            self.retries.schedule(message, (at - START).total_seconds())

    def figures(self, ideal: float) -> dict[str, object]:
        """Return what was measured; ``ideal`` is the seconds that the API's limit asks for in any case."""
        return {
            "events": self.events,
            "confirmed": len(self.service.ledger),
            "confirmedTwice": self.service.confirmed_twice,
            "calls": self.service.calls,
            "refusedOfCalls": round(self.service.refused / self.service.calls, 4),
            "copiesPerEvent": round(self.copies.total() / self.events, 4),
            "parked": self.copies[NAMES.duplicates] + self.copies[NAMES.rejections],
            "hours": round(self.last_confirmed / 3600, 3),
            "hoursOfIdeal": round(self.last_confirmed / ideal, 3),
            "outcomes": dict(self.outcomes.most_common()),
        }

    def missed(self, ideal: float) -> list[str]:
        """Return what falls short of what is promised of a backlog, nothing if all is kept."""
        service = self.service
        promised = {
            "every event is confirmed": len(service.ledger) == self.outcomes["Confirmed"] == self.events,
            "no event is confirmed twice": service.confirmed_twice == 0,
            "nothing is parked": set(self.copies) <= {NAMES.retries},
            "under 5 % of calls are refused": service.refused < 0.05 * service.calls,
            "copies are under 10 % of events": self.copies.total() < 0.1 * self.events,
            "it takes no more than 1.25 of the ideal time": self.last_confirmed <= 1.25 * ideal,
        }
        return [promise for promise, kept in promised.items() if not kept]


def _published(number: int) -> Message:
    event = {
        "customerTenantId": str(UUID(int=number)),
        "dateAgreed": "2026-09-01",
        "primaryContact": {"firstName": "Zoë", "lastName": "O'Brien", "email": f"z{number}@contoso.example"},
    }
    return Message(
        body=json.dumps(event).encode(),
        correlation_id=str(UUID(int=number)),
        enqueued_time_utc=START,
        sequence_number=number,
    )


@contextmanager
def _by_the_clock_of(time: VirtualTime, service: Service) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for clock in CLOCKS:
            patch.setattr(clock, time.clock)
        patch.setattr(
            "requests.adapters.HTTPAdapter.send", lambda *given, **options: service.send(*given, **options)
        )
        yield


def _ignored(_: object) -> None: ...


def work_off(
    events: int, limit: Limit, *, latency: float, seed: int, told: Callable[[], object] = lambda: None
) -> Backlog:
    """Let the product work off a backlog; ``told`` is called for each event that is confirmed."""
    time = VirtualTime()
    service = Service(limit, latency, time.clock, time.sleep)

    def wait(condition: threading.Condition, seconds: float) -> None:
        condition.release()
        try:
            time.sleep(seconds)
        finally:
            condition.acquire()

    backlog = Backlog(service, time, events, told)
    client = PartnerCenter(
        "https://localhost", _Tokens(), Timeouts(connect=5, read=30), Gate(time.clock, wait)
    )
    handler = Handler(
        confirmations=client,
        records=client,
        outcomes=Nobody(),
        outbox=backlog,
        policy=POLICY,
        seconds=150,
        reserve=30,
        now=backlog.now,
        random=random.Random(seed).random,  # noqa: S311 - repeatable, and nothing is kept secret by it
        pause=time.sleep,
    )

    def consume(queue: Queue, name: str, *, ours: bool) -> None:
        while True:
            handler(deliveries.receive(queue.take(), queue=name, ours=ours))

    with _by_the_clock_of(time, service):
        # Looked up beforehand: who waits for another thread's look-up waits for real.
        time.run([lambda: _ignored(client.template_ids(Deadline.after(60)))])
        time.run(
            [lambda: consume(backlog.acceptances, ACCEPTANCES, ours=False)] * CONCURRENT_CALLS
            + [lambda: consume(backlog.retries, NAMES.retries, ours=True)] * CONCURRENT_CALLS
        )
    return backlog
