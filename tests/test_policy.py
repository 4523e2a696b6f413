from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agreements import identity, policy
from agreements.deliveries import Delivery, RetryKind
from agreements.errors import (
    AgreementsError,
    Answer,
    AnswerError,
    EventError,
    GateClosedError,
    NoAnswerError,
    Reason,
    TemplateError,
    TokenError,
)
from agreements.events import AcceptanceEvent, Agreement, Standing
from agreements.outcomes import Attempt, Confirmed, Duplicate, Outcome, Rejected, Retry
from agreements.policy import Backoff
from tests.fakes import NOW, POLICY, REPEATS, REQUEST, TYPE, agreement, delivery, event, refusal

EVENT = event()
TICK = timedelta(microseconds=1)
CUT = NoAnswerError("cut", write=True, maybe_recorded=True)
NEVER_CONNECTED = NoAnswerError("never connected", write=True)
UNREAD = NoAnswerError("the record could not be read", write=False)
REPLACED = TemplateError(Answer(status=400, code="2000"))
CLOUD = agreement(type="MicrosoftCloudAgreement")
REPEATED = pytest.mark.parametrize("repeat", REPEATS.values(), ids=REPEATS)
# Old enough that a customer is not new any more.
LONG_AGO = NOW - timedelta(days=2)


def decide(
    answer: Agreement | AgreementsError | None = None,
    *,
    standing: Standing | None = None,
    of: AcceptanceEvent | None = EVENT,
    now: datetime = NOW,
    random: float = 0.0,
    **changes: Any,
) -> Outcome:
    """Decide about a delivery, first and just published unless changed, without jitter unless drawn."""
    attempt = Attempt(event=of, answer=answer, standing=standing)
    return policy.decide(delivery(**changes), attempt, POLICY, now, random)


def retry(answer: AgreementsError | None = None, **changes: Any) -> Retry:
    """Decide, and expect a retry."""
    outcome = decide(answer, **changes)
    assert isinstance(outcome, Retry)
    return outcome


def dated(ahead: timedelta, *, exact: bool = True) -> AcceptanceEvent:
    """Return an event whose date lies that far ahead of the clock."""
    return event(dateAgreed=(NOW + ahead).isoformat() if exact else (NOW + ahead).isoformat()[:-6])


def untold(outcome: Outcome, answer: Agreement | AgreementsError | None = None, **changes: Any) -> Outcome:
    """Decide about a delivery of whose outcome nobody could be told, with half of the jitter."""
    attempt = Attempt(event=EVENT, answer=answer)
    return policy.untold(delivery(**changes), attempt, outcome, POLICY, NOW, 0.5)


# --- rows 1 to 3: what ends at once


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (EventError(Reason.NOT_JSON), "NotJson"),
        (EventError(Reason.FIELD_MISSING, "type", "must be x"), "FieldMissing type must be x"),
    ],
    ids=["unreadable", "invalid"],
)
def test_row_1_a_bad_event_is_rejected_by_its_reason(error: EventError, detail: str) -> None:
    """An event that cannot be read, or is invalid, is rejected at once, by reason and field."""
    assert decide(error, of=None) == Rejected(reason=error.reason, detail=detail)


def test_row_2_an_agreement_is_confirmed() -> None:
    """An agreement that came back for what was sent ends the event: this attempt had it recorded."""
    assert decide(agreement()) == Confirmed(recovered=False)


def test_an_agreement_that_leaves_its_type_out_is_confirmed() -> None:
    """The service need not repeat the type: only another one is another agreement."""
    assert decide(agreement(type=None)) == Confirmed(recovered=False)


def test_an_agreement_of_another_type_confirms_nothing() -> None:
    """The template decides what is recorded: with another agreement on record the customer could not buy."""
    assert decide(CLOUD) == Rejected(
        reason=Reason.OTHER_TYPE_RECORDED, detail="recorded as another type of agreement"
    )


@REPEATED
def test_row_2_what_is_found_on_record_was_us(repeat: Mapping[str, Any]) -> None:
    """An event that may have been recorded and is on record the same is confirmed, as recovered."""
    assert decide(standing=Standing.SAME, **repeat) == Confirmed(recovered=True)


@REPEATED
def test_a_later_acceptance_is_not_replaced(repeat: Mapping[str, Any]) -> None:
    """An event that may have been recorded gives way to a later one on record: old data stays old."""
    assert decide(standing=Standing.LATER, **repeat) == Rejected(
        reason=Reason.SUPERSEDED, detail="a later acceptance is on record"
    )


@pytest.mark.parametrize(
    ("standing", "reason"),
    [
        (Standing.SAME, Reason.ALREADY_RECORDED),
        (Standing.OTHER, Reason.OTHER_RECORDED),
        (Standing.LATER, Reason.OTHER_RECORDED),
        (Standing.NOTHING, Reason.RECORD_UNKNOWN),
        (None, Reason.RECORD_UNKNOWN),
    ],
)
@pytest.mark.parametrize("status", [400, 409, 499])
def test_row_3_600061_is_a_duplicate(status: int, standing: Standing | None, reason: Reason) -> None:
    """600061 on a first attempt is a duplicate: the same, another, or nobody could tell."""
    assert decide(refusal(status, "600061"), standing=standing) == Duplicate(reason=reason)


@REPEATED
@pytest.mark.parametrize("standing", [Standing.NOTHING, None])
def test_row_3_what_may_be_our_own_is_read_again(
    repeat: Mapping[str, Any], standing: Standing | None
) -> None:
    """600061 on a repeat whose record is not to be seen: it waits, for that record may be our own."""
    found = retry(refusal(400, "600061"), standing=standing, **repeat)
    assert (found.kind, found.reason, found.maybe_recorded) == (
        RetryKind.TRANSIENT,
        Reason.NO_DEFINITE_ANSWER,
        True,
    )
    assert found.unanswered is None, "it was answered: the next attempt has an id of its own"
    too_long: dict[str, Any] = {
        "retry_kind": RetryKind.TRANSIENT,
        "retrying_since": NOW - POLICY.transient.limit,
    }
    outcome = decide(refusal(400, "600061"), standing=standing, **repeat, **too_long)
    assert outcome == Duplicate(reason=Reason.RECORD_UNKNOWN)


@pytest.mark.parametrize(("status", "exists"), [(399, False), (400, True), (499, True), (500, False)])
def test_600061_counts_only_with_a_client_error(status: int, exists: bool) -> None:
    """Codes are not unique: 600061 says "on record" only beside a 4xx."""
    assert policy.already_exists(refusal(status, "600061")) is exists


def test_600061_counts_only_for_a_write() -> None:
    """In answer to a reading or a look-up, 600061 says nothing of what we sent: nothing was."""
    assert not policy.already_exists(refusal(409, "600061", write=False))
    assert retry(refusal(409, "600061", write=False)).reason is Reason.UNAVAILABLE


@pytest.mark.parametrize("code", [None, "600060", "60006"])
def test_another_code_says_nothing_of_a_record(code: str | None) -> None:
    """Only 600061 says that the acceptance is on record."""
    assert not policy.already_exists(refusal(409, code))


# --- rows 4 and 5: a date ahead of the clock


@pytest.mark.parametrize(
    ("ahead", "exact", "waits"),
    [
        (TICK, True, True),
        (timedelta(minutes=5), True, True),
        (timedelta(minutes=5) + TICK, True, False),
        (timedelta(minutes=5) + TICK, False, True),
        (timedelta(hours=14), False, True),
        (timedelta(hours=14) + TICK, False, False),
    ],
    ids=["tick", "5-min", "over-5-min", "over-5-min-no-zone", "14-h-no-zone", "over-14-h-no-zone"],
)
def test_rows_4_and_5_how_far_ahead_a_date_may_lie(ahead: timedelta, exact: bool, waits: bool) -> None:
    """Five minutes ahead is skew of clocks, fourteen hours a day elsewhere; beyond, it is a mistake."""
    outcome = decide(of=dated(ahead, exact=exact))
    if waits:
        assert isinstance(outcome, Retry)
        assert (outcome.kind, outcome.reason) == (RetryKind.TRANSIENT, Reason.NOT_YET_VALID)
        assert outcome.at == NOW + ahead
    else:
        assert outcome == Rejected(reason=Reason.DATE_IN_FUTURE, detail="dateAgreed is in the future")


def test_row_4_a_date_of_this_very_moment_is_not_ahead() -> None:
    """A date that has just come is valid: what was answered counts."""
    assert retry(refusal(503), of=dated(timedelta(0))).reason is Reason.UNAVAILABLE


def test_row_4_waits_at_least_the_back_off() -> None:
    """A date that comes before the back-off has passed does not shorten it."""
    found = retry(of=dated(timedelta(seconds=1)), random=0.9, attempt=3)
    assert found.at == NOW + timedelta(seconds=0.9 * 20)


def test_row_4_the_service_may_say_that_a_date_is_ahead() -> None:
    """600002 is the service's clock being behind ours: a back-off, though the date has come for us."""
    found = retry(refusal(400, "600002"), random=0.5)
    assert (found.reason, found.at) == (Reason.NOT_YET_VALID, NOW + timedelta(seconds=2.5))


def test_row_4_only_a_write_is_told_that_a_date_is_ahead() -> None:
    """A reading and a look-up send no date: 600002 says something else there."""
    assert retry(refusal(409, "600002", write=False)).reason is Reason.UNAVAILABLE


def test_row_5_holds_whatever_the_service_says() -> None:
    """A date too far ahead is rejected, also when the service was the first to say so."""
    outcome = decide(refusal(400, "600002"), of=dated(timedelta(days=1)))
    assert outcome == Rejected(reason=Reason.DATE_IN_FUTURE, detail="dateAgreed is in the future")


# --- rows 6 to 12: what was answered

WAITS = [
    ("429", refusal(429), RetryKind.THROTTLED, Reason.THROTTLED),
    ("429-with-code", refusal(429, "20002"), RetryKind.THROTTLED, Reason.THROTTLED),
    ("gate", GateClosedError(5), RetryKind.THROTTLED, Reason.THROTTLED),
    (
        "gate-closed-for-the-token",
        GateClosedError(5, Reason.REFRESH_TOKEN_EXPIRED),
        RetryKind.SERVICE,
        Reason.REFRESH_TOKEN_EXPIRED,
    ),
    ("template", REPLACED, RetryKind.TRANSIENT, Reason.TEMPLATE_REPLACED),
    ("token", TokenError("none"), RetryKind.SERVICE, Reason.TOKEN_UNAVAILABLE),
    (
        "token-with-its-reason",
        TokenError("none", reason=Reason.CLIENT_SECRET_EXPIRED),
        RetryKind.SERVICE,
        Reason.CLIENT_SECRET_EXPIRED,
    ),
    ("401", refusal(401), RetryKind.SERVICE, Reason.TOKEN_REFUSED),
    ("401-mfa", refusal(401, "900421"), RetryKind.SERVICE, Reason.MFA_MISSING),
    ("401-audience", refusal(401, "900420"), RetryKind.SERVICE, Reason.AUDIENCE_REFUSED),
    ("403-app-kind", refusal(403, "900329"), RetryKind.SERVICE, Reason.APP_KIND_REFUSED),
    (
        "403-of-a-reading",
        refusal(403, "900329", write=False, about_event=False),
        RetryKind.SERVICE,
        Reason.APP_KIND_REFUSED,
    ),
    *(
        (str(status), refusal(status), RetryKind.SERVICE, Reason.ACCESS_REFUSED)
        for status in (300, 302, 399, 403, 404, 405, 407, 410, 415, 501)
    ),
    ("403-mfa", refusal(403, "900421"), RetryKind.SERVICE, Reason.ACCESS_REFUSED),
    ("403-of-404", refusal(403, "60002"), RetryKind.SERVICE, Reason.ACCESS_REFUSED),
    ("404-of-403", refusal(404, "20002"), RetryKind.SERVICE, Reason.ACCESS_REFUSED),
    *(
        (str(status), refusal(status), RetryKind.TRANSIENT, Reason.UNAVAILABLE)
        for status in (408, 409, 423, 425, 500, 502, 503, 504, 599)
    ),
    ("409-with-code", refusal(409, "1234"), RetryKind.TRANSIENT, Reason.UNAVAILABLE),
    ("418-with-code", refusal(418, "1"), RetryKind.TRANSIENT, Reason.UNAVAILABLE),
    ("400-no-code", refusal(400), RetryKind.TRANSIENT, Reason.UNAVAILABLE),
    ("422-no-code", refusal(422), RetryKind.TRANSIENT, Reason.UNAVAILABLE),
    ("204", refusal(204), RetryKind.TRANSIENT, Reason.NO_DEFINITE_ANSWER),
    ("204-to-a-reading", refusal(204, write=False), RetryKind.TRANSIENT, Reason.UNAVAILABLE),
    ("cut", CUT, RetryKind.TRANSIENT, Reason.NO_DEFINITE_ANSWER),
    ("never-connected", NEVER_CONNECTED, RetryKind.TRANSIENT, Reason.UNAVAILABLE),
    ("unread", UNREAD, RetryKind.TRANSIENT, Reason.UNAVAILABLE),
]


@pytest.mark.parametrize(
    ("answer", "kind", "reason"), [row[1:] for row in WAITS], ids=[row[0] for row in WAITS]
)
def test_rows_6_to_12_what_is_tried_again(answer: AgreementsError, kind: RetryKind, reason: Reason) -> None:
    """Every failure that is not the event's own is tried again, with the back-off of its kind."""
    found = retry(answer)
    assert (found.kind, found.reason, found.since) == (kind, reason, NOW)


def looked_up(status: int, code: str | None = None, **said: Any) -> AnswerError:
    """Return the refusal of a look-up, which concerns no customer."""
    return refusal(status, code, write=False, about_event=False, **said)


@pytest.mark.parametrize(
    ("status", "code"),
    [(300, None), (400, None), (400, "2000"), (403, "20002"), (404, "60002"), (422, "2000"), (499, "1")],
)
def test_a_refused_look_up_blames_neither_event_nor_customer(status: int, code: str | None) -> None:
    """What is refused before the event is sent is for whoever runs the app: the event waits, however old."""
    found = retry(looked_up(status, code, retry_after=60), first_enqueued_time=LONG_AGO)
    assert (found.kind, found.reason) == (RetryKind.SERVICE, Reason.ACCESS_REFUSED)
    assert found.at == NOW + timedelta(seconds=60)


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (looked_up(429), RetryKind.THROTTLED, Reason.THROTTLED),
        *(
            (looked_up(status), RetryKind.TRANSIENT, Reason.UNAVAILABLE)
            for status in (299, 408, 409, 423, 425, 500, 503)
        ),
    ],
    ids=["429", "299", "408", "409", "423", "425", "500", "503"],
)
def test_a_look_up_that_fails_for_the_moment_passes(
    answer: AgreementsError, kind: RetryKind, reason: Reason
) -> None:
    """A look-up that is throttled, or fails in a way that passes, is tried again as soon as any call."""
    found = retry(answer)
    assert (found.kind, found.reason) == (kind, reason)


@pytest.mark.parametrize("status", [400, 422])
def test_row_10_a_refusal_of_the_data_is_rejected(status: int) -> None:
    """A refusal with a code is about the event's data: a person must look, told status and code."""
    assert decide(refusal(status, "2000")) == Rejected(
        reason=Reason.REFUSED, detail=f"Partner Center answered {status}, code 2000"
    )


CUSTOMER_REFUSALS = [
    (403, "20002", Reason.NO_RELATIONSHIP),
    (404, "1000", Reason.CUSTOMER_UNKNOWN),
    (404, "60002", Reason.CUSTOMER_UNKNOWN),
    (404, "60003", Reason.CUSTOMER_UNKNOWN),
    (403, "800073", Reason.CUSTOMER_UNDER_REVIEW),
    (403, "800074", Reason.CUSTOMER_UNDER_REVIEW),
    (403, "800075", Reason.CUSTOMER_UNDER_REVIEW),
    (403, "900416", Reason.CUSTOMER_UNDER_REVIEW),
]


@pytest.mark.parametrize(("status", "code", "reason"), CUSTOMER_REFUSALS)
def test_row_8_a_refused_customer_may_be_new(status: int, code: str, reason: Reason) -> None:
    """New customers appear late: until the last moment of the first hour a refusal waits, then it counts."""
    grace = POLICY.new_customer_grace
    found = retry(refusal(status, code), first_enqueued_time=NOW - grace + TICK)
    assert (found.kind, found.reason) == (RetryKind.TRANSIENT, reason)
    assert decide(refusal(status, code), first_enqueued_time=NOW - grace) == Rejected(
        reason=reason, detail=f"Partner Center answered {status}, code {code}"
    )


# --- the wait


@pytest.mark.parametrize(
    ("attempt", "longest"),
    [(1, 5), (2, 10), (3, 20), (8, 640), (9, 900), (50, 900)],
)
def test_the_back_off_doubles_up_to_its_cap(attempt: int, longest: float) -> None:
    """The range doubles with every attempt, and from the cap on no more."""
    assert POLICY.transient.seconds(attempt, 1.0) == longest
    assert retry(refusal(503), attempt=attempt, random=0.5).at == NOW + timedelta(seconds=longest / 2)


@pytest.mark.parametrize(
    ("answer", "longest"),
    [(refusal(503), 5), (refusal(429), 5), (refusal(401), 300)],
    ids=["transient", "throttled", "service"],
)
def test_each_kind_has_its_own_back_off(answer: AgreementsError, longest: float) -> None:
    """What somebody must mend is tried again more slowly."""
    assert retry(answer, random=0.5).at == NOW + timedelta(seconds=longest / 2)


def test_the_jitter_is_full() -> None:
    """A wait is drawn from the whole range, from none at all."""
    assert retry(refusal(503), random=0.0).at == NOW


def test_any_number_of_attempts_has_a_back_off() -> None:
    """However many attempts there were, the exponent stays within what a number can hold."""
    backoff = Backoff(base=1e-6, cap=1e300, limit=timedelta(days=1))
    assert backoff.seconds(2**31, 1.0) == backoff.seconds(65, 1.0) == 1e-6 * 2.0**64


@pytest.mark.parametrize(
    ("status", "asked", "seconds"),
    [
        (429, None, 2.5),
        (429, 0.0, 2.5),
        (429, 4.0, 4 + 2.5),
        (429, 60.0, 60 + 30),
        (503, 60.0, 60 + 30),
        (401, 60.0, 60 + 150),
        (401, 3600.0, 3600 + 1800),
        (429, 3601.0, 3600 + 1800),
        (429, float("inf"), 3600 + 1800),
    ],
)
def test_retry_after_is_a_floor(status: int, asked: float | None, seconds: float) -> None:
    """Never sooner than the service asked for, an hour at most, with the jitter on top.

    All that were told the same would come back at once: so they are spread over as long again, or over the
    back-off if that is longer.
    """
    found = retry(refusal(status, retry_after=asked), random=0.5)
    assert found.at == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(("left", "seconds"), [(4.0, 6.5), (61.0, 91.5), (7200.0, 5400.0)])
def test_a_closed_gate_is_a_floor_too(left: float, seconds: float) -> None:
    """An event that met a closed gate comes back when it is open, spread out like any other that waits."""
    assert retry(GateClosedError(left), random=0.5).at == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "answer",
    [GateClosedError(60, Reason.MFA_MISSING), TokenError("none"), GateClosedError(7200, Reason.MFA_MISSING)],
    ids=["gate", "token", "gate-for-long"],
)
def test_without_a_token_only_the_back_off_counts(answer: AgreementsError) -> None:
    """Nobody knows when a token is mended: an event comes back to the gate, where it goes on at once."""
    assert retry(answer, random=0.5, attempt=1).at == NOW + timedelta(seconds=150)


def test_a_refused_new_customer_waits_as_asked() -> None:
    """Retry-After counts for a refusal of the customer as well."""
    assert retry(refusal(404, "60002", retry_after=60)).at == NOW + timedelta(seconds=60)


# --- row 13: the limit and the clock


@pytest.mark.parametrize(
    ("answer", "kind", "limit"),
    [
        (refusal(503), RetryKind.TRANSIENT, timedelta(hours=24)),
        (refusal(429), RetryKind.THROTTLED, timedelta(days=7)),
        (refusal(401), RetryKind.SERVICE, timedelta(days=7)),
    ],
    ids=["transient", "throttled", "service"],
)
def test_row_13_what_waited_to_its_limit_is_rejected(
    answer: AgreementsError, kind: RetryKind, limit: timedelta
) -> None:
    """Up to the limit of its kind an event waits, at the limit a person must look."""
    still = retry(answer, retry_kind=kind, retrying_since=NOW - limit + TICK)
    assert still.since == NOW - limit + TICK
    assert decide(answer, retry_kind=kind, retrying_since=NOW - limit) == Rejected(
        reason=Reason.RETRIES_EXHAUSTED, detail=f"last: {still.reason}"
    )


@pytest.mark.parametrize("before", [RetryKind.THROTTLED, RetryKind.SERVICE, None])
def test_the_clock_starts_anew_with_another_kind(before: RetryKind | None) -> None:
    """The clock of a kind starts with its first failure, whatever else was waited for before."""
    assert retry(refusal(503), retry_kind=before, retrying_since=LONG_AGO).since == NOW


def test_the_clock_starts_now_if_nobody_wrote_it() -> None:
    """A copy without a readable clock starts one, rather than to wait for ever or not at all."""
    assert retry(refusal(503), retry_kind=RetryKind.TRANSIENT, retrying_since=None).since == NOW


@pytest.mark.parametrize("first", [NOW, LONG_AGO])
def test_the_clock_does_not_start_with_the_event(first: datetime) -> None:
    """A backlog is no failure: the clock starts with the first attempt that failed."""
    assert retry(refusal(503), first_enqueued_time=first).since == NOW


# --- row 14: what could not be told

ENDED: Mapping[str, tuple[Outcome, Agreement | AgreementsError | None]] = {
    "confirmed": (Confirmed(), agreement()),
    "recovered": (Confirmed(recovered=True), None),
    "duplicate": (Duplicate(reason=Reason.OTHER_RECORDED), refusal(409, "600061")),
    "rejected": (
        Rejected(reason=Reason.REFUSED, detail="Partner Center answered 400"),
        refusal(400, "800002"),
    ),
}
ENDINGS = pytest.mark.parametrize(("outcome", "answer"), ENDED.values(), ids=ENDED)


@ENDINGS
def test_row_14_what_could_not_be_told_comes_back(
    outcome: Outcome, answer: Agreement | AgreementsError | None
) -> None:
    """It waits the slow way and counts as an attempt; when it comes back, the record is read first."""
    assert untold(outcome, answer, attempt=3) == Retry(
        kind=RetryKind.UNTOLD,
        reason=Reason.OUTCOME_NOT_SENT,
        at=NOW + timedelta(seconds=600),
        since=NOW,
        attempt=4,
        maybe_recorded=True,
        unanswered=None,
    )


@pytest.mark.parametrize(
    ("answer", "kept"), [(agreement(), None), (refusal(400, "800002"), None), (CUT, REQUEST)]
)
def test_row_14_a_definite_answer_frees_the_id(
    answer: Agreement | AgreementsError, kept: UUID | None
) -> None:
    """Whatever the outcome, an id that got its answer is not used again, and one that got none is."""
    outcome = Rejected(reason=Reason.RETRIES_EXHAUSTED, detail="last: NoDefiniteAnswer")
    found = untold(outcome, answer, maybe_recorded=True, unanswered=REQUEST)
    assert isinstance(found, Retry)
    assert found.unanswered == kept


def test_row_14_a_retry_goes_on_as_it_is() -> None:
    """Its end is still to come, and will be told."""
    waiting = retry(refusal(503))
    assert untold(waiting, refusal(503)) is waiting


@pytest.mark.parametrize(("waited", "over"), [(timedelta(days=7) - TICK, False), (timedelta(days=7), True)])
@ENDINGS
def test_row_14_what_could_not_be_told_for_too_long_ends_untold(
    outcome: Outcome, answer: Agreement | AgreementsError | None, waited: timedelta, over: bool
) -> None:
    """It is parked where it belongs; a confirmed event belongs nowhere, so a person must look and replay."""
    found = untold(outcome, answer, retry_kind=RetryKind.UNTOLD, retrying_since=NOW - waited)
    exhausted = Rejected(reason=Reason.RETRIES_EXHAUSTED, detail="last: OutcomeNotSent")
    end = exhausted if isinstance(outcome, Confirmed) else outcome
    assert (found == end) is over
    assert isinstance(found, Retry) is not over


@ENDINGS
def test_row_14_the_time_without_a_token_does_not_count(
    outcome: Outcome, answer: Agreement | AgreementsError | None
) -> None:
    """What waited a week for the app to be let in is told all the same, when the topic fails just then."""
    found = untold(outcome, answer, retry_kind=RetryKind.SERVICE, retrying_since=LONG_AGO)
    assert isinstance(found, Retry)
    assert (found.kind, found.since) == (RetryKind.UNTOLD, NOW)


@pytest.mark.parametrize(
    "answer",
    [refusal(400, "2000", write=False), refusal(422, "2000", retryable=True)],
    ids=["a reading", "retryable by its own word"],
)
def test_a_refusal_that_is_not_about_the_data_is_tried_again(answer: AnswerError) -> None:
    """A refused reading sent none of the data, and a service that says "retryable" is taken at its word."""
    found = retry(answer)
    assert (found.kind, found.reason) == (RetryKind.TRANSIENT, Reason.UNAVAILABLE)


# --- precedence

PRECEDENCE: list[tuple[str, Outcome, dict[str, Any]]] = [
    (
        "agreement-over-superseded",
        Confirmed(),
        {"answer": agreement(), "standing": Standing.LATER, "delivery_count": 2},
    ),
    ("agreement-over-date", Confirmed(), {"answer": agreement(), "of": dated(timedelta(days=1))}),
    (
        "other-type-over-recovered",
        Rejected(reason=Reason.OTHER_TYPE_RECORDED, detail="recorded as another type of agreement"),
        {"answer": CLOUD, "standing": Standing.SAME, "delivery_count": 2},
    ),
    (
        "recovered-over-600061",
        Confirmed(recovered=True),
        {"answer": refusal(409, "600061"), "standing": Standing.SAME, "delivery_count": 2},
    ),
    (
        "superseded-over-600061",
        Rejected(reason=Reason.SUPERSEDED, detail="a later acceptance is on record"),
        {"answer": refusal(409, "600061"), "standing": Standing.LATER, "maybe_recorded": True},
    ),
    (
        "600061-over-other-record",
        Duplicate(reason=Reason.OTHER_RECORDED),
        {"answer": refusal(409, "600061"), "standing": Standing.OTHER, "maybe_recorded": True},
    ),
    (
        "600061-over-date",
        Duplicate(reason=Reason.RECORD_UNKNOWN),
        {"answer": refusal(409, "600061"), "of": dated(timedelta(days=1))},
    ),
    (
        "600061-over-limit",
        Duplicate(reason=Reason.RECORD_UNKNOWN),
        {
            "answer": refusal(409, "600061"),
            "retry_kind": RetryKind.TRANSIENT,
            "retrying_since": NOW - timedelta(days=30),
        },
    ),
    (
        "recovered-over-date",
        Confirmed(recovered=True),
        {"standing": Standing.SAME, "delivery_count": 2, "of": dated(timedelta(days=1))},
    ),
    (
        "date-over-refusal",
        Rejected(reason=Reason.DATE_IN_FUTURE, detail="dateAgreed is in the future"),
        {"answer": refusal(400, "2000"), "of": dated(timedelta(days=1))},
    ),
    (
        "customer-over-app",
        Rejected(reason=Reason.NO_RELATIONSHIP, detail="Partner Center answered 403, code 20002"),
        {"answer": refusal(403, "20002"), "first_enqueued_time": LONG_AGO},
    ),
    (
        "refused-over-limit",
        Rejected(reason=Reason.REFUSED, detail="Partner Center answered 400, code 1"),
        {
            "answer": refusal(400, "1"),
            "retry_kind": RetryKind.TRANSIENT,
            "retrying_since": NOW - timedelta(days=30),
        },
    ),
]


@pytest.mark.parametrize(
    ("outcome", "how"), [row[1:] for row in PRECEDENCE], ids=[row[0] for row in PRECEDENCE]
)
def test_the_first_row_that_matches_wins(outcome: Outcome, how: dict[str, Any]) -> None:
    """Where two rows match, the one with the lower number decides."""
    assert decide(**how) == outcome


@pytest.mark.parametrize("standing", [Standing.SAME, Standing.LATER])
def test_what_cannot_be_recorded_by_us_is_not_recovered(standing: Standing) -> None:
    """On a first attempt the record is somebody else's: it neither confirms nor supersedes."""
    assert retry(refusal(503), standing=standing).reason is Reason.UNAVAILABLE


@pytest.mark.parametrize("standing", [Standing.OTHER, Standing.NOTHING])
def test_an_event_that_is_not_on_record_goes_on(standing: Standing) -> None:
    """A record that is not ours, or none, leaves the decision to the answer."""
    assert decide(agreement(), standing=standing, delivery_count=2) == Confirmed()


# --- what the next attempt must know

FIRST = identity.request_id(delivery().origin, 1)


@pytest.mark.parametrize(
    "answer",
    [refusal(503), refusal(408), refusal(501), refusal(204), CUT],
    ids=["503", "408", "501", "204", "cut"],
)
def test_without_a_definite_answer_the_id_is_carried(answer: AgreementsError) -> None:
    """A write without a definite answer may be recorded: its request id is used again."""
    found = retry(answer)
    assert (found.maybe_recorded, found.unanswered) == (True, FIRST)


@pytest.mark.parametrize(
    "answer",
    [refusal(429), refusal(401), refusal(409), refusal(404, "60002"), NEVER_CONNECTED, TokenError("none")],
    ids=["429", "401", "409", "404", "never-connected", "token"],
)
def test_what_surely_was_not_recorded_carries_nothing(answer: AgreementsError) -> None:
    """A definite no, or nothing sent, leaves the next attempt as free as the first."""
    found = retry(answer)
    assert (found.maybe_recorded, found.unanswered) == (False, None)


@pytest.mark.parametrize(
    "answer",
    [
        refusal(429),
        refusal(409),
        refusal(503),
        CUT,
        NEVER_CONNECTED,
        UNREAD,
        TokenError("none"),
        GateClosedError(90),
    ],
    ids=["429", "409", "503", "cut", "never-connected", "unread", "token", "gate"],
)
@REPEATED
def test_once_it_may_be_recorded_it_may_be_for_good(
    answer: AgreementsError, repeat: Mapping[str, Any]
) -> None:
    """No later answer takes back that an earlier attempt may have been recorded."""
    assert retry(answer, **repeat).maybe_recorded


@pytest.mark.parametrize(
    ("answer", "unanswered"),
    [
        (refusal(503), REQUEST),
        (CUT, REQUEST),
        (NEVER_CONNECTED, REQUEST),
        (refusal(503, write=False), REQUEST),
        (UNREAD, REQUEST),
        (TokenError("none"), REQUEST),
        (GateClosedError(90), REQUEST),
        (None, REQUEST),
        (refusal(429), None),
        (refusal(409), None),
        (refusal(401), None),
        (REPLACED, None),
    ],
    ids=[
        "503",
        "cut",
        "never-connected",
        "read-503",
        "unread",
        "token",
        "gate",
        "not-asked",
        "429",
        "409",
        "401",
        "template",
    ],
)
def test_an_unanswered_id_is_kept_until_it_is_answered(
    answer: AgreementsError | None, unanswered: object
) -> None:
    """The id of an unanswered write stays while nobody answered it; after a definite answer it is spent."""
    found = retry(answer, maybe_recorded=True, unanswered=REQUEST, attempt=2)
    assert (found.maybe_recorded, found.unanswered) == (True, unanswered)


@pytest.mark.parametrize(
    ("answer", "attempt"),
    [
        (refusal(503), 4),
        (CUT, 4),
        (refusal(429), 4),
        (refusal(401), 4),
        (REPLACED, 4),
        (GateClosedError(90), 3),
        (GateClosedError(9, Reason.MFA_MISSING), 3),
        (TokenError("none"), 3),
    ],
    ids=["503", "cut", "429", "401", "template", "gate", "gate-closed-for-the-token", "token"],
)
def test_which_attempts_count(answer: AgreementsError, attempt: int) -> None:
    """Each attempt is counted, except at a closed gate or without a token: the service was not asked."""
    assert retry(answer, attempt=3).attempt == attempt


@pytest.mark.parametrize(
    ("answer", "posted"),
    [
        (agreement(), True),
        (refusal(400, "2000"), True),
        (REPLACED, True),
        (CUT, True),
        (NEVER_CONNECTED, True),
        (refusal(404, write=False), False),
        (UNREAD, False),
        (GateClosedError(90), False),
        (TokenError("none"), False),
        (EventError(Reason.NOT_JSON), False),
        (None, False),
    ],
    ids=[
        "agreed",
        "refused",
        "template",
        "cut",
        "never-connected",
        "not-read",
        "unread",
        "gate",
        "token",
        "bad-event",
        "not-asked",
    ],
)
def test_what_was_posted(answer: Agreement | AgreementsError | None, posted: bool) -> None:
    """Whether the recording call was made follows from what it came to: only that has a request id."""
    assert Attempt(event=EVENT, answer=answer).posted is posted


@pytest.mark.parametrize(
    "answer", [None, agreement(), TokenError("none")], ids=["unasked", "yes", "no token"]
)
def test_only_an_answer_that_was_no_is_a_refusal(answer: Agreement | AgreementsError | None) -> None:
    """What the service said is kept of a refusal, and there is none where it said nothing or yes."""
    said = refusal(429, retry_after=7)
    assert Attempt(event=EVENT, answer=said).refusal is said.answer
    assert Attempt(event=EVENT, answer=answer).refusal is None


# --- properties

INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds are naive by contract
WAIT = st.none() | st.floats(0, allow_nan=False)
CODES = st.none() | st.sampled_from(["600061", "600002", "20002", "1000", "60002", "800073", "", "1"])
ANSWERS = st.builds(
    Answer,
    status=st.integers(100, 599),
    code=CODES,
    retryable=st.none() | st.booleans(),
    retry_after=WAIT,
)
NOT_AGREED = st.one_of(
    st.none(),
    st.builds(AnswerError, ANSWERS, write=st.booleans(), about_event=st.booleans()),
    st.builds(NoAnswerError, st.just("none"), write=st.just(True), maybe_recorded=st.booleans()),
    st.builds(GateClosedError, st.floats(0, allow_nan=False), st.sampled_from(Reason)),
    st.builds(TokenError, st.just("none"), reason=st.sampled_from(Reason)),
    st.builds(EventError, st.sampled_from(Reason)),
)
DELIVERIES = st.builds(
    delivery,
    attempt=st.integers(1, 2**31),
    replay=st.integers(0, 3),
    delivery_count=st.integers(1, 50),
    maybe_recorded=st.booleans(),
    unanswered=st.none() | st.uuids(),
    retry_kind=st.none() | st.sampled_from(RetryKind),
    retrying_since=st.none() | INSTANTS,
    first_enqueued_time=INSTANTS,
)
EVENTS = st.none() | INSTANTS.map(lambda at: event(dateAgreed=at.isoformat()))


@given(
    DELIVERIES,
    EVENTS,
    st.sampled_from([TYPE, "MicrosoftCloudAgreement"]).map(lambda kind: agreement(type=kind)) | NOT_AGREED,
    st.none() | st.sampled_from(Standing),
    INSTANTS,
    st.floats(0, 1, exclude_max=True),
)
def test_every_delivery_has_an_outcome(  # noqa: PLR0913, RUF100 - the policy's own arguments
    given_delivery: Delivery,
    of: AcceptanceEvent | None,
    answer: Agreement | AgreementsError | None,
    standing: Standing | None,
    now: datetime,
    random: float,
) -> None:
    """Whatever happened, the policy has an answer, and it never sends an event back into the past."""
    attempt = Attempt(event=of, answer=answer, standing=standing)
    outcome = policy.decide(given_delivery, attempt, POLICY, now, random)
    assert isinstance(outcome, (Confirmed, Duplicate, Retry, Rejected))
    if isinstance(outcome, Retry):
        assert outcome.at >= now
        assert outcome.since <= now or outcome.since == given_delivery.retrying_since
        assert outcome.maybe_recorded >= given_delivery.may_be_recorded
        assert outcome.maybe_recorded or outcome.unanswered is None
