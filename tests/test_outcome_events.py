import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from agreements import identity, outcome_events
from agreements.deliveries import Delivery, RetryKind
from agreements.errors import EventError, NoAnswerError, Reason, TokenError
from agreements.outcome_events import Advice, Ending, OutcomeEvent
from agreements.outcomes import Attempt, Confirmed, Duplicate, Outcome, Rejected, Retry
from tests.fakes import (
    CORRELATION,
    CUSTOMER,
    NOW,
    PLANTED,
    REQUEST,
    agreement,
    delivery,
    event,
    refusal,
)

SOURCE = "sb://contoso.servicebus.windows.net/agreement-acceptances"
LATER = timedelta(minutes=5)
RETRIED = "agreement-retries/9/2026-03-02T10:00:00.000Z"
CONFIRMED, RECOVERED = Confirmed(), Confirmed(recovered=True)
DUPLICATE = Duplicate(reason=Reason.OTHER_RECORDED)
REJECTED = Rejected(reason=Reason.REFUSED, detail="Partner Center answered 400, code 800002")
RETRY = Retry(
    kind=RetryKind.SERVICE,
    reason=Reason.ACCESS_REFUSED,
    at=NOW + LATER,
    since=NOW,
    attempt=2,
    maybe_recorded=True,
    unanswered=REQUEST,
)
ATTEMPT = Attempt(event=event(), answer=agreement(templateId="117a77b0-9360-443b-8795-c6dedc750cf9"))


def tell(outcome: Outcome, attempt: Attempt = ATTEMPT, given: Delivery | None = None) -> list[OutcomeEvent]:
    """Tell an outcome of a delivery, five minutes after it came."""
    return outcome_events.tell(given or delivery(), attempt, outcome, source=SOURCE, now=NOW + LATER)


def one(outcome: Outcome, attempt: Attempt = ATTEMPT, **changes: Any) -> dict[str, Any]:
    """Return the one event of an outcome as it goes out."""
    [told] = tell(outcome, attempt, delivery(**changes))
    found: dict[str, Any] = json.loads(told.body())
    return found


def test_what_goes_out_for_a_confirmed_event() -> None:
    """A CloudEvent in structured JSON: whose event it was, when, and by which of Microsoft's ids."""
    attempt = Attempt(
        event=ATTEMPT.event, answer=ATTEMPT.answer, event_id="crm/1 4711", cloud_event_id="4711"
    )
    assert one(CONFIRMED, attempt) == {
        "specversion": "1.0",
        "id": str(identity.outcome_event_id(delivery().origin, "recorded")),
        "source": SOURCE,
        "type": "agreements.acceptance.confirmed.v1",
        "subject": str(CUSTOMER),
        "time": "2026-03-02T09:35:00Z",
        "datacontenttype": "application/json",
        "dataschema": OutcomeEvent.model_fields["dataschema"].default,
        "causationid": "4711",
        "correlationid": str(CORRELATION),
        "data": {
            "outcome": "confirmed",
            "final": True,
            "advice": "Nothing",
            "actor": "nobody",
            "resend": False,
            "eventId": "crm/1 4711",
            "customerTenantId": str(CUSTOMER),
            "dateAgreed": "2026-03-01T12:00:00Z",
            "templateId": "117a77b0-9360-443b-8795-c6dedc750cf9",
            "receivedAt": "2026-03-02T09:30:00Z",
            "attempt": 1,
            "replay": 0,
            "requestId": str(identity.request_id(delivery().origin, 1)),
            "correlationId": str(CORRELATION),
        },
    }


def test_what_goes_out_for_a_rejected_event() -> None:
    """Which field, whether to send it again and who must act: what a CRM needs to put it right."""
    error = EventError(Reason.FIELD_INVALID, "primaryContact.email", "must be an e-mail address")
    told = one(Rejected(reason=error.reason, detail=str(error)), Attempt(answer=error))
    assert (told["causationid"], "subject" in told) == ("an-id-of-the-publisher", False)
    assert told["data"] == {
        "outcome": "rejected",
        "final": True,
        "reason": "FieldInvalid",
        "detail": "FieldInvalid primaryContact.email must be an e-mail address",
        "advice": "CorrectAndResend",
        "adviceText": "Correct the field that is named and send the event again.",
        "actor": "publisher",
        "resend": True,
        "eventId": "an-id-of-the-publisher",
        "receivedAt": "2026-03-02T09:30:00Z",
        "attempt": 1,
        "replay": 0,
        "correlationId": str(CORRELATION),
    }


def test_what_goes_out_for_a_delayed_event() -> None:
    """Until when it waits, for what, and that there is nothing to do, whoever must act."""
    asked = Attempt(event=event(), answer=refusal(403, "x", request_id="microsoft's"))
    told = one(RETRY, asked)["data"]
    assert (told["outcome"], told["final"], told["reason"]) == ("delayed", False, "AccessRefused")
    assert (told["advice"], told["actor"], told["resend"]) == ("Wait", "whoever runs the app", False)
    assert told["retryAt"] == "2026-03-02T09:35:00Z"
    assert (told["httpStatus"], told["errorCode"]) == (403, "x")
    assert told["requestId"] == str(delivery().request_id)
    assert "detail" not in told


@pytest.mark.parametrize(
    ("outcome", "ending", "advice"),
    [
        (CONFIRMED, Ending.CONFIRMED, Advice.NOTHING),
        (RECOVERED, Ending.RECOVERED, Advice.NOTHING),
        (Duplicate(reason=Reason.ALREADY_RECORDED), Ending.DUPLICATE, Advice.NOTHING),
        (DUPLICATE, Ending.DUPLICATE, Advice.COMPARE_RECORD),
        (REJECTED, Ending.REJECTED, Advice.LEAVE_TO_OPERATIONS),
        (Rejected(reason=Reason.EMPTY, detail="Empty"), Ending.REJECTED, Advice.CORRECT_AND_RESEND),
        (RETRY, Ending.DELAYED, Advice.WAIT),
    ],
    ids=["confirmed", "recovered", "the same", "another", "for operations", "for the publisher", "delayed"],
)
def test_each_outcome_is_told(outcome: Outcome, ending: Ending, advice: Advice) -> None:
    """The type says what became of it, the advice what the publisher should do."""
    told = one(outcome)
    assert told["type"] == ending.type == f"agreements.acceptance.{ending}.v1"
    assert (told["data"]["outcome"], told["data"]["final"]) == (ending, ending.final)
    assert told["data"]["advice"] == advice


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_an_advice(reason: Reason) -> None:
    """Whatever an event ends by, there is a code for what to do; who is to resend it is its publisher."""
    told = one(Rejected(reason=reason, detail="x"))["data"]
    assert told["adviceText"] == reason.advice
    assert told["resend"] is (told["advice"] == Advice.CORRECT_AND_RESEND) is (told["actor"] == "publisher")


def test_only_endings_are_final() -> None:
    """A delay and a replay are followed by something."""
    assert [ending for ending in Ending if not ending.final] == [Ending.DELAYED, Ending.REPLAYED]


@pytest.mark.parametrize("changes", [{}, {"replay": 1}], ids=["published", "replayed"])
def test_only_the_first_delay_is_told(changes: dict[str, Any]) -> None:
    """That it waits is news once; how it ends is told whenever that is."""
    again = delivery(position=RETRIED, **changes)
    assert tell(RETRY, given=again) == []
    assert [told.data.outcome for told in tell(REJECTED, given=again)] == [Ending.REJECTED]


@pytest.mark.parametrize("outcome", [CONFIRMED, RETRY], ids=["ended", "delayed"])
def test_a_replay_is_told_before_what_came_of_it(outcome: Outcome) -> None:
    """Whoever was told of a rejection learns that it is no longer the last word."""
    replayed, then = tell(outcome, given=delivery(replay=2))
    assert (replayed.data.outcome, replayed.data.advice) == (Ending.REPLAYED, Advice.WAIT)
    assert (replayed.data.reason, replayed.data.request_id, replayed.data.retry_at) == (None, None, None)
    assert (replayed.data.replay, replayed.type) == (2, "agreements.acceptance.replayed.v1")
    assert then.data.outcome is not Ending.REPLAYED
    assert replayed.id != then.id


SAID: list[tuple[Outcome, str]] = [
    (CONFIRMED, "recorded"),
    (RECOVERED, "recorded"),
    (DUPLICATE, "recorded"),
    (REJECTED, "rejected"),
    (RETRY, "delayed"),
]


@pytest.mark.parametrize(("outcome", "what"), SAID)
def test_the_same_has_the_same_id(outcome: Outcome, what: str) -> None:
    """However often it is delivered and whichever way it is seen on record, the topic lets one through."""
    ids = {told.id for count in (1, 2) for told in tell(outcome, given=delivery(delivery_count=count))}
    assert ids == {identity.outcome_event_id(delivery().origin, what)}
    other = delivery(origin="agreement-acceptances/8/2026-03-02T09:30:00.000Z", position=delivery().origin)
    assert not ids & {told.id for told in tell(outcome, given=other)}


@pytest.mark.parametrize(
    ("attempt", "request_id"),
    [
        (Attempt(event=event(), answer=NoAnswerError("cut", write=True)), str(delivery().request_id)),
        (Attempt(event=event(), answer=refusal(403, write=False, request_id="its own")), "its own"),
        (Attempt(event=event(), answer=TokenError("denied", "AADSTS50076")), None),
        (Attempt(event=event(), answer=agreement()), str(delivery().request_id)),
    ],
    ids=["posted", "looked up", "not asked", "agreed"],
)
def test_microsofts_support_can_find_the_call(attempt: Attempt, request_id: str | None) -> None:
    """Our id of the call that records, else the service's own of another that it refused."""
    assert one(RETRY, attempt)["data"].get("requestId") == request_id


def test_the_token_endpoints_code_is_told() -> None:
    """Whoever asks why it waits can look the code up."""
    told = one(RETRY, Attempt(event=event(), answer=TokenError("denied", "AADSTS50076")))["data"]
    assert (told["errorCode"], "httpStatus" in told, "templateId" in told) == ("AADSTS50076", False, False)


def test_times_are_in_utc() -> None:
    """Wherever a time came from, everybody reads the same."""
    elsewhere = timezone(timedelta(hours=2))
    given = delivery(first_enqueued_time=NOW.astimezone(elsewhere))
    at = datetime(2026, 3, 2, 12, tzinfo=elsewhere)
    [told] = outcome_events.tell(given, ATTEMPT, RETRY, source=SOURCE, now=at)
    assert (told.time, told.time.tzinfo) == (at, UTC)
    assert told.data.received_at.tzinfo is UTC


@pytest.mark.parametrize("outcome", [outcome for outcome, _ in SAID])
def test_no_name_or_address_is_told(outcome: Outcome) -> None:
    """Whatever the event and the record hold: an outcome event is read by whoever subscribes."""
    for answer in (agreement(), refusal(400, "2000"), None):
        [told] = tell(outcome, Attempt(event=event(), answer=answer))
        shown = told.body().decode() + repr(told)
        assert not [planted for planted in PLANTED if planted in shown]


def test_what_goes_out_can_be_read_back() -> None:
    """A subscriber in Python may use the model, also for what a later version adds."""
    [told] = tell(RETRY)
    given = json.loads(told.body())
    assert OutcomeEvent.model_validate(given | {"sequence": "1"}) == told


def test_the_schema_names_its_version() -> None:
    """Whoever keeps the schema knows which one it is, and its fields are called as they go out."""
    schema: dict[str, Any] = outcome_events.json_schema()
    assert (schema["$id"], schema["$schema"]) == (
        "urn:agreements:schema:outcome-event:1",
        "https://json-schema.org/draft/2020-12/schema",
    )
    assert set(one(CONFIRMED)) <= set(schema["properties"])
