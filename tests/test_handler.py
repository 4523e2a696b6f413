import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from itertools import chain, repeat
from typing import Any

import pytest

from agreements.deadline import Deadline
from agreements.deliveries import Delivery, RetryKind
from agreements.errors import (
    Answer,
    AnswerError,
    EventError,
    GateClosedError,
    NoAnswerError,
    OversizeError,
    Reason,
    TokenError,
    TopicError,
)
from agreements.events import Agreement, Standing
from agreements.handler import Handler, Nobody, Outcomes
from agreements.outcomes import Confirmed, Duplicate, Outcome, Rejected, Retry
from tests import fakes
from tests.fakes import (
    CONTACT,
    CORRELATION,
    NOW,
    PLANTED,
    POLICY,
    REPEATS,
    REQUEST,
    FakeClock,
    FakeOutbox,
    FakeOutcomes,
    FakePartnerCenter,
    agreement,
    delivery,
    event,
    refusal,
)

EXISTS = refusal(409, "600061")
CUT = NoAnswerError("cut", write=True, maybe_recorded=True)
UNREAD = NoAnswerError("the record could not be read", write=False)
OTHER = agreement(primaryContact={**CONTACT, "firstName": "Someone"}, dateAgreed="2026-02-01T00:00:00")
LATER = agreement(primaryContact={**CONTACT, "firstName": "Someone"}, dateAgreed="2026-03-02T00:00:00")


def unexpected(seconds: float) -> None:
    pytest.fail(f"a pause of {seconds} s")


def handler(
    partner_center: FakePartnerCenter,
    outbox: FakeOutbox,
    now: Callable[[], datetime] = lambda: NOW,
    pause: Callable[[float], object] = unexpected,
    outcomes: Outcomes | None = None,
) -> Handler:
    """Return a handler over fakes, without jitter, that is not expected to pause unless told how."""
    return Handler(
        confirmations=partner_center,
        records=partner_center,
        outcomes=outcomes or Nobody(),
        outbox=outbox,
        policy=POLICY,
        seconds=150,
        reserve=30,
        now=now,
        random=lambda: 0.0,
        pause=pause,
    )


def handle(partner_center: FakePartnerCenter, **changes: Any) -> Outcome:
    """Handle a delivery and return the one outcome that was sent."""
    outbox = FakeOutbox()
    handler(partner_center, outbox)(delivery(**changes))
    [outcome] = outbox.outcomes
    return outcome


def logged(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """Return the one line that was logged."""
    [line] = caplog.messages
    record: dict[str, Any] = json.loads(line)
    return record


# --- what is asked, and what comes of it


def test_an_event_is_confirmed() -> None:
    """A good event is asked about once, under the delivery's own ids, and confirmed."""
    partner_center, outbox = FakePartnerCenter(agreement()), FakeOutbox()
    given = delivery(unanswered=REQUEST)
    handler(partner_center, outbox)(given)
    [(verb, asked, how)] = partner_center.asked
    assert (verb, asked) == ("confirm", event())
    assert (how["request_id"], how["correlation_id"]) == (REQUEST, CORRELATION)
    [(sent, attempt, outcome, _)] = outbox.sent
    assert sent is given
    assert (attempt.event, attempt.answer, outcome) == (event(), agreement(), Confirmed())


def test_each_attempt_is_asked_under_its_own_id() -> None:
    """The request id is the delivery's: derived from origin and attempt when none is unanswered."""
    partner_center = FakePartnerCenter(agreement())
    handle(partner_center, attempt=3)
    [(_, _, how)] = partner_center.asked
    assert how["request_id"] == delivery(attempt=3).request_id


class SlowPartnerCenter(FakePartnerCenter):
    """Takes a time for a confirmation."""

    def __init__(
        self,
        clock: FakeClock,
        seconds: float,
        answer: Agreement | Exception | None = None,
        record: list[Agreement] | None = None,
    ) -> None:
        super().__init__(answer or agreement(), records=[record or []])
        self.clock = clock
        self.seconds = seconds
        self.left: list[float] = []

    def confirm(self, *args: Any, deadline: Deadline, **ids: Any) -> Agreement:
        """Note what is left, let the time pass, then answer."""
        self.left.append(deadline.left())
        self.clock.now += self.seconds
        return super().confirm(*args, deadline=deadline, **ids)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The clock by which deadlines are made and durations measured."""
    clock = FakeClock()
    monkeypatch.setattr("agreements.deadline.monotonic", clock)
    monkeypatch.setattr("agreements.handler.monotonic", clock)
    return clock


@pytest.mark.parametrize("took", [0, 119, 5000], ids=["at-once", "just-in-time", "far-too-long"])
def test_sending_has_time_of_its_own(clock: FakeClock, took: float) -> None:
    """Reading and confirming share what the reserve leaves; sending has all of it, however long they took."""
    partner_center, outbox = SlowPartnerCenter(clock, took), FakeOutbox()
    handler(partner_center, outbox)(delivery(delivery_count=2))
    assert partner_center.left == [120]
    first, second = (how["deadline"] for _, _, how in partner_center.asked)
    assert first is second
    [(*_, deadline)] = outbox.sent
    assert deadline.left() == 30


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xff\x00 nothing that anybody can read", Reason.NOT_JSON),
        (b"[1, 2]", Reason.SEVERAL_EVENTS),
        (fakes.body(type="MicrosoftCloudAgreement"), Reason.FIELD_INVALID),
    ],
    ids=["unreadable", "several", "invalid"],
)
def test_a_bad_event_is_rejected_whole(body: bytes, reason: Reason) -> None:
    """An event that cannot be confirmed as it is: nothing is asked, and its body goes on to the end."""
    partner_center, outbox = FakePartnerCenter(), FakeOutbox()
    handler(partner_center, outbox)(delivery(body=body))
    [(sent, attempt, outcome, _)] = outbox.sent
    assert partner_center.asked == []
    assert (sent.body, attempt.event) == (body, None)
    assert isinstance(outcome, Rejected)
    assert outcome.reason is reason


def test_an_event_that_cannot_be_sent_is_rejected() -> None:
    """What turns out only when it is to be sent, a template of another type say, is the event's fault too."""
    fault = EventError(Reason.FIELD_INVALID, "templateId", "must be a current template of the type")
    outbox = FakeOutbox()
    handler(FakePartnerCenter(fault), outbox)(delivery())
    [(_, attempt, outcome, _)] = outbox.sent
    assert (attempt.event, attempt.answer) == (event(), fault)
    assert outcome == Rejected(reason=Reason.FIELD_INVALID, detail=str(fault))


@pytest.mark.parametrize("answer", [refusal(503), CUT, TokenError("none")], ids=["503", "cut", "token"])
def test_what_did_not_end_in_an_agreement_is_decided(answer: Exception) -> None:
    """Each of our errors becomes an outcome; the record is not read for it."""
    partner_center = FakePartnerCenter(answer)
    assert isinstance(handle(partner_center), Retry)
    assert partner_center.verbs == ["confirm"]


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([[agreement()]], Reason.ALREADY_RECORDED),
        ([[OTHER]], Reason.OTHER_RECORDED),
        ([[LATER]], Reason.OTHER_RECORDED),
        ([[]], Reason.RECORD_UNKNOWN),
        ([UNREAD], Reason.RECORD_UNKNOWN),
        ([refusal(403, write=False)], Reason.RECORD_UNKNOWN),
        ([TokenError("none")], Reason.RECORD_UNKNOWN),
    ],
    ids=["same", "other", "later", "nothing", "unread", "refused", "token"],
)
def test_600061_is_compared_with_the_record(records: list[Any], reason: Reason) -> None:
    """What is on record already is read, best effort, to say how it compares."""
    partner_center = FakePartnerCenter(EXISTS, records=records)
    assert handle(partner_center) == Duplicate(reason=reason)
    assert partner_center.verbs == ["confirm", "agreements"]
    assert {how["correlation_id"] for _, _, how in partner_center.asked} == {CORRELATION}


def test_600061_stays_the_answer_when_the_record_cannot_be_read() -> None:
    """A failing comparison does not hide what the service had answered."""
    outbox = FakeOutbox()
    handler(FakePartnerCenter(EXISTS, records=[UNREAD]), outbox)(delivery())
    [(_, attempt, _, _)] = outbox.sent
    assert (attempt.answer, attempt.standing) == (EXISTS, None)


REPEATED = pytest.mark.parametrize("repeat", REPEATS.values(), ids=REPEATS)


@REPEATED
def test_what_we_recorded_before_is_not_written_again(repeat: Mapping[str, Any]) -> None:
    """Where an earlier attempt may have been recorded, the record is read first: the same is confirmed."""
    partner_center = FakePartnerCenter(records=[[agreement()]])
    assert handle(partner_center, **repeat) == Confirmed(recovered=True)
    assert partner_center.verbs == ["agreements"]


@REPEATED
def test_a_later_acceptance_is_not_replaced(repeat: Mapping[str, Any]) -> None:
    """Where a later acceptance is on record, the old one is not written over it."""
    partner_center = FakePartnerCenter(records=[[LATER]])
    outcome = handle(partner_center, **repeat)
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.SUPERSEDED
    assert partner_center.verbs == ["agreements"]


@REPEATED
@pytest.mark.parametrize("records", [[], [OTHER]], ids=["nothing", "other"])
def test_what_is_not_on_record_is_written(repeat: Mapping[str, Any], records: list[Any]) -> None:
    """A repeat that is not on record after all is confirmed like a first attempt."""
    partner_center = FakePartnerCenter(agreement(), records=[records])
    assert handle(partner_center, **repeat) == Confirmed()
    assert partner_center.verbs == ["agreements", "confirm"]


@REPEATED
@pytest.mark.parametrize(
    "failure", [UNREAD, refusal(503, write=False), TokenError("none")], ids=["unread", "503", "token"]
)
def test_nothing_is_written_before_the_record_is_read(repeat: Mapping[str, Any], failure: Exception) -> None:
    """Where the record cannot be read the event waits: a blind write could replace a later acceptance."""
    partner_center = FakePartnerCenter(records=[failure])
    outcome = handle(partner_center, **repeat)
    assert isinstance(outcome, Retry)
    assert outcome.maybe_recorded
    assert partner_center.verbs == ["agreements"]


def test_a_reading_is_not_compared_once_more() -> None:
    """600061 in answer to a reading says nothing of what we sent: nothing was."""
    partner_center = FakePartnerCenter(records=[refusal(409, "600061", write=False)])
    assert isinstance(handle(partner_center, delivery_count=2), Retry)
    assert partner_center.verbs == ["agreements"]


def test_a_race_is_read_again() -> None:
    """An event that is recorded between reading and writing is still known as ours."""
    partner_center = FakePartnerCenter(EXISTS, records=[[], [agreement()]])
    assert handle(partner_center, delivery_count=2) == Confirmed(recovered=True)
    assert partner_center.verbs == ["agreements", "confirm", "agreements"]


@pytest.mark.parametrize("before", [[], [OTHER]], ids=["nothing", "other"])
def test_what_was_read_before_a_race_counts_no_more(before: list[Agreement]) -> None:
    """600061 says that the record has changed since it was read: unread again, it may be our own."""
    partner_center = FakePartnerCenter(EXISTS, records=[before, UNREAD])
    outcome = handle(partner_center, delivery_count=2)
    assert isinstance(outcome, Retry)
    assert outcome.reason is Reason.NO_DEFINITE_ANSWER


@pytest.mark.parametrize(
    ("took", "outcome"),
    [(29.9, Duplicate(reason=Reason.ALREADY_RECORDED)), (30, Confirmed(recovered=True))],
    ids=["in-time", "too-long"],
)
def test_a_delivery_that_may_have_outlived_its_lock_may_find_its_own(
    clock: FakeClock, took: float, outcome: Outcome
) -> None:
    """What took so long may have been delivered again and recorded by that delivery: then it is ours."""
    partner_center = SlowPartnerCenter(clock, took, EXISTS, [agreement()])
    assert handle(partner_center) == outcome
    assert partner_center.verbs == ["confirm", "agreements"]


@pytest.mark.parametrize(
    ("ahead", "asked"), [(timedelta(0), True), (timedelta(seconds=1), False), (timedelta(days=2), False)]
)
def test_an_event_ahead_of_the_clock_is_not_asked_about(ahead: timedelta, asked: bool) -> None:
    """A date that has not come yet is not sent: the service would refuse it."""
    partner_center = FakePartnerCenter(agreement())
    outcome = handle(partner_center, body=fakes.body(dateAgreed=(NOW + ahead).isoformat()))
    assert partner_center.verbs == (["confirm"] if asked else [])
    assert isinstance(outcome, Confirmed) is asked


def test_a_date_that_comes_meanwhile_was_ahead() -> None:
    """When the date comes between the look at the clock and the decision, nobody blames the service."""
    outbox = FakeOutbox()
    now = chain([NOW], repeat(NOW + timedelta(seconds=1))).__next__
    body = fakes.body(dateAgreed=(NOW + timedelta(milliseconds=1)).isoformat())
    handler(FakePartnerCenter(), outbox, now)(delivery(body=body))
    [outcome] = outbox.outcomes
    assert isinstance(outcome, Retry)
    assert outcome.reason is Reason.NOT_YET_VALID


def test_a_repeat_ahead_of_the_clock_is_still_looked_up() -> None:
    """What may be recorded is read first, even if it may not be written yet."""
    body = fakes.body(dateAgreed=(NOW + timedelta(seconds=1)).isoformat())
    partner_center = FakePartnerCenter(records=[[]])
    assert isinstance(handle(partner_center, body=body, delivery_count=2), Retry)
    assert partner_center.verbs == ["agreements"]


# --- what goes up


def test_a_retry_that_fits_into_no_message_is_parked(caplog: pytest.LogCaptureFixture) -> None:
    """It cannot come back, so a person must look at it; the line tells that, and what it met last."""
    outbox = FakeOutbox(OversizeError(Reason.UNAVAILABLE), times=1)
    with caplog.at_level(logging.INFO, logger="agreements"):
        handler(FakePartnerCenter(refusal(503)), outbox)(delivery())
    assert outbox.outcomes == [Rejected(reason=Reason.COPY_TOO_LARGE, detail="last: Unavailable")]
    assert logged(caplog)["reason"] == "CopyTooLarge"


def test_a_failed_send_goes_up(caplog: pytest.LogCaptureFixture) -> None:
    """When the outcome was not sent the message must not be completed, nor a line tell that it ended."""
    outbox = FakeOutbox(error=ConnectionError("cut"))
    pauses: list[float] = []
    with caplog.at_level(logging.DEBUG), pytest.raises(ConnectionError):
        handler(FakePartnerCenter(agreement()), outbox, pause=pauses.append)(delivery())
    assert (pauses, caplog.messages) == ([30], [])


@pytest.mark.parametrize(
    ("partner_center", "changes"),
    [
        (lambda: FakePartnerCenter(RuntimeError("a bug")), {}),
        (lambda: FakePartnerCenter(records=[RuntimeError("a bug")]), {"delivery_count": 2}),
        (lambda: FakePartnerCenter(EXISTS, records=[RuntimeError("a bug")]), {}),
    ],
    ids=["confirming", "reading-first", "comparing"],
)
def test_a_bug_goes_up(
    partner_center: Callable[[], FakePartnerCenter],
    changes: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is no error of ours is a bug: nothing is sent or told, the broker delivers it again.

    That it does at once: without the pause, the deliveries that a message has would be gone in seconds.
    """
    outbox = FakeOutbox()
    pauses: list[float] = []
    with caplog.at_level(logging.DEBUG), pytest.raises(RuntimeError, match="a bug"):
        handler(partner_center(), outbox, pause=pauses.append)(delivery(**changes))
    assert (outbox.sent, pauses, caplog.messages) == ([], [30], [])


@pytest.mark.parametrize("answer", [agreement(), CUT, refusal(400, "2000")], ids=["agreed", "cut", "refused"])
def test_what_was_handled_does_not_pause(answer: Agreement | Exception) -> None:
    """A delivery that ends in an outcome, whichever, keeps no thread waiting."""
    pauses: list[float] = []
    handler(FakePartnerCenter(answer), FakeOutbox(), pause=pauses.append)(delivery())
    assert pauses == []


# --- telling

FULL = TopicError("ServiceBusQuotaExceededError")
CONFIRMED, DUPLICATE = Confirmed(), Duplicate(reason=Reason.ALREADY_RECORDED)
REJECTED = Rejected(reason=Reason.REFUSED, detail="Partner Center answered 400, code 800002")


def tell(
    outcomes: FakeOutcomes,
    partner_center: FakePartnerCenter,
    outbox: FakeOutbox | None = None,
    **changes: Any,
) -> list[Outcome]:
    """Handle a delivery that is told; return what was sent."""
    outbox = outbox or FakeOutbox()
    handler(partner_center, outbox, outcomes=outcomes)(delivery(**changes))
    return outbox.outcomes


class After(FakeOutbox):
    """Notes what had been told by the time of a send."""

    def __init__(self, outcomes: FakeOutcomes) -> None:
        super().__init__()
        self.told = outcomes
        self.before: list[list[Outcome]] = []

    def send(self, *given: Any) -> None:
        """Note, then send."""
        self.before.append(self.told.outcomes)
        super().send(*given)


def test_it_is_told_before_anything_is_parked() -> None:
    """Whatever could not be told has not gone anywhere, and can come back to be told."""
    outcomes = FakeOutcomes()
    outbox = After(outcomes)
    assert tell(outcomes, FakePartnerCenter(refusal(400, "800002")), outbox) == [REJECTED]
    assert outbox.before == [[REJECTED]]


@pytest.mark.parametrize(("took", "telling", "sending"), [(0, 15, 30), (10, 15, 20), (40, 15, 0)])
def test_telling_and_sending_share_the_reserve(
    clock: FakeClock, took: float, telling: float, sending: float
) -> None:
    """Telling has half of it at most, so that the copy has time left, and both end by the deadline."""
    left: list[float] = []

    class Slow(FakeOutcomes):
        def tell(self, delivery: Delivery, attempt: Any, outcome: Outcome, deadline: Deadline) -> bool:
            left.append(deadline.left())
            clock.now += took
            return super().tell(delivery, attempt, outcome, deadline)

    outbox = FakeOutbox()
    handler(FakePartnerCenter(agreement()), outbox, outcomes=Slow())(delivery())
    [(*_, deadline)] = outbox.sent
    assert (left, deadline.left()) == ([telling], sending)


@pytest.mark.parametrize(
    ("partner_center", "outcome"),
    [
        (lambda: FakePartnerCenter(agreement()), CONFIRMED),
        (lambda: FakePartnerCenter(EXISTS, records=[[agreement()]]), DUPLICATE),
        (lambda: FakePartnerCenter(refusal(400, "800002")), REJECTED),
    ],
    ids=["confirmed", "duplicate", "rejected"],
)
def test_an_outcome_that_cannot_be_told_comes_back(
    partner_center: Callable[[], FakePartnerCenter], outcome: Outcome, caplog: pytest.LogCaptureFixture
) -> None:
    """The delivery does not fail: the event waits to be told; the line says which outcome, and why not."""
    with caplog.at_level(logging.INFO, logger="agreements"):
        [sent] = tell(FakeOutcomes(FULL), partner_center())
    assert isinstance(sent, Retry)
    assert (sent.reason, sent.kind, sent.maybe_recorded, sent.attempt) == (
        Reason.OUTCOME_NOT_SENT,
        RetryKind.UNTOLD,
        True,
        2,
    )
    line = logged(caplog)
    assert (line["outcome"], line["reason"], line["told"]) == ("Retry", "OutcomeNotSent", False)
    assert line["untold"] == f"{type(outcome).__name__}: ServiceBusQuotaExceededError"
    assert line["advice"] == Reason.OUTCOME_NOT_SENT.advice


def test_what_comes_back_is_told_as_what_it_is() -> None:
    """The record is read first: what was recorded before it could be told is told as recovered."""
    outcomes = FakeOutcomes()
    partner_center = FakePartnerCenter(records=[[agreement()]])
    at = REPEATS["retried"]
    assert tell(outcomes, partner_center, attempt=2, maybe_recorded=True, **at) == [Confirmed(recovered=True)]
    assert outcomes.outcomes == [Confirmed(recovered=True)]
    assert partner_center.verbs == ["agreements"]


def test_a_retry_goes_on_untold(caplog: pytest.LogCaptureFixture) -> None:
    """That it is delayed is not worth more than when it comes back; the line says that nobody knows."""
    with caplog.at_level(logging.INFO, logger="agreements"):
        [sent] = tell(FakeOutcomes(FULL), FakePartnerCenter(refusal(503)))
    assert isinstance(sent, Retry)
    assert sent.reason is Reason.UNAVAILABLE
    line = logged(caplog)
    assert (line["reason"], line["told"]) == ("Unavailable", False)
    assert line["untold"] == "Retry: ServiceBusQuotaExceededError"


@pytest.mark.parametrize(("anything", "told"), [(True, True), (False, None)])
def test_the_line_says_what_was_told(
    anything: bool, told: bool | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Where there was nothing to tell, or nobody to tell it to, the line has no word of it."""
    with caplog.at_level(logging.INFO, logger="agreements"):
        tell(FakeOutcomes(anything=anything), FakePartnerCenter(agreement()))
    line = logged(caplog)
    assert (line.get("told"), "untold" in line) == (told, False)


def test_a_retry_that_fits_into_no_message_is_told_as_rejected() -> None:
    """Told of the delay before, the publisher learns that it will not come back."""
    outcomes, outbox = FakeOutcomes(), FakeOutbox(OversizeError(Reason.UNAVAILABLE), times=1)
    sent = tell(outcomes, FakePartnerCenter(refusal(503)), outbox)
    rejected = Rejected(reason=Reason.COPY_TOO_LARGE, detail="last: Unavailable")
    assert sent == [rejected]
    assert [type(outcome) for outcome in outcomes.outcomes] == [Retry, Rejected]
    assert outcomes.outcomes[-1] == rejected


def test_a_rejection_that_can_neither_be_told_nor_come_back_is_parked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A copy of it does not fit: it ends where it belongs, and the line says that nobody was told."""
    outbox = FakeOutbox(OversizeError(Reason.UNAVAILABLE), times=1)
    with caplog.at_level(logging.INFO, logger="agreements"):
        sent = tell(FakeOutcomes(None, FULL), FakePartnerCenter(refusal(503)), outbox)
    assert sent == [Rejected(reason=Reason.COPY_TOO_LARGE, detail="last: Unavailable")]
    line = logged(caplog)
    assert (line["told"], line["untold"]) == (False, "Rejected: ServiceBusQuotaExceededError")


def test_a_confirmed_event_whose_copy_does_not_fit_ends_untold(caplog: pytest.LogCaptureFixture) -> None:
    """It is on record: rejecting it because nobody could be told of that would be worse than silence."""
    outbox = FakeOutbox(OversizeError(Reason.OUTCOME_NOT_SENT), times=1)
    outcomes = FakeOutcomes(FULL)
    with caplog.at_level(logging.INFO, logger="agreements"):
        assert tell(outcomes, FakePartnerCenter(agreement()), outbox) == [Confirmed()]
    line = logged(caplog)
    assert (line["outcome"], line["told"]) == ("Confirmed", False)
    assert outcomes.outcomes == []


def test_a_bug_in_telling_goes_up() -> None:
    """What is no error of the topic is a bug, and not taken for a topic that is full."""
    pauses: list[float] = []
    outbox = FakeOutbox()
    with pytest.raises(RuntimeError, match="a bug"):
        handler(
            FakePartnerCenter(agreement()),
            outbox,
            pause=pauses.append,
            outcomes=FakeOutcomes(RuntimeError("a bug")),
        )(delivery())
    assert (outbox.sent, pauses) == ([], [30])


# --- the log line


class Watched(FakeOutbox):
    """Notes how many lines were logged by the time of a send."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        super().__init__()
        self.caplog = caplog
        self.lines: list[int] = []

    def send(self, *args: Any) -> None:
        """Note, then send."""
        self.lines.append(len(self.caplog.messages))
        super().send(*args)


def test_the_outcome_is_sent_before_it_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """A line about a delivery means that its outcome is safe: it is written after the send."""
    outbox = Watched(caplog)
    with caplog.at_level(logging.INFO, logger="agreements"):
        handler(FakePartnerCenter(agreement()), outbox)(delivery())
    assert outbox.lines == [0]
    assert len(caplog.messages) == 1


def line(
    caplog: pytest.LogCaptureFixture, partner_center: FakePartnerCenter, given: Delivery | None = None
) -> dict[str, Any]:
    """Handle a delivery and return its log line without the times it took."""
    with caplog.at_level(logging.INFO, logger="agreements"):
        handler(partner_center, FakeOutbox(), lambda: NOW + timedelta(seconds=1.5004))(given or delivery())
    record = logged(caplog)
    del record["apiMilliseconds"], record["totalMilliseconds"]
    return record


KNOWN = {
    "origin": delivery().origin,
    "correlationId": str(CORRELATION),
    "attempt": 1,
    "deliveryCount": 1,
    "replay": 0,
    "secondsSinceEnqueued": 1.5,
}
POSTED = KNOWN | {"requestId": str(delivery().request_id)}


def test_a_confirmed_event_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """A confirmed event is information: its outcome and ids, and nothing that is unknown."""
    assert line(caplog, FakePartnerCenter(agreement())) == {"outcome": "Confirmed", **POSTED}
    assert caplog.records[0].levelno == logging.INFO


def test_a_recovered_event_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """What an earlier delivery had recorded is told apart from what this one did, which asked for nothing."""
    record = line(caplog, FakePartnerCenter(records=[[agreement()]]), delivery(delivery_count=2))
    assert record == KNOWN | {"outcome": "Confirmed", "recovered": True, "deliveryCount": 2}


@pytest.mark.parametrize(
    "failure",
    [TokenError("none"), GateClosedError(90), refusal(404, write=False, about_event=False)],
    ids=["token", "gate", "template"],
)
def test_what_was_not_posted_has_no_request_id(failure: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody looks for a request at Microsoft's that was never made."""
    assert "requestId" not in line(caplog, FakePartnerCenter(failure))


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (TokenError("denied", "AADSTS700082", Reason.REFRESH_TOKEN_EXPIRED), "AADSTS700082"),
        (GateClosedError(9, Reason.REFRESH_TOKEN_EXPIRED), None),
    ],
    ids=["token", "gate"],
)
def test_a_line_names_the_remedy(
    failure: Exception, code: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """What keeps the app from its token is named in each line, with what to do and a code to look up."""
    record = line(caplog, FakePartnerCenter(failure))
    assert (record["retryKind"], record["reason"]) == ("service", "RefreshTokenExpired")
    assert record["advice"] == Reason.REFRESH_TOKEN_EXPIRED.advice
    assert record.get("errorCode") == code


def test_a_line_advises_nobody_when_nobody_must_act(caplog: pytest.LogCaptureFixture) -> None:
    """What passes by itself needs no advice."""
    assert "advice" not in line(caplog, FakePartnerCenter(refusal(503)))


def test_a_line_tells_how_long_it_took(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """What Partner Center took is told apart from what the delivery took in all, in milliseconds."""

    class SlowOutbox(FakeOutbox):
        def send(self, *args: Any) -> None:
            clock.now += 0.5
            super().send(*args)

    with caplog.at_level(logging.INFO, logger="agreements"):
        handler(SlowPartnerCenter(clock, 0.25), SlowOutbox())(delivery())
    record = logged(caplog)
    assert (record["apiMilliseconds"], record["totalMilliseconds"]) == (250, 750)


def test_a_retry_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """A retry is a warning: when it comes back and why, with all that Microsoft's support asks for."""
    answer = Answer(
        status=429,
        code="429001",
        error_name="TooManyRequests",
        retry_after=60,
        request_id="their-request",
        correlation_id="their-correlation",
        cv="cv.1",
    )
    record = line(caplog, FakePartnerCenter(AnswerError(answer, write=True)), delivery(attempt=2, replay=0))
    assert record == POSTED | {
        "outcome": "Retry",
        "reason": "Throttled",
        "retryKind": str(RetryKind.THROTTLED),
        "retryAt": "2026-03-02T09:31:01.500+00:00",
        "httpStatus": 429,
        "errorCode": "429001",
        "errorName": "TooManyRequests",
        "microsoftRequestId": "their-request",
        "microsoftCorrelationId": "their-correlation",
        "microsoftCv": "cv.1",
        "attempt": 2,
        "requestId": str(delivery(attempt=2).request_id),
    }
    assert caplog.records[0].levelno == logging.WARNING


def test_a_duplicate_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """A duplicate is a warning with how it compares."""
    record = line(caplog, FakePartnerCenter(EXISTS, records=[[agreement()]]))
    assert record == POSTED | {
        "outcome": "Duplicate",
        "reason": "AlreadyRecorded",
        "httpStatus": 409,
        "errorCode": "600061",
    }
    assert caplog.records[0].levelno == logging.WARNING


def test_a_rejection_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """A rejection is a warning with the field at fault; without an event there is no request id."""
    record = line(caplog, FakePartnerCenter(), delivery(body=b"{}"))
    assert record == KNOWN | {
        "outcome": "Rejected",
        "reason": "FieldMissing",
        "detail": "FieldMissing customerTenantId must be a GUID: the customer's Microsoft ID",
    }
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize(
    "partner_center",
    [
        lambda: FakePartnerCenter(agreement()),
        lambda: FakePartnerCenter(EXISTS, records=[[OTHER]]),
        lambda: FakePartnerCenter(refusal(400, "2000")),
        lambda: FakePartnerCenter(CUT),
    ],
    ids=["confirmed", "duplicate", "rejected", "retry"],
)
def test_no_line_has_a_name_an_address_or_an_id_of_the_publisher(
    partner_center: Callable[[], FakePartnerCenter], caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of the event's data is told, nor the publisher's own id, which may be personal."""
    line(caplog, partner_center(), delivery(event_id="zoraida@contoso"))
    assert not [planted for planted in [*PLANTED, "zoraida@contoso"] if planted in caplog.text]


@pytest.mark.parametrize("name", CONTACT)
def test_no_line_shows_what_was_wrong(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """A rejected event is told by its field, never by the value that stood there."""
    contact = {**CONTACT, name: "planted\x00value"}
    record = line(caplog, FakePartnerCenter(), delivery(body=fakes.body(primaryContact=contact)))
    assert f"primaryContact.{name}" in record["detail"]
    assert "planted" not in caplog.text


def test_standing_is_read_from_the_events_own_customer() -> None:
    """What is read is asked for by the event itself, so that it is its customer's record."""
    partner_center = FakePartnerCenter(records=[[agreement()]])
    outbox = FakeOutbox()
    handler(partner_center, outbox)(delivery(delivery_count=2))
    [(verb, asked, _)] = partner_center.asked
    [(_, attempt, _, _)] = outbox.sent
    assert (verb, asked, attempt.standing) == ("agreements", event(), Standing.SAME)


# --- the publisher's own id


@pytest.mark.parametrize("data", [fakes.given(), {}], ids=["valid", "invalid"])
def test_a_cloud_event_is_known_by_its_own_id(data: dict[str, object]) -> None:
    """The id in the envelope goes on to whoever searches for the event, also when the event is no good."""
    cloud_event = {"specversion": "1.0", "id": "7", "source": "/crm", "type": "t", "data": data}
    outbox = FakeOutbox()
    handler(FakePartnerCenter(agreement()), outbox)(delivery(body=json.dumps(cloud_event).encode()))
    [(_, attempt, _, _)] = outbox.sent
    assert (attempt.event_id, attempt.cloud_event_id) == ("/crm 7", "7")


def test_the_properties_say_what_the_body_is() -> None:
    """A CloudEvent in binary mode is told by the message's properties, and refused in an unknown version."""
    properties = {"cloudEvents_specversion": "2.0"}
    outbox = FakeOutbox()
    handler(FakePartnerCenter(), outbox)(delivery(properties=properties))
    [outcome] = outbox.outcomes
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.CLOUD_EVENT_INVALID
