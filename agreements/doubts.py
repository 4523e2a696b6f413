"""Why a replay of a message cannot help, or is not likely to, and what to do instead. Pure.

A doubt names no value of an event: it is counted and shown.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Protocol

from agreements.deliveries import Property
from agreements.errors import EventError, Reason
from agreements.events import AcceptanceEvent
from agreements.messages import ParkedMessage
from agreements.selection import event_of

_MEND = "mend it, by parked export and import"
_CUSTOMERS = {Reason.NO_RELATIONSHIP, Reason.CUSTOMER_UNKNOWN, Reason.CUSTOMER_UNDER_REVIEW}
# As it is, the same ends the same: the cause lies in the message itself, or there is nothing to do.
_AS_IT_IS: Mapping[str, str] = {
    Reason.ALREADY_RECORDED: "already recorded: discard it",
    Reason.OTHER_RECORDED: "already recorded, with other data: compare the two by status, then discard it",
    Reason.RECORD_UNKNOWN: "already recorded: read the record by status, then discard it",
    Reason.SUPERSEDED: "superseded by a newer acceptance: discard it",
    Reason.REFUSED: f"Partner Center refused its data: {_MEND}",
    Reason.OTHER_TYPE_RECORDED: f"its template is of another type of agreement: {_MEND}",
    "HeaderSizeExceeded": f"its properties are too large as they are: {_MEND}",
}


class Others(Protocol):
    """What else waits."""

    @property
    def refusals(self) -> Mapping[Reason, int]:
        """For how many scheduled events the app itself was refused, by reason."""

    def newer(self, event: AcceptanceEvent) -> str | None:
        """Return where a newer event of the same customer and type waits, ``None`` if there is none."""

    def came_back_since(self, message: ParkedMessage) -> bool:
        """Tell whether another event of this customer was replayed, and parked for the same reason later."""


def doubts(message: ParkedMessage, now: datetime, others: Others | None = None) -> Iterator[str]:
    """Yield what speaks against a replay of a message as it is; of what else waits only where it is given."""
    try:
        event = event_of(message)
    except EventError as error:
        yield f"still no event, {error}: {_MEND}"
        return
    if message.reason in _AS_IT_IS:
        yield _AS_IT_IS[message.reason]
    elif message.replay and message.reason == message.text(Property.REPLAYED_REASON) != "":
        yield f"replayed before, and came back for the same reason: {_first(message)}"
    elif others and message.reason in _CUSTOMERS and others.came_back_since(message):
        yield f"another event of its customer came back from a replay: {_first(message)}"
    if event.date_agreed.instant > now:
        yield f"dateAgreed is in the future: wait until it has come, or {_MEND}"
    if others:
        yield from _beside(event, others)


def _beside(event: AcceptanceEvent, others: Others) -> Iterator[str]:
    if place := others.newer(event):
        yield (
            f"a newer acceptance of its customer waits in {place}: have that one confirmed and discard this,"
            " or old data may become the newest record"
        )
    for refusal in others.refusals:
        yield f"the app itself is refused, {refusal}, as retries tell: mend that first. {refusal.advice}"


def _first(message: ParkedMessage) -> str:
    return f"mend the cause first. {message.advice}"
