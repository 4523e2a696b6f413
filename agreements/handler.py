"""One delivery from start to finish."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic
from typing import Protocol
from uuid import UUID

from agreements import envelopes, events, policy, telemetry
from agreements.deadline import Deadline
from agreements.deliveries import Delivery, RetryKind
from agreements.errors import AgreementsError, AnswerError, EventError, OversizeError, Reason, TopicError
from agreements.events import AcceptanceEvent, Agreement, Standing
from agreements.outcomes import Attempt, Confirmed, Outcome, Rejected, Retry
from agreements.policy import Policy

_PAUSE_SECONDS = 30.0
# Half of what a lock lasts: the host renews it, but a host that was cut off or stood still cannot.
_LOCK_SECONDS = 30.0
# What keeps an event waiting until somebody mends the app, or what is around it.
_OURS = {RetryKind.SERVICE, RetryKind.UNTOLD}


class Confirmations(Protocol):
    """Where an acceptance is recorded."""

    def confirm(
        self, event: AcceptanceEvent, *, request_id: UUID, correlation_id: UUID, deadline: Deadline
    ) -> Agreement:
        """Record the acceptance; raise one of our errors when it is not known to be recorded."""


class Records(Protocol):
    """Where recorded agreements are read."""

    def agreements(
        self, event: AcceptanceEvent, *, correlation_id: UUID, deadline: Deadline
    ) -> list[Agreement]:
        """Return the customer's agreements of the event's type; raise one of our errors when unreadable."""


class Outcomes(Protocol):
    """Where publishers are told what became of their events."""

    def tell(self, delivery: Delivery, attempt: Attempt, outcome: Outcome, deadline: Deadline) -> bool:
        """Tell it; when this returns, it has arrived. Return whether there was anything to tell.

        Raises:
            TopicError: nobody knows whether it arrived.
        """


class Nobody:
    """Nobody wants to be told."""

    def tell(self, *_: object, **__: object) -> bool:
        """Tell nobody."""
        return False


class Outbox(Protocol):
    """Where outcomes are sent."""

    def send(self, delivery: Delivery, attempt: Attempt, outcome: Outcome, deadline: Deadline) -> None:
        """Send the copy that the outcome asks for; when this returns, it has arrived.

        Raises:
            OversizeError: the copy of a retry does not fit into a message.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """What was sent: the outcome that stands, and what publishers were told.

    Attributes:
        told: ``None`` when there was nothing to tell.
        untold: the outcome that should have been told, and why it was not.
    """

    outcome: Outcome
    told: bool | None
    untold: tuple[Outcome, TopicError] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """Handles a delivery: returning means that the message may be completed.

    Attributes:
        seconds: the deadline for one delivery.
        reserve: what is kept of them for telling and sending, however long the asking took.
        now: the wall clock, aware.
        random: numbers in [0, 1), for the jitter.
        pause: waits for some seconds.
    """

    confirmations: Confirmations
    records: Records
    outcomes: Outcomes
    outbox: Outbox
    policy: Policy
    seconds: float
    reserve: float
    now: Callable[[], datetime]
    random: Callable[[], float]
    pause: Callable[[float], object]

    def __call__(self, delivery: Delivery) -> None:
        """Confirm the event, or send it where it goes next, and write one log line about it.

        Whatever it raises is raised after a pause: a raise is an immediate redelivery, and without one a
        broken queue, or a bug, would burn all deliveries of a message in seconds.
        """
        try:
            self._handle(delivery)
        except Exception:
            self.pause(_PAUSE_SECONDS)
            raise

    def _handle(self, delivery: Delivery) -> None:
        started = monotonic()
        attempt = self._attempt(delivery, Deadline.after(self.seconds - self.reserve))
        asked = monotonic()
        if asked - started >= _LOCK_SECONDS:
            # The lock may be lost: the event delivered again meanwhile, and recorded by that delivery.
            delivery = replace(delivery, maybe_recorded=True)
        outcome = policy.decide(delivery, attempt, self.policy, self.now(), self.random())
        sent = self._send(delivery, attempt, outcome)
        self._log(delivery, attempt, sent, asked - started, monotonic() - started)

    def _send(self, delivery: Delivery, attempt: Attempt, outcome: Outcome) -> _Sent:
        """Tell, then send: while nothing is parked, what could not be told can still come back."""
        until = Deadline.after(self.reserve)
        sent = self._tell(delivery, attempt, outcome, until)
        try:
            self.outbox.send(delivery, attempt, sent.outcome, until)
        except OversizeError as error:
            until = Deadline.after(self.reserve)
            if isinstance(outcome, Retry):
                outcome = Rejected(reason=Reason.COPY_TOO_LARGE, detail=f"last: {error.reason}")
                sent = self._tell(delivery, attempt, outcome, until)
            # What cannot come back to be told ends untold.
            sent = replace(sent, outcome=outcome)
            self.outbox.send(delivery, attempt, outcome, until)
        return sent

    def _tell(self, delivery: Delivery, attempt: Attempt, outcome: Outcome, until: Deadline) -> _Sent:
        # Half of the time at most: whatever becomes of the topic, a copy can still be sent.
        deadline = Deadline.after(until.left(self.reserve / 2))
        try:
            told = self.outcomes.tell(delivery, attempt, outcome, deadline)
        except TopicError as error:
            stands = policy.untold(delivery, attempt, outcome, self.policy, self.now(), self.random())
            return _Sent(outcome=stands, told=False, untold=(outcome, error))
        return _Sent(outcome=outcome, told=told or None)

    def _attempt(self, delivery: Delivery, deadline: Deadline) -> Attempt:
        attempt = Attempt()
        try:
            envelope = envelopes.unwrap(delivery.body, delivery.content_type, delivery.properties)
            attempt = Attempt(event_id=envelope.event_id, cloud_event_id=envelope.cloud_event_id)
            event = events.read(envelope.data)
        except EventError as error:
            return replace(attempt, answer=error)
        asked = self._ask(event, delivery, deadline)
        return replace(asked, event_id=attempt.event_id, cloud_event_id=attempt.cloud_event_id)

    def _ask(self, event: AcceptanceEvent, delivery: Delivery, deadline: Deadline) -> Attempt:
        standing: Standing | None = None
        answer: Agreement | AgreementsError | None = None
        try:
            if delivery.may_be_recorded:
                standing = self._standing(event, delivery, deadline)
            if standing not in (Standing.SAME, Standing.LATER) and event.date_agreed.instant <= self.now():
                answer = self.confirmations.confirm(
                    event,
                    request_id=delivery.request_id,
                    correlation_id=delivery.correlation_id,
                    deadline=deadline,
                )
        except AgreementsError as error:
            answer = error
        if isinstance(answer, AnswerError) and policy.already_exists(answer):
            # Best effort: that it exists is known without this. What was read before is no longer true.
            standing = None
            with suppress(AgreementsError):
                standing = self._standing(event, delivery, deadline)
        return Attempt(event=event, answer=answer, standing=standing)

    def _standing(self, event: AcceptanceEvent, delivery: Delivery, deadline: Deadline) -> Standing:
        recorded = self.records.agreements(event, correlation_id=delivery.correlation_id, deadline=deadline)
        return events.standing(event, recorded)

    def _log(self, delivery: Delivery, attempt: Attempt, sent: _Sent, asking: float, total: float) -> None:
        outcome, refusal = sent.outcome, attempt.refusal
        waited = (self.now() - delivery.first_enqueued_time).total_seconds()
        telemetry.log(
            {
                "outcome": type(outcome).__name__,
                "reason": None if isinstance(outcome, Confirmed) else outcome.reason,
                "advice": outcome.reason.advice
                if isinstance(outcome, Retry) and outcome.kind in _OURS
                else None,
                "detail": outcome.detail if isinstance(outcome, Rejected) else None,
                "recovered": True if isinstance(outcome, Confirmed) and outcome.recovered else None,
                "told": sent.told,
                "untold": f"{type(sent.untold[0]).__name__}: {sent.untold[1]}" if sent.untold else None,
                "retryKind": outcome.kind if isinstance(outcome, Retry) else None,
                "retryAt": outcome.at.isoformat(timespec="milliseconds")
                if isinstance(outcome, Retry)
                else None,
                "httpStatus": refusal.status if refusal else None,
                "errorCode": attempt.error_code,
                "errorName": refusal.error_name if refusal else None,
                "origin": delivery.origin,
                "correlationId": str(delivery.correlation_id),
                "requestId": str(delivery.request_id) if attempt.posted else None,
                # The service's own: a look-up goes out under no id of ours.
                "microsoftRequestId": refusal.request_id if refusal else None,
                "microsoftCorrelationId": refusal.correlation_id if refusal else None,
                "microsoftCv": refusal.cv if refusal else None,
                "attempt": delivery.attempt,
                "deliveryCount": delivery.delivery_count,
                "replay": delivery.replay,
                "apiMilliseconds": round(asking * 1000),
                "totalMilliseconds": round(total * 1000),
                "secondsSinceEnqueued": round(waited, 3),
            },
            level=logging.INFO if isinstance(outcome, Confirmed) else logging.WARNING,
        )
