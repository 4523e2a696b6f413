"""Builders of what the product passes around, and fakes with a list: one place for every test."""

import json
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType, SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from agreements import deliveries, events
from agreements.deadline import Deadline
from agreements.deliveries import Delivery
from agreements.errors import Answer, AnswerError
from agreements.events import AcceptanceEvent, Agreement
from agreements.messages import ParkedMessage, Place, State
from agreements.outcome_events import Advice, Ending, OutcomeData, OutcomeEvent
from agreements.outcomes import Attempt, Outcome
from agreements.policy import Backoff, Policy
from agreements.values import Value

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
CUSTOMER = UUID("14876998-c0dc-46e6-9d0c-65a57a6c32ec")
CORRELATION = UUID("ab993325-1605-4cf4-bac4-fb584142a31b")
REQUEST = UUID("94e4e214-6b06-4fb7-96d1-94d559f9b47f")
TYPE = "MicrosoftCustomerAgreement"
# What the host hands over with a message where nothing is traced.
UNTRACED = SimpleNamespace(trace_parent="", trace_state="")
CONTACT: Mapping[str, str] = MappingProxyType(
    {
        "firstName": "Zoraida",
        "lastName": "Quintanilla",
        "email": "zq@planted.example",
        "phoneNumber": "+34 600 700 800",
    }
)
# What must never leave an event for a log, an error or a property.
PLANTED = tuple(CONTACT.values())
# What of a delivery tells that its event may be on record already, each by itself.
REPEATS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "redelivered": {"delivery_count": 2},
        "retried": {"position": "agreement-retries/9/2026-03-02T10:00:00.000Z"},
        "replayed": {"replay": 1},
        "no-definite-answer": {"maybe_recorded": True},
    }
)

POLICY = Policy(
    transient=Backoff(base=5, cap=900, limit=timedelta(hours=24)),
    throttled=Backoff(base=5, cap=900, limit=timedelta(days=7)),
    service=Backoff(base=300, cap=3600, limit=timedelta(days=7)),
    new_customer_grace=timedelta(hours=1),
)


def given(**changes: object) -> dict[str, object]:
    """Return an event as a publisher writes it, with other values for some of its fields."""
    fields = {
        "customerTenantId": str(CUSTOMER),
        "dateAgreed": "2026-03-01T12:00:00Z",
        "primaryContact": dict(CONTACT),
    }
    return fields | changes


def body(**changes: object) -> bytes:
    """Return the body of an event's message."""
    return json.dumps(given(**changes)).encode()


def event(**changes: object) -> AcceptanceEvent:
    """Return an event as the product reads it."""
    return events.parse(body(**changes))


def agreement(**changes: object) -> Agreement:
    """Return the recorded agreement that is the same as the event, with other values for some fields."""
    fields = {"type": TYPE, "dateAgreed": "2026-03-01T12:00:00", "primaryContact": dict(CONTACT)}
    return Agreement.model_validate(fields | changes)


def refusal(
    status: int, code: str | None = None, *, write: bool = True, about_event: bool = True, **said: Any
) -> AnswerError:
    """Return the error for an answer that was no."""
    return AnswerError(Answer(status=status, code=code, **said), write=write, about_event=about_event)


def shown(error: BaseException) -> str:
    """Return all that a log could show of an error, with what led to it."""
    return f"{error} {error!r} {vars(error)} {''.join(traceback.format_exception(error))}"


@contextmanager
def time_zone(name: str) -> Iterator[None]:
    """Let the machine stand in another time zone."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TZ", name)
            time.tzset()
            yield
    finally:
        time.tzset()


class FakeClock:
    """A clock in seconds that stands still, except for whoever sleeps by it; ``slept`` has each sleep."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let that much time pass at once."""
        self.slept.append(seconds)
        self.now += seconds

    def wait(self, _: threading.Condition, seconds: float) -> None:
        """Let that much time pass instead of waiting for a condition."""
        self.sleep(seconds)


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message as the host hands it over: only what the product may read of it."""

    body: bytes = field(default_factory=body)
    application_properties: Mapping[str, object] | None = None
    content_type: str | None = "application/json"
    correlation_id: str | None = str(CORRELATION)
    delivery_count: int | None = 1
    enqueued_time_utc: datetime | None = NOW
    message_id: str = "an-id-of-the-publisher"
    sequence_number: int | None = 7

    def get_body(self) -> bytes:
        """Return the body."""
        return self.body


def message(**changes: Any) -> Message:
    """Return a message of a publisher."""
    return Message(**changes)


def delivery(**changes: Any) -> Delivery:
    """Return a first delivery; ``body`` and the rest as given."""
    at = "agreement-acceptances/7/2026-03-02T09:30:00.000Z"
    fields: dict[str, Any] = {
        "body": body(),
        "content_type": "application/json",
        "position": at,
        "origin": at,
        "correlation_id": CORRELATION,
        "event_id": "an-id-of-the-publisher",
        "delivery_count": 1,
        "properties": {},
        "first_enqueued_time": NOW,
    }
    return Delivery(**fields | changes)


def returned(copy: ServiceBusMessage, **changes: Any) -> Message:
    """Return the message as which a copy that was sent comes back."""
    fields: dict[str, Any] = {
        "body": b"".join(cast("Any", copy.body)),
        "application_properties": copy.application_properties,
        "content_type": copy.content_type,
        "correlation_id": copy.correlation_id,
        "message_id": copy.message_id,
        "sequence_number": 1,
    }
    return message(**fields | changes)


def received(copy: ServiceBusMessage, queue: str, *, ours: bool = True) -> Delivery:
    """Return the delivery of a copy that was sent to a queue, as if it came back from there."""
    return deliveries.receive(returned(copy), queue=queue, ours=ours)


class FakePartnerCenter:
    """Confirms and reads as a test tells it to; ``asked`` has what it was asked, in order.

    Each answer is used once; one that is an exception is raised.
    """

    def __init__(
        self,
        *confirmations: Agreement | Exception,
        records: list[list[Agreement] | Exception] | None = None,
    ) -> None:
        self.confirmations = list(confirmations)
        self.records = records or []
        self.asked: list[tuple[str, AcceptanceEvent, dict[str, object]]] = []

    @property
    def verbs(self) -> list[str]:
        """The names of what was asked."""
        return [verb for verb, _, _ in self.asked]

    def confirm(
        self, event: AcceptanceEvent, *, request_id: UUID, correlation_id: UUID, deadline: Deadline
    ) -> Agreement:
        """Answer the next confirmation."""
        how = {"request_id": request_id, "correlation_id": correlation_id, "deadline": deadline}
        self.asked.append(("confirm", event, how))
        answer = self.confirmations.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def agreements(
        self, event: AcceptanceEvent, *, correlation_id: UUID, deadline: Deadline
    ) -> list[Agreement]:
        """Answer the next reading."""
        self.asked.append(("agreements", event, {"correlation_id": correlation_id, "deadline": deadline}))
        answer = self.records.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class FakeOutbox:
    """Keeps what is sent in ``sent``; an ``error`` is raised instead, for good or for the first ``times``."""

    def __init__(self, error: Exception | None = None, times: int | None = None) -> None:
        self.error = error
        self.times = times
        self.sent: list[tuple[Delivery, Attempt, Outcome, Deadline]] = []

    def send(self, delivery: Delivery, attempt: Attempt, outcome: Outcome, deadline: Deadline) -> None:
        """Keep it, or fail."""
        if self.error is not None and self.times != 0:
            self.times = self.times and self.times - 1
            raise self.error
        self.sent.append((delivery, attempt, outcome, deadline))

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcomes alone."""
        return [outcome for _, _, outcome, _ in self.sent]


class FakeOutcomes:
    """Keeps what is told in ``told``, with the deadline; ``errors`` are raised first, ``None`` for none."""

    def __init__(self, *errors: Exception | None, anything: bool = True) -> None:
        self.errors = list(errors)
        self.anything = anything
        self.told: list[tuple[Outcome, Deadline]] = []

    def tell(self, delivery: Delivery, attempt: Attempt, outcome: Outcome, deadline: Deadline) -> bool:
        """Keep it, or fail."""
        if self.errors and (error := self.errors.pop(0)):
            raise error
        self.told.append((outcome, deadline))
        return self.anything

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcomes alone."""
        return [outcome for outcome, _ in self.told]


class FakeSender:
    """Keeps what is sent in ``sent``, with its timeout; ``errors`` are raised first, one per send."""

    def __init__(self, errors: list[Exception], close_error: Exception | None = None) -> None:
        self.errors = errors
        self.close_error = close_error
        self.sent: list[tuple[ServiceBusMessage, float]] = []
        self.closed = False

    def send_messages(self, message: ServiceBusMessage | list[ServiceBusMessage], *, timeout: float) -> None:
        """Keep it, or each of a list, or fail."""
        if self.errors:
            raise self.errors.pop(0)
        self.sent += [(one, timeout) for one in (message if isinstance(message, list) else [message])]

    def close(self) -> None:
        """Close, or fail."""
        self.closed = True
        if self.close_error is not None:
            raise self.close_error


class FakeServiceBusClient:
    """Opens fake senders; ``opened`` has each with its queue, in order."""

    def __init__(
        self,
        *errors: Exception,
        open_error: Exception | None = None,
        close_error: Exception | None = None,
    ) -> None:
        self.errors = list(errors)
        self.open_error = open_error
        self.close_error = close_error
        self.opened: list[tuple[str, FakeSender]] = []

    def get_queue_sender(self, queue: str) -> FakeSender:
        """Open a sender, or fail."""
        if self.open_error is not None:
            raise self.open_error
        sender = FakeSender(self.errors, self.close_error)
        self.opened.append((queue, sender))
        return sender

    def get_topic_sender(self, topic: str) -> FakeSender:
        """Open a sender, or fail."""
        return self.get_queue_sender(topic)

    def as_client(self) -> ServiceBusClient:
        """Return this where the SDK's class is asked for: only the senders are used of it."""
        return cast("ServiceBusClient", self)


def told_body(event_id: object, ending: Ending, at: datetime = NOW, **changes: Any) -> bytes:
    """Return an outcome event that tells how an event ended."""
    told: dict[str, Any] = {
        "outcome": ending,
        "final": ending.final,
        "advice": Advice.NOTHING,
        "actor": "nobody",
        "resend": False,
        "event_id": str(event_id),
        "customer_tenant_id": CUSTOMER,
        "template_id": "t",
        "received_at": NOW,
        "attempt": 1,
        "replay": 0,
        "correlation_id": str(CORRELATION),
    }
    return OutcomeEvent(
        id=REQUEST,
        source="//here.example/agreement-acceptances",
        type=ending.type,
        time=at,
        causation_id=str(event_id),
        correlation_id=str(CORRELATION),
        data=OutcomeData(**(told | changes)),
    ).body()


REJECTIONS = Place("agreement-rejections")


def parked(number: int = 7, place: Place = REJECTIONS, **changes: Any) -> ParkedMessage:
    """Return a message of ours that waits, with its properties as text or whole numbers."""
    ours = {
        "mcaOrigin": f"agreement-acceptances/{number}/2026-03-02T09:30:00.000Z",
        "mcaReason": "Refused",
        "mcaEventId": f"event-{number}",
        "mcaCustomerTenantId": str(CUSTOMER),
        "source": "crm",
    }
    properties = ours | changes.pop("properties", {})
    fields: dict[str, Any] = {
        "place": place,
        "sequence_number": number,
        "enqueued_time": NOW,
        "body": body(),
        "message_id": f"id-{number}",
        "content_type": "application/json",
        "correlation_id": str(CORRELATION),
        "properties": {
            name: Value.number(value) if isinstance(value, int) else Value.string(value)
            for name, value in properties.items()
            if value is not None
        },
    }
    return ParkedMessage(**fields | changes)


@dataclass(frozen=True)
class Taken:
    """A message that the fake store locked."""

    message: ParkedMessage


class FakeTaking:
    """Takes from the head what is not locked; ``lost`` are numbers whose lock is lost at completing once."""

    lock_seconds = 60.0

    def __init__(self, store: "FakeStore", place: Place) -> None:
        self.store = store
        self.place = place
        self.locked: set[int] = set()
        self.held: list[int] = []
        self.kept = 0

    def page(self, count: int, wait: float) -> list[Taken]:
        """Lock the next ones."""
        lying = self.store.lying[self.place]
        there = [one for one in lying if one.sequence_number not in self.locked | self.store.elsewhere]
        page = there[: min(count, self.store.page_size)]
        self.locked |= {one.sequence_number for one in page}
        if not page:
            self.store.clock.sleep(wait)
            self.store.elsewhere.clear() if self.store.patient else None
        return [Taken(one) for one in page]

    def hold(self, taken: Iterable[Taken]) -> None:
        """Keep them locked."""
        self.held += [one.message.sequence_number for one in taken]

    def keep(self) -> None:
        """Count how often."""
        self.kept += 1

    def complete(self, taken: Taken) -> bool:
        """Remove it, or lose its lock."""
        number = taken.message.sequence_number
        self.store.fail("complete")
        if number in self.store.lost:
            self.store.lost.remove(number)
            self.locked.remove(number)
            return False
        self.store.remove(self.place, number)
        return True


class FakeStore:
    """Queues in memory; ``sent`` has what was sent, ``errors`` are raised at the operation they are for."""

    def __init__(self, *messages: ParkedMessage, clock: FakeClock | None = None) -> None:
        self.namespace = "here.example"
        self.clock = clock or FakeClock()
        self.lying: dict[Place, list[ParkedMessage]] = {}
        for message in messages:
            self.lying.setdefault(message.place, []).append(message)
        self.sent: list[tuple[str, ParkedMessage]] = []
        self.cancelled: list[int] = []
        self.opened: list[Place] = []
        self.takings: list[FakeTaking] = []
        self.elsewhere: set[int] = set()
        self.lost: set[int] = set()
        self.too_large: set[int] = set()
        self.patient = False
        self.page_size = 100
        self.errors: dict[str, list[BaseException | None]] = {}
        self.closed = False

    def fail(self, operation: str) -> None:
        """Raise the next error that is meant for an operation; ``None`` lets one pass."""
        error = self.errors[operation].pop(0) if self.errors.get(operation) else None
        if error is not None:
            raise error

    def remove(self, place: Place, number: int) -> None:
        """Let a message be gone."""
        self.lying[place] = [one for one in self.lying[place] if one.sequence_number != number]

    def open(self, places: Iterable[Place]) -> None:
        """Note which."""
        self.fail("open")
        self.opened += places

    def close(self) -> None:
        """Note it."""
        self.closed = True

    def peek(self, place: Place, first: int = 1) -> Iterator[ParkedMessage]:
        """Yield what lies there."""
        return (one for one in list(self.lying.get(place, [])) if one.sequence_number >= first)

    def find(self, place: Place, number: int) -> ParkedMessage | None:
        """Return the message with a number."""
        return next((one for one in self.peek(place, number) if one.sequence_number == number), None)

    def highest(self, place: Place) -> int:
        """Return the highest number."""
        return max((one.sequence_number for one in self.peek(place)), default=0)

    @contextmanager
    def taking(self, place: Place) -> Iterator[FakeTaking]:
        """Take from a place."""
        self.takings.append(FakeTaking(self, place))
        yield self.takings[-1]

    def send(self, queue: str, messages: Sequence[ParkedMessage]) -> list[int]:
        """Keep the copies, but for those that are too large."""
        self.fail("send")
        refused = [at for at, one in enumerate(messages) if one.sequence_number in self.too_large]
        self.sent += [(queue, one) for at, one in enumerate(messages) if at not in refused]
        return refused

    def cancel(self, queue: str, number: int) -> bool:
        """Cancel what is scheduled."""
        self.fail("cancel")
        self.cancelled.append(number)
        place = Place(queue)
        found = self.find(place, number)
        if found is None or found.state is not State.SCHEDULED:
            return False
        self.remove(place, number)
        return True
