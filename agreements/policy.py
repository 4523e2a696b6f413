"""The policy: what becomes of a delivery, decided from values alone.

``decide`` follows a numbered table; the first row that matches wins:

 1. an unreadable or invalid event is rejected by its reason;
 2. an agreement with the contact that was sent, or found on record when it was read back, is confirmed;
 3. 600061: the acceptance is on record already, a duplicate; where it may be our own and the record cannot
    tell, it waits to be read again, and is a duplicate only when that has lasted beyond its limit;
 4. a date just ahead of the clock waits until it has come;
 5. a date further ahead is rejected;
 6. 429, or a gate closed for it, waits, not less than the service asked for;
 7. a refusal of the app itself, or no token for it, waits the slow way: not the event's fault;
 8. a refusal of the customer waits while the customer is new, then is rejected by its reason;
 9. a refusal of a template that was replaced meanwhile is tried again with the new one;
10. a refusal of the data is rejected;
11. a failure that passes is tried again;
12. and so is everything else;
13. what has waited beyond the limit of its kind is rejected.

``untold`` follows when nobody could be told of that:

14. an outcome that is none to wait for waits the slow way and is told when it comes back; beyond the limit,
    by a clock of its own, it ends untold where it belongs, and a confirmed event, which belongs nowhere, is
    rejected by row 13.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from agreements import access
from agreements.deliveries import Delivery, RetryKind
from agreements.errors import (
    AgreementsError,
    AnswerError,
    EventError,
    GateClosedError,
    PartnerCenterError,
    Reason,
    TemplateError,
    TokenError,
)
from agreements.events import AcceptanceEvent, Agreement, Standing
from agreements.outcomes import Attempt, Confirmed, Duplicate, Outcome, Rejected, Retry

ALREADY_EXISTS = "600061"
DATE_AHEAD = "600002"

_CUSTOMER_REFUSALS: Mapping[tuple[int, str | None], Reason] = {
    (403, "20002"): Reason.NO_RELATIONSHIP,
    (404, "1000"): Reason.CUSTOMER_UNKNOWN,
    (404, "60002"): Reason.CUSTOMER_UNKNOWN,
    (404, "60003"): Reason.CUSTOMER_UNKNOWN,
    (403, "800073"): Reason.CUSTOMER_UNDER_REVIEW,
    (403, "800074"): Reason.CUSTOMER_UNDER_REVIEW,
    (403, "800075"): Reason.CUSTOMER_UNDER_REVIEW,
    (403, "900416"): Reason.CUSTOMER_UNDER_REVIEW,
}
_APP_REFUSALS = {403, 404, 405, 407, 410, 415, 501}
_PASSING = {408, 409, 423, 425}

_LONGEST_RETRY_AFTER = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Full jitter over ``base * 2**n`` seconds up to ``cap``; given up after ``limit``."""

    base: float
    cap: float
    limit: timedelta

    def seconds(self, attempt: int, random: float) -> float:
        """Return the wait after an attempt (1, 2, …), for a random number in [0, 1)."""
        return random * min(self.cap, self.base * 2.0 ** min(attempt - 1, 64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The numbers of the policy."""

    transient: Backoff
    throttled: Backoff
    service: Backoff
    new_customer_grace: timedelta

    def backoff(self, kind: RetryKind) -> Backoff:
        """Return the back-off of a kind."""
        return {
            RetryKind.TRANSIENT: self.transient,
            RetryKind.THROTTLED: self.throttled,
            RetryKind.SERVICE: self.service,
            RetryKind.UNTOLD: self.service,
        }[kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wait:
    """A reason to try again, before clocks and back-off have their say.

    Attributes:
        ends: what it is after all, when it has waited for too long.
        recorded: it is known to be on record, or may be.
    """

    kind: RetryKind
    reason: Reason
    not_before: datetime | None = None
    retry_after: float = 0.0
    counts: bool = True
    ends: Duplicate | Rejected | None = None
    recorded: bool = False


def decide(delivery: Delivery, attempt: Attempt, policy: Policy, now: datetime, random: float) -> Outcome:
    """Return what becomes of a delivery; pure: ``now`` is aware, ``random`` in [0, 1)."""
    verdict = _verdict(delivery, attempt, policy, now)
    if isinstance(verdict, _Wait):
        return _waiting(verdict, delivery, attempt, policy, now, random)
    return verdict


def untold(
    delivery: Delivery, attempt: Attempt, outcome: Outcome, policy: Policy, now: datetime, random: float
) -> Outcome:
    """Return what becomes of a delivery of whose outcome nobody could be told; pure, like ``decide``.

    A retry goes on as it is: its end is still to come, and is told.
    """
    if isinstance(outcome, Retry):
        return outcome
    ends = None if isinstance(outcome, Confirmed) else outcome
    wait = _Wait(kind=RetryKind.UNTOLD, reason=Reason.OUTCOME_NOT_SENT, ends=ends, recorded=True)
    return _waiting(wait, delivery, attempt, policy, now, random)


def _waiting(
    wait: _Wait, delivery: Delivery, attempt: Attempt, policy: Policy, now: datetime, random: float
) -> Duplicate | Rejected | Retry:
    since = _since(delivery, wait.kind, now)
    backoff = policy.backoff(wait.kind)
    if now - since >= backoff.limit:
        return wait.ends or Rejected(reason=Reason.RETRIES_EXHAUSTED, detail=f"last: {wait.reason}")
    maybe_recorded, unanswered = _memory(delivery, attempt.answer)
    asked_for = min(wait.retry_after, _LONGEST_RETRY_AFTER)
    # Spread over as long again as the service asked for: else all that were told the same come back at once.
    jitter = max(backoff.seconds(delivery.attempt, random), random * asked_for)
    at = now + timedelta(seconds=asked_for + jitter)
    return Retry(
        kind=wait.kind,
        reason=wait.reason,
        at=max(at, wait.not_before or at),
        since=since,
        attempt=delivery.attempt + wait.counts,
        maybe_recorded=maybe_recorded or wait.recorded,
        unanswered=unanswered,
    )


def _verdict(
    delivery: Delivery, attempt: Attempt, policy: Policy, now: datetime
) -> Confirmed | Duplicate | Rejected | _Wait:
    answer, event = attempt.answer, attempt.event
    if isinstance(answer, EventError):
        return Rejected(reason=answer.reason, detail=str(answer))
    if isinstance(answer, Agreement):
        return _recorded(event, answer)
    if delivery.may_be_recorded and attempt.standing is Standing.SAME:
        return Confirmed(recovered=True)
    if delivery.may_be_recorded and attempt.standing is Standing.LATER:
        return Rejected(reason=Reason.SUPERSEDED, detail="a later acceptance is on record")
    if isinstance(answer, AnswerError) and already_exists(answer):
        return _exists(delivery, attempt.standing)
    if event is not None and (ahead := _ahead(event, answer, now)) is not None:
        return ahead
    return _refusal(delivery, answer, policy, now)


def _recorded(event: AcceptanceEvent | None, agreement: Agreement) -> Confirmed | Rejected:
    # The template decides what is recorded, whatever type was sent: a customer could still not buy.
    if event is not None and agreement.type not in (event.type, ""):
        return Rejected(reason=Reason.OTHER_TYPE_RECORDED, detail="recorded as another type of agreement")
    return Confirmed()


def already_exists(error: AnswerError) -> bool:
    """Tell whether the service says that the acceptance is on record: 4xx with 600061."""
    return error.write and 400 <= error.answer.status < 500 and error.answer.code == ALREADY_EXISTS


def _exists(delivery: Delivery, standing: Standing | None) -> Duplicate | _Wait:
    duplicate = Duplicate(reason=_compared(standing))
    if delivery.may_be_recorded and duplicate.reason is Reason.RECORD_UNKNOWN:
        return _Wait(kind=RetryKind.TRANSIENT, reason=Reason.NO_DEFINITE_ANSWER, ends=duplicate)
    return duplicate


def _compared(standing: Standing | None) -> Reason:
    if standing is Standing.SAME:
        return Reason.ALREADY_RECORDED
    # An empty list beside "it exists" tells as little as no list.
    return Reason.RECORD_UNKNOWN if standing in (None, Standing.NOTHING) else Reason.OTHER_RECORDED


def _ahead(event: AcceptanceEvent, answer: AgreementsError | None, now: datetime) -> Rejected | _Wait | None:
    agreed = event.date_agreed
    told = isinstance(answer, AnswerError) and answer.write and answer.answer.code == DATE_AHEAD
    if agreed.in_future(now):
        return Rejected(reason=Reason.DATE_IN_FUTURE, detail="dateAgreed is in the future")
    if agreed.instant > now or told or answer is None:
        return _Wait(kind=RetryKind.TRANSIENT, reason=Reason.NOT_YET_VALID, not_before=agreed.instant)
    return None


def _refusal(
    delivery: Delivery, answer: AgreementsError | None, policy: Policy, now: datetime
) -> Rejected | _Wait:
    if isinstance(answer, TemplateError):
        return _Wait(kind=RetryKind.TRANSIENT, reason=Reason.TEMPLATE_REPLACED)
    if isinstance(answer, AnswerError):
        return _answered(delivery, answer, policy, now)
    if isinstance(answer, GateClosedError):
        return _at_the_gate(answer)
    if isinstance(answer, TokenError):
        # Nothing was asked: counted, an event that is tried often would wait for long once it is mended.
        return _Wait(kind=RetryKind.SERVICE, reason=answer.reason, counts=False)
    if isinstance(answer, PartnerCenterError) and answer.maybe_recorded:
        return _Wait(kind=RetryKind.TRANSIENT, reason=Reason.NO_DEFINITE_ANSWER)
    return _Wait(kind=RetryKind.TRANSIENT, reason=Reason.UNAVAILABLE)


def _at_the_gate(closed: GateClosedError) -> _Wait:
    if closed.reason is Reason.THROTTLED:
        return _Wait(
            kind=RetryKind.THROTTLED, reason=closed.reason, retry_after=closed.retry_after, counts=False
        )
    # Whoever is at the gate when it opens goes on at once: it may come back sooner than that.
    return _Wait(kind=RetryKind.SERVICE, reason=closed.reason, counts=False)


def _answered(delivery: Delivery, error: AnswerError, policy: Policy, now: datetime) -> Rejected | _Wait:
    answer = error.answer
    wait = answer.retry_after or 0.0
    if answer.status == 429:
        return _Wait(kind=RetryKind.THROTTLED, reason=Reason.THROTTLED, retry_after=wait)
    if (no_access := access.no_access(answer.status, answer.code)) is not None:
        return _Wait(kind=RetryKind.SERVICE, reason=no_access, retry_after=wait)
    if not error.about_event and 400 <= answer.status < 500 and answer.status not in _PASSING:
        return _Wait(kind=RetryKind.SERVICE, reason=Reason.ACCESS_REFUSED, retry_after=wait)
    refused = _CUSTOMER_REFUSALS.get((answer.status, answer.code))
    if refused is not None:
        if now - delivery.first_enqueued_time < policy.new_customer_grace:
            return _Wait(kind=RetryKind.TRANSIENT, reason=refused, retry_after=wait)
        return Rejected(reason=refused, detail=str(error))
    if answer.status in _APP_REFUSALS or 300 <= answer.status < 400:
        return _Wait(kind=RetryKind.SERVICE, reason=Reason.ACCESS_REFUSED, retry_after=wait)
    if error.write and answer.status in (400, 422) and answer.code is not None and not answer.retryable:
        return Rejected(reason=Reason.REFUSED, detail=str(error))
    passing = answer.status in _PASSING or answer.status >= 500 or not error.maybe_recorded
    reason = Reason.UNAVAILABLE if passing else Reason.NO_DEFINITE_ANSWER
    return _Wait(kind=RetryKind.TRANSIENT, reason=reason, retry_after=wait)


def _since(delivery: Delivery, kind: RetryKind, now: datetime) -> datetime:
    return delivery.retrying_since or now if delivery.retry_kind is kind else now


def _memory(delivery: Delivery, answer: Agreement | AgreementsError | None) -> tuple[bool, UUID | None]:
    """Return what the next attempt must know: may it be recorded, and under which unanswered request id."""
    written = isinstance(answer, PartnerCenterError) and answer.maybe_recorded
    maybe = delivery.may_be_recorded or written
    # A definite answer frees the id: the API expects a new one after any.
    answered = isinstance(answer, Agreement) or (
        isinstance(answer, AnswerError) and answer.write and not written
    )
    return maybe, delivery.request_id if maybe and not answered else None
