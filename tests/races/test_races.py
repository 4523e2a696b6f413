"""What happens at the same time, overtakes or is delivered again, made to happen in each order on purpose."""

import json
import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import MessageLockLostError, ServiceBusError

from agreements import handler, wiring
from agreements.wiring import Consumers
from local.service_bus.entities import Entity, State
from local.service_bus.rules import Status
from tests.races import stage as stages
from tests.races.holds import Hold
from tests.races.stage import (
    ACCEPTANCES,
    CONTACT,
    DUPLICATES,
    LOCK_SECONDS,
    REJECTIONS,
    RETRIES,
    RETRY_SECONDS,
    Stage,
    Taken,
    Told,
)

RECORDED, RECOVERED = "Confirmed", "Confirmed (recovered)"


@pytest.fixture
def customer() -> UUID:
    """A customer of the test's own."""
    return uuid4()


def failing(customer: UUID, status: int, *, method: str = "POST", times: int | None = 1) -> dict[str, object]:
    """Return a fault for calls about a customer; what is tried again is so in ten minutes at the earliest."""
    seconds = "1" if status == 429 else "600"
    where = {"method": method, "pathContains": str(customer)}
    return {**where, "times": times, "status": status, "headers": {"Retry-After": seconds}}


# --- the same event twice


def test_the_same_event_published_twice_and_handled_at_once(stage: Stage, told: Told, customer: UUID) -> None:
    """Of two equal events posted at the same moment one is recorded, the other parked as the same."""
    twins = stage.publish(customer), stage.publish(customer)
    with stage.holds.call("POST", str(customer), calls=2) as posts:
        taken = stage.take(), stage.take()
        handled = [stage.start(one) for one in taken]
        posts.wait()
    for one, result in zip(taken, handled, strict=True):
        result.result()
        stage.complete(one)
    [agreement] = stage.recorded(customer)
    [other] = {*twins} - {agreement["correlationId"]}
    assert stage.places(str(agreement["correlationId"])) == ["ledger"]
    assert stage.places(other) == [f"{DUPLICATES}: AlreadyRecorded"]
    assert [told(str(agreement["correlationId"])), told(other)] == [
        [RECORDED],
        ["Duplicate: AlreadyRecorded"],
    ]
    assert stage.outcomes(str(agreement["correlationId"])) == ["confirmed"]
    assert stage.outcomes(other) == ["duplicate: AlreadyRecorded"]


# --- delivered again


def test_an_own_success_whose_redelivery_meets_429(stage: Stage, told: Told, customer: UUID) -> None:
    """What we recorded is known as ours in the end, even if the first look at the record is throttled."""
    event = stage.publish(customer)
    stage.handle(stage.take())  # recorded, and then the host is gone: nothing is completed
    stage.clock.ahead += LOCK_SECONDS
    stage.set_faults(failing(customer, 429, method="GET"))
    posts = stage.posts()
    stage.deliver()
    assert stage.places(event) == ["ledger", f"{RETRIES}: Throttled"]
    stage.clock.ahead += RETRY_SECONDS
    stage.deliver(RETRIES)
    assert told(event) == [RECORDED, "Retry: Throttled", RECOVERED]
    # The delay is told after the end, which it does not take back; the end is told once.
    assert stage.outcomes(event) == ["confirmed", "delayed: Throttled"]
    assert stage.places(event) == ["ledger"]
    assert len(stage.recorded(customer)) == 1
    assert stage.posts() == posts, "nothing was written again"


def overtake(stage: Stage, slow: Taken, held: AbstractContextManager[Hold]) -> None:
    """Handle a message of which a call is held up; its redelivery ends first, since its lock runs out."""
    with held as hold:
        handled = stage.start(slow)
        hold.wait()
        stage.clock.ahead += LOCK_SECONDS
        again = stage.take()
        assert again.received.sequence_number == slow.received.sequence_number
        stage.handle(again)
        stage.complete(again)
    handled.result()
    with pytest.raises(MessageLockLostError):
        stage.complete(slow)


@pytest.mark.parametrize("stale", [False, True], ids=["before-it-is-read", "with-a-stale-answer"])
def test_a_lock_lost_during_a_slow_read(stage: Stage, told: Told, customer: UUID, *, stale: bool) -> None:
    """While a read-back hangs the lock runs out and the event is recorded by its redelivery: both know it."""
    event = stage.publish(customer)
    stage.receivers[ACCEPTANCES].abandon_message(stage.take().received)
    slow = stage.take()
    overtake(stage, slow, stage.holds.call("GET", str(customer), done=stale))
    assert told(event) == [RECORDED, RECOVERED]
    assert stage.outcomes(event) == ["confirmed"]
    assert stage.places(event) == ["ledger"]
    assert len(stage.recorded(customer)) == 1


def test_a_lock_lost_during_a_slow_first_write(
    stage: Stage, told: Told, customer: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first delivery that outlives its lock finds the record of its redelivery: ours, and no duplicate."""
    monkeypatch.setattr(handler, "monotonic", lambda: time.monotonic() + stage.clock.ahead)
    event = stage.publish(customer)
    overtake(stage, stage.take(), stage.holds.call("POST", str(customer)))
    assert told(event) == [RECORDED, RECOVERED]
    assert stage.outcomes(event) == ["confirmed"]
    assert stage.places(event) == ["ledger"]
    assert len(stage.recorded(customer)) == 1


# --- a replay while the retry of the same event is still scheduled


def waiting_retry(stage: Stage, customer: UUID) -> str:
    """Publish an event and let it fail once; return its correlation id when its retry is scheduled."""
    stage.set_faults(failing(customer, 503))
    event = stage.publish(customer)
    stage.deliver()
    assert stage.places(event) == [f"{RETRIES}: Unavailable"]
    return event


def replay(stage: Stage, customer: UUID, correlation_id: str) -> None:
    """Send a copy as a replay does: to the acceptances queue, counted."""
    event = {"customerTenantId": str(customer), "dateAgreed": "2020-01-01", "primaryContact": CONTACT}
    copy = ServiceBusMessage(json.dumps(event), application_properties={"mcaReplay": 1})
    copy.correlation_id = correlation_id
    stage.send(copy)


def replay_first(stage: Stage, customer: UUID) -> None:
    stage.deliver(ACCEPTANCES)
    stage.clock.ahead += RETRY_SECONDS
    stage.deliver(RETRIES)


def retry_first(stage: Stage, customer: UUID) -> None:
    stage.clock.ahead += RETRY_SECONDS
    stage.deliver(RETRIES)
    stage.deliver(ACCEPTANCES)


def at_once(stage: Stage, customer: UUID) -> None:
    """Both find nothing on record, and both write."""
    stage.clock.ahead += RETRY_SECONDS
    taken = stage.take(ACCEPTANCES), stage.take(RETRIES)
    with stage.holds.call("POST", str(customer), calls=2) as posts:
        handled = [stage.start(one) for one in taken]
        posts.wait()
    for one, result in zip(taken, handled, strict=True):
        result.result()
        stage.complete(one)


@pytest.mark.parametrize("order", [replay_first, retry_first, at_once])
def test_a_replay_while_the_retry_is_still_scheduled(
    stage: Stage, told: Told, customer: UUID, order: Callable[[Stage, UUID], None]
) -> None:
    """Whichever comes first records the event, the other finds it: both are told, and nothing is parked."""
    event = waiting_retry(stage, customer)
    replay(stage, customer, event)
    order(stage, customer)
    assert told(event) == ["Retry: Unavailable", RECORDED, RECOVERED]
    # The replay is a message of its own: its end is told as well.
    assert Counter(stage.outcomes(event)) == Counter(
        ["delayed: Unavailable", "replayed", "confirmed", "recovered"]
    )
    assert stage.places(event) == ["ledger"]
    assert len(stage.recorded(customer)) == 1


def test_a_replay_at_once_with_the_retry_whose_record_cannot_be_read(
    stage: Stage, told: Told, customer: UUID
) -> None:
    """Told that it exists, but unable to see that it is ours, an event is looked up again and not parked."""
    event = waiting_retry(stage, customer)
    replay(stage, customer, event)
    found_nothing = {"method": "GET", "pathContains": str(customer), "times": 2}
    stage.set_faults(found_nothing, failing(customer, 503, method="GET"))
    at_once(stage, customer)
    stage.clock.ahead += RETRY_SECONDS
    stage.deliver(RETRIES)
    assert told(event)[-1] == RECOVERED
    assert stage.places(event) == ["ledger"]
    assert len(stage.recorded(customer)) == 1


# --- a correction


@pytest.mark.parametrize(
    ("contact", "ending"),
    [
        (CONTACT | {"firstName": "Chloë"}, (REJECTIONS, "Rejected", "Superseded")),
        (CONTACT, (DUPLICATES, "Duplicate", "OtherRecorded")),
    ],
    ids=["other-contact", "same-contact"],
)
def test_a_correction_overtakes_a_throttled_original(
    stage: Stage, told: Told, customer: UUID, contact: dict[str, str], ending: tuple[str, str, str]
) -> None:
    """What was accepted later stays the only record: the older one waits for a person, and says why."""
    place, outcome, reason = ending
    stage.set_faults(failing(customer, 429))
    original = stage.publish(customer)
    stage.deliver()
    correction = stage.publish(customer, dateAgreed="2020-02-01", primaryContact=contact)
    stage.deliver()
    stage.clock.ahead += RETRY_SECONDS
    stage.deliver(RETRIES)
    assert [agreement["correlationId"] for agreement in stage.recorded(customer)] == [correction]
    assert (told(correction), stage.places(correction)) == ([RECORDED], ["ledger"])
    assert told(original) == ["Retry: Throttled", f"{outcome}: {reason}"]
    assert stage.outcomes(original) == ["delayed: Throttled", f"{outcome.lower()}: {reason}"]
    assert stage.places(original) == [f"{place}: {reason}"]


# --- what somebody must mend


@pytest.mark.parametrize(
    ("settings", "fault", "reason"),
    [
        ({"PARTNER_REFRESH_TOKEN": "dead"}, {}, "RefreshTokenExpired"),
        ({}, {"pathContains": "/v1/", "times": None, "status": 401}, "TokenRefused"),
    ],
    ids=["by-Entra", "by-Partner-Center"],
)
def test_a_token_is_broken_and_mended(
    stage: Stage,
    told: Told,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, str],
    fault: dict[str, object],
    reason: str,
) -> None:
    """While no token is good events wait, for hours, and none is rejected; then all are confirmed."""
    for seconds in ("_FIRST_BREAK", "_LONGEST_BREAK"):
        monkeypatch.setattr(f"agreements.gate.{seconds}", 0.05)
    customers = [uuid4() for _ in range(3)]
    events = [stage.publish(customer) for customer in customers]
    broken = stages.consumers(stage.environment, **settings)
    stage.set_faults(*([fault] if fault else []))
    for queue in (ACCEPTANCES, RETRIES, RETRIES):
        for _ in events:
            stage.deliver(queue, broken)
        assert [stage.places(event) for event in events] == [[f"{RETRIES}: {reason}"]] * 3
        stage.clock.ahead += RETRY_SECONDS
    assert all(not stage.recorded(customer) for customer in customers)
    stage.set_faults()
    for _ in events:
        stage.deliver(RETRIES)
    assert [told(event) for event in events] == [[f"Retry: {reason}"] * 3 + [RECORDED]] * 3
    assert [stage.places(event) for event in events] == [["ledger"]] * 3
    assert [len(stage.recorded(customer)) for customer in customers] == [1] * 3


def fill(entity: Entity, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(entity, "settings", replace(entity.settings, max_size=0))


def disable(entity: Entity, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(entity, "status", Status.SEND_DISABLED)


@pytest.mark.parametrize(
    ("queue", "reason", "stop"),
    [
        (RETRIES, "Unavailable", fill),
        (RETRIES, "Unavailable", disable),
        (DUPLICATES, "OtherRecorded", fill),
        (REJECTIONS, "FieldMissing", disable),
    ],
)
def test_a_target_queue_is_full_or_disabled(
    stage: Stage,
    customer: UUID,
    monkeypatch: pytest.MonkeyPatch,
    queue: str,
    reason: str,
    stop: Callable[[Entity, pytest.MonkeyPatch], None],
) -> None:
    """An outcome that cannot be sent completes nothing, and is tried again after a pause until it can."""
    held: list[tuple[float, int]] = []

    def pause(seconds: float) -> None:
        held.append((seconds, stage.entity(ACCEPTANCES).count(State.LOCKED)))

    monkeypatch.setattr(wiring, "time", SimpleNamespace(sleep=pause))
    # The SDK tries a disabled queue again until it may no more.
    stopped = stages.consumers(stage.environment, SEND_TIMEOUT_SECONDS="1", OUTCOMES_TOPIC="")
    event = prepared(stage, customer, queue)
    with pytest.MonkeyPatch.context() as patch:
        stop(stage.entity(queue), patch)
        for _ in range(2):
            with pytest.raises(ServiceBusError):
                stage.deliver(ACCEPTANCES, stopped)
            assert stage.places(event) == [f"{ACCEPTANCES}: "], "it is where it was, and nowhere else"
    assert held == [(30.0, 1)] * 2, "the message was in hand during each pause"
    stage.deliver()
    assert stage.places(event) == [f"{queue}: {reason}"]
    if queue == RETRIES:
        stage.set_faults()
        stage.clock.ahead += RETRY_SECONDS
        stage.deliver(RETRIES)
        assert stage.places(event) == ["ledger"]
        assert len(stage.recorded(customer)) == 1


def prepared(stage: Stage, customer: UUID, queue: str) -> str:
    """Publish an event whose outcome goes to a queue; return its correlation id."""
    if queue == RETRIES:
        stage.set_faults(failing(customer, 503, times=None))
        return stage.publish(customer)
    if queue == DUPLICATES:
        stage.publish(customer, dateAgreed="2020-02-01")
        stage.deliver()
        return stage.publish(customer)
    return stage.publish(customer, primaryContact=None)


# --- what cannot be told


def missing(_: Entity, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("OUTCOMES_TOPIC", "not-there")


def stopped_consumers(stage: Stage, **changes: str) -> Consumers:
    """Build the product where the topic is stopped; the SDK tries it again until it may no more."""
    topic = os.environ.get("OUTCOMES_TOPIC", stages.TOPIC)
    return stages.consumers(stage.environment, OUTCOMES_TOPIC=topic, SEND_TIMEOUT_SECONDS="6", **changes)


@pytest.mark.parametrize(
    ("queue", "stop", "ending", "outcome"),
    [
        ("ledger", fill, "ledger", "recovered"),
        ("ledger", disable, "ledger", "recovered"),
        (DUPLICATES, missing, f"{DUPLICATES}: OtherRecorded", "duplicate: OtherRecorded"),
        (REJECTIONS, fill, f"{REJECTIONS}: FieldMissing", "rejected: FieldMissing"),
    ],
    ids=["confirmed-full", "confirmed-disabled", "duplicate-missing", "rejected-full"],
)
def test_a_topic_is_full_or_disabled_or_missing(
    stage: Stage,
    told: Told,
    customer: UUID,
    monkeypatch: pytest.MonkeyPatch,
    queue: str,
    stop: Callable[[Entity, pytest.MonkeyPatch], None],
    ending: str,
    outcome: str,
) -> None:
    """No delivery fails for it: the event waits, is told when the topic takes it, and only then is parked."""
    monkeypatch.setattr(wiring, "time", SimpleNamespace(sleep=lambda _: pytest.fail("a delivery failed")))
    event = stage.publish(customer) if queue == "ledger" else prepared(stage, customer, queue)
    recorded = ["ledger"] * (queue == "ledger")
    with pytest.MonkeyPatch.context() as patch:
        stop(stage.entity(stages.TOPIC), patch)
        stopped = stopped_consumers(stage)
        for taken_from in (ACCEPTANCES, RETRIES):
            stage.deliver(taken_from, stopped)
            assert stage.places(event) == [*recorded, f"{RETRIES}: OutcomeNotSent"]
            stage.clock.ahead += RETRY_SECONDS
    assert told(event) == ["Retry: OutcomeNotSent"] * 2
    assert stage.outcomes(event) == []
    stage.deliver(RETRIES)
    assert stage.outcomes(event) == [outcome]
    assert stage.places(event) == [ending]
    assert len(stage.recorded(customer)) == (queue != REJECTIONS)


def test_a_topic_that_is_never_mended(stage: Stage, told: Told, customer: UUID) -> None:
    """Beyond the limit a confirmed event is parked for a person; a replay finds its record, and tells it."""
    event = stage.publish(customer)
    with pytest.MonkeyPatch.context() as patch:
        fill(stage.entity(stages.TOPIC), patch)
        stopped = stopped_consumers(stage, SLOW_RETRY_LIMIT_HOURS="0.000001")
        stage.deliver(ACCEPTANCES, stopped)
        stage.clock.ahead += RETRY_SECONDS
        stage.deliver(RETRIES, stopped)
    assert stage.places(event) == ["ledger", f"{REJECTIONS}: RetriesExhausted"]
    assert stage.outcomes(event) == []
    replay(stage, customer, event)
    stage.deliver()
    assert stage.outcomes(event) == ["replayed", "recovered"]
    assert told(event) == ["Retry: OutcomeNotSent", "Rejected: RetriesExhausted", RECOVERED]


def test_what_waits_to_be_told_beside_the_retry_of_a_crash(stage: Stage, told: Told, customer: UUID) -> None:
    """Of one message one copy comes back: the retry that a crash left behind tells the end."""
    stage.set_faults(failing(customer, 503))
    event = stage.publish(customer)
    stage.handle(stage.take())  # its retry is scheduled, and then the host is gone: nothing is completed
    stage.clock.ahead += LOCK_SECONDS
    with pytest.MonkeyPatch.context() as patch:
        fill(stage.entity(stages.TOPIC), patch)
        stage.deliver(ACCEPTANCES, stopped_consumers(stage))
    assert stage.places(event) == ["ledger", f"{RETRIES}: Unavailable"]
    stage.clock.ahead += RETRY_SECONDS
    stage.deliver(RETRIES)
    assert told(event) == ["Retry: Unavailable", "Retry: OutcomeNotSent", RECOVERED]
    assert stage.outcomes(event) == ["delayed: Unavailable", "recovered"]
    assert stage.places(event) == ["ledger"]


# --- ids of publishers


@pytest.mark.parametrize("message_id", [None, "always-the-same"], ids=["none", "constant"])
def test_publishers_give_no_or_the_same_message_id(stage: Stage, message_id: str | None) -> None:
    """No decision rests on a publisher's message id: of events without one, or all with one, none is lost."""
    good, failing_first, refused = ([uuid4(), uuid4()] for _ in range(3))
    stage.set_faults(
        *(failing(customer, 503) for customer in failing_first),
        *({"pathContains": str(customer), "status": 400, "body": {"code": 800002}} for customer in refused),
    )
    ids: dict[UUID, str] = {}
    for customer in [*good, *failing_first, *refused]:
        event = {"customerTenantId": str(customer), "dateAgreed": "2020-01-01", "primaryContact": CONTACT}
        ids[customer] = str(uuid4())
        stage.send(ServiceBusMessage(json.dumps(event), message_id=message_id, correlation_id=ids[customer]))
    for _ in ids:
        stage.deliver()
    stage.clock.ahead += RETRY_SECONDS
    for _ in failing_first:
        stage.deliver(RETRIES)
    for customer, correlation_id in ids.items():
        expected = [f"{REJECTIONS}: Refused"] if customer in refused else ["ledger"]
        assert stage.places(correlation_id) == expected
        assert len(stage.recorded(customer)) == (customer not in refused)
