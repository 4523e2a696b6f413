"""What was tried for a delivery, and what becomes of it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from agreements.deliveries import RetryKind
from agreements.errors import AgreementsError, Answer, AnswerError, PartnerCenterError, Reason, TokenError
from agreements.events import AcceptanceEvent, Agreement, Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What was tried for a delivery and what came of it.

    Attributes:
        event: ``None`` when the body could not be read.
        answer: an agreement, our error, or ``None`` when there was no need to ask.
        standing: how the event stands against what is on record; ``None`` when that was not read.
        event_id: the publisher's own id of the event, if its envelope has one: ``source`` and ``id``.
        cloud_event_id: the ``id`` of these alone.
    """

    event: AcceptanceEvent | None = None
    answer: Agreement | AgreementsError | None = None
    standing: Standing | None = None
    event_id: str | None = None
    cloud_event_id: str | None = None

    @property
    def refusal(self) -> Answer | None:
        """What the service said, if it answered and the answer was no."""
        return self.answer.answer if isinstance(self.answer, AnswerError) else None

    @property
    def error_code(self) -> str | None:
        """The code by which the failure can be looked up: the service's, or the token endpoint's."""
        if isinstance(self.answer, TokenError):
            return self.answer.code
        return self.refusal.code if self.refusal else None

    @property
    def posted(self) -> bool:
        """Whether the call that records was made."""
        answer = self.answer
        return isinstance(answer, Agreement) or (isinstance(answer, PartnerCenterError) and answer.write)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The acceptance is on record; ``recovered`` when an earlier attempt of ours had done it."""

    recovered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """The acceptance was on record before us; ``reason`` tells how the record compares."""

    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The event comes back at ``at``.

    Attributes:
        since: when waiting for this kind of reason began.
        attempt: the number of the attempt to come.
        maybe_recorded: carried on, so that the record is read before anything is written again.
        unanswered: the MS-RequestId to use again, while it got no definite answer.
    """

    kind: RetryKind
    reason: Reason
    at: datetime
    since: datetime
    attempt: int
    maybe_recorded: bool
    unanswered: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A person must look; ``detail`` names a field or says what was met last, never a value."""

    reason: Reason
    detail: str


type Outcome = Confirmed | Duplicate | Retry | Rejected
