import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from azure.core.exceptions import AzureError
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import (
    MessageSizeExceededError,
    OperationTimeoutError,
    ServiceBusConnectionError,
    ServiceBusError,
)

from agreements import identity, outcome_events
from agreements.deadline import Deadline
from agreements.deliveries import Delivery, RetryKind
from agreements.errors import (
    AgreementsError,
    EventError,
    GateClosedError,
    NoAnswerError,
    OversizeError,
    Reason,
    TokenError,
    TopicError,
)
from agreements.outcomes import Attempt, Confirmed, Duplicate, Outcome, Rejected, Retry
from agreements.queues import QueueNames, Queues, Topic, address
from tests.fakes import (
    CORRELATION,
    CUSTOMER,
    NOW,
    PLANTED,
    REQUEST,
    FakeClock,
    FakeSender,
    FakeServiceBusClient,
    delivery,
    event,
    received,
    refusal,
    shown,
)

NAMES = QueueNames(retries="retries", duplicates="duplicates", rejections="rejections")
ORIGIN = "agreement-acceptances/7/2026-03-02T09:30:00.000Z"
PUBLISHED = delivery(properties={"source": "crm"}, content_type="application/cloudevents+json")
RETRY = Retry(
    kind=RetryKind.THROTTLED,
    reason=Reason.THROTTLED,
    at=NOW.replace(hour=10),
    since=NOW,
    attempt=2,
    maybe_recorded=True,
    unanswered=REQUEST,
)
DUPLICATE = Duplicate(reason=Reason.ALREADY_RECORDED)
REJECTED = Rejected(reason=Reason.REFUSED, detail="Partner Center answered 400, code 2000")
ASKED = Attempt(event=event(), answer=refusal(400, "2000"))
COMMON = {
    "source": "crm",
    "mcaOrigin": ORIGIN,
    "mcaReplay": 0,
    "mcaFirstEnqueuedTime": "2026-03-02T09:30:00.000000Z",
    "mcaCorrelationId": str(CORRELATION),
    "mcaEventId": "an-id-of-the-publisher",
    "mcaCustomerTenantId": str(CUSTOMER),
    "mcaErrorCode": "2000",
    "mcaHttpStatus": 400,
}
SENT = pytest.mark.parametrize(
    "outcome", [RETRY, DUPLICATE, REJECTED], ids=["retry", "duplicate", "rejected"]
)


def addressed(outcome: Outcome, attempt: Attempt = ASKED, **changes: Any) -> tuple[str, ServiceBusMessage]:
    """Return queue and copy of an outcome that has one."""
    found = address(delivery(**{"properties": {"source": "crm"}, **changes}), attempt, outcome, NAMES)
    assert found is not None
    return found


def properties(message: ServiceBusMessage) -> dict[str, object]:
    """Return the application properties of a copy."""
    return cast("dict[str, object]", message.application_properties)


def test_a_confirmed_event_needs_no_copy() -> None:
    """What is confirmed ends by the message being completed."""
    assert address(PUBLISHED, ASKED, Confirmed(), NAMES) is None


@pytest.mark.parametrize(
    ("outcome", "queue"), [(RETRY, "retries"), (DUPLICATE, "duplicates"), (REJECTED, "rejections")]
)
def test_each_outcome_has_its_queue(outcome: Outcome, queue: str) -> None:
    """A retry, a duplicate and a rejection each go to their own queue."""
    assert addressed(outcome)[0] == queue


@SENT
@pytest.mark.parametrize("content_type", ["application/cloudevents+json", None])
def test_a_copy_is_the_message_itself(outcome: Outcome, content_type: str | None) -> None:
    """Body and content type go on byte for byte, the correlation id with them."""
    body = b"\xff\x00not even JSON"
    _, copy = addressed(outcome, body=body, content_type=content_type)
    assert b"".join(cast("Any", copy.body)) == body
    assert (copy.content_type, copy.correlation_id) == (content_type, str(CORRELATION))


def test_a_retry_carries_on() -> None:
    """A retry is scheduled, and carries all that the next attempt must know."""
    _, copy = addressed(RETRY)
    assert copy.scheduled_enqueue_time_utc == RETRY.at
    assert properties(copy) == COMMON | {
        "mcaAttempt": 2,
        "mcaMaybeRecorded": True,
        "mcaOutcome": "Retry",
        "mcaReason": "Throttled",
        "mcaRequestId": str(REQUEST),
        "mcaRetryKind": "throttled",
        "mcaRetryingSince": "2026-03-02T09:30:00.000000Z",
    }


def test_a_retry_without_an_unanswered_id_carries_none() -> None:
    """Where every answer was definite, the next attempt gets an id of its own."""
    answered = Retry(
        kind=RETRY.kind,
        reason=RETRY.reason,
        at=NOW,
        since=NOW,
        attempt=2,
        maybe_recorded=False,
        unanswered=None,
    )
    _, copy = addressed(answered)
    assert "mcaRequestId" not in properties(copy)
    assert received(copy, "retries").request_id == identity.request_id(ORIGIN, 2)


def test_a_retry_comes_back_as_what_it_was() -> None:
    """What comes back from the retries queue is the same event, one attempt on."""
    _, copy = addressed(RETRY)
    found = received(copy, "retries")
    assert (found.origin, found.event_id, found.correlation_id) == (
        ORIGIN,
        "an-id-of-the-publisher",
        CORRELATION,
    )
    assert (found.attempt, found.maybe_recorded, found.unanswered) == (2, True, REQUEST)
    assert (found.retry_kind, found.retrying_since) == (RetryKind.THROTTLED, NOW)
    assert (found.first_enqueued_time, found.properties) == (NOW, {"source": "crm"})


def test_a_duplicate_is_parked_with_its_reason() -> None:
    """Whoever looks at a duplicate sees how the record compares, and under which request id it was met."""
    _, copy = addressed(DUPLICATE, attempt=ASKED)
    assert copy.scheduled_enqueue_time_utc is None
    assert properties(copy) == COMMON | {
        "mcaAttempt": 1,
        "mcaOutcome": "Duplicate",
        "mcaReason": "AlreadyRecorded",
        "mcaRequestId": str(identity.request_id(ORIGIN, 1)),
    }


def test_a_rejection_shows_in_every_tool() -> None:
    """Reason and advice stand where every Service Bus tool shows them."""
    _, copy = addressed(REJECTED)
    assert copy.scheduled_enqueue_time_utc is None
    assert properties(copy) == COMMON | {
        "mcaAttempt": 1,
        "mcaOutcome": "Rejected",
        "mcaReason": "Refused",
        "mcaRequestId": str(identity.request_id(ORIGIN, 1)),
        "DeadLetterReason": "Refused",
        "DeadLetterErrorDescription": (
            "Partner Center answered 400, code 2000. "
            "Look up the error code, mend the event's data and replay it."
        ),
    }


def test_an_unreadable_event_has_no_customer_and_no_request() -> None:
    """Without an event nothing was asked: there is no customer, request id or answer to show."""
    error = EventError(Reason.FIELD_INVALID, "primaryContact.email", "must be an e-mail address")
    _, copy = addressed(Rejected(reason=error.reason, detail=str(error)), Attempt(answer=error))
    absent = {"mcaCustomerTenantId", "mcaRequestId", "mcaErrorCode", "mcaHttpStatus"}
    assert not absent & set(properties(copy))
    assert properties(copy)["DeadLetterErrorDescription"] == (
        "FieldInvalid primaryContact.email must be an e-mail address. "
        "Correct the field that is named and send the event again."
    )


@pytest.mark.parametrize(
    "answer",
    [TokenError("none"), NoAnswerError("unread", write=False), GateClosedError(90), None],
    ids=["token", "unread", "gate", "not-asked"],
)
@pytest.mark.parametrize("outcome", [DUPLICATE, REJECTED], ids=["duplicate", "rejected"])
def test_what_was_not_posted_has_no_request(outcome: Outcome, answer: AgreementsError | None) -> None:
    """Nobody looks for a request at Microsoft's that was never made."""
    _, copy = addressed(outcome, Attempt(event=event(), answer=answer))
    assert "mcaRequestId" not in properties(copy)


def test_the_token_endpoints_code_is_shown() -> None:
    """Whoever looks at what waits for a token finds the number by which to look the reason up."""
    _, copy = addressed(RETRY, Attempt(event=event(), answer=TokenError("denied", "AADSTS700082")))
    assert properties(copy)["mcaErrorCode"] == "AADSTS700082"
    assert "mcaHttpStatus" not in properties(copy)


def test_without_an_answer_none_is_shown() -> None:
    """Status and code are those of an answer; any other error has none."""
    _, copy = addressed(RETRY, Attempt(event=event(), answer=GateClosedError(90)))
    assert not {"mcaErrorCode", "mcaHttpStatus"} & set(properties(copy))


@SENT
def test_no_name_or_address_is_in_a_property(outcome: Outcome) -> None:
    """Whatever the event holds, only the body of a copy has it."""
    shown = str(properties(addressed(outcome)[1]))
    assert not [planted for planted in PLANTED if planted in shown]


@SENT
def test_sending_again_names_it_the_same(outcome: Outcome) -> None:
    """A crash between send and complete sends the copy again under its id: the queue drops it."""
    assert addressed(outcome)[1].message_id == addressed(outcome, delivery_count=2)[1].message_id


def test_ids_of_copies() -> None:
    """A retry is named by the message that it follows, a parked copy by its origin and queue."""
    later: dict[str, Any] = {"position": "agreement-retries/9/2026-03-02T10:00:00.000Z"}
    assert addressed(RETRY)[1].message_id == identity.retry_message_id(ORIGIN)
    assert addressed(RETRY, **later)[1].message_id == identity.retry_message_id(later["position"])
    assert addressed(DUPLICATE, **later)[1].message_id == identity.parked_message_id(ORIGIN, "duplicates")
    assert addressed(REJECTED, **later)[1].message_id == identity.parked_message_id(ORIGIN, "rejections")


# --- sending

CUT = ServiceBusConnectionError(message="cut")
TOO_LARGE = MessageSizeExceededError(message="too large")


class Sending:
    """Queues over a fake client."""

    def __init__(self, client: FakeServiceBusClient | None = None) -> None:
        self.client = client or FakeServiceBusClient()
        self._queues = Queues(self.client.as_client(), NAMES, 30)

    def send(self, outcome: Outcome = REJECTED, deadline: Deadline | None = None) -> None:
        """Send an outcome of the published event."""
        self._queues.send(PUBLISHED, ASKED, outcome, deadline or Deadline.after(150))


def test_a_sender_is_opened_once_and_kept() -> None:
    """Opening takes half a second: each queue has one sender, opened when it is first needed."""
    sending = Sending()
    assert sending.client.opened == []
    for outcome in (REJECTED, REJECTED, RETRY):
        sending.send(outcome)
    assert [(queue, len(sender.sent)) for queue, sender in sending.client.opened] == [
        ("rejections", 2),
        ("retries", 1),
    ]


def test_what_is_sent_is_the_addressed_copy() -> None:
    """The sender of the queue gets the copy that is addressed to it."""
    sending = Sending()
    sending.send(RETRY)
    [(_, sender)] = sending.client.opened
    [(copy, _)] = sender.sent
    assert properties(copy)["mcaOutcome"] == "Retry"
    assert copy.message_id == identity.retry_message_id(ORIGIN)


def test_nothing_is_sent_for_a_confirmed_event() -> None:
    """A confirmed event opens no sender, not even without time left."""
    sending = Sending()
    sending.send(Confirmed(), Deadline.after(0))
    assert sending.client.opened == []


def test_one_queue_may_serve_two_ends() -> None:
    """Two names for one queue share its one sender: a sender is never opened twice."""
    client = FakeServiceBusClient()
    names = QueueNames(retries="retries", duplicates="parked", rejections="parked")
    queues = Queues(client.as_client(), names, 30)
    for outcome in (DUPLICATE, REJECTED):
        queues.send(PUBLISHED, ASKED, outcome, Deadline.after(150))
    assert [queue for queue, _ in client.opened] == ["parked"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The clock by which deadlines are made."""
    clock = FakeClock()
    monkeypatch.setattr("agreements.deadline.monotonic", clock)
    return clock


class SlowLock:
    """A lock that somebody else holds for twenty seconds."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock

    def acquire(self, *, timeout: float) -> bool:
        """Wait for the lock, as long as one may."""
        self.clock.sleep(min(timeout, 20))
        return timeout >= 20

    def release(self) -> None:
        """Give it back."""


@pytest.fixture
def _slow_locks(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agreements.queues.threading", SimpleNamespace(Lock=lambda: SlowLock(clock)))


@pytest.mark.parametrize(("left", "timeout"), [(150, 30), (30, 30), (10, 10)])
@pytest.mark.usefixtures("clock")
def test_a_send_always_has_a_timeout(left: float, timeout: float) -> None:
    """A send takes its own timeout at most, and never more than is left for the delivery."""
    sending = Sending()
    sending.send(deadline=Deadline.after(left))
    [(_, sender)] = sending.client.opened
    assert [given for _, given in sender.sent] == [timeout]


@pytest.mark.parametrize(("left", "timeout"), [(150, 10), (25, 5)])
@pytest.mark.usefixtures("_slow_locks")
def test_waiting_for_another_send_counts(left: float, timeout: float) -> None:
    """What passes while another thread sends is gone: waiting and sending share one timeout."""
    sending = Sending()
    sending.send(deadline=Deadline.after(left))
    [(_, sender)] = sending.client.opened
    assert [given for _, given in sender.sent] == [timeout]


@pytest.mark.parametrize("left", [20, 19], ids=["at-last-too-late", "waited-in-vain"])
@pytest.mark.usefixtures("_slow_locks")
def test_who_waited_too_long_sends_nothing(left: float) -> None:
    """When the time is up by the time the other thread is done, the send fails without being tried."""
    sending = Sending()
    with pytest.raises(OperationTimeoutError, match="no time was left to send to rejections"):
        sending.send(deadline=Deadline.after(left))
    assert sending.client.opened == []


def test_after_the_deadline_nothing_is_sent() -> None:
    """With no time left the send fails without being tried; the message will come again."""
    sending = Sending()
    with pytest.raises(OperationTimeoutError, match="no time was left to send to rejections"):
        sending.send(deadline=Deadline.after(0))
    assert sending.client.opened == []


def test_a_failed_send_goes_up() -> None:
    """Nobody knows whether it arrived: the SDK's own error says so, and the message comes again."""
    sending = Sending(FakeServiceBusClient(CUT))
    with pytest.raises(ServiceBusConnectionError) as caught:
        sending.send()
    assert caught.value is CUT


def test_a_failed_sender_is_forgotten() -> None:
    """A sender that failed is closed and never used again: the next send opens a new one."""
    sending = Sending(FakeServiceBusClient(CUT))
    with pytest.raises(ServiceBusError):
        sending.send()
    sending.send()
    assert [(sender.closed, len(sender.sent)) for _, sender in sending.client.opened] == [
        (True, 0),
        (False, 1),
    ]


def test_a_parked_copy_that_does_not_fit_goes_with_the_least() -> None:
    """Body, ids and what says why it lies there: that is kept when all properties are too much."""
    sending = Sending(FakeServiceBusClient(TOO_LARGE))
    sending.send(REJECTED)
    [(_, sender)] = sending.client.opened
    [(copy, _)] = sender.sent
    _, whole = addressed(REJECTED)
    kept = {"mcaOrigin", "mcaReplay", "mcaOutcome", "mcaReason", "DeadLetterReason"}
    assert properties(copy) == {name: value for name, value in properties(whole).items() if name in kept}
    assert set(properties(copy)) == kept
    assert b"".join(copy.body) == b"".join(whole.body)
    assert (copy.message_id, copy.correlation_id) == (whole.message_id, whole.correlation_id)
    assert copy.content_type == PUBLISHED.content_type
    assert not sender.closed


def test_a_parked_copy_that_never_fits_goes_up() -> None:
    """When body and least properties are too much, the delivery fails and the broker keeps it."""
    sending = Sending(FakeServiceBusClient(TOO_LARGE, TOO_LARGE))
    with pytest.raises(MessageSizeExceededError):
        sending.send(DUPLICATE)


def test_a_retry_that_does_not_fit_is_told() -> None:
    """Without its properties a retry could not come back as what it was: nothing is sent, and why is said."""
    sending = Sending(FakeServiceBusClient(TOO_LARGE))
    with pytest.raises(OversizeError) as caught:
        sending.send(RETRY)
    assert caught.value.reason is RETRY.reason
    [(_, sender)] = sending.client.opened
    assert sender.sent == []


# --- telling

OPENED = AzureError("a token of the topic's")


class Telling:
    """A topic over a fake client, by a clock."""

    def __init__(self, *errors: Exception, open_error: Exception | None = None) -> None:
        self.client = FakeServiceBusClient(*errors, open_error=open_error)
        self._topic = Topic(self.client.as_client(), "outcomes", "sb://host/queue", 30, lambda: NOW)

    def tell(
        self,
        outcome: Outcome = REJECTED,
        given: Delivery = PUBLISHED,
        deadline: Deadline | None = None,
        attempt: Attempt = ASKED,
    ) -> bool:
        """Tell an outcome of a delivery."""
        return self._topic.tell(given, attempt, outcome, deadline or Deadline.after(150))

    @property
    def sent(self) -> list[tuple[ServiceBusMessage, float]]:
        """What was sent, with its timeout."""
        return [sent for _, sender in self.client.opened for sent in sender.sent]


def test_an_outcome_is_told_as_a_cloud_event() -> None:
    """The message is the event, under its id; what subscribers filter by stands beside it."""
    telling = Telling()
    assert telling.tell() is True
    [(message, _)] = telling.sent
    [event] = outcome_events.tell(PUBLISHED, ASKED, REJECTED, source="sb://host/queue", now=NOW)
    assert b"".join(cast("Any", message.body)) == event.body()
    assert message.message_id == str(event.id)
    assert message.content_type == "application/cloudevents+json"
    assert message.subject == "agreements.acceptance.rejected.v1"
    assert message.correlation_id == str(CORRELATION)
    assert message.time_to_live is None
    assert properties(message) == {
        "mcaOutcome": "rejected",
        "mcaReason": "Refused",
        "mcaCustomerTenantId": str(CUSTOMER),
        "mcaEventId": "an-id-of-the-publisher",
    }


def test_what_is_not_known_is_no_property() -> None:
    """A confirmed event has no reason, and one that nobody could read has no customer; a long id is cut."""
    telling = Telling()
    telling.tell(Confirmed(), delivery(event_id="x" * 600), attempt=Attempt())
    [(message, _)] = telling.sent
    assert properties(message) == {"mcaOutcome": "confirmed", "mcaEventId": "x" * 512}


def test_several_are_told_at_once() -> None:
    """A replay and its ending go as one list: both arrive, or neither is known to have."""
    telling = Telling()
    assert telling.tell(given=delivery(replay=1)) is True
    assert [message.subject for message, _ in telling.sent] == [
        "agreements.acceptance.replayed.v1",
        "agreements.acceptance.rejected.v1",
    ]


def test_nothing_to_tell_opens_nothing() -> None:
    """A further delay is no news, and costs nothing."""
    telling = Telling()
    later = delivery(position="agreement-retries/9/2026-03-02T10:00:00.000Z")
    assert telling.tell(RETRY, later) is False
    assert telling.client.opened == []


def test_the_topics_sender_is_kept() -> None:
    """It is opened once, for the topic, as the queues' are."""
    telling = Telling()
    for _ in range(3):
        telling.tell()
    assert [(name, len(sender.sent)) for name, sender in telling.client.opened] == [("outcomes", 3)]


@pytest.mark.parametrize(("left", "timeout"), [(150, 30), (10, 10)])
@pytest.mark.usefixtures("clock")
def test_telling_always_has_a_timeout(left: float, timeout: float) -> None:
    """It takes a send's own timeout at most, and never more than is left for it."""
    telling = Telling()
    telling.tell(deadline=Deadline.after(left))
    assert [given for _, given in telling.sent] == [timeout]


@pytest.mark.parametrize(
    "telling", [lambda: Telling(CUT), lambda: Telling(open_error=OPENED)], ids=["send", "open"]
)
def test_a_topic_that_fails_is_told_by_name(telling: Callable[[], Telling]) -> None:
    """Whatever the SDK raises becomes our error, which shows the kind of failure and none of its words."""
    with pytest.raises(TopicError) as caught:
        telling().tell()
    assert str(caught.value) in ("ServiceBusConnectionError", "AzureError")
    assert "a token" not in shown(caught.value)


class Hanging(FakeServiceBusClient):
    """Fails to send after a time, as often as there are errors."""

    def __init__(self, clock: FakeClock, seconds: float, *errors: Exception) -> None:
        super().__init__(*errors)
        self.clock, self.seconds, self.tries = clock, seconds, 0

    def get_topic_sender(self, topic: str) -> FakeSender:
        """Open a sender, which takes all of the time."""
        self.tries += 1
        self.clock.sleep(self.seconds if self.errors else 0)
        return super().get_topic_sender(topic)


def test_a_topic_that_hangs_is_left_alone_as_long_as_it_hung(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Confirming goes on meanwhile: at most half of the time is lost on it; then it is tried again."""
    monkeypatch.setattr("agreements.queues.monotonic", clock)
    client = Hanging(clock, 15, CUT)
    topic = Topic(client.as_client(), "outcomes", "sb://host/queue", 30, lambda: NOW)

    def tell() -> bool:
        return topic.tell(PUBLISHED, ASKED, REJECTED, Deadline.after(150))

    with pytest.raises(TopicError, match="ServiceBusConnectionError"):
        tell()
    clock.now += 14.9
    with pytest.raises(TopicError, match="it failed just before"):
        tell()
    assert client.tries == 1
    clock.now += 0.1
    assert tell() is True


def test_a_close_that_fails_hides_nothing() -> None:
    """When the failed sender cannot even be closed, the first error is the one that goes up."""
    sending = Sending(FakeServiceBusClient(CUT, close_error=ServiceBusError("close")))
    with pytest.raises(ServiceBusConnectionError) as caught:
        sending.send()
    assert caught.value is CUT
    sending.send()
    assert len(sending.client.opened) == 2


def test_a_sender_that_cannot_be_opened_is_tried_again() -> None:
    """Failing to open is a failed send; the next one tries to open again."""
    sending = Sending(FakeServiceBusClient(open_error=CUT))
    with pytest.raises(ServiceBusConnectionError):
        sending.send()
    sending.client.open_error = None
    sending.send()
    assert len(sending.client.opened) == 1


def test_a_bug_is_no_broken_sender() -> None:
    """What is not the broker's failure goes up, and the sender is kept."""
    sending = Sending(FakeServiceBusClient(ValueError("cannot be encoded")))
    with pytest.raises(ValueError, match="cannot be encoded"):
        sending.send()
    sending.send()
    [(_, sender)] = sending.client.opened
    assert (sender.closed, len(sender.sent)) == (False, 1)


class Holding(FakeServiceBusClient):
    """Holds whoever opens a sender until it is released: so the queue's lock stays taken."""

    def __init__(self) -> None:
        super().__init__()
        self.held = threading.Event()
        self.release = threading.Event()

    def get_queue_sender(self, queue: str) -> Any:
        """Hold, then open."""
        self.held.set()
        self.release.wait(5)
        return super().get_queue_sender(queue)


def test_a_queue_takes_one_send_at_a_time() -> None:
    """The SDK's senders are not thread-safe: while one thread sends, no other does."""
    client = Holding()
    sending = Sending(client)
    first = threading.Thread(target=sending.send)
    first.start()
    assert client.held.wait(5)
    with pytest.raises(OperationTimeoutError, match="no time was left"):
        sending.send(deadline=Deadline.after(0.001))
    client.release.set()
    first.join()
    sending.send()
    [(_, sender)] = client.opened
    assert (len(sender.sent), sender.closed) == (2, False)


def test_coming_late_closes_nobodys_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who gets the lock with no time left fails alone: the sender that others use stays open."""
    sending = Sending()
    sending.send()
    with monkeypatch.context() as patch:
        patch.setattr("agreements.queues.Deadline.left", lambda *_: 0.0)
        with pytest.raises(OperationTimeoutError):
            sending.send()
    sending.send()
    [(_, sender)] = sending.client.opened
    assert (len(sender.sent), sender.closed) == (2, False)


def test_the_lock_is_free_after_a_failure() -> None:
    """A failed send does not keep others from sending: the next one gets through at once."""
    sending = Sending(FakeServiceBusClient(CUT, ValueError("bug")))
    for error in (ServiceBusError, ValueError):
        with pytest.raises(error):
            sending.send()
    sending.send(deadline=Deadline.after(1))
    assert len(sending.client.opened[-1][1].sent) == 1


@pytest.mark.parametrize(
    ("event_id", "carried"),
    [("/crm 7", "/crm 7"), (None, "an-id-of-the-publisher"), ("/crm " + "7" * 40_000, "/crm " + "7" * 507)],
)
def test_an_event_is_found_by_the_publishers_id(event_id: str | None, carried: str) -> None:
    """The envelope's id is carried where there is one, else the message's own; cut, if too long."""
    _, copy = addressed(RETRY, attempt=Attempt(event_id=event_id))
    assert properties(copy)["mcaEventId"] == carried
